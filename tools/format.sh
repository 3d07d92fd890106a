#!/bin/sh
# Lays out C, C++ and CUDA sources as .clang-format says: sh tools/format.sh [--check] FILE…  --check changes nothing, names the files
# that differ, exit 1. Tables and other braced initializers of several lines, strings of several lines, structs in one line, and macros
# keep the layout that their author gave them: clang-format 14 would write one designated member a line and undo columns. Statements are
# told apart by their last character, which is enough for sources of this layout.
set -u
check=
[ "${1:-}" != --check ] || { check=1; shift; }
layout=clang-format-14
command -v $layout >/dev/null || layout=clang-format
case $($layout --version 2>/dev/null) in
*' version 14.'*) ;; # others lay out otherwise
*)
    echo "layout: skipped: clang-format 14 is not installed (Debian: apt-get install clang-format-14)"
    exit 0
    ;;
esac

ranges() { # FILE: the lines that may be laid out anew, as clang-format's arguments
    awk '
function close_statement(    keep) {
    keep = macro || row || (first < NR && (initializer || text))
    if (!keep) printf " --lines=%d:%d", first, NR
    first = 0
}
{
    if (!first) { first = NR; initializer = macro = text = row = depth = 0 }
    code = $0
    gsub(/"(\\.|[^"\\])*"|\047(\\.|[^\047\\])*\047/, "\"\"", code)
    if (comment) { if (!sub(/^.*\*\//, "", code)) code = ""; else comment = 0 }
    gsub(/\/\*([^*]|\*[^\/])*\*\/|\/\/.*/, "", code)
    if (sub(/\/\*.*/, "", code)) comment = 1
    sub(/[ \t]+$/, "", code)
    if (code ~ /^[ \t]*#[ \t]*define/) macro = 1
    if (code ~ /""$/) text = 1
    if (code ~ /struct[^;{]*\{.*;.*\}|UNROLL/) row = 1
    if (match(code, /= *\{|=.*\)\{$|\)\{[^ ]|return *\{/)) initializer = 1
    else if (depth == 0) match(code, /(struct|union|enum)[^;(){}]*\{$/) # its end may be the beginning of a table
    if (depth > 0 || RSTART) {
        rest = depth > 0 ? code : substr(code, RSTART)
        depth += gsub(/\{/, "", rest) - gsub(/\}/, "", rest)
    }
    if (comment || depth > 0 || (macro && code ~ /\\$/)) next
    if (code == "" || code ~ /[;{}:]$/ || code ~ /^[ \t]*#/ || macro) close_statement()
}
END { if (first) close_statement() }' "$1"
}

failed=0
for file; do
    # shellcheck disable=SC2046 # words are wanted apart
    if [ -z "$check" ]; then
        $layout -i --style=file $(ranges "$file") "$file"
    elif ! $layout --style=file $(ranges "$file") "$file" | cmp -s - "$file"; then
        echo "$file: its layout is not that of .clang-format; make format" >&2
        failed=1
    fi
done
exit $failed
