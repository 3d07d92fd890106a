#!/bin/bash
# The plan for the real size, from config.json files alone: Mistral-7B with adapters of rank 128 in bf16, samples of 1024 tokens with a picture of 729.
# 16k tokens a pass fit 80 GB, 2k tokens with block recompute fit 24 GB.
build=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
fail() {
    echo "$0: $*" >&2
    failed=1
}
cp -r tools/bench/gpu/. "$dir/"
cp tests/fixtures/vocabulary/tokenizer.model "$dir/mistral-7b/"
mkdir "$dir/images"
cp tests/fixtures/parity/visual_tokens/images/"$(ls tests/fixtures/parity/visual_tokens/images | head -n 1)" "$dir/images/picture"
awk 'BEGIN {
    printf "["
    for (i = 0; i < 32; i++) {
        printf "%s{\"id\": \"%d\", \"image\": \"picture\", \"conversations\": [{\"from\": \"human\", \"value\": \"<image>\\nx", i ? ",\n" : "", i
        for (k = 0; k < 48; k++) printf " %c", 97 + (k * 7 + i) % 26
        printf "\"}, {\"from\": \"gpt\", \"value\": \"a"
        for (k = 1; k < 121; k++) printf " %c", 97 + (k * 5 + i) % 26
        printf "\"}]}"
    }
    print "]"
}' >"$dir/data.json"
mixture='data.mixture=[{"name": "d", "files": ["data.json"], "image_root": "images", "task": "understand"}]'
field() { sed 's/.*"'"$1"'":\([0-9]*\).*/\1/' "$dir/plan"; }

# plan LIMIT_GB KEY=VALUE...
plan() {
    limit=$1
    shift
    (cd "$dir" && "$build/train" --config r128.json --dry-run --log-format json --quiet --set device=cpu --set train.memory=ignore --set "$mixture" --set train.batch=16 "$@" >plan 2>err) ||
        fail "the dry run ends with $?: $(cat "$dir/err")"
    total=$(field total)
    echo "    $* : $(field tokens) tokens in $(field steps) steps, $total bytes of $limit GB"
    [ "$total" -le $((limit * 1000000000)) ] || fail "$*: the plan is $total bytes, more than $limit GB"
    # and it is the real size: the weights alone are 7.24 billion and the vision tower's in bf16
    [ "$(field weights)" -gt 15200000000 ] && [ "$(field weights)" -lt 15400000000 ] || fail "weights: $(field weights) bytes"
    [ "$(field trainable)" -gt 3400000000 ] || fail "trainable: $(field trainable) bytes"
}
case $build in /*) ;; *) build=$PWD/$build ;; esac
plan 80 --set train.micro_tokens=16384
[ "$(field activations)" -gt 45000000000 ] || fail "activations of a pass of 16k tokens: $(field activations) bytes"
plan 24 --set train.micro_tokens=2048 --set train.recompute=block
exit $failed
