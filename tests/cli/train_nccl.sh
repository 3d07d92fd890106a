#!/bin/bash
# Sums between emulated devices by a stand-in of NCCL: the same bits as through the host, and errors that end all.
. tests/cli/_train.sh
train=$build/train-cuda-host
[ -x "$train" ] && [ -e "$build/libnccl-host.so" ] || { echo "make cuda-host builds what this tests"; exit 77; }
export CUDA_HOST_DEVICES=2 OMP_NUM_THREADS=1
on_cuda="--config $dir/run.json --set device=cuda --set train.steps=4 --ranks 2"
last=checkpoint-000004

# Two summands have one order, so the host's sum is the same.
GENLLAVA_NCCL=none expect 0 $on_cuda
says "NCCL (libnccl.so.2, or what GENLLAVA_NCCL names) is not found: sums over the ranks go through the host"
mv "$dir/runs/r" "$dir/through_host"
export GENLLAVA_NCCL=$build/libnccl-host.so
expect 0 $on_cuda
says "2 ranks sum by NCCL 2.99.99"
CUDA_HOST_CUDNN=1 expect 0 --version
for row in 'NCCL +2\.99\.99' 'cuDNN +[0-9.]+' 'CUDA driver +(for CUDA [0-9.]+|not found)'; do
    grep -Eq "^$row$" "$dir/out" || fail "--version does not tell of $row: $(cat "$dir/out")"
done
GENLLAVA_NCCL=none expect 0 --version
[ "$(grep -Ec '^(NCCL|cuDNN) +not found$' "$dir/out")" -eq 2 ] || fail "--version finds what is not there: $(cat "$dir/out")"
same_end "$dir/through_host" "by NCCL"
rm -rf "$dir/runs/r"

# What NCCL takes stands in the plan of memory.
workspace() { sed -n 's/^memory of the device: .*workspace \([0-9.]* MiB\)).*/\1/p' "$dir/err"; }
expect 0 $on_cuda --dry-run
says "sums over the ranks take 1.0 MiB of the device's memory"
with=$(workspace)
GENLLAVA_NCCL=none expect 0 $on_cuda --dry-run
without=$(workspace)
awk -v with="$with" -v without="$without" 'BEGIN { exit !(with - without > 0.9 && with - without < 1.1) }' ||
    fail "the workspace is $with with NCCL and $without without"

# The log tells how long the devices wait for sums.
delayed() {
    NCCL_HOST_DELAY=1000 expect 0 --config "$dir/run.json" --set device=cuda --set train.steps=3 --ranks 2
    sed -n 's/.*"seconds":\([^,}]*\).*"waited":\([^,}]*\).*/\1 \2/p' "$dir/runs/r/train.jsonl" |
        awk '{ n++; waited += $1 * $2; ever = ever || $2 >= 1 } END { exit !(n == 3 && waited / n > 0.3 && !ever) }' ||
        fail "the devices of both ranks wait a second a step, and the log says: $(cat "$dir/runs/r/train.jsonl")"
}
# A sum that a rank never begins, or does not let the others begin.
. tests/cli/_ranks.sh
program=$train
as_ranks "$program"
as_ranks=$train train=$program
export RANKS=2
hangs() { # AT SENTENCE
    train=$as_ranks
    GENLLAVA_RANKS_PATIENCE=10 RANK_1=NCCL_HOST_HANG=$1 expect 69 --config "$dir/run.json" --set device=cuda
    says "$2: all ranks are there, and it has not ended for 10 s"
    [ "$(grep -c 'error: ' "$dir/err")" -eq 1 ] || { fail "not one error is told"; sed 's/^/    /' "$dir/err" >&2; }
}
# A sum may begin during backward: the same sums, and the same bits, as after it.
config_of() { [ "$1" = epoch ] && echo "$dir/run.json" || echo "tests/fixtures/parity/$1/config.json"; }
# Several passes a step, pictures that are drawn, ranks that have none of them or no rows, everything trained; a short last step, of one row for
# three ranks.
cases="draw_l2norm noise_edit skipped vision_full epoch"
overlap() { # 1 or 0
    local of
    export GENLLAVA_OVERLAP=$1
    for of in $cases; do
        set --
        [ $of != vision_full ] || set -- --steps 2
        [ $of != epoch ] || set -- --set train.steps=null --set train.epochs=1 --set train.batch=4 --set optim.warmup=0
        NCCL_HOST_TRACE=$dir/sums.$of expect 0 --config "$(config_of $of)" --ranks 3 --set device=cuda --set save.dir="$dir" --set name="$of" \
            --set save.every=1 --set data.shards="$dir/shards.$of" "$@"
    done
}
# All of these side by side: some wait, some compute.
beside delayed delayed
export CUDA_HOST_DEVICES=3 GENLLAVA_BUCKET=1024
beside hangs5 hangs 5 "the sum of the gradients"
beside hangs0 hangs 0 "the start of NCCL before the first step"
for early in 1 0; do beside overlap$early overlap $early; done
together
for of in $cases; do
    diff <(sort "$dir/overlap0/sums.$of") <(sort "$dir/overlap1/sums.$of") > /dev/null || fail "$of: sums that begin early are others"
    [ "$(grep -c '^256$' "$dir/overlap1/sums.$of")" -gt 10 ] || fail "$of: there are too few buckets"
    n=0
    for checkpoint in "$dir/overlap0/$of"/checkpoint-0*; do
        diff -rq -x config.resolved.json -x MANIFEST.json "$checkpoint" "$dir/overlap1/$of/${checkpoint##*/}" && n=$((n + 1)) ||
            fail "$of, ${checkpoint##*/}: sums that begin early give other bits"
    done
    [ $n -gt 0 ] || fail "$of: nothing was compared"
