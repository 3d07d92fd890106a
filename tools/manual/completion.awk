# completion.awk: what complete.bash and complete.zsh go by, as shell functions, out of the rows that manual.sh gathers.
# A line for each word that may be typed: the word, its kind (kinds.awk; or command, or of @, words without an option), a sentence.

function quote(text) {
    gsub(/\047/, "\047\\\047\047", text)
    return text
}

# Alternatives in a path, as a|b, become patterns of their own.
function patterns(path,    n, words, i, k, m, alternatives, all, longer, count) {
    n = split(path, words, " ")
    count = 1
    all[1] = ""
    for (i = 1; i <= n; i++) {
        m = split(words[i], alternatives, "|")
        longer = ""
        for (k = 1; k <= count; k++)
            for (a = 1; a <= m; a++) longer = longer (longer == "" ? "" : "\n") all[k] (all[k] == "" ? "" : " ") alternatives[a]
        count = split(longer, all, "\n")
    }
    text = ""
    for (k = 1; k <= count; k++) text = text (k > 1 ? " | " : "") "\047" all[k] "\047"
    return text
}

function row(word, kind, text) { print word " " kind " " quote(text) }

BEGIN { print "_genllava_rows() {\n    case $1 in" }
$1 == "at" {
    if (open) print "\047 ;;"
    print "    " patterns($2) ") rows=\047"
    open = 1
}
$1 == "option" { row($2, kind_of($3, $4, $6), $5) }
$1 == "words" { row("@", kind_of("one", $2, ""), "") }
$1 == "command" {
    n = split($2, names, " ")
    for (i = 1; i <= n; i++) row(names[i], "command", $3)
}
$1 == "section" { sections[++n_sections] = $2 " section " quote($3) }
$1 == "key" {
    kind = $6 ~ /FILE/ ? "file" : $6 ~ /DIR/ ? "dir" : "none"
    values = $6
    gsub(/ *(FILE|DIR)/, "", values)
    sub(/^ /, "", values)
    keys[++n_keys] = $2 " " kind (values == "" ? "" : "=" words_of(values)) " " quote($5)
}
END {
    print "\047 ;;\n    *) rows= ;;\n    esac\n}\n_genllava_keys=\047"
    for (i = 1; i <= n_keys; i++) print keys[i]
    print "\047\n_genllava_sections=\047"
    for (i = 1; i <= n_sections; i++) print sections[i]
    print "\047"
}
