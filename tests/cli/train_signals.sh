#!/bin/bash
# SIGINT, SIGTERM, SIGUSR1: the step is finished, a checkpoint saved, exit 75; a second SIGINT ends at once.
. tests/cli/_train.sh
sed -i 's/"steps": 16/"steps": 100000/; s/"every": 1,/"every": 0,/' "$dir/run.json"

# start ARGUMENTS...: train in the background, once it has done some steps.
start() {
    "$train" --config "$dir/run.json" "$@" > "$dir/out" 2> "$dir/err" &
    pid=$!
    await $pid steps_past "${lines:-0}"
}

lines=3
for signal in INT TERM USR1; do
    start --resume
    kill -$signal $pid
    wait $pid
    code=$?
    [ $code -eq 75 ] || fail "SIG$signal: exit $code, wanted 75"
    says "SIG$signal: stopped after step"
    lines=$(wc -l < "$dir/runs/r/train.jsonl")
    [ -f "$dir/runs/r/$(printf checkpoint-%06d "$lines")/MANIFEST.json" ] || fail "SIG$signal: no checkpoint of the last step, $lines"
    lines=$((lines + 3))
done

# SIGINT twice while a long step runs: the second is not waited for.
start --resume
kill -STOP $pid
kill -INT $pid
kill -CONT $pid
kill -INT $pid
wait $pid
code=$?
[ $code -eq 130 ] || [ $code -eq 75 ] || fail "two SIGINT: exit $code, wanted 130 (or 75, when the first was quicker)"

# Before the first step: 75 at once. The rows come through a pipe into which nobody writes.
rm -rf "$dir/runs"
mkfifo "$dir/rows"
catches_term() { [ "/proc/$1/exe" -ef "$train" ] && ((0x$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status") & 1 << 14)); }
"$train" --config "$dir/run.json" --set data.mixture=/dev/stdin <> "$dir/rows" > /dev/null 2> "$dir/err" &
pid=$!
await $pid catches_term $pid
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 75 ] || fail "SIGTERM before the first step: exit $code, wanted 75"
says "stopped before a step was taken; nothing is lost, run the same again"
exit $failed
