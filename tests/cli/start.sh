#!/bin/bash
# Programs answer at once: --help of each within 10 ms, a config with a mistake within 50 ms, both of processor time (the least of ten: other
# work on the machine only adds).
set -u
build=$1
failed=0
if ! (ulimit -v 1048576; "$build/train" --version >/dev/null 2>&1); then
    echo "start.sh: under a sanitizer nothing starts at once"
    exit 77
fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
# within MILLISECONDS CODE COMMAND…
within() {
    local limit=$1 code=$2 least=1000000 time i
    shift 2
    for i in 1 2 3 4 5 6 7 8 9 10; do
        TIMEFORMAT='%3U %3S'
        time=$({ time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ print int(1000 * ($1 + $2) + 0.5) }')
        [ "$time" -ge "$least" ] || least=$time
    done
    "$@" >/dev/null 2>&1
    [ $? = "$code" ] || { echo "start.sh: $*: exit $?, wanted $code" >&2; failed=1; }
    [ "$least" -le "$limit" ] || { echo "start.sh: $*: $least ms of processor time, at most $limit" >&2; failed=1; }
}
for program in $(sed -n 's/^INSTALLED *:= *//p' Makefile); do
    within 10 0 "$build/genllava" "$program" --help
done
within 10 0 "$build/genllava" --help
sed 's/"lr"/"lrr"/' configs/quickstart.json >"$tmp/mistaken.json"
within 50 2 "$build/train" --config "$tmp/mistaken.json"
exit $failed
