#!/bin/sh
# Makes the manual pages and the completion of bash, zsh and fish out of what the programs say of themselves (--describe,
# kernels/base/cli.h). Called by tools/install.sh. $1: the folder with the programs; $2: where the folders man1, man5, bash, zsh and fish
# go; $3: the date of the pages.
set -eu
export LC_ALL=C
bin=$1 out=$2 date=$3
here=$(dirname "$0")

# Prints "at" and the path of words, then what the program says with these words, then the same of its own commands.
walk() ( # PATH PROGRAM WORD…
    path=$1
    shift
    program=$1
    shift
    printf 'at\t%s\n' "$path"
    case ${1:-} in
    --*) "$bin/$program" --describe "$@" ;;
    *) "$bin/$program" "$@" --describe ;;
    esac >"$tmp/$path"
    cat "$tmp/$path"
    awk -F'\t' '$1 == "command" && $2 != "help" { print $2 }' "$tmp/$path" | while read -r word others; do
        names=$word
        for other in $others; do names="$names|$other"; done
        case $program in
        genllava) walk "$path $names" "$word" ;;
        *) walk "$path $names" "$program" "$@" "$word" ;;
        esac
    done
)

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$out/man1" "$out/man5" "$out/bash" "$out/zsh" "$out/fish"
walk genllava genllava >"$tmp/rows"
awk -F'\t' -v out="$out" -v date="$date" -f "$here/man.awk" "$tmp/rows"
awk -F'\t' -f "$here/kinds.awk" -f "$here/completion.awk" "$tmp/rows" >"$tmp/data"
cat "$here/complete.bash" "$tmp/data" >"$out/bash/genllava"
{ cat "$here/complete.zsh" "$tmp/data" && echo '_genllava "$@"'; } >"$out/zsh/_genllava"
{ cat "$here/complete.fish" && awk -F'\t' -f "$here/kinds.awk" -f "$here/fish.awk" "$tmp/rows"; } >"$out/fish/genllava.fish"
