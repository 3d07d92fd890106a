#!/bin/bash
# Damaged checkpoints, full disks, changed settings: what is said, what is kept, how it ends. FLIPS=: how many single bits are flipped (500).
. tests/cli/_train.sh
straight "$dir/straight"
restore() {
    rm -rf "$dir/runs/r"
    mkdir -p "$dir/runs/r"
    cp -r "$dir/straight"/checkpoint-00000[1-5] "$dir/straight/train.jsonl" "$dir/runs/r/"
}
# flip FILE [AT BIT]: one bit, in its middle.
flip() {
    local at=${2:-$(($(stat -c %s "$1") / 2))} byte
    byte=$(od -An -tu1 -j $at -N 1 "$1")
    printf "$(printf '\\x%02x' $((byte ^ 1 << ${3:-2})))" | dd of="$1" bs=1 seek=$at conv=notrunc 2> /dev/null
}

# The newest is damaged: an older one takes its place, and the file is named.
for file in adapter_model.safetensors optimizer.safetensors state.json MANIFEST.json; do
    restore
    flip "$dir/runs/r/checkpoint-000005/$file"
    expect 0 --config "$dir/run.json" --resume --set save.every=0
    says "$dir/runs/r/checkpoint-000005/$file: damaged"
    says "falling back to an older checkpoint"
    says "resuming from $dir/runs/r/checkpoint-000004"
    same_end "$dir/straight" "after damage to $file"
done

