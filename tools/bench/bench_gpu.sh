#!/bin/sh
# All GPU rows in one run: build/bench-gpu for kernels and steps, and where PYTHON has PyTorch with CUDA, transformers and PEFT, their
# steps in turn with ours (PAIRS, 5): a ratio is the median of the pairs. $1: the folder with the programs, $2: python.
set -eu
bin=$1 python=$2 pairs=${PAIRS:-5}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

"$bin/bench-gpu" --config tools/bench/gpu/r16.json --row G1 --goal 17500
"$bin/bench-gpu" --config tools/bench/gpu/r128.json --row G6 --goal 16000 --only step
"$bin/bench-gpu" --config tools/bench/gpu/r128.json --row G6d --goal 16000 --only step --set model.lora.dropout=0.05
echo "G7 with block recompute, 8k tokens a pass:"
"$bin/bench-gpu" --config tools/bench/gpu/r16.json --row G7 --only step --tokens 8192 --set train.recompute=block
echo "all three tasks, a third of the samples each, with Stable Diffusion 1.4 at 512 pixels; then without cuDNN, where it is installed:"
"$bin/bench-gpu" --config tools/bench/gpu/three-tasks.json --row "3T" --only step
GENLLAVA_CUDNN=0 "$bin/bench-gpu" --config tools/bench/gpu/three-tasks.json --row "3T" --only step

# compare ROW VARIANT HOLD
compare() {
    : >"$dir/ratio"
    for _ in $(seq "$pairs"); do
        ours=$("$bin/bench-gpu" --config tools/bench/gpu/r16.json --row ours --only step | sed -n 's/^ours .* \([0-9]*\) tokens\/s.*/\1/p')
        theirs=$("$python" tests/oracle/bench_gpu.py tools/bench/gpu/r16.json "$2" 2>"$dir/err") || {
            code=$?
            echo "$1: not measured: $(tail -n 1 "$dir/err")"
            [ $code -eq 77 ] && return 77 || return 0
        }
        echo "$ours $theirs" | awk '{ printf "%.3f\n", $1 / $3 }' >>"$dir/ratio"
    done
    echo "$theirs $ours" | awk -v row="$1" -v hold="$3" -v ratio="$(median <"$dir/ratio")" -v least="$(sort -g "$dir/ratio" | head -n 1)" \
        -v most="$(sort -g "$dir/ratio" | tail -n 1)" \
        '{ printf "%-4s ours over transformers and PEFT, %s: %.2f (%.2f to %.2f; hold %s); ", row, $1, ratio, least, most, hold
          printf "the last pair %d and %d tokens/s, theirs with %d tokens a pass in %.1f GB\n", $5, $2, $3, $4 / 1e9 }'
}
compare G2 eager 1.4 || exit 0
compare G3 checkpoint 1.9
compare G4 compile 1.15
