# JSON (one value, or one a line) as a line for each number, text or literal: PATH = VALUE, so that two files can be compared by content.
# Below keys that match -v ignored='^(a|b)$' everything is left out; elements of the arrays named by -v unordered='^(c)$' have no number.
function put(value,    i, path, last) {
    path = "#" n_values
    last = ""
    for (i = 1; i <= depth; i++) {
        if (kind[i] == "{") {
            path = path "." key[i]
            last = key[i]
        } else
            path = path (unordered != "" && last ~ unordered ? "[]" : "[" count[i] "]")
        if (ignored != "" && last ~ ignored) return
    }
    print path " = " value
}
function begin_value() { if (depth == 0) n_values++ }
function end_value() { wants_key = depth > 0 && kind[depth] == "{" }
{
    rest = $0
    while (1) {
        sub(/^[ \t\r]+/, "", rest)
        if (rest == "") break
        c = substr(rest, 1, 1)
        if (c == "{" || c == "[") {
            begin_value()
            depth++
            kind[depth] = c
            count[depth] = 0
            key[depth] = ""
            empty = 1
            wants_key = c == "{"
            rest = substr(rest, 2)
        } else if (c == "}" || c == "]") {
            depth--
            if (empty) put(c == "}" ? "{}" : "[]")
            empty = 0
            end_value()
            rest = substr(rest, 2)
        } else if (c == ",") {
            if (kind[depth] == "[") count[depth]++
            rest = substr(rest, 2)
        } else if (c == ":")
            rest = substr(rest, 2)
        else {
            if (c == "\"") match(rest, /^"([^"\\]|\\.)*"/)
            else match(rest, /^[^][{},:" \t]+/)
            if (RLENGTH <= 0) { print "not JSON: " rest; exit 1 }
            token = substr(rest, 1, RLENGTH)
            rest = substr(rest, RLENGTH + 1)
            empty = 0
            if (wants_key) {
                key[depth] = substr(token, 2, length(token) - 2)
                wants_key = 0
            } else {
                begin_value()
                put(token)
                end_value()
            }
        }
    }
}
