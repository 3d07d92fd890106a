#!/bin/bash
# Killed at random moments and resumed until it is finished, the run ends with the same bits as an uninterrupted one. KILLS=: how often (200); runs
# are started anew until there were as many.
. tests/cli/_train.sh
export OMP_NUM_THREADS=1 # two runs at a time
seed=${SEED:-$RANDOM}
start=$(date +%s%N)
straight=$dir/straight
straight "$straight"
whole=$(( ($(date +%s%N) - start) / 1000000 ))

# one_run: from nothing to the end, killed now and then until there were enough kills.
one_run() {
    local attempt pid code left
    rm -rf "$dir/shards" "$dir/runs/r"
    for attempt in $(seq 1 200); do
        "$train" --config "$dir/run.json" --set data.shards="$dir/shards" --resume > /dev/null 2> "$dir/err" &
        pid=$!
        if [ $kills -lt "$wanted" ]; then
            sleep "$(printf '0.%03d' $((RANDOM % (whole / 2 + 10) % 1000)))"
            kill -9 $pid 2> /dev/null
        fi
        wait $pid 2> /dev/null
        code=$?
        [ $code -ne 137 ] || kills=$((kills + 1))
        [ $code -eq 0 ] && [ -d "$dir/runs/r/$last" ] && break
        [ $code -eq 0 ] || [ $code -eq 137 ] || { fail "attempt $attempt: exit $code (SEED=$seed)"; cat "$dir/err" >&2; break; }
    done
    expect 0 --config "$dir/run.json" --set data.shards="$dir/shards" --resume
    says "there is nothing left to do"
    same_end "$straight" "after $kills kills (SEED=$seed)"
    left=$(find "$dir/runs/r" -name '.*' | head -3)
    [ -z "$left" ] || fail "left over: $left"
}
# lane N: half of the kills.
lane() {
    local kills=0 runs=0 wanted=$(((${KILLS:-200} + $1) / 2))
    RANDOM=$((seed + $1))
    while [ $failed -eq 0 ] && [ $kills -lt "$wanted" ]; do
        one_run
        runs=$((runs + 1))
    done
    echo "    $kills kills in $runs runs"
}
for n in 0 1; do beside lane$n lane $n; done
together
exit $failed
