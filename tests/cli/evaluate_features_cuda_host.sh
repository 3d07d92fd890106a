#!/bin/bash
# evaluate features, LPIPS and the scores by networks on the emulated device: the cpu's numbers, but for rounding. $1: the build folder.
[ -x "$1/evaluate-cuda-host" ] || { echo "make cuda-host builds what this tests"; exit 77; }
set -u
build=$(realpath "$1") bad=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
wrong() { echo "evaluate_features_cuda_host.sh: $*"; bad=1; }
mkdir "$dir/clip" "$dir/vit" "$dir/pictures"
cp tests/fixtures/features/clip/* tests/fixtures/clip_tokenizer/padded_with_end/* "$dir/clip"
cp tests/fixtures/features/vit/* "$dir/vit"
cp tests/fixtures/metrics/pixels/{resized.a,enlarged.a,grey.a}.png "$dir/pictures"
printf '{"id":1,"text":"a red circle"}\n{"id":2,"text":""}\n' > "$dir/texts.jsonl"

# same WORDS…: features of both devices have a cosine of 1.
same() {
    "$build/evaluate-cuda-host" features --device cuda "$@" --out "$dir/cuda.h5" > /dev/null 2> "$dir/err" || wrong "$* on cuda: $(cat "$dir/err")"
    "$build/evaluate" features --device cpu "$@" --out "$dir/cpu.h5" > /dev/null 2> "$dir/err" || wrong "$* on cpu: $(cat "$dir/err")"
    "$build/evaluate" clip-score "$dir/cuda.h5" "$dir/cpu.h5" --format json | grep -qE '"score":(100\.0|99\.99999999|100\.00000000)' ||
        wrong "$*: $("$build/evaluate" clip-score "$dir/cuda.h5" "$dir/cpu.h5" --format json)"
}
same --model "$dir/clip" --images "$dir/pictures"
same --model "$dir/clip" --texts "$dir/texts.jsonl"
same --model "$dir/vit" --images "$dir/pictures"

lpips=$PWD/tests/fixtures/features/lpips
printf '{"id":1,"a":"%s/c.jpg","b":"%s/b.jpg"}\n' "$lpips" "$lpips" > "$dir/pairs.jsonl"
"$build/evaluate-cuda-host" pixels --pairs "$dir/pairs.jsonl" --lpips "$lpips/alex.safetensors" --device cuda 2> "$dir/err" |
    grep -q "LPIPS $(awk '$1 == "c" { printf "%.4f", $3 }' "$lpips/distances.txt")\$" || wrong "LPIPS: $(cat "$dir/err")"

# The networks of a benchmark's score compute where --device says.
mkdir "$dir/made"
cp "$lpips/a.jpg" "$lpips/b.jpg" "$dir"
cp "$lpips/c.jpg" "$dir/made/1.jpg"
echo '{"id": 1, "source": "a.jpg", "target": "b.jpg", "instruction": "i"}' > "$dir/test.jsonl"
for device in cuda cpu; do
    "$build/evaluate-cuda-host" ma5k score --data "$dir" --answers "$dir/made" --lpips "$lpips/alex.safetensors" --dino "$dir/vit" --device $device \
        > "$dir/$device" 2> "$dir/err" || wrong "ma5k score --device $device: $(cat "$dir/err")"
    [ "$(grep -c '^device: host emulation' "$dir/err")" = $([ $device = cuda ] && echo 2 || echo 0) ] || wrong "--device $device: $(cat "$dir/err")"
done
mkdir "$dir/out"
mv "$dir/made" "$dir/out/ma5k"
echo "{\"benchmarks\": [{\"bench\": \"ma5k\", \"data\": \"$dir\", \"lpips\": \"$lpips/alex.safetensors\"}]}" > "$dir/suite.json"
"$build/evaluate-cuda-host" --suite "$dir/suite.json" --out "$dir/out" --device cuda > /dev/null 2> "$dir/err" && grep -q '^device: host emulation' "$dir/err" ||
    wrong "--suite --device cuda: $(cat "$dir/err")"
cmp -s "$dir/cuda" "$dir/cpu" || wrong "other scores on cuda: $(diff "$dir/cuda" "$dir/cpu")"
exit $bad
