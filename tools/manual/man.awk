# man.awk: manual pages out of the rows that manual.sh gathers: genllava(1), one of each program with its commands, genllava-config(5).
# Called by manual.sh. -v out: the folder of man1 and man5; -v date.

# Text as roff has it: no escape, no request at its beginning.
function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/\047/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    sub(/^\./, "\\\\\\&.", text)
    return text
}

function put(text) { print text > page }

# Lines of at most 78 characters.
function put_text(text,    n, words, i, line) {
    n = split(text, words, " ")
    for (i = 1; i <= n; i++) {
        if (line != "" && length(roff(line " " words[i])) > 78) {
            put(roff(line))
            line = ""
        }
        line = line (line == "" ? "" : " ") words[i]
    }
    if (line != "") put(roff(line))
}

function header(name, section, summary) {
    page = out "/man" section "/" name "." section
    sub(/\.$/, "", summary)
    put(".\\\" made of what the programs say of themselves; see tools/manual")
    put(".TH " toupper(roff(name)) " " section " " date " \"GenLLaVA " version "\" \"GenLLaVA\"")
    put(".ad l")
    put(".SH NAME")
    put(roff(name) " \\- " roff(tolower(substr(summary, 1, 1)) substr(summary, 2)))
    pages[++n_pages] = page
    names[n_pages] = name
    sections[n_pages] = section
}

function first_sentence(text) {
    sub(/\. .*/, ".", text)
    return text
}

function option(name, argument, text) {
    put(".TP")
    put("\\fB" roff(name) "\\fR" (argument == "" ? "" : " \\fI" roff(argument) "\\fR"))
    put_text(text)
}

# A program's page begins; or a command goes on in that of its program.
function begin_command(    i, words, n, title) {
    begun = 1
    n = split(path, words, " ")
    nested = n > 2
    if (!nested)
        header(n == 1 ? "genllava" : "genllava-" words[2], 1, first_sentence(summary))
    else {
        if (index(words[3], "|")) words[3] = "BENCH"
        title = words[2]
        for (i = 3; i <= n; i++) title = title " " words[i]
        put(".SH \"" toupper(roff(title)) "\"")
        if (n == 3 && words[3] == "BENCH") return # its steps follow
    }
    if (!nested) put(".SH SYNOPSIS")
    put(".nf")
    for (i = 1; i <= n_usage; i++) put(roff(usage[i]))
    put(".fi")
    if (!nested) put(".SH DESCRIPTION")
    else put(".PP")
    put_text(summary)
    if (!nested) put(".SH OPTIONS")
}

function begin_config() {
    header("genllava-config", 5, "settings of a training run")
    put(".SH DESCRIPTION")
    put_text("A run is described by one JSON file, read by genllava train and by what works with a run: prepare, generate, " \
             "evaluate, inspect.")
    put_text("A key \"model.llm.path\" is \"path\" in the object \"llm\" in the object \"model\". Keys that begin with // are comments.")
    put_text("Paths in a file are relative to the file; defaults, and paths given by --set KEY=VALUE, to the working folder.")
    put_text("genllava train --print-schema prints the JSON Schema, which editors complete and check by.")
    put(".SH KEYS")
    config_begun = 1
}

$1 == "at" {
    path = $2
    begun = n_usage = 0
}
$1 == "program" { version = $3 }
$1 == "summary" { summary = $2 }
$1 == "usage" { # as it is typed: behind genllava
    line = $2
    name = path
    sub(/^genllava /, "", name)
    sub(/[ |].*/, "", name)
    if (path != "genllava") sub("^ *" name " ", "genllava " name " ", line)
    sub(/^ +/, "    ", line)
    if (line ~ /^    genllava/) sub(/^ +/, "", line)
    usage[++n_usage] = line
}
!begun && /^(heading|option|command)\t/ { begin_command() }
$1 == "heading" {
    text = toupper(substr($2, 1, 1)) substr($2, 2)
    sub(/ \(.*/, "", text)
    sub(/:$/, "", text)
    if (!nested) put(".SS " roff(text))
}
$1 == "command" {
    many = $2 ~ / /
    gsub(/ /, ", ", $2)
    option(many ? "BENCH" : $2, "", many ? $3 ": " $2 : $3)
}
$1 == "option" { if (!nested || $2 !~ /^--(log-format|version|help)$/) option($2, $4, $5) }
$1 == "notes" {
    put(nested ? ".PP" : ".SH NOTES")
    put_text($2)
}
$1 == "section" { explained[$2] = $3 }
$1 == "key" {
    kept = page
    page = out "/man5/genllava-config.5"
    if (!config_begun) begin_config()
    section = $2
    if (!sub(/\.[^.]*$/, "", section)) section = ""
    if (section != last_section) {
        put(".SS " roff(section))
        put_text(explained[section])
    }
    last_section = section
    option($2, "", $3 " (" $4 ")")
    put(".br")
    put_text($5)
    page = kept
}
END {
    for (i = 1; i <= n_pages; i++) {
        page = pages[i]
        put(".SH \"SEE ALSO\"")
        for (k = 1; k <= n_pages; k++)
            if (k != i) put(".BR " roff(names[k]) " (" sections[k] ")" (k == n_pages || (k == n_pages - 1 && i == n_pages) ? "" : ","))
    }
}
