#!/bin/bash
# A shortened quickstart: from the bases of configs/base, one stage teaches one model to answer, to draw and to change pictures; held-out
# answers and pictures are right far beyond chance. --captions draws what the base itself makes of the true captions: the ceiling.
set -u
build=$(realpath "$1") failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() { echo "$0: $*" >&2; failed=1; }
"$build/scenes" --quiet --out "$dir/scenes" --count 300 --heldout 50 --seed 5 --objects 1 --kinds color || exit 1
"$build/sketches" --quiet --out "$dir/sketches" --count 2400 --heldout 64 --seed 5 --size 64 || exit 1
rows=$dir/sketches/heldout.jsonl
"$build/train" --quiet --config configs/quickstart.json --set save.dir="$dir/runs" --set name=run --set train.epochs=8 --set train.batch=16 \
    --set save.every=0 --set 'data.mixture=[{"name": "scenes", "files": ["'"$dir"'/scenes/train.json"]},
        {"name": "sketches", "files": ["'"$dir"'/sketches/train.jsonl"]}]' || fail "training: exit $?"
"$build/generate" --quiet --checkpoint "$dir/runs/run" --batch "$dir/scenes/heldout.json" --out "$dir/answers" --max-new-tokens 8 ||
    fail "answering: exit $?"
"$build/generate" --quiet --checkpoint "$dir/runs/run" --batch "$rows" --out "$dir/drawn" --steps 10 --guidance 3 || fail "drawing: exit $?"
"$build/generate" --quiet --checkpoint "$dir/runs/run" --batch "$rows" --out "$dir/ceiling" --steps 10 --guidance 3 --captions ||
    fail "drawing of captions: exit $?"

least() { # WHAT FOUND LEAST
    awk -v found="$2" -v least="$3" 'BEGIN { exit !(found >= least) }' || fail "$1: $2 are right, wanted at least $3"
}
right() { "$build/sketches" --check "$rows" --pictures "$dir/$1" | awk -v task="$2" '$1 == task { print $5 }'; }
least answers "$("$build/evaluate" --answers "$dir/answers/answers.jsonl" | sed -n 's/^accuracy: \([0-9.]*\) %.*/\1/p')" 80 # chance: 22
for task in generate edit; do # chance: 0.02
    least "$task" "$(right drawn $task)" 0.5
    least "$task of captions" "$(right ceiling $task)" 0.85
done
# What is drawn of a caption says so.
caption=$(sed -n '1s/.*"sd":{"prompt":"\([^"]*\)".*/\1/p' "$rows")
for text in "prompt $caption" "text_encoder diffusion"; do
    LC_ALL=C grep -qaP "tEXt${text%% *}\x00\Q${text#* }\E" "$dir/ceiling/000000.png" || fail "a drawn caption does not say $text"
done
LC_ALL=C grep -qa 'tEXtcheckpoint' "$dir/ceiling/000000.png" && fail "a drawn caption names a checkpoint"
# The sheet shows 24 pictures drawn and 12 changed, each beside what it was: 8 columns and 6 rows of 64 pixels, 4 between them.
"$build/sketches" --check "$rows" --pictures "$dir/drawn" --sheet "$dir/sheet.png" > /dev/null || fail "--sheet: exit $?"
[ "$(od -An -tx1 -j16 -N8 "$dir/sheet.png" | tr -d ' \n')" = 0000021c00000194 ] || fail "the sheet is not 540x404 pixels"
[ "$("$build/sketches" --sheet "$dir/sheet.png" --out "$dir/x" 2>&1)" = "error: --sheet belongs to --check FILE" ] || fail "--sheet alone"
exit $failed
