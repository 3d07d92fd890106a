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

# Other orders of warps and streams give the same bits.
for seed in 7 8; do
    CUDA_HOST_SEED=$seed expect 0 $on_cuda
    diff -rq -x config.resolved.json -x MANIFEST.json "$dir/straight/checkpoint-000003" "$dir/runs/r/checkpoint-000003" || fail "seed $seed: the last checkpoints differ"
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

# Of a library that wants rows at multiples of 16 bytes the head's logits ask nothing else, though their width is odd; the patches' rows of
# 588 numbers do. A dry run tells what that costs, and so does a run, once.
aligned="$on_cuda --set train.compute=bf16 --set model.lora.r=16 --set model.lora.dropout=0"
warned="warning: about 1.% of the time of this run's matrix products goes to those that are multiplied without tensor cores, because cuBLASLt has no algorithm"
warned="$warned for them; the largest: m 4, n 48, k 588 (BF16), rows of 588, 588 and 48, at multiples of 8, 8 and 32 bytes"
for how in --dry-run "--steps 1"; do
    CUDA_HOST_CUBLAS=ALIGNED expect 0 $aligned $how
    [ "$(grep -cx "$warned" "$dir/err")" -eq 1 ] || fail "$how: not told once what is multiplied without tensor cores: $(cat "$dir/err")"
done
[ "$(grep -c 'it is multiplied without tensor cores' "$dir/err")" -eq 1 ] || fail "more than the patches is multiplied without tensor cores: $(cat "$dir/err")"
rm -rf "$dir/runs/r"
# Of rank 2 are the adapters' own products: the long ones, with their weights, have rows of whole 128 bytes all the same.
CUDA_HOST_CUBLAS=ALIGNED expect 0 $aligned --set model.lora.r=2 --steps 1
[ "$(grep 'it is multiplied without tensor cores' "$dir/err" | grep -vc ' n 2,')" -eq 1 ] ||
    fail "rank 2: not only narrow products are multiplied without tensor cores: $(cat "$dir/err")"
rm -rf "$dir/runs/r"
expect 0 $aligned --dry-run
! grep -q 'without tensor cores' "$dir/err" || fail "told of what cuBLASLt multiplies: $(cat "$dir/err")"

# Heads that no tile of the tensor cores holds.
mkdir "$dir/wide"
cp "$bases/llm-gqa/tokenizer.model" "$dir/wide/"
sed 's/"head_dim": 16/"head_dim": 512/' "$bases/llm-gqa/config.json" > "$dir/wide/config.json"
expect 0 $on_cuda --set model.llm.path=$dir/wide --set model.llm.init=random --dry-run

# Every way to recompute ends with the same bits, also where rows of 54 numbers leave those of the adapters behind them at odd addresses.
mkdir "$dir/odd"
cp "$bases/llm-gqa/tokenizer.model" "$dir/odd/"
sed 's/"hidden_size": 48/"hidden_size": 54/' "$bases/llm-gqa/config.json" > "$dir/odd/config.json"
odd="$on_cuda --set model.llm.path=$dir/odd --set model.llm.init=random --set model.lora.r=4 --set model.lora.targets=[\"up_proj\"]"
for recompute in selective none block; do
    expect 0 $odd --set train.recompute=$recompute
    [ -e "$dir/selective" ] || mv "$dir/runs/r" "$dir/selective"
    [ ! -e "$dir/runs/r" ] || diff -rq -x config.resolved.json -x MANIFEST.json -x state.json "$dir/selective/checkpoint-000003" "$dir/runs/r/checkpoint-000003" ||
        fail "recompute $recompute: the last checkpoints differ from those with selective"
    rm -rf "$dir/runs/r"
done

# In f32 the log is the cpu's to the contract's digits.
train=$cpu
expect 0 --config "$dir/run.json" --set train.steps=3
train=$build/train-cuda-host
numbers() { sed 's/.*"loss":\([^,]*\),.*"grad_norm":\([^,]*\),.*/\1 \2/' "$1/train.jsonl" | tr '\n' ' '; }
echo "$(numbers "$dir/straight")$(numbers "$dir/runs/r")" | awk '{ for (i = 1; i <= 6; i++) { d = $i - $(i + 6); if (d < 0) d = -d; if (!(d <= 1e-5 * $i)) exit 1 } exit NF != 12 }' ||
    fail "f32: losses and norms on cuda $(numbers "$dir/straight"), on the cpu $(numbers "$dir/runs/r")"
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

