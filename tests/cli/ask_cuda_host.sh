#!/bin/bash
# evaluate BENCH ask on the emulated device: in f32 the cpu's answers to the word; in bf16 the same however many are decoded at a time.
[ -x "$1/evaluate-cuda-host" ] || { echo "make cuda-host builds what this tests"; exit 77; }
. tests/cli/_train.sh
data=$dir/gqa
mkdir -p "$data/images"
cp tests/fixtures/images/rgb.jpg "$data/images/a.jpg"
cp tests/fixtures/images/grey.jpg "$data/images/b.jpg"
{
    for i in 1 2 3 4 5; do
        [ $i = 1 ] && printf '{' || printf ',\n'
        printf '"%d": {"question": "What is %d?", "imageId": "%s", "isBalanced": true}' $i $i "$([ $((i % 2)) = 0 ] && echo a || echo b)"
    done
    echo '}'
} > "$data/testdev_balanced_questions.json"

# ask NAME PROGRAM OPTIONS...
ask() {
    local name=$1 program=$2
    shift 2
    ends_with "$build/$program" 0 gqa ask --data "$data" --config "$dir/run.json" --out "$dir/$name" "$@"
}
same() { cmp -s "$dir/$1" "$dir/$2" || { fail "$3"; diff "$dir/$1" "$dir/$2" | head -4 >&2; }; }

ask cpu evaluate
ask cuda evaluate-cuda-host --set device=cuda
grep -q "device: host emulation" "$dir/err" || fail "the emulation was not used"
same cpu cuda "f32: the devices answer differently"
CUDA_HOST_DEVICES=2 ask ranks evaluate-cuda-host --set device=cuda --ranks 2
same cpu ranks "two ranks, a device each: other answers"
ask one evaluate-cuda-host --set device=cuda --set train.compute=bf16 --at-once 1
CUDA_HOST_SEED=5 ask all evaluate-cuda-host --set device=cuda --set train.compute=bf16
same one all "bf16: other answers together than one at a time"
exit $failed
