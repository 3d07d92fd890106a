#!/bin/bash
# bench-gpu on the emulation, as small as it gets: every row appears and is computed; without a device the program ends with a sentence and 69.
build=$1
failed=0
fail() {
    set -- "$(echo "$*" | tail -n 3)"
    echo "$0: $*" >&2
    failed=1
}
if [ -x "$build/bench-gpu" ] && [ ! -e /dev/nvidiactl ]; then
    err=$("$build/bench-gpu" --config tools/bench/gpu/r16.json 2>&1 >/dev/null)
    code=$?
    case $code$err in
    69*"no CUDA "*) [ "$(echo "$err" | wc -l)" -eq 1 ] || fail "says more than a line: $err" ;;
    *) fail "without a device: exit $code, $err" ;;
    esac
fi
[ -x "$build/bench-gpu-cuda-host" ] || { echo "not built"; exit 77; }
out=$("$build/bench-gpu-cuda-host" --tiny --config tests/fixtures/parity/visual_tokens/config.json --set train.compute=bf16 --tokens 64 --segment 32 --labels 5 --row G1 2>&1) ||
    fail "exit $?: $out"
lines() { echo "$out" | grep -c "$1"; }
[ "$(lines '^ceilings measured here: matmul of 32 x 32 x 32 ')" -eq 1 ] || fail "no ceilings: $out"
[ "$(lines '^G8 .* T \(16\|32\):')" -eq 2 ] || fail "G8: $out"
for op in rmsnorm_fwd layernorm_bwd glu_fwd act_bwd dropout rope rows_scatter cross_entropy adamw; do
    [ "$(lines "^G9 *$op ")" -ge 1 ] || fail "no line for $op"
done
[ "$(lines '^     adapter_down.* TFLOP/s .* of copy, .* T integer instructions/s$')" -eq 6 ] || fail "adapters with dropout: $out"
[ "$(lines '^     matmul ')" -gt 20 ] || fail "the matmuls of a step: $out"
[ "$(lines '^G10 ')" -eq 1 ] || fail "G10: $out"
[ "$(lines '^G1 .*: 64 tokens, 2 pictures, 10 labels: .* tokens/s; loss [0-9.]*, then [0-9.]*$')" -eq 1 ] || fail "G1: $out"
[ "$(lines '^G7 .* GB of ')" -eq 1 ] && [ "$(lines '^G11 .*gaps between [1-9][0-9]* operators')" -eq 1 ] || fail "G7, G11: $out"
# The steps learn: the losses fall.
echo "$out" | sed -n 's/.*loss \([0-9.]*\), then \([0-9.]*\)$/\1 \2/p' | awk '{ exit !($2 < $1 && $2 > 0) }' || fail "the loss does not fall: $out"
# Convolutions beside our own, by a stand-in for cuDNN.
[ "$(lines '^     conv2d_\(fwd\|dx\|dw\).* own .* TFLOP/s$')" -eq 6 ] || fail "convolutions: $out"
[ "$(lines '^G9 *groupnorm_bwd ')" -eq 1 ] && [ "$(lines '^G9 *upsample_fwd ')" -eq 1 ] || fail "images: $out"
out=$(CUDA_HOST_CUDNN=9 "$build/bench-gpu-cuda-host" --tiny --only conv --config tests/fixtures/parity/visual_tokens/config.json 2>&1) || fail "exit $?: $out"
[ "$(lines '; cuDNN .* TFLOP/s .* of the largest matmul, .* times as fast$')" -eq 6 ] || fail "convolutions by cuDNN: $out"
# Steps of all three tasks, of a model whose weights are not there.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp -r tests/fixtures/parity/bases/diffusion-noise "$dir/diffusion"
rm "$dir"/diffusion/*/*.safetensors
out=$("$build/bench-gpu-cuda-host" --tiny --only step --config tests/fixtures/parity/noise_frozen/config.json --set debug.replay=null --set train.compute=bf16 \
    --set model.diffusion.path="$dir/diffusion" --tokens 192 --segment 64 --labels 5 --row 3T 2>&1) || fail "exit $?: $out"
[ "$(lines '^3T .*: 192 tokens, 2 pictures, 15 labels, 2 pictures to draw: .* tokens/s; loss [0-9.]*, then [0-9.]*$')" -eq 1 ] || fail "three tasks: $out"
exit $failed
