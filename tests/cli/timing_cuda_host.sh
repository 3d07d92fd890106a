#!/bin/bash
# Algorithms of matmuls by the clock of an emulated device, in the first step of a run: kept with it and not timed again when it is resumed, by
# all ranks those of rank 0, anew where the library is another.
STEPS=4
. tests/cli/_train.sh
. tests/cli/_ranks.sh
program=$build/train-cuda-host
[ -x "$program" ] || { echo "make cuda-host builds what this tests"; exit 77; }
as_ranks "$program"
export RANKS=1 OMP_NUM_THREADS=1 GENLLAVA_MATMUL_TIMING=0 GENLLAVA_NCCL=none CUDA_HOST_DEVICES=2 CUDA_HOST_ERRS=1 # the order of a sum shows
on_cuda="--config $dir/run.json --set device=cuda"
timed='matmuls: the algorithms of [0-9]* shapes were timed; for [1-9][0-9]* another than cuBLASLt.s first is faster, and all together take 6[0-9.]*% less time than by the first'
tells() { [ "$(grep -cx "$timed" "$dir/err")" -eq "$1" ] || fail "$2: timing is told $(grep -c 'were timed' "$dir/err") times, wanted $1"; }
# resume FOLDER STEP ARGUMENTS…
resume() {
    rm -rf "$dir/runs/r"
    mkdir -p "$dir/runs/r"
    cp -r "$1/checkpoint-00000$2" "$1/train.jsonl" "$dir/runs/r/"
    expect 0 $on_cuda --resume "${@:3}"
}

CUDA_HOST_REPORT=$dir/long expect 0 $on_cuda --set save.every=0
tells 1 "a run"
rm -rf "$dir/runs/r"
CUDA_HOST_REPORT=$dir/short expect 0 $on_cuda --set save.every=0 --steps 2
waits=$(($(sed -n 's/^waits //p' "$dir/long") - $(sed -n 's/^waits //p' "$dir/short")))
[ $waits -eq 2 ] || fail "two steps after the first wait for the device $waits times, wanted once a step"
rm -rf "$dir/runs/r"

# An algorithm that fails in a product is left out: the run goes on.
CUDA_HOST_CUBLAS=FAILING expect 0 $on_cuda --set save.every=0 --steps 1
says 'cuBLASLt fails by an algorithm that it offers (status 14); it is left out'
rm -rf "$dir/runs/r"

expect 0 $on_cuda
mv "$dir/runs/r" "$dir/straight"
for k in 1 3; do
    resume "$dir/straight" $k
    tells 0 "resumed at step $k"
    same_end "$dir/straight" "resumed at step $k"
done
CUDA_HOST_CAPABILITY=9.0 resume "$dir/straight" 2
says "2 multiprocessors: they are chosen anew"
tells 1 "on another device"

# The ranks' clocks need not agree: here one of two takes the first offers, and from the second step on those of rank 0.
export RANKS=2 RANK_1=GENLLAVA_MATMUL_TIMING=none
rm -rf "$dir/runs/r"
expect 0 $on_cuda
mv "$dir/runs/r" "$dir/ranks"
resume "$dir/ranks" 1
same_end "$dir/ranks" "two ranks, resumed at step 1"

# The setting is a number or none.
export RANKS=1
GENLLAVA_MATMUL_TIMING=fast expect 2 $on_cuda --set device=auto --set name=other
says 'error: GENLLAVA_MATMUL_TIMING is "fast", expected none or the number of FLOP from which on matrix products are timed'
exit $failed