# The plan is the device's memory, the backend's own included, and a run takes what it says.
for recompute in none block; do
    planned=$("$train" $on_cuda --set train.recompute=$recompute --dry-run --log-format json 2> "$dir/err" | sed 's/.*"total":\([0-9]*\).*/\1/')
    CUDA_HOST_REPORT=$dir/report expect 0 $on_cuda --set train.recompute=$recompute
    peak=$(counted peak "")
    [ $((peak * 98)) -le $((planned * 100)) ] && [ $((planned * 100)) -le $((peak * 105)) ] || fail "recompute $recompute: planned $planned bytes, the peak was $peak"
    rm -rf "$dir/runs/r"
done

# Too little memory is found before the first step, in a dry run too, which prints its table all the same.
export CUDA_HOST_MEMORY=$((planned + (64 << 20))) CUDA_HOST_TAKEN=$(((64 << 20) + 100000))
expect 71 $on_cuda --set train.recompute=none
says "error: the run needs 65."
says " (weights 262.3 KiB, trainable 64.5 KiB, moments 64.5 KiB, activations "
says " are free: lower train.micro_tokens (it is 90), or set train.recompute to \"block\"; nvidia-smi lists what else uses the device"
[ ! -e "$dir/runs/r/checkpoint-000001" ] || fail "a step was made without memory"
rm -rf "$dir/runs/r"
expect 71 $on_cuda --set train.recompute=block --dry-run
says " are free: lower train.micro_tokens (it is 90); nvidia-smi"
grep -q '^  total ' "$dir/out" || fail "no plan was printed"
CUDA_HOST_TAKEN=$((64 << 20)) expect 0 $on_cuda --set train.recompute=block --steps 1
rm -rf "$dir/runs/r"
unset CUDA_HOST_MEMORY CUDA_HOST_TAKEN

# A kernel that fails inside a step: kernel, step and records are named; no checkpoint of it is written, and the run can go on afterwards.
expect 0 $on_cuda --steps 1
CUDA_HOST_FAIL=attention:5:700 expect 69 $on_cuda --resume
says "error: step 2, "
says ", records "
says "kernel "
says " or an earlier one ("
says " were launched since the device was last waited for): an illegal memory access was encountered; found late, in "
[ ! -e "$dir/runs/r/checkpoint-000002" ] || fail "a checkpoint was written after a kernel failed"
CUDA_LAUNCH_BLOCKING=1 CUDA_HOST_FAIL=attention_plain_fwd:2:719 expect 69 $on_cuda --resume
says "error: step 2, pass 1 of 3, records 4: kernel attention_plain_fwd: unspecified launch failure"
CUDA_HOST_FAIL=cublasLtMatmul:9:701 expect 69 $on_cuda --resume
says "error: step 2, pass 1 of 3, records 4: matmul: too many resources requested for launch"
expect 0 $on_cuda --resume
diff -rq -x config.resolved.json -x MANIFEST.json "$dir/straight/checkpoint-000003" "$dir/runs/r/checkpoint-000003" || fail "resumed after failed kernels: the last checkpoints differ"
rm -rf "$dir/runs/r"

# No device that can be used.
CUDA_HOST_CAPABILITY=7.5 expect 69 $on_cuda
says "error: device: host emulation has compute capability 7.5; 8.0 (Ampere) or newer is needed; \"device\": \"cpu\" runs without one"
CUDA_VISIBLE_DEVICES= expect 69 $on_cuda
says "error: device: no CUDA device: no CUDA-capable device is detected (CUDA_VISIBLE_DEVICES is \"\"); \"device\": \"cpu\" runs without one"
CUDA_HOST_DRIVER=12020 expect 69 $on_cuda
says "error: device: the driver is for CUDA 12.2, older than what this was built with (CUDA 13.0): a newer driver is needed; \"device\": \"cpu\" runs without one"

# Exact to the word: no driver. auto goes on with the cpu, cuda ends.
export CUDA_HOST_DRIVER=0
expect 69 $on_cuda
says "device: no CUDA driver is installed (nvidia-smi would list the devices); \"device\": \"cpu\" runs without one"
expect 0 --config "$dir/run.json" --set device=auto --set train.steps=1
grep -qx 'no GPU is used: no CUDA driver is installed (nvidia-smi would list the devices)' "$dir/err" || fail "auto does not say why: $(cat "$dir/err")"
says "device: "
exit $failed
