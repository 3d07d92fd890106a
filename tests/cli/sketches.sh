#!/bin/bash
# sketches: help, exit codes, a small set, and its true and false pictures judged.
set -u
bin=$1/sketches dir=$(mktemp -d) failed=0
trap 'rm -rf "$dir"' EXIT
expect() { # what wanted found
    [ "$2" = "$3" ] || { echo "$1: wanted \"$2\", found \"$3\"" >&2; failed=1; }
}
"$bin" --help | grep -q '^  --count N' || { echo "--help does not list --count" >&2; failed=1; }
message=$("$bin" 2>&1)
expect "exit code without a job" 2 $?
expect "message without a job" "error: give --out FOLDER to write a set, or --check FILE to judge pictures" "$message"
message=$("$bin" --check "$dir/a/heldout.jsonl" 2>&1)
expect "message without pictures" "error: --check needs --pictures FOLDER" "$message"
"$bin" --out "$dir/a" --count 6 --heldout 40 --quiet
expect "exit code" 0 $?
expect "pictures" 69 "$(find "$dir/a" -name '*.png' | wc -l)"
message=$("$bin" --out "$dir/a" --count 6 --heldout 40 2>&1)
expect "again" "$dir/a: 6 training and 40 held-out rows are there already" "$message"

judge() { "$bin" --check "$dir/a/heldout.jsonl" --pictures "$1"; }
right() { judge "$1" | awk '{printf "%s %s ", $1, $5}'; }
expect "true pictures" "generate 1.000 edit 1.000 " "$(right "$dir/a/heldout")"
cp -r "$dir/a/heldout" "$dir/wrong"
cp "$dir/a/heldout/000002.png" "$dir/wrong/000000.png"
for before in "$dir/wrong/"*-before.png; do mv "$before" "${before%-before.png}.png"; done # nothing was changed
expect "false pictures" "generate 0.950 edit 0.000 " "$(right "$dir/wrong")"
"$bin" --check "$dir/a/heldout.jsonl" --pictures "$dir/wrong" --each | grep -q '^sketches-heldout/000000: .*, not ' ||
    { echo "--each does not say what is wrong" >&2; failed=1; }
rm "$dir/wrong/000003.png"
message=$(judge "$dir/wrong" 2>&1)
expect "exit code without a picture" 66 $?
case $message in *"$dir/wrong/000003.png"*) ;; *) echo "a missing picture is not named: $message" >&2; failed=1 ;; esac
sed 's/"shape":"[a-z]*"/"shape":"blob"/' "$dir/a/heldout.jsonl" > "$dir/a/odd.jsonl"
message=$("$bin" --check "$dir/a/odd.jsonl" --pictures "$dir/a/heldout" 2>&1)
expect "exit code of a strange row" 65 $?
expect "message of a strange row" "error: $dir/a/odd.jsonl:1: want.shape is \"blob\", which is none that sketches writes" "$message"
touch "$dir/file"
"$bin" --out "$dir/file/b" --count 1 2>/dev/null
expect "exit code where nothing can be created" 73 $?
exit $failed
