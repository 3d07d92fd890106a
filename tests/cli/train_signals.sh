#!/bin/bash
# SIGINT, SIGTERM, SIGUSR1: the step is finished, a checkpoint saved, exit 75; a second SIGINT ends at once.
. tests/cli/_train.sh
sed -i 's/"steps": 16/"steps": 100000/; s/"every": 1,/"every": 0,/' "$dir/run.json"

# start ARGUMENTS...: train in the background, once it has done some steps.
start() {
    "$train" --config "$dir/run.json" "$@" > "$dir/out" 2> "$dir/err" &
    pid=$!
    for i in $(seq 1 500); do
        [ "$(cat "$dir/runs/r/train.jsonl" 2> /dev/null | wc -l)" -gt "${lines:-0}" ] && return
        sleep 0.02
    done
    fail "no step in 10 s"
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

# Before the first step: 75 at once.
rm -rf "$dir/runs"
"$train" --config "$dir/run.json" --set data.mixture=/dev/stdin < <(sleep 5) > /dev/null 2> "$dir/err" &
pid=$!
sleep 0.2
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 75 ] || fail "SIGTERM before the first step: exit $code, wanted 75"
says "stopped before a step was taken; nothing is lost, run the same again"
exit $failed