# Any bit of any file: found before anything is used.
restore
seed=${SEED:-$RANDOM}
RANDOM=$seed
files=("$dir/runs/r/checkpoint-000005"/*)
for n in $(seq 1 "${FLIPS:-500}"); do
    file=${files[RANDOM % ${#files[@]}]}
    at=$(((RANDOM * 32768 + RANDOM) % $(stat -c %s "$file"))) bit=$((RANDOM % 8))
    flip "$file" $at $bit
    "$build/inspect" "$dir/runs/r/checkpoint-000005" > /dev/null 2> "$dir/err"
    code=$?
    [ $code -eq 65 ] || [ $code -eq 66 ] || fail "bit $bit of byte $at of $file flipped: exit $code (SEED=$seed)"
    flip "$file" $at $bit
done
echo "    ${FLIPS:-500} flipped bits"

# A file is missing; all are damaged; a named one is damaged.
restore
rm "$dir/runs/r/checkpoint-000005/projector.safetensors"
expect 0 --config "$dir/run.json" --resume --steps 5
says "checkpoint-000005/projector.safetensors: cannot be opened: No such file or directory"
restore
for k in 1 2 3 4 5; do flip "$dir/runs/r/checkpoint-00000$k/state.json"; done
expect 65 --config "$dir/run.json" --resume
says "none of its 5 checkpoints is whole: start afresh under another name with --set name=NAME, or remove the folder"
expect 65 --config "$dir/run.json" --resume "$dir/runs/r/checkpoint-000005"
says "checkpoint-000005/state.json: damaged"
expect 66 --config "$dir/run.json" --resume checkpoint-000099
says "--resume: checkpoint-000099: there is no such checkpoint"

# A full disk while saving: the old checkpoint stays whole, 74, file and cause are named; then the run goes on.
restore
(ulimit -f 4; expect 74 --config "$dir/run.json" --resume --set log.tensorboard=false; exit $failed) || failed=1
says "saving checkpoint-000006: $dir/runs/r/.checkpoint-000006.tmp/"
says "File too large"
[ ! -e "$dir/runs/r/checkpoint-000006" ] && [ -z "$(find "$dir/runs/r" -name '.checkpoint*')" ] || fail "half a checkpoint was left"
expect 0 --config "$dir/run.json" --resume
says "resuming from $dir/runs/r/checkpoint-000005"
same_end "$dir/straight" "after a full disk"
if [ "$(id -u)" -ne 0 ]; then # root writes everywhere
    restore
    chmod a-w "$dir/runs/r"
    expect 73 --config "$dir/run.json" --resume
    chmod u+w "$dir/runs/r"
fi
expect 73 --config "$dir/run.json" --set save.dir=/proc/nothing
says "save.dir: /proc/nothing" # who is not root is told of the folder that would be in it
says ": cannot be created: "

# Another config.
restore
expect 2 --config "$dir/run.json" --resume --set optim.lr=0.5 --set model.lora.r=3
says "optim.lr: 0.01 there, 0.5 here"
says "model.lora.r: 2 there, 3 here"
expect 0 --config "$dir/run.json" --resume --steps 5 --set save.every=7 --set log.every=3 --set data.workers=1 --set device=auto

# Another base under the same path.
cp -r "$bases/llm-gqa" "$dir/llm"
rm -rf "$dir/runs/r"
expect 0 --config "$dir/run.json" --set "model.llm.path=$dir/llm" --steps 2
flip "$dir/llm/model.safetensors"
expect 65 --config "$dir/run.json" --set "model.llm.path=$dir/llm" --resume
says "model.llm.path: $dir/llm is not the base that $dir/runs/r/checkpoint-000002 was trained on, which is $dir/llm: its model.safetensors holds something else"

# Weights that are drawn are not read: others there do not matter.
rm -rf "$dir/runs/r"
expect 0 --config "$dir/run.json" --set "model.llm.path=$dir/llm" --set model.llm.init=random --steps 2
flip "$dir/llm/model.safetensors"
expect 0 --config "$dir/run.json" --set "model.llm.path=$dir/llm" --set model.llm.init=random --resume --steps 3

# A weight that is not a number: no step can be used; none changes a weight; the run does not end as if it had learned.
rm -rf "$dir/runs/r"
cp "$PWD/tests/fixtures/parity/visual_tokens/start/projector.safetensors" "$dir/nan.safetensors"
printf '\0\0\300\177' | dd of="$dir/nan.safetensors" bs=1 seek=$(($(stat -c %s "$dir/nan.safetensors") - 4)) conv=notrunc 2> /dev/null
expect 65 --config "$dir/run.json" --set model.projector.init="$dir/nan.safetensors" --set train.steps=2 --set train.batch=5 --set optim.weight_decay=0.5
says "step 1: loss nan (loss_text), norm of the gradient nan; the step is left out and no weight changes"
says "the last 2 steps all gave a loss or gradient that is not finite: the projector holds such values, in the weight multi_modal_projector.linear_2.weight"
grep -q '"loss":null.*"skipped_steps":2,"skipped_samples":10' "$dir/runs/r/train.jsonl" || fail "train.jsonl does not count what was left out: $(tail -1 "$dir/runs/r/train.jsonl")"
for name in adapter_model token_rows; do
    cmp -s "$dir/runs/r/checkpoint-000002/$name.safetensors" "$dir/straight/checkpoint-000001/$name.safetensors" || fail "a step that was left out changed $name"
done
expect 65 --config "$dir/run.json" --set model.projector.init="$dir/nan.safetensors" --set train.steps=2 --set train.batch=5 --set optim.weight_decay=0.5 --resume
says "2 of 2 steps are finished: there is nothing left to do"
says "the last 2 steps all gave a loss or gradient that is not finite: the projector holds such values"

# A frozen one is named at the first step that it spoils, once.
rm -rf "$dir/runs/r" "$dir/llm"
cp -r "$bases/llm-gqa" "$dir/llm"
chmod -R u+w "$dir/llm"
printf '\300\177' | dd of="$dir/llm/model.safetensors" bs=1 seek=$(($(stat -c %s "$dir/llm/model.safetensors") - 2)) conv=notrunc 2> /dev/null
spoiled=$("$build/inspect" "$dir/llm/model.safetensors" --format json | sed -n 's/.*"name": "\([^"]*\)".*/\1/p' | tail -n 1)
expect 65 --config "$dir/run.json" --set "model.llm.path=$dir/llm" --set train.steps=2
[ "$(grep -c "warning: the language model holds numbers that are not finite, in the weight $spoiled, which is frozen: every step that reaches it will be left out" "$dir/err")" = 1 ] ||
    fail "the frozen weight $spoiled is not named once: $(cat "$dir/err")"
[ "$(sed -n '/step is left out/{n;p;q}' "$dir/err" | grep -c 'which is frozen')" = 1 ] || fail "the frozen weight is not named at the first step: $(cat "$dir/err")"

# Two processes in one folder.
rm -rf "$dir/runs/r"
mkdir -p "$dir/runs/r"
exec 9> "$dir/runs/r/.lock"
printf "%s %d\n" "$(hostname)" $$ >&9
flock 9
expect 73 --config "$dir/run.json" --resume
says "$dir/runs/r is being trained in by process $$ on "
exit $failed
