#!/bin/bash
# genllava PROGRAM: starts the programs beside it, through links too, and names what was meant; every program says what it takes (--describe).
set -u
build=$1
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
fail() { echo "genllava.sh: $*" >&2; failed=1; }
# expect CODE STDOUT STDERR ARGUMENTS…: what must be in both; "" is nothing at all.
expect() {
    local code=$1 out=$2 err=$3
    shift 3
    "$build/genllava" "$@" >"$tmp/out" 2>"$tmp/err"
    local was=$?
    [ $was = "$code" ] || fail "genllava $*: exit $was, wanted $code"
    { [ -n "$out" ] && grep -qF -- "$out" "$tmp/out"; } || { [ -z "$out" ] && [ ! -s "$tmp/out" ]; } || fail "genllava $*: printed $(cat "$tmp/out")"
    { [ -n "$err" ] && grep -qxF -- "$err" "$tmp/err"; } || { [ -z "$err" ] && [ ! -s "$tmp/err" ]; } || fail "genllava $*: said $(cat "$tmp/err")"
}

expect 2 '' 'error: genllava: a program is missing; genllava --help lists them'
expect 2 '' 'error: genllava: there is no program "trian" (did you mean train?); genllava --help lists them' trian --config x
expect 2 '' 'error: genllava: there is no program "xyzzy"; genllava --help lists them' xyzzy
expect 2 '' 'error: genllava: there is no program "xyzzy"; genllava --help lists them' help xyzzy
expect 2 '' 'error: genllava: unknown option --hepl (did you mean --help?); genllava --help lists them' --hepl
expect 0 'usage: genllava PROGRAM' '' --help
expect 0 'usage: genllava PROGRAM' '' help
expect 0 'GenLLaVA genllava ' '' --version
expect 2 '' 'error: train: unknown option --confg (did you mean --config?); train --help lists them' train --confg

# The list is that of the Makefile, each with the first sentence that it says of itself; each is started by its name.
programs=$(sed -n 's/^INSTALLED *:= *//p' Makefile)
"$build/genllava" --describe | awk -F'\t' '$1 == "command" && $2 != "help" { print $2 }' | xargs >"$tmp/listed"
[ "$programs" = "$(cat "$tmp/listed")" ] || fail "lists $(cat "$tmp/listed"), wanted $programs"
for program in $programs; do
    expect 0 "usage: $program" '' "$program" --help
    cp "$tmp/out" "$tmp/help"
    expect 0 "usage: $program" '' help "$program"
    cmp -s "$tmp/out" "$tmp/help" || fail "help $program is not its --help"
    "$build/$program" --describe >"$tmp/rows" || fail "$program --describe: exit $?"
    # Every option of --help, and no other.
    grep -oE '^  --[a-z-]+' "$tmp/help" | sort >"$tmp/shown"
    awk -F'\t' '$1 == "option" || ($1 == "command" && $2 ~ /^--/) { print "  " $2 }' "$tmp/rows" | sort >"$tmp/told"
    cmp -s "$tmp/shown" "$tmp/told" || fail "$program: --help and --describe differ: $(diff "$tmp/shown" "$tmp/told")"
done
[ "$("$build/train" --describe | awk -F'\t' '$1 == "option" && $2 == "--resume"')" = \
    "$(printf 'option\t--resume\toptional\t[CHECKPOINT]\tgo on from this checkpoint, else from the newest whole one\t')" ] || fail "the row of --resume"
[ "$("$build/train" --describe | awk -F'\t' '$1 == "key" && $2 == "optim.schedule" { print $6 }')" = "cosine linear constant" ] ||
    fail "the values of optim.schedule"
[ "$("$build/train" --describe | grep -c '^key')" = "$("$build/train" --keys | grep -c '^[a-z]')" ] || fail "--describe and --keys know different keys"

# Through a link, from another folder, as `make install` sets it up.
ln -s "$(cd "$build" && pwd)/genllava" "$tmp/linked"
(cd / && "$tmp/linked" inspect --version) | grep -q '^GenLLaVA inspect ' || fail "not found through a link"
mkdir "$tmp/alone" && cp "$build/genllava" "$tmp/alone/"
"$tmp/alone/genllava" train --help >"$tmp/out" 2>"$tmp/err"
[ $? = 66 ] && grep -qF "$tmp/alone/train: No such file or directory; it belongs beside genllava" "$tmp/err" || fail "alone: $(cat "$tmp/err")"
exit $failed
