#!/bin/bash
# Memory that does not suffice is found before anything is spent, whatever limits it; page cache is no reason to refuse. Control groups are
# tried where this user may make one.
. tests/cli/_train.sh
export OMP_NUM_THREADS=2
run="--config $dir/run.json --quiet"
ask=(--config "$dir/run.json" --quiet --ask "What?" --max-new-tokens 3)

nothing_made() { [ ! -e "$dir/runs" ] && [ ! -e "$dir/shards" ] || fail "$1: the run's folder or shards were made"; }

# Every limit of addresses ends in an answer or in a refusal.
worked=0
for kib in $(seq 40000 4000 120000) 250000; do
    for what in train generate; do
        if [ $what = train ]; then args=($run --set "name=v$kib"); else args=("${ask[@]}"); fi
        (ulimit -v "$kib"; "$build/$what" --version > /dev/null 2>&1) || continue # the system cannot even load the program
        (ulimit -v "$kib"; "$build/$what" "${args[@]}" > /dev/null 2> "$dir/err")
        code=$?
        [ $code -eq 0 ] && worked=$((worked + 1))
        [ $code -eq 0 ] || { [ $code -eq 71 ] && grep -q memory "$dir/err"; } ||
            { fail "ulimit -v $kib: $what ends with $code"; cat "$dir/err" >&2; }
    done
done
[ $code -eq 0 ] && [ $worked -ge 6 ] || fail "with 250 MB of addresses generate ends with $code; $worked runs worked"
rm -rf "$dir/runs" "$dir/shards"

# Threads' workspaces that do not fit are told with what to change.
(ulimit -v 250000; OMP_NUM_THREADS=64 "$train" $run > /dev/null 2> "$dir/err")
code=$?
[ $code = 71 ] || fail "64 threads in 250 MB of addresses: exit $code"
says "error: cpu: workspaces of 64 threads: cannot reserve 562036736 bytes of memory; set OMP_NUM_THREADS to fewer, or raise ulimit -v"

# A run that needs too much: a model of some 80 MB that is trained in full takes four times that.
mkdir "$dir/wide"
cp "$bases/llm-gqa/tokenizer.model" "$dir/wide/"
sed 's/"vocab_size": [0-9]*/"vocab_size": 200000/' "$bases/llm-gqa/config.json" > "$dir/wide/config.json"
full="--set model.llm.path=$dir/wide --set model.llm.init=random --set model.llm.train=full --set train.steps=1"
# under FLAG KIB CODE ARGUMENTS...: train with that limit.
under() {
    local flag=$1 kib=$2 wanted=$3 code
    shift 3
    (ulimit "$flag" "$kib"; exec "$train" "$@" > "$dir/out" 2> "$dir/err")
    code=$?
    [ $code -eq "$wanted" ] || { fail "train $* under ulimit $flag $kib: exit $code, wanted $wanted"; head -5 "$dir/err" >&2; }
}
under -v 250000 71 $run $full
nothing_made "ulimit -v"
under -d 200000 71 $run $full
says "ulimit -d leaves "
says "raise it, or "
nothing_made "ulimit -d"
under -v 250000 71 $run $full --dry-run
grep -q '^  needed ' "$dir/out" && grep -q '^  mapped ' "$dir/out" || fail "a dry run that does not fit prints no plan"
says "error: the run needs "
says " of addresses; ulimit -v leaves "
says "of it are weights and their moments, which no shorter pass makes smaller: train fewer parts"
says "train.memory = \"ignore\" starts all the same"
under -v 250000 0 $run $full --dry-run --set train.memory=ignore
says "train.memory is \"ignore\""
nothing_made "a dry run"

# ---------------------------------------------------------------- control groups
group=
for try in /sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup) /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup); do
    [ -z "$group" ] && mkdir "$try/genllava-$$" 2> /dev/null || continue
    for file in memory.limit_in_bytes memory.max; do [ -w "$try/genllava-$$/$file" ] && group=$try/genllava-$$ && limit=$file; done
    [ -n "$group" ] || rmdir "$try/genllava-$$"
done
[ -n "$group" ] || { echo "    no control group can be made here"; exit $failed; }
trap 'rmdir "$group"; chmod -R u+rwX "$dir"; rm -rf "$dir"' EXIT
# within MIB COMMAND...: in the group, with that limit.
within() {
    echo $(($1 << 20)) > "$group/$limit" || fail "the group takes no limit of $1 MiB"
    shift
    bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" "$@"
}
in_group() {
    local wanted=$1 mib=$2 code
    shift 2
    within "$mib" "$@" > "$dir/out" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { fail "$* within $mib MiB: exit $code, wanted $wanted"; head -5 "$dir/err" >&2; }
}
in_group 71 100 "$train" $run $full
says "$limit of $group leaves "
nothing_made "a control group"
in_group 71 12 "$build/generate" "${ask[@]}" --set model.llm.path="$dir/wide" --set model.llm.init=random
says "error: the model needs "
says "$limit of $group leaves "
expect 0 $run $full
mv "$dir/runs/r/checkpoint-000001/llm" "$dir/base"
rm -rf "$dir/runs"

# Pages of a file fill the group; they can be dropped, so they are no reason. Weights that lie in a file and do not fit are a warning.
head -c 150000000 /dev/zero > "$dir/zeros"
within 100 cat "$dir/zeros" > /dev/null
in_group 0 100 "$train" $run --set train.steps=1 --set name=cached
! grep -q warning "$dir/err" || grep -q 'are of task' "$dir/err" || fail "a warning about memory: $(cat "$dir/err")"
in_group 0 60 "$train" $run --set train.steps=1 --set name=mapped --set model.llm.path="$dir/base" --set train.compute=f32
says "of weights are used where they lie in their files; beside "
says "so parts of them will be read again and again, slowly"
in_group 0 100 "$build/generate" "${ask[@]}" --set model.llm.path="$dir/base" --set name=none
exit $failed
