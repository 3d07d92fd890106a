#!/bin/bash
# model-gpu: the prediction for the real size is made of the step's own operators, answers to its options, and is called a prediction.
program=$1/model-gpu
[ -x "$program" ] || { echo "not built"; exit 77; }
failed=0
fail() {
    echo "$0: $*" >&2
    failed=1
}
out=$("$program" --config tools/bench/gpu/r16.json --goal 17500 --fit 80) || fail "exit $?"
# 32 layers and 26 blocks of the tower attend; the layers alone have a backward.
echo "$out" | grep -q '^attention_fwd  *58 ' && echo "$out" | grep -q '^attention_bwd  *32 ' || fail "attention: $out"
[ "$(echo "$out" | grep -c '^  [123]\. .* ms (.*%)$')" -eq 3 ] || fail "the three largest losses: $out"
echo "$out" | grep -q '^predicted: .* tokens/s, .*; goal 17500: \(reached\|missed\) on paper$' || fail "the prediction: $out"
echo "$out" | grep -q '^memory: .*; fits 80 GB by ' || fail "memory: $out"
"$program" --config tools/bench/gpu/r16.json --set train.recompute=none --fit 40 | grep -q '; exceeds 40 GB by ' || fail "--fit 40"
# The real size with rank 128, as a device holds it: 80 GB at 16k tokens a pass, 24 GB at 2k with block recompute.
"$program" --config tools/bench/gpu/r128.json --fit 80 | grep -q '; fits 80 GB by ' || fail "rank 128 at 16k tokens a pass"
"$program" --config tools/bench/gpu/r128.json --tokens 2048 --set train.recompute=block --fit 24 | grep -q '; fits 24 GB by ' || fail "rank 128 at 2k tokens a pass"
# Full tuning in 141 GB with moments in bf16 (29.05 GB for 7.26 billion weights), not with those in f32, and not in 80 GB.
full() { "$program" --config tools/bench/gpu/full.json --device h200 "$@"; }
full --fit 141 | grep -q ', moments 29.05, .*; fits 141 GB by ' && full --fit 141 --set optim.moments=f32 | grep -q ', moments 58.11, .*; exceeds 141 GB by ' &&
    full --fit 80 --set train.recompute=block | grep -q '; exceeds 80 GB by ' || fail "full tuning: $(full --fit 141)"
# 28.4 GFLOP a token of the frozen base (its weights without the embedding, forward and the gradient of the input), 0.57 of the tower, and adapters.
tflop() { "$program" --config "tools/bench/gpu/$1.json" --labels 1024 "${@:2}" | awk '/^matmul/ { for (i = 1; i < NF; i++) if ($i ~ /%$/) sum += $(i + 1) } END { print sum }'; }
tflop r16 | awk '{ token = $1 * 1000 / 16384; exit !(token > 29 && token < 29.8) }' || fail "a token takes $(tflop r16) TFLOP / 16384"
# Less is asked of the device: it takes longer.
speed() { "$program" --config tools/bench/gpu/r16.json "$@" | sed -n 's/^predicted: .* \([0-9]*\) tokens\/s.*/\1/p'; }
[ "$(speed --matmul 0.5)" -lt "$(speed)" ] && [ "$(speed --bandwidth 0.5)" -lt "$(speed)" ] && [ "$(speed --device a100)" -lt "$(speed)" ] &&
    [ "$(speed --device h200)" -gt "$(speed)" ] && [ "$(speed --gap 10)" -lt "$(speed)" ] && [ "$(speed --set train.recompute=block)" -lt "$(speed)" ] || fail "options change nothing"
# All three tasks: 8 samples, of which 2 are generated and 2 edited, two pictures at a time through the UNet. It has 52
# convolutions of 3 x 3, and the gradient ends behind the first three, where the context enters; the encoder of its autoencoder has 25 and takes one
# picture at a time.
out=$("$program" --config tools/bench/gpu/three-tasks.json --fit 80) || fail "three tasks: exit $?"
echo "$out" | grep -q ' 8 samples of 1024, 6 pictures, 1600 labels, 4 targets; ' && echo "$out" | grep -q '; fits 80 GB by ' || fail "three tasks: $out"
echo "$out" | grep -q '^conv2d_fwd  *204 ' && echo "$out" | grep -q '^conv2d_dx  *98 ' || fail "convolutions: $out"
time_of() { "$program" --config tools/bench/gpu/three-tasks.json "$@" | awk '/^conv2d/ { for (i = 1; i < NF; i++) if ($i ~ /%$/) sum += $(i - 1) } END { print int(1000 * sum) }'; }
[ "$(time_of --convolution 0.25)" -gt "$(time_of)" ] || fail "--convolution changes nothing"
# Several GPUs: 254 MB of gradients take 2 · 7/8 of them / 360 GB/s and 14 hops of 3 us over 8 GPUs; over 16, 2 · 15/16 / 340 GB/s and 30 hops of 8 us.
out=$("$program" --config tools/bench/gpu/r16.json --ranks --efficiency 98) || fail "--ranks: exit $?"
echo "$out" | grep -q '^several GPUs: 254.1 MB of gradients ' || fail "the bytes of a sum: $out"
column() { sed '1,/^ *GPUs /d' | awk -v n="$1" -v k="$2" '$1 == n { print $k }'; }
[ "$(echo "$out" | column 8 6) $(echo "$out" | column 16 6)" = "1.28 1.64" ] || fail "the time of a sum: $out"
[ "$(echo "$out" | column 1 7) $(echo "$out" | column 1024 2)" = "100.0% 16384" ] && echo "$out" | grep -q '^ *goal 98% over 8 GPUs: .* on paper$' || fail "--ranks: $out"
"$program" --config tools/bench/gpu/r128.json --ranks | grep -q '^several GPUs: 1428.6 MB ' || fail "the bytes of a sum at rank 128"
# Shares of real samples: five of lengths 20 to 70, of which a rank always has the same in steps of five.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$1/prepare" --quiet --config tests/fixtures/parity/visual_tokens/config.json --set data.shards="$dir" > /dev/null || fail "prepare: exit $?"
shared() { "$program" --config tools/bench/gpu/r16.json --ranks --shards "$dir" --samples 5 "$@"; }
[ "$(shared | column 8 5)" != "$(echo "$out" | column 8 5)" ] && shared | grep -q "^lengths: $dir\$" || fail "--shards: $(shared)"
[ "$(shared | column 16 4 | cut -d. -f1)" -lt "$(shared --network 0.01 | column 16 4 | cut -d. -f1)" ] || fail "--network changes nothing"
"$program" --config tools/bench/gpu/r16.json --ranks --shards "$dir/nothing" > /dev/null 2>&1
[ $? -eq 66 ] || fail "shards that are not there"
"$program" >/dev/null 2>&1
[ $? -eq 2 ] || fail "without --config"
exit $failed
