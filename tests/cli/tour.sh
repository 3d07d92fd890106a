#!/bin/bash
# tools/tour.sh (make tour) on worlds 32 times smaller, in a terminal where Enter is pressed, and again where it is not: every station
# comes, and each command that is meant to fail does. $1: the build folder.
build=$(realpath "$1") root=$PWD failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() { echo "$0: $*" >&2; failed=1; }
cp -r configs "$dir/configs"
mkdir "$dir/tools"
cp -r tools/worlds "$root/tools/tour.sh" "$dir/tools/"
ln -s "$build" "$dir/build"
cd "$dir" || exit 1
tour="env TOUR_STEPS=4 sh tools/tour.sh build 32 --set train.epochs=0.6 --set log.every=1"
printf '\n%.0s' {1..40} | timeout 300 script -qec "$tour" /dev/null >first 2>&1 || fail "exit $?: $(tail -3 first)"
stations=$(grep -cE '^== [0-9]+\. ' first)
[ "$stations" = 7 ] || fail "$stations stations: $(tail -3 first)"
[ "$(grep -c 'Enter goes on' first)" = 6 ] || fail "Enter is not asked for between the stations"
has() { grep -qF -- "$1" first || fail "it does not say \"$1\""; }
has 'did you mean "optim.warmup"?'
has 'damaged: its bytes do not have the hash of its manifest; falling back to an older checkpoint'
has 'resuming from'
grep -qE '(evaluations|rows: [0-9]+ of [0-9]+)[a-z]' first && fail "a line of progress stays before results"
has 'accuracy: '
has '(it ended with 65)'
for made in circle.png blue.png peft/adapter_model.safetensors report.html; do
    [ -s "runs/tour/$made" ] || fail "no $made"
done
sum=$(sha256sum <runs/tour/latest/adapter_model.safetensors)
$tour </dev/null >second 2>&1 || fail "a second time: exit $?: $(tail -3 second)"
grep -q 'Enter goes on' second && fail "it waits for Enter where nobody is"
[ "$sum" = "$(sha256sum <runs/tour/latest/adapter_model.safetensors)" ] || fail "what was damaged did not come back to the same bits"
exit $failed
