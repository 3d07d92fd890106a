#!/bin/bash
# generate on the emulated device: in f32 the cpu's answers to the word, in bf16 the same ones twice; pictures, the same ones twice.
set -u
build=$1
[ -x "$build/generate-cuda-host" ] || { echo "make cuda-host builds what this tests"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
images=$PWD/tests/fixtures/images
{
    echo '{"id": "0", "ask": "Describe this image.", "image": "rgb.png"}'
    echo '{"id": "1", "ask": "How many objects are there? Answer the question using a single word or phrase.", "image": "rgb.jpg"}'
    echo '{"id": "2", "ask": "What color is the star?"}'
} > "$dir/asked.jsonl"

# answers NAME PROGRAM SETTINGS...: to $dir/NAME/answers.jsonl
answers() {
    local name=$1 program=$2
    shift 2
    "$build/$program" --config configs/quickstart.json --set save.dir="$dir/runs" --batch "$dir/asked.jsonl" --image-root "$images" --out "$dir/$name" \
        --max-new-tokens 12 "$@" 2> "$dir/err" || { echo "$program $*: exit $?" >&2; cat "$dir/err" >&2; exit 1; }
}
same() { diff "$dir/$1/answers.jsonl" "$dir/$2/answers.jsonl" || { echo "$3" >&2; exit 1; }; }

answers cpu generate --set device=cpu --set train.compute=f32
answers cuda generate-cuda-host --set device=cuda --set train.compute=f32
grep -q "device: host emulation" "$dir/err" || { echo "the emulation was not used" >&2; exit 1; }
[ "$(wc -l < "$dir/cpu/answers.jsonl")" -eq 3 ] || exit 1
same cpu cuda "f32: the devices answer differently"
answers bf16 generate-cuda-host --set device=cuda --set train.compute=bf16
CUDA_HOST_SEED=5 answers again generate-cuda-host --set device=cuda --set train.compute=bf16
same bf16 again "bf16: another order of warps answers differently"

# drawn NAME COMPUTE: three pictures to $dir/NAME.png
drawn() {
    "$build/generate-cuda-host" --config tests/fixtures/parity/noise_edit/config.json --set save.dir="$dir/runs" --set device=cuda --set train.compute="$2" \
        --edit "remove the hat" --image "$images/rgb.png" --steps 2 --grid 3 --out "$dir/$1.png" > "$dir/out" 2> "$dir/err" ||
        { echo "--edit in $2: exit $?" >&2; cat "$dir/err" >&2; exit 1; }
}
for compute in f32 bf16; do
    drawn first $compute
    CUDA_HOST_SEED=5 drawn second $compute
    cmp "$dir/first.png" "$dir/second.png" >&2 || { echo "$compute: another order of warps draws other pictures" >&2; exit 1; }
done
