#!/bin/bash
# Killed at ten random moments and resumed, the run ends with the same bits as an uninterrupted one.
. tests/cli/_train.sh
seed=${SEED:-$RANDOM}
RANDOM=$seed
start=$(date +%s%N)
straight "$dir/straight"
whole=$(( ($(date +%s%N) - start) / 1000000 ))

rm -rf "$dir/shards"
kills=0
for attempt in $(seq 1 200); do
    "$train" --config "$dir/run.json" --resume > /dev/null 2> "$dir/err" &
    pid=$!
    if [ $kills -lt 10 ]; then
        sleep "$(printf '0.%03d' $((RANDOM % (whole / 2 + 10) % 1000)))"
        kill -9 $pid 2> /dev/null && kills=$((kills + 1))
    fi
    wait $pid 2> /dev/null
    code=$?
    [ $code -eq 0 ] && [ -d "$dir/runs/r/checkpoint-000016" ] && break
    [ $code -eq 0 ] || [ $code -eq 137 ] || { fail "attempt $attempt: exit $code (SEED=$seed)"; cat "$dir/err" >&2; break; }
done
expect 0 --config "$dir/run.json" --resume
says "there is nothing left to do"
same_end "$dir/straight" "after $kills kills (SEED=$seed)"
left=$(find "$dir/runs/r" -name '.*' | head -3)
[ -z "$left" ] || fail "left over: $left"
exit $failed
