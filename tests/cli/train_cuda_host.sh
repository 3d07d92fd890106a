#!/bin/bash
# train on the emulated device: resumed it ends with the same bits, in bf16 it loses as the cpu does, without memory it says so.
. tests/cli/_train.sh
[ -x "$build/train-cuda-host" ] || { echo "make cuda-host builds what this tests"; exit 77; }
cpu=$build/train
train=$build/train-cuda-host
on_cuda="--config $dir/run.json --set device=cuda --set train.steps=3"

expect 0 $on_cuda
says "device: host emulation"
mv "$dir/runs/r" "$dir/straight"
for k in 1 2; do
    mkdir -p "$dir/runs/r"
    cp -r "$dir/straight/checkpoint-00000$k" "$dir/straight/train.jsonl" "$dir/runs/r/"
    expect 0 $on_cuda --resume
    diff -rq -x config.resolved.json -x MANIFEST.json "$dir/straight/checkpoint-000003" "$dir/runs/r/checkpoint-000003" || fail "resumed at step $k: the last checkpoints differ"
    [ "$(log_of "$dir/straight")" = "$(log_of "$dir/runs/r")" ] || fail "resumed at step $k: the logs differ"
    rm -rf "$dir/runs/r"
done

# Nothing waits for the device within a step, but once for the numbers of the log; nothing is allocated.
counted() { sed -n "s/^$1 //p" "$dir/report$2"; }
for k in 3 5; do
    CUDA_HOST_REPORT=$dir/report$k expect 0 $on_cuda --set train.steps=6 --set save.every=0 --steps $k
    rm -rf "$dir/runs/r"
done
waits=$(($(counted waits 5) - $(counted waits 3)))
[ $waits -eq 2 ] || fail "two steps wait for the device $waits times, wanted once a step"
[ "$(counted allocations 5)" -eq "$(counted allocations 3)" ] || fail "memory of the device is allocated in the middle of a run"

# A resumed run uses the algorithms that the run began with, also where the library would choose others; elsewhere they are chosen anew.
algorithms() { sed -n '/"algorithms"/,/]/s/^ *"\([0-9].*\)",*$/\1/p' "$1/state.json" | sort; }
export CUDA_HOST_CUBLAS=REVERSED
mkdir -p "$dir/runs/r"
cp -r "$dir/straight/checkpoint-000002" "$dir/straight/train.jsonl" "$dir/runs/r/"
expect 0 $on_cuda --resume
[ "$(algorithms "$dir/straight/checkpoint-000002" | wc -l)" -gt 50 ] || fail "state.json holds no algorithms"
lost=$(comm -23 <(algorithms "$dir/straight/checkpoint-000002") <(algorithms "$dir/runs/r/checkpoint-000003") | wc -l)
[ "$lost" -eq 0 ] || fail "the resumed run chose other algorithms for $lost shapes"
rm -rf "$dir/runs/r"
expect 0 $on_cuda
[ "$(algorithms "$dir/straight/checkpoint-000003")" != "$(algorithms "$dir/runs/r/checkpoint-000003")" ] || fail "the library was to choose otherwise"
unset CUDA_HOST_CUBLAS
rm -rf "$dir/runs/r"
mkdir -p "$dir/runs/r"
cp -r "$dir/straight/checkpoint-000002" "$dir/straight/train.jsonl" "$dir/runs/r/"
CUDA_HOST_CAPABILITY=9.0 expect 0 $on_cuda --resume
says "the matmul algorithms kept with the run were chosen for cuBLASLt 130000, host emulation, compute capability 8.0, 2 multiprocessors; this is cuBLASLt 130000, host emulation, compute capability 9.0, 2 multiprocessors: they are chosen anew"
rm -rf "$dir/runs/r"

# bf16 goes through the tensor-core kernels; the losses of both devices agree to what bf16 holds.
losses() { sed 's/.*"loss":\([^,]*\),.*/\1/' "$dir/runs/r/train.jsonl" | tr '\n' ' '; }
expect 0 $on_cuda --set train.compute=bf16
cuda_losses=$(losses)
rm -rf "$dir/runs/r"
train=$cpu
expect 0 --config "$dir/run.json" --set train.steps=3 --set train.compute=bf16
echo "$cuda_losses $(losses)" | awk '{ for (i = 1; i <= 3; i++) { d = $i - $(i + 3); if (d < 0) d = -d; if (!(d <= 4e-3 * $i)) exit 1 } exit NF != 6 }' ||
    fail "bf16: losses on cuda $cuda_losses, on the cpu $(losses)"
rm -rf "$dir/runs/r"
train=$build/train-cuda-host

# Too little memory is found before the first step.
export CUDA_HOST_MEMORY=33700000
expect 69 $on_cuda
says "out of memory"
[ ! -e "$dir/runs/r/checkpoint-000001" ] || fail "a step was made without memory"
rm -rf "$dir/runs/r"
unset CUDA_HOST_MEMORY

# Exact to the word: no driver. auto goes on with the cpu, cuda ends.
export CUDA_HOST_DRIVER=0
expect 69 $on_cuda
says "device: no CUDA driver is installed (nvidia-smi would list the devices); \"device\": \"cpu\" runs without one"
expect 0 --config "$dir/run.json" --set device=auto --set train.steps=1
says "no CUDA driver is installed"
says "device: "
exit $failed
