#!/bin/bash
# Several ranks, of which one is killed, stopped or asked to stop at random moments, and while a checkpoint, a sample or what is held out is at
# work: all end within 20 s, the rank is named, and resumed until it is finished the run ends with the same bits. KILLS=: how often at random
# (15). SEED= repeats it.
STEPS=8 . tests/cli/_train.sh
command -v pgrep > /dev/null || { echo "no pgrep (Debian package procps)"; exit 77; }
seed=${SEED:-$RANDOM}
export GENLLAVA_RANKS_SILENCE=2 OMP_NUM_THREADS=1
printf '{"ask": "What is it?"}\n' > "$dir/prompts.jsonl"
rows=$PWD/tests/fixtures/parity/visual_tokens
echo '[{"name": "held", "files": ["'"$rows"'/rows.jsonl"], "image_root": "'"$rows"'/images", "max": 4}]' > "$dir/held.json"
flags=(--ranks 3 --set sample.every=2 --set sample.prompts="$dir/prompts.jsonl" --set save.split=true --set eval.every=2
    --set "data.validation=$dir/held.json")
began=$(date +%s%N)
expect 0 --config "$dir/run.json" "${flags[@]}"
whole=$(( ($(date +%s%N) - began) / 1000000 ))
straight=$dir/straight
mv "$dir/runs/r" "$straight"

# launch: … in the background, resumed; $pid has started the ranks, ${ranks[*]} are they.
three_ranks() {
    ranks=($(pgrep -P $pid))
    [ ${#ranks[@]} -eq 3 ]
}
launch() {
    "$train" "${run[@]}" --resume > /dev/null 2> "$dir/err" &
    pid=$!
    await $pid three_ranks
}
# go_on RANK: once it is named, or is not missed in 5 s; otherwise it is killed some seconds later.
go_on() {
    local i
    for i in $(seq 50); do
        ! grep -q 'no sign of life' "$dir/err" && kill -0 $pid 2> /dev/null || break
        sleep 0.1
    done
    kill -CONT "$1" 2> /dev/null
}
# hit SIGNAL RANK: … and what becomes of all; a rank that has ended cannot be hit.
hit() {
    local wanted=69 sentence="rank $2 " code
    kill "-$1" "${ranks[$2]}" 2> /dev/null || wanted=0
    [ "$1" != STOP ] || go_on "${ranks[$2]}" &
    [ "$1" = TERM ] && wanted=75 sentence=stopped
    SECONDS=0
    wait $pid
    code=$?
    [ $code -eq 0 ] && return # it was at its end
    [ $code -eq "$wanted" ] && grep -q "$sentence" "$dir/err" || {
        fail "$1 to rank $2 $3: exit $code, wanted $wanted and \"$sentence\" (SEED=$seed)"
        sed 's/^/    /' "$dir/err" >&2
    }
    [ $SECONDS -lt 20 ] || fail "$1 to rank $2 $3: only after $SECONDS s (SEED=$seed)"
    for rank in "${ranks[@]}"; do
        ! kill -0 "$rank" 2> /dev/null || fail "$1 to rank $2 $3: process $rank goes on (SEED=$seed)"
    done
}
# anew: when a run is finished, another begins.
anew() {
    [ -d "$dir/runs/r/$last" ] || return
    expect 0 "${run[@]}" --resume
    says "there is nothing left to do"
    same_end "$straight" "after a run with faults (SEED=$seed)"
    diff -r "$straight/samples" "$dir/runs/r/samples" > /dev/null || fail "other samples after a run with faults (SEED=$seed)"
    [ -z "$(find "$dir/runs/r" -name '.*' | head -3)" ] || fail "left over: $(find "$dir/runs/r" -name '.*')"
    rm -rf "$dir/runs" "$dir/shards"
}

# series LANE: a third of the faults.
signals=(KILL TERM KILL STOP TERM)
writing=(KILL TERM STOP)
series() {
    local i at
    RANDOM=$((seed + $1))
    run=(--config "$dir/run.json" "${flags[@]}" --set data.shards="$dir/shards")
    # At random: the meeting, the preparation, passes that measure memory, steps, sums, validation, the end.
    for ((i = $1; i < ${KILLS:-15}; i += 3)); do
        anew
        launch
        sleep "$(printf '0.%03d' $((RANDOM % whole % 1000)))"
        hit "${signals[i / 3 % 5]}" $((RANDOM % 3)) "at random"
    done
    # … and while something is written.
    i=$1
    for at in '.checkpoint-*.tmp' samples/.new; do
        anew
        rm -rf "$dir"/runs/r/$at # of the last one
        launch
        until compgen -G "$dir/runs/r/$at" > /dev/null || ! kill -0 $pid 2> /dev/null; do :; done
        hit "${writing[i++ % 3]}" $((RANDOM % 3)) "at $at"
    done
    for ((i = 0; i < 5; i++)); do
        [ ! -d "$dir/runs/r/$last" ] || break
        expect 0 "${run[@]}" --resume
    done
    anew
}
for lane in 0 1 2; do beside lane$lane series $lane; done
together
exit $failed
