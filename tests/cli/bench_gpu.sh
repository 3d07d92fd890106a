#!/bin/bash
# bench-gpu on the emulation, as small as it gets: every row appears and is computed; without a device the program ends with a sentence and 69.
build=$1
failed=0
fail() { # of much output the beginning and the end
    echo "$0: ${*%%$'\n'*}" >&2
    echo "$*" | sed 1d | tail -n 3 >&2
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
of=tests/fixtures/parity/visual_tokens/config.json
bench() { "$build/bench-gpu-cuda-host" --tiny --segment 32 --labels 5 "$@" 2>&1; }
out=$(bench --config $of --set train.compute=bf16 --tokens 64) || fail "exit $?: $out"
lines() { echo "$out" | grep -c "$1"; }
[ "$(lines '^device: .*; --tiny: no figure below means anything$')" -eq 1 ] || fail "no device: $out"
[ "$(lines '^ceilings measured here: matmul of 32 x 32 x 32 ')" -eq 1 ] || fail "no ceilings: $out"
[ "$(lines '^G8 .* TFLOP/s: .* T 16$')" -eq 1 ] && [ "$(lines '^G8b .* TFLOP/s: .* T 32$')" -eq 1 ] || fail "G8: $out"
for op in rmsnorm_fwd layernorm_bwd glu_fwd act_bwd dropout rope rows_scatter cross_entropy adamw; do
    [ "$(lines "^     $op .* of copy$")" -ge 1 ] || fail "no line for $op"
done
# The slowest is the one whose share is the least of all lines.
least=$(echo "$out" | sed -n 's/^     \([a-z0-9_]*\) .* TB\/s *\([0-9.]*\) of copy$/\2 \1/p' | grep -v attention | sort -g | head -n 1 | cut -d' ' -f1)
echo "$out" | grep '^G9 ' | awk -v least="$least" '{ exit !($2 >= least - 0.006 && $2 <= least + 0.006) }' || fail "G9 is not $least: $out"
[ "$(lines '^     adapter_down.* TFLOP/s .* of copy, .* T integer instructions/s$')" -eq 6 ] || fail "adapters with dropout: $out"
[ "$(lines '^     matmul ')" -gt 20 ] || fail "the matmuls of a step: $out"
[ "$(lines '^G10 .* of the largest: ')" -eq 1 ] && [ "$(lines '^G10c [0-9.]* TFLOP/s: the largest matmul, of 32 a side ')" -eq 1 ] || fail "G10: $out"
step='tokens/s: step of config: 64 tokens, 2 pictures, 10 labels: .*; loss [0-9.]*, then [0-9.]*$'
[ "$(lines "^step [0-9.]* $step")" -eq 1 ] || fail "the step: $out"
[ "$(lines '^     conv2d_\(fwd\|dx\|dw\).* own .* TFLOP/s$')" -eq 6 ] || fail "convolutions: $out"
[ "$(lines '^     groupnorm_bwd ')" -eq 1 ] && [ "$(lines '^     upsample_fwd ')" -eq 1 ] || fail "images: $out"
# Several runs in one process, each with settings, sizes and rows of its own. The steps learn: the losses fall.
out=$(bench --step "G1,G7,G11 $of tokens=64 train.compute=bf16" --step "G6,- $of tokens=96 train.compute=bf16 model.lora.dropout=0.1") || fail "exit $?: $out"
[ "$(lines "^G1   [0-9.]* $step")" -eq 1 ] && [ "$(lines '^G6   .*: 96 tokens, 3 pictures, 15 labels: ')" -eq 1 ] || fail "G1, G6: $out"
[ "$(lines '^G7   [0-9.]* GB: .* the plan was ')" -eq 1 ] && [ "$(lines '^G11  [0-9.]* %: gaps between [1-9][0-9]* operators')" -eq 1 ] || fail "G7, G11: $out"
[ "$(lines '^-    [0-9.]* GB: ')" -eq 1 ] || fail "memory without a row: $out"
echo "$out" | sed -n 's/.*loss \([0-9.]*\), then \([0-9.]*\)$/\1 \2/p' | awk '{ n++; if (!($2 < $1 && $2 > 0)) bad = 1 } END { exit n != 2 || bad }' || fail "a loss does not fall: $out"
says() { [ "$(bench "${@:2}" 2>&1 | tail -n 1)" = "error: $1" ] || fail "says $(bench "${@:2}")"; }
says "--step is \"G1\", expected ROW[,MEMORY[,GAPS]] RUN.json [tokens=N] [KEY=VALUE ...]" --step G1
says "--step: tokens=0, expected tokens=1 … 16777216" --step "G1 $of tokens=0"
says "bench-gpu needs --config RUN.json or --step TEXT"
says "--only unet needs a run with model.diffusion.path, whose UNet is timed; config has none" --only unet --config $of
# For a profiler: attention, elementwise operators and narrow products, each once, without being timed.
out=$(bench --only once --config $of) || fail "exit $?: $out"
for op in attention_fwd attention_bwd glu_fwd glu_bwd rope rmsnorm_fwd rmsnorm_bwd; do
    [ "$(lines "^     $op ")" -eq 1 ] || fail "$out; once: $op"
done
[ "$(lines '^     matmul ')" -eq 2 ] && [ "$(echo "$out" | wc -l)" -eq 10 ] || fail "$out; once"
# Convolutions beside our own, by a stand-in for cuDNN.
out=$(CUDA_HOST_CUDNN=9 bench --only conv --config $of) || fail "exit $?: $out"
[ "$(lines '; cuDNN .* TFLOP/s .* of the largest matmul, .* times as fast$')" -eq 6 ] || fail "convolutions by cuDNN: $out"
# Steps of all three tasks, of a model whose weights are not there.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp -r tests/fixtures/parity/bases/diffusion-noise "$dir/diffusion"
rm "$dir"/diffusion/*/*.safetensors
drawing="tests/fixtures/parity/noise_frozen/config.json tokens=192 debug.replay=null train.compute=bf16 model.diffusion.path=$dir/diffusion"
out=$("$build/bench-gpu-cuda-host" --tiny --segment 64 --labels 5 --step "3T $drawing" 2>&1) || fail "exit $?: $out"
[ "$(lines '^3T   .*: 192 tokens, 2 pictures, 15 labels, 2 pictures to draw: .*; loss [0-9.]*, then [0-9.]*$')" -eq 1 ] || fail "three tasks: $out"
# Operands of 8 bits, where the device has them.
eight="tests/fixtures/parity/fp8/config.json tokens=64 train.compute=bf16"
out=$(bench --step "G15 $eight") || fail "exit $?: $out"
[ "$(lines '^G15: not measured: this device has no tensor cores for 8-bit floats$')" -eq 1 ] || fail "G15 on a device that cannot: $out"
out=$(CUDA_HOST_CAPABILITY=9.0 bench --step "G15 $eight") || fail "exit $?: $out"
[ "$(lines '^G15  .* tokens/s: step of .*; loss [0-9.]*, then [0-9.]*$')" -eq 1 ] || fail "G15: $out"
# A UNet alone, one picture and two.
out=$(bench --only unet --config tests/fixtures/parity/noise_frozen/config.json --set train.compute=bf16) || fail "exit $?: $out"
[ "$(lines '^G12  [0-9.]* images/s: .*, 1 pictures of 8 latents a side: ')" -eq 1 ] && [ "$(lines '^G12b [0-9.]* images/s: .*, 2 pictures of 4 ')" -eq 1 ] || fail "G12: $out"
exit $failed
