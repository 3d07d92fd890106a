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
expect 71 $on_cuda
says "the device has 0.00 GB free of 0.03 GB"
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
