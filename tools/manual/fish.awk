# fish.awk: the lines of fish's completion out of the rows that manual.sh gathers. Called by manual.sh.

function quote(text) {
    gsub(/\\/, "\\\\", text)
    gsub(/\047/, "\\\047", text)
    return "\047" text "\047"
}

# The words after genllava, each quoted.
function words_after(path,    n, words, i, text) {
    n = split(path, words, " ")
    text = ""
    for (i = 2; i <= n; i++) text = text " \\\047" words[i] "\\\047"
    return text
}

$1 == "at" { after = words_after($2) }
$1 == "command" {
    n = split($2, names, " ")
    for (i = 1; i <= n; i++)
        if (names[i] ~ /^--/) print "complete -c genllava -n \047__genllava_next" after "\047 -l " substr(names[i], 3) " -d " quote($3)
        else print "complete -c genllava -n \047__genllava_next" after "\047 -a " names[i] " -d " quote($3)
    if ($2 == "help") print "complete -c genllava -n \047__genllava_next help\047 -a " quote(programs)
    else if (after == "") programs = programs (programs == "" ? "" : " ") $2
}
$1 == "words" && $2 != "COMMAND" { print "complete -c genllava -n \047__genllava_at" after "\047 -F" }
$1 == "option" {
    kind = kind_of($3, $4, $6)
    left_out = sub(/^[?]/, "", kind)
    sub(/^[+]/, "", kind)
    values = kind
    takes = ""
    if (sub(/^none=/, "", values)) {
        gsub(/,/, " ", values)
        takes = " -f -a " quote(values)
    } else if (kind == "keys") takes = " -f -a \047(__genllava_sets)\047"
    else if (kind == "sections") takes = " -f -a \047(__genllava_names)\047"
    else if (kind == "file") takes = " -F"
    else if (kind == "dir") takes = " -f -a \047(__fish_complete_directories)\047"
    line = "complete -c genllava -n \047__genllava_at" after
    if (left_out) { # a value may follow, which fish does not know of options
        print line "; and __genllava_behind " $2 "\047" takes
        takes = ""
    } else if (kind != "flag")
        takes = " -r" takes
    print line "\047 -l " substr($2, 3) takes " -d " quote($5)
}
$1 == "key" { keys = keys " \\\n    " quote($2 "\t" $5 "\t" $6) }
END { print "set -g __genllava_keys" keys }
