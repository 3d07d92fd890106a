#!/bin/bash
# scenes: help, exit codes, and a small set.
set -u
bin=$1/scenes dir=$(mktemp -d) failed=0
trap 'rm -rf "$dir"' EXIT
expect() { # what wanted found
    [ "$2" = "$3" ] || { echo "$1: wanted \"$2\", found \"$3\"" >&2; failed=1; }
}
"$bin" --help | grep -q '^  --count N' || { echo "--help does not list --count" >&2; failed=1; }
message=$("$bin" 2>&1)
expect "exit code without --out" 2 $?
expect "message without --out" "error: --out FOLDER is missing" "$message"
message=$("$bin" --out "$dir/a" --kinds color,cont 2>&1)
expect "exit code of an unknown kind" 2 $?
expect "message of an unknown kind" "error: --kinds: there is no kind \"cont\"; did you mean \"count\"; \`scenes --help\` lists them" "$message"
"$bin" --out "$dir/a" --count 6 --heldout 3 --size 32 --kinds color,caption --quiet
expect "exit code" 0 $?
expect "pictures" 9 "$(find "$dir/a" -name '*.jpg' | wc -l)"
message=$("$bin" --out "$dir/a" --count 6 --heldout 3 --size 32 --kinds color,caption 2>&1)
expect "again" "$dir/a: 6 training and 3 held-out records are there already" "$message"
touch "$dir/file"
"$bin" --out "$dir/file/b" --count 1 2>/dev/null
expect "exit code where nothing can be created" 73 $?
exit $failed
