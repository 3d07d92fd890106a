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
says "NCCL (libnccl.so.2) is not found: sums over the ranks go through the host"
mv "$dir/runs/r" "$dir/through_host"
export GENLLAVA_NCCL=$build/libnccl-host.so
expect 0 $on_cuda
says "2 ranks sum by NCCL 2.99.99"
same_end "$dir/through_host" "by NCCL"
rm -rf "$dir/runs/r"
# The CPU has no use for it.
expect 0 --config "$dir/run.json" --set train.steps=1 --ranks 2
! grep -q NCCL "$dir/err" || fail "ranks on the CPU speak of NCCL"
rm -rf "$dir/runs/r"

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
"$train" $on_cuda --set train.steps=100000 > "$dir/out" 2> "$dir/err" &
until [ "$(cat "$dir/runs/r/train.jsonl" 2> /dev/null | wc -l)" -gt 1 ]; do sleep 0.02; done
kill -KILL "$(sed -n 2p "$dir/pids")"
wait $!
says "error: rank 1 has ended"
errors
# Where one rank does not find it, none uses it.
RANK_1=GENLLAVA_NCCL=none expect 0 $on_cuda --set train.steps=1 --set name=other
says "warning: some ranks do not find NCCL (libnccl.so.2, or what GENLLAVA_NCCL names): sums go through the host"
exit $failed
