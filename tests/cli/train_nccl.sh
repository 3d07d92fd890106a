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
NCCL_HOST_DELAY=1000 expect 0 $on_cuda --set train.steps=3
sed -n 's/.*"waited":\([0-9.e-]*\).*/\1/p' "$dir/runs/r/train.jsonl" | awk '{ n++; waited += $1 } END { exit !(n == 3 && waited / n > 0.3 && waited / n < 1) }' ||
    fail "the devices of both ranks wait a second a step, and the log says: $(cat "$dir/runs/r/train.jsonl")"
rm -rf "$dir/runs/r"
# The CPU has no use for it.
expect 0 --config "$dir/run.json" --set train.steps=1 --ranks 2
! grep -q NCCL "$dir/err" || fail "ranks on the CPU speak of NCCL"
rm -rf "$dir/runs/r"

# A sum may begin during backward: the same sums, and the same bits, as after it.
export CUDA_HOST_DEVICES=3 GENLLAVA_BUCKET=1024
same_early() { # WHAT CONFIG SETTINGS…
    local what=$1 config=$2 early checkpoint
    shift 2
    for early in 1 0; do
        GENLLAVA_OVERLAP=$early NCCL_HOST_TRACE=$dir/sums.$early expect 0 --config "$config" --ranks 3 --set device=cuda \
            --set save.dir="$dir/early" --set name="$early" --set save.every=1 --set data.shards="$dir/early/shards" "$@"
    done
    diff <(sort "$dir/sums.0") <(sort "$dir/sums.1") > /dev/null || fail "$what: sums that begin early are others"
    [ "$(grep -c '^256$' "$dir/sums.1")" -gt 10 ] || fail "$what: there are too few buckets"
    for checkpoint in "$dir"/early/0/checkpoint-0*; do
        diff -rq -x config.resolved.json -x MANIFEST.json "$checkpoint" "$dir/early/1/${checkpoint##*/}" ||
            fail "$what, ${checkpoint##*/}: sums that begin early give other bits"
    done
    rm -rf "$dir/early" "$dir"/sums.*
}
# Several passes a step, pictures that are drawn, ranks that have none of them or no rows, everything trained.
for of in draw_l2norm noise_edit skipped vision_full; do
    same_early "$of" "tests/fixtures/parity/$of/config.json"
done
# A short last step, of one row for three ranks.
same_early "an epoch" "$dir/run.json" --set train.steps=null --set train.epochs=1 --set train.batch=4 --set optim.warmup=0
for bytes in many 100MB ""; do
    GENLLAVA_BUCKET=$bytes expect 2 $on_cuda
    says "error: rank 0: GENLLAVA_BUCKET is $bytes; expected bytes, 64 … 1073741824"
done

# Errors at once and later, a rank that dies in a sum, and one that never comes to it.
. tests/cli/_ranks.sh
as_ranks "$train"
export RANKS=2
on_cuda="--config $dir/run.json --set device=cuda"
errors() { rm -rf "$dir/runs/r";  [ "$(grep -c 'error: ' "$dir/err")" -eq 1 ] || { fail "not one error is told"; sed 's/^/    /' "$dir/err" >&2; }; }
more="unhandled system error; NCCL_DEBUG=WARN tells more, GENLLAVA_NCCL=none sums through the host"
RANK_1=NCCL_HOST_FAIL=5 expect 69 $on_cuda
says "error: NCCL: a sum over the ranks: $more"
errors
RANK_0=NCCL_HOST_LATE=5 expect 69 $on_cuda
says "error: NCCL: an earlier sum: $more"
errors
GENLLAVA_RANKS_PATIENCE=2 RANK_1=NCCL_HOST_HANG=5 expect 69 $on_cuda
says "the sum of the gradients: all ranks are there, and it has not ended for 2 s"
errors
# … or that does not let the others in.
GENLLAVA_RANKS_PATIENCE=2 RANK_1=NCCL_HOST_HANG=0 expect 69 $on_cuda
says "the start of NCCL before the first step: all ranks are there, and it has not ended for 2 s"
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
