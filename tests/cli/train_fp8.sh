#!/bin/bash
# model.llm.multiply = fp8: it resumes with the same bits, changing it is a change of settings, what answers is the run's own, and devices
# that cannot refuse it by name.
STEPS=3
. tests/cli/_train.sh
fp8="--config $dir/run.json --set model.llm.multiply=fp8"

expect 0 --config "$dir/run.json" --set name=compute
expect 0 $fp8
[ "$(log_of "$dir/runs/r")" != "$(log_of "$dir/runs/compute")" ] || fail "fp8 changes nothing"
mv "$dir/runs/r" "$dir/straight"
mkdir -p "$dir/runs/r"
cp -r "$dir/straight/checkpoint-000001" "$dir/straight/train.jsonl" "$dir/runs/r/"
expect 2 --config "$dir/run.json" --resume
says 'model.llm.multiply: "fp8" there, "compute" here'
expect 0 $fp8 --resume
same_end "$dir/straight" "resumed in fp8"

# Answers are of the run's settings, or of what is asked for.
for how in compute fp8; do
    ends_with "$build/generate" 0 --checkpoint "$dir/runs/r" --ask "What is it?" --max-new-tokens 24 --set model.llm.multiply=$how
    cp "$dir/out" "$dir/$how"
done
ends_with "$build/generate" 0 --checkpoint "$dir/runs/r" --ask "What is it?" --max-new-tokens 24
cmp -s "$dir/out" "$dir/fp8" || fail "the run answers otherwise than in fp8"
cmp -s "$dir/compute" "$dir/fp8" && fail "answers do not depend on it"

# On a device that has no such tensor cores it is refused before anything is read, on one that has it trains.
if [ -x "$build/train-cuda-host" ]; then
    train=$build/train-cuda-host
    CUDA_HOST_CAPABILITY=8.6 expect 69 $fp8 --set device=cuda --set name=cuda
    says 'model.llm.multiply is "fp8", which needs compute capability 8.9 or newer; this is host emulation'
    says 'compute capability 8.6: set it to "compute", or device to "cpu"'
    CUDA_HOST_CAPABILITY=9.0 expect 0 $fp8 --set device=cuda --set name=cuda --set train.steps=1
    first() { sed -n '1s/.*"loss":\([^,]*\).*/\1/p' "$1/train.jsonl"; }
    awk -v a="$(first "$dir/runs/cuda")" -v b="$(first "$dir/straight")" 'BEGIN { exit !((a - b) ^ 2 < 1e-6 * b ^ 2) }' ||
        fail "the first loss is $(first "$dir/runs/cuda") on the device, $(first "$dir/straight") on the cpu"
fi
exit $failed
