#!/bin/bash
# optim.moments = bf16: half the bytes in memory and files; resumed at any step, on one rank or two, the same bits; nearly the losses of f32;
# another type on resume is a change of settings, for which --change converts.
STEPS=10
. tests/cli/_train.sh
. tests/cli/_ranks.sh
program=$train
as_ranks "$program"
export RANKS=1
run="--config $dir/run.json"
half="$run --set optim.moments=bf16"
# types FILE: those of the moments there, each with how many.
types() { "$build/inspect" "$1" | awk '$1 ~ /^exp_avg/ { print $2 }' | sort | uniq -c | tr -s ' '; }
# from FOLDER STEP ARGUMENTS…: goes on from its checkpoint.
from() {
    local folder=$1 at=$2
    shift 2
    rm -rf "$dir/runs/r"
    mkdir -p "$dir/runs/r"
    cp -r "$folder/$(printf checkpoint-%06d "$at")" "$folder/train.jsonl" "$dir/runs/r/"
    expect 0 "$@"
}

straight "$dir/f32"
expect 0 $half
mv "$dir/runs/r" "$dir/bf16"
n=$(types "$dir/f32/$last/optimizer.safetensors" | awk '{ print $1 }')
[ "$(types "$dir/f32/$last/optimizer.safetensors")" = " $n F32" ] && [ "$(types "$dir/bf16/$last/optimizer.safetensors")" = " $n BF16" ] ||
    fail "the moments are $(types "$dir/f32/$last/optimizer.safetensors") and $(types "$dir/bf16/$last/optimizer.safetensors")"

for k in $(seq 1 $((steps - 1))); do
    from "$dir/bf16" "$k" $half --resume --set save.every=0
    same_end "$dir/bf16" "resumed at step $k"
done

# The losses stay within a thousandth of those in f32, while they fall by more than a tenth.
losses() { sed -E 's/.*"loss":([^,}]*).*/\1/' "$1/train.jsonl"; }
paste <(losses "$dir/f32") <(losses "$dir/bf16") | awk '
    { d = $1 - $2; if (d < 0) d = -d; if (d > most) most = d; differ += d > 0; if (NR == 1) first = $1; end = $1 }
    END { printf "    losses %.4f to %.4f, of f32 at most %.5f away\n", first, end, most; exit !(NR > 5 && differ && most < 0.001 * first && end < 0.9 * first) }' ||
    fail "the losses with moments in bf16 are too far from those in f32, or the same"

# Two ranks, each writing its share: resumed by two the same bits; by one they are read too.
export RANKS=2
split="$half --set save.split=true"
rm -rf "$dir/runs/r"
expect 0 $split
[ "$(types "$dir/runs/r/$last/optimizer-00001-of-00002.safetensors" | awk '{ print $2 }')" = BF16 ] || fail "a share does not hold BF16"
mv "$dir/runs/r" "$dir/two"
from "$dir/two" 4 $split --resume
same_end "$dir/two" "two ranks, resumed at step 4"
RANKS=1 from "$dir/two" 4 $half --resume

# Another type is another setting; --change converts, there and back.
export RANKS=1
for way in "f32 bf16" "bf16 f32"; do
    set -- $way
    rm -rf "$dir/runs/r"
    mkdir -p "$dir/runs/r"
    cp -r "$dir/$1/checkpoint-000004" "$dir/$1/train.jsonl" "$dir/runs/r/"
    expect 2 $run --set "optim.moments=$2" --resume
    says "optim.moments: \"$1\" there, \"$2\" here"
    expect 0 $run --set "optim.moments=$2" --resume --change
    [ "$(types "$dir/runs/r/$last/optimizer.safetensors" | awk '{ print tolower($2) }')" = "$2" ] || fail "after --change from $1 the moments are not $2"
    [ "$(wc -l < "$dir/runs/r/train.jsonl")" -eq "$steps" ] || fail "after --change from $1 there are $(wc -l < "$dir/runs/r/train.jsonl") steps"
done

# The plan: half of the moments' bytes.
expect 0 $run --dry-run --log-format json
whole=$(sed -E 's/.*"optimizer":([0-9]*).*/\1/' "$dir/out" | tail -1)
expect 0 $half --dry-run --log-format json
planned=$(sed -E 's/.*"optimizer":([0-9]*).*/\1/' "$dir/out" | tail -1)
[ "$whole" -gt 0 ] && [ "$((2 * planned))" -eq "$whole" ] || fail "the plan has $whole bytes of moments in f32, and $planned in bf16"
exit $failed
