# kinds.awk: what may follow an option, as completion.awk and fish.awk tell it to the shells: flag (nothing), none (what nobody can guess),
# file, dir, keys (KEY=VALUE), sections; behind it =a,b where there are words to choose from; before it ? where the value may be left out,
# and + where there may be several. Called by manual.sh, before either.

function words_of(text) {
    gsub(/[][]/, "", text)
    gsub(/[| ]/, ",", text)
    return text
}

function kind_of(kind, argument, values,    before, bare) {
    if (kind == "flag") return "flag"
    before = kind == "optional" ? "?" : kind == "many" ? "+" : ""
    bare = argument
    gsub(/[][]/, "", bare)
    if (values != "") return before "none=" words_of(values)
    if (bare ~ /^[a-z|]+$/) return before "none=" words_of(bare)
    if (bare == "KEY=VALUE") return before "keys"
    if (bare == "SECTION") return before "sections"
    if (bare ~ /FILE|PATH|FEATURES|ARGS|\.[a-z0-9]+/) return before "file"
    if (bare ~ /^(DIR|FOLDER|CHECKPOINT|RUN)/) return before "dir"
    return before "none"
}
