#!/bin/bash
# train --ranks N: the program starts its ranks itself. One that is killed or stopped, in any phase, ends all soon, named; a signal stops all.
. tests/cli/_train.sh
command -v pgrep > /dev/null || { echo "no pgrep (Debian package procps)"; exit 77; }
sed -i 's/"steps": 16/"steps": 100000/; s/"every": 1,/"every": 0,/' "$dir/run.json"
export GENLLAVA_RANKS_SILENCE=3

# launch CONFIG: three ranks in the background; $pid has started them, ${ranks[*]} are they.
three_ranks() {
    ranks=($(ps -o pid= --ppid $pid --sort pid))
    [ ${#ranks[@]} -eq 3 ]
}
launch() {
    rm -rf "$dir/runs"
    "$train" --config "$1" --ranks 3 > "$dir/out" 2> "$dir/err" &
    pid=$!
    await $pid three_ranks
}
# prepare: … while rank 0 prepares many rows, which takes it a second at least.
prepare() {
    sed "s|$PWD/$rows|$many|; s|\"shards\": \"[^\"]*\"|\"shards\": \"$dir/shards\"|" "$dir/run.json" > "$dir/many.json"
    launch "$dir/many.json"
    await $pid grep -q '^preparing ' "$dir/err"
}
# start: … once they have done some steps.
start() {
    launch "$dir/run.json"
    await $pid steps_past 2
}
# ends CODE WHAT: … within 20 s, all of them.
ends() {
    SECONDS=0
    wait $pid
    local code=$?
    [ $code -eq "$1" ] || { fail "$2: exit $code, wanted $1"; sed 's/^/    /' "$dir/err" >&2; }
    [ $SECONDS -lt 20 ] || fail "$2: only after $SECONDS s"
    for rank in "${ranks[@]}"; do
        ! kill -0 "$rank" 2> /dev/null || fail "$2: process $rank goes on"
    done
}
expect 0 --config "$dir/run.json" --steps 1

# Any rank killed or stopped while steps are taken. One that is stopped goes on once it is named: otherwise it is killed after 30 s.
killed() {
    start
    kill -KILL "${ranks[$1]}"
    ends 69 "rank $1 killed"
    says "error: rank $1 has ended"
    says "warning: rank $1 was ended by signal 9 (Killed)"
    [ "$(grep -c 'error: ' "$dir/err")" -eq 1 ] || { fail "not one error is told"; cat "$dir/err" >&2; }
}
stopped() {
    start
    kill -STOP "${ranks[$1]}"
    await $pid grep -q "error: rank $1 has given no sign of life for 3 s" "$dir/err"
    kill -CONT "${ranks[$1]}"
    ends 69 "rank $1 stopped"
}
for k in 0 1 2; do
    beside killed$k killed $k
    beside stopped$k stopped $k
done
together

# … while rank 0 prepares and the others wait, which may take hours: no rank is suspected.
rows=tests/fixtures/parity/visual_tokens/rows.jsonl
many=$dir/many.jsonl
awk '{ at = index($0, "\"uid\": \"") + 7; head[NR] = substr($0, 1, at); tail[NR] = substr($0, at + 1) }
    END { for (i = 0; i < 800000; i++) { k = 1 + i % NR; print head[k] i "-" tail[k] } }' $rows > "$many"
killed_waiting() {
    prepare
    sleep 2 # a beat a second tells where a rank is
    kill -0 $pid || { fail "ranks do not wait for the preparation"; cat "$dir/err" >&2; }
    kill -KILL "${ranks[2]}"
    ends 69 "rank 2 killed while rank 0 prepares"
    says "error: rank 2 has ended (last heard of at the work of rank 0 before the first step)"
}
killed_preparing() {
    prepare
    kill -KILL "${ranks[0]}"
    ends 69 "rank 0 killed while it prepares"
    says "error: rank 0 has ended"
}
# A signal to whoever started them, or to any rank: the step is finished and saved once.
asked() { # TO
    start
    kill -TERM "${!1}"
    ends 75 "SIGTERM to $1"
    local lines
    lines=$(wc -l < "$dir/runs/r/train.jsonl")
    says "SIGTERM: stopped after step $lines of 100000; go on with --resume"
    [ -f "$dir/runs/r/$(printf checkpoint-%06d "$lines")/MANIFEST.json" ] || fail "SIGTERM to $1: no checkpoint of the last step, $lines"
}
# … and before the first step nothing is.
asked_preparing() { # TO
    prepare
    kill -TERM "${!1}"
    ends 75 "SIGTERM to $1 while rank 0 prepares"
    says "stopped"
    says " before a step was taken; nothing is lost, run the same again"
    [ "$(grep -c 'before a step' "$dir/err")" -eq 1 ] || fail "SIGTERM to $1 is not told once: $(cat "$dir/err")"
}
beside killed_waiting killed_waiting
beside killed_preparing killed_preparing
for to in pid 'ranks[2]'; do beside "asked_preparing_$to" asked_preparing "$to"; done
for to in pid 'ranks[0]' 'ranks[2]'; do beside "asked_$to" asked "$to"; done
together

# Ranks whose starter dies before they have asked to be told of that end too.
if command -v strace > /dev/null && strace -o /dev/null true 2> /dev/null; then
    { ASAN_OPTIONS=detect_leaks=0 strace -f -o "$dir/trace" -e trace=prctl -e inject=prctl:delay_enter=1000000 \
        "$train" --config "$dir/run.json" --ranks 2 > /dev/null 2>&1 & } 2> /dev/null
    strace=$!
    until [ "$(pgrep -c -P "$(pgrep -P $strace)" 2> /dev/null)" = 2 ]; do sleep 0.01; done
    starter=$(pgrep -P $strace)
    ranks=($(pgrep -P "$starter"))
    kill -KILL "$starter"
    { wait $strace; } 2> /dev/null
    for rank in "${ranks[@]}"; do
        timeout 10 tail --pid="$rank" -f /dev/null || { fail "process $rank goes on without the one that started it"; kill -KILL "$rank"; }
    done
fi

# Mistakes are told once, before any rank is there.
expect 2 --config "$dir/run.json" --ranks 3 --set train.steps=-1
[ "$(grep -c 'error: ' "$dir/err")" -eq 1 ] || fail "a mistake is not told once: $(cat "$dir/err")"
expect 2 --config "$dir/run.json" --ranks 0
expect 2 --config "$dir/run.json" --ranks all
# A launcher that started this process alone is none.
rm -rf "$dir/runs"
OMPI_COMM_WORLD_SIZE=1 OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_LOCAL_RANK=0 expect 0 --config "$dir/run.json" --ranks 2 --steps 1
# One rank is one, also where a launcher has left its variables; of the ranks that a launcher has started it makes no runs apart.
rm -rf "$dir/runs"
WORLD_SIZE=1 RANK=0 LOCAL_RANK=0 expect 0 --config "$dir/run.json" --ranks 1 --steps 1
grep -q '"ranks": 1' "$dir/runs/r/environment.json" || fail "--ranks 1 is not one rank"
export WORLD_SIZE=2 RANK=1 LOCAL_RANK=1 MASTER_ADDR=localhost MASTER_PORT=9
for n in 1 3; do
    expect 2 --config "$dir/run.json" --ranks $n
    says "error: --ranks starts the ranks of one machine itself, but WORLD_SIZE=2 says that a launcher has started 2; leave one of the two"
    unset MASTER_ADDR # it does not ask for more of them
done
exit $failed
