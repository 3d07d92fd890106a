#!/bin/bash
# Ranks on two hosts, which are network namespaces joined by a cable: as ranks of one host; and all end, naming a rank, when the cable is pulled.
for program in ip unshare nsenter; do
    command -v $program > /dev/null || { echo "    skipped: $program is not installed"; exit 77; }
done
if [ "${1:-}" != --inside ]; then
    unshare -rn ip link add near type veth peer name far 2> /dev/null || { echo "    skipped: no network namespaces here"; exit 77; }
    exec unshare -rn bash "$0" --inside "$@"
fi
shift
. tests/cli/_train.sh
export OMP_NUM_THREADS=1 WORLD_SIZE=3 GENLLAVA_RANKS_SILENCE=3
sed -i 's/"every": 1,/"every": 0,/' "$dir/run.json"

# This namespace is the host of rank 0; that of `other` has ranks 1 and 2.
unshare -n sleep 1000 &
other=$!
trap 'kill $other; chmod -R u+rwX "$dir"; rm -rf "$dir"' EXIT
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
ip link add near type veth peer name far netns $other
ip address add 10.83.0.1/24 dev near
ip link set near up
ip link set lo up
there() { nsenter -t $other -n "$@"; }
there ip link set lo up
there ip address add 10.83.0.2/24 dev far
there ip link set far up

# start ARGUMENTS...: the ranks, as torchrun starts them; $dir/err0 … are what they say.
start() {
    export MASTER_ADDR=10.83.0.1 MASTER_PORT=29500 GENLLAVA_JOB_TOKEN="the two hosts of this test know"
    RANK=0 LOCAL_RANK=0 "$train" --config "$dir/run.json" "$@" > /dev/null 2> "$dir/err0" &
    ranks=($!)
    for r in 1 2; do
        RANK=$r LOCAL_RANK=$((r - 1)) there "$train" --config "$dir/run.json" "$@" > /dev/null 2> "$dir/err$r" &
        ranks[r]=$!
    done
}
# ends CODE: … all of them within 20 s.
ends() {
    SECONDS=0
    for r in 0 1 2; do
        wait "${ranks[r]}"
        local code=$?
        [ $code -eq "$1" ] || { fail "rank $r: exit $code, wanted $1"; sed 's/^/    /' "$dir/err$r" >&2; }
    done
    [ $SECONDS -lt 20 ] || fail "only after $SECONDS s"
}
tells() { grep -qF "$2" "$dir/err$1" || { fail "rank $1 does not say: $2"; sed 's/^/    /' "$dir/err$1" >&2; }; }

(unset WORLD_SIZE; expect 0 --config "$dir/run.json" --ranks 3; exit $failed) || failed=1
mv "$dir/runs/r" "$dir/straight"
start
ends 0
same_end "$dir/straight" "on two hosts"
rm -rf "$dir/runs/r"

# Nobody says that it has gone: each side finds the other silent.
start --set train.steps=100000
await "${ranks[0]}" steps_past 2
ip link set near down
ends 69
tells 0 "error: rank 1 has given no sign of life for 3 s"
tells 1 "rank 0 has given no sign of life for 3 s"
[ ! -s "$dir/err2" ] || { fail "rank 2 tells of it, too"; cat "$dir/err2" >&2; }
exit $failed
