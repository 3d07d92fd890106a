#!/bin/bash
# A run resumed at any step ends with the same bits as one that was never interrupted. STEPS= (one more than a multiple of 3): how many it has (64).
STEPS=${STEPS:-64}
. tests/cli/_train.sh
straight "$dir/straight"

# resumed FIRST: at every fourth step from that one on.
straight=$dir/straight
resumed() {
    local k
    export OMP_NUM_THREADS=1 # several runs at a time
    for k in $(seq "$1" 4 $((steps - 1))); do
        rm -rf "$dir/runs/r"
        mkdir -p "$dir/runs/r"
        cp -r "$straight/checkpoint-$(printf %06d "$k")" "$straight/train.jsonl" "$dir/runs/r/"
        expect 0 --config "$dir/run.json" --resume --set save.every=0
        same_end "$straight" "resumed at step $k"
    done
}
for first in 1 2 3 4; do beside from$first resumed $first; done
together
echo "    resumed from each of $((steps - 1)) steps"

# --steps stops on the way, on the same schedule.
rm -rf "$dir/runs/r"
expect 0 --config "$dir/run.json" --steps 5
[ -d "$dir/runs/r/checkpoint-000005" ] && [ ! -d "$dir/runs/r/checkpoint-000006" ] || fail "--steps 5 did not end with checkpoint-000005"
few="--set save.every=20" # every save waits for the disk
expect 0 --config "$dir/run.json" --resume --steps 11 $few
expect 0 --config "$dir/run.json" --resume $few
same_end "$dir/straight" "in three parts"
[ "$(readlink "$dir/runs/r/latest")" = "$last" ] || fail "latest does not point to $last"

# From a checkpoint that is named, also one inside another folder; what the log knows beyond it is cut away.
expect 0 --config "$dir/run.json" --resume "$dir/straight/checkpoint-000007" $few
same_end "$dir/straight" "from a named checkpoint"
expect 0 --config "$dir/run.json" --resume checkpoint-000003 $few
same_end "$dir/straight" "from a checkpoint of the run folder"
for named in latest "$dir/runs/r/latest"; do
    ln -sfn checkpoint-000003 "$dir/runs/r/latest"
    expect 0 --config "$dir/run.json" --resume "$named" $few
    says "resuming from $dir/runs/r/checkpoint-000003"
    same_end "$dir/straight" "from the link $named"
done

expect 2 --config "$dir/run.json" --resume "$dir/run.json"
grep -qx "error: --resume: $dir/run.json is a file, expected the folder of a checkpoint" "$dir/err" || fail "--resume FILE says: $(cat "$dir/err")"

# From a checkpoint that lies elsewhere and is linked into the run folder.
rm -rf "$dir/runs/r"
mkdir -p "$dir/runs/r"
cp "$dir/straight/train.jsonl" "$dir/runs/r/"
ln -s "$dir/straight/checkpoint-000004" "$dir/runs/r/checkpoint-000004"
expect 0 --config "$dir/run.json" --resume $few
same_end "$dir/straight" "from a linked checkpoint"

# With threads that decode: the same bits.
rm -rf "$dir/runs/r"
expect 0 --config "$dir/run.json" --set data.workers=2 $few
same_end "$dir/straight" "with decoding threads"

# save.keep: only the newest stay.
rm -rf "$dir/runs/r"
expect 0 --config "$dir/run.json" --set save.keep=2 --set save.every=3
[ "$(cd "$dir/runs/r" && echo checkpoint-*)" = "checkpoint-$(printf %06d $((steps - 1))) $last" ] || fail "save.keep=2 left: $(ls "$dir/runs/r")"
# Whole modules in folders of their own, and copies in bf16 beside the masters: the same bits again.
for set in "train.compute=bf16" "model.llm.train=full" "model.vision.train=full"; do
    rm -rf "$dir/runs/r" "$dir/whole"
    expect 0 --config "$dir/run.json" --set "$set" --set save.every=7
    mv "$dir/runs/r" "$dir/whole"
    mkdir -p "$dir/runs/r"
    cp -r "$dir/whole/checkpoint-000007" "$dir/runs/r/"
    cp "$dir/whole/train.jsonl" "$dir/runs/r/"
    expect 0 --config "$dir/run.json" --set "$set" --set save.every=7 --resume
    same_end "$dir/whole" "with $set"
done
exit $failed