done
# The CPU has no use for it.
expect 0 --config "$dir/run.json" --set train.steps=1 --ranks 2
! grep -q NCCL "$dir/err" || fail "ranks on the CPU speak of NCCL"
rm -rf "$dir/runs/r"

for bytes in many 100MB ""; do
    GENLLAVA_BUCKET=$bytes expect 2 $on_cuda
    says "error: rank 0: GENLLAVA_BUCKET is $bytes; expected bytes, 64 … 1073741824"
done

# Errors at once and later, and a rank that dies in a sum.
train=$as_ranks
on_cuda="--config $dir/run.json --set device=cuda"
errors() { rm -rf "$dir/runs/r";  [ "$(grep -c 'error: ' "$dir/err")" -eq 1 ] || { fail "not one error is told"; sed 's/^/    /' "$dir/err" >&2; }; }
more="unhandled system error; NCCL_DEBUG=WARN tells more, GENLLAVA_NCCL=none sums through the host"
RANK_1=NCCL_HOST_FAIL=5 expect 69 $on_cuda
says "error: NCCL: a sum over the ranks: $more"
errors
RANK_0=NCCL_HOST_LATE=5 expect 69 $on_cuda
says "error: NCCL: an earlier sum: $more"
errors
"$train" $on_cuda --set train.steps=100000 > "$dir/out" 2> "$dir/err" &
await $! steps_past 1
kill -KILL "$(sed -n 2p "$dir/pids")"
wait $!
says "error: rank 1 has ended"
errors
# A rank that dies within the sum of a bucket, while it still goes backwards.
RANK_1=NCCL_HOST_DIE=5 expect 99 $on_cuda
says "error: rank 1 has ended"
says "the ranks ended with 69 137"
errors
# A rank whose device fails on its way backwards has summed some buckets and not others.
RANK_0="NCCL_HOST_TRACE=$dir/sums.0" RANK_1="NCCL_HOST_TRACE=$dir/sums.1 CUDA_LAUNCH_BLOCKING=1 CUDA_HOST_FAIL=norm_bwd:5:719" expect 69 $on_cuda
says "error: rank 1: step 1, pass 1 of 1, "
sums=$(cat "$dir/sums.1" | wc -l)
[ "$sums" -gt 1 ] && [ "$sums" -lt "$(cat "$dir/sums.0" | wc -l)" ] || fail "$sums sums of the rank that fails: not some of them"
errors
# Where one rank does not find it, none uses it.
RANK_1=GENLLAVA_NCCL=none expect 0 $on_cuda --set train.steps=1 --set name=other
says "warning: some ranks do not find NCCL (libnccl.so.2, or what GENLLAVA_NCCL names): sums go through the host"
exit $failed
