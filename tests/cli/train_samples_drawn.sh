#!/bin/bash
# sample.every with prompts that draw and edit: the files that generate makes from the checkpoint of the same step, sheets of them, pictures in
# TensorBoard; training's bits do not change; mistakes are told at the start.
STEPS=4
. tests/cli/_train.sh
case=$PWD/tests/fixtures/parity/noise_frozen
run="--config $case/config.json --set save.dir=$dir/runs --set name=r --set data.shards=$dir/shards --set debug.replay=null --set save.every=1 --set save.keep=9 --set train.steps=$STEPS"
mkdir "$dir/prompts"
cp "$case/images/b.png" "$dir/prompts"
cat > "$dir/prompts/mixed.jsonl" <<'END'
{"draw": "Draw a cat"}
{"ask": "What is it?", "image": "b.png"}

{"edit": "remove the hat", "image": "b.png"}
{"draw": "Draw a dog"}
END
sampling="--set sample.every=2 --set sample.prompts=$dir/prompts/mixed.jsonl"
weights() { cat "$1"/{adapter_model,projector,token_rows,gen_head,optimizer}.safetensors | sha256sum; }
size() { od -An -tu1 -j16 -N8 "$1" | awk '{ print $3 * 256 + $4, $7 * 256 + $8 }'; }

expect 0 $run --set log.tensorboard=false
without=$(weights "$dir/runs/r/$last")
rm -rf "$dir/runs/r"
expect 0 $run $sampling --set log.tensorboard=true
[ "$(weights "$dir/runs/r/$last")" = "$without" ] || fail "drawing changed the weights"
samples=$dir/runs/r/samples
[ "$(ls -A "$samples" | tr '\n' ' ')" = "sheet.png step-000002 step-000004 " ] || fail "samples: $(ls -A "$samples")"
[ "$(ls -A "$samples/step-000002" | tr '\n' ' ')" = "000000.png 000002.png 000003.png answers.jsonl sheet.png " ] || fail "a step's samples: $(ls -A "$samples/step-000002")"
for k in 2 4; do
    "$build/generate" --checkpoint "$dir/runs/r/checkpoint-00000$k" --batch "$dir/prompts/mixed.jsonl" --out "$dir/drawn" --quiet || fail "generate: exit $?"
    rm "$samples/step-00000$k.sheet" 2> /dev/null
    diff -r -x sheet.png "$dir/drawn" "$samples/step-00000$k" >&2 || fail "step $k: generate draws or answers otherwise"
    rm -r "$dir/drawn"
done
! cmp -s "$samples/step-000002/000000.png" "$samples/step-000004/000000.png" || fail "what is drawn has not changed with the model"
[ "$(size "$samples/step-000002/sheet.png")" = "44 44" ] || fail "the sheet of a step has $(size "$samples/step-000002/sheet.png") pixels"
[ "$(size "$samples/sheet.png")" = "68 44" ] || fail "the sheet of all steps has $(size "$samples/sheet.png") pixels"
for k in 000000 000002 000003; do grep -qaF "samples/$k" "$dir"/runs/r/tb/* || fail "TensorBoard has no samples/$k"; done
! grep -qaF "samples/000001" "$dir"/runs/r/tb/* || fail "TensorBoard has a picture of a question"
mv "$dir/runs/r" "$dir/straight"

# Resumed behind the first of them, the same sheets.
mkdir -p "$dir/runs/r/samples"
cp -r "$dir/straight/checkpoint-000003" "$dir/straight/train.jsonl" "$dir/runs/r/"
cp -r "$dir/straight/samples/step-000002" "$dir/straight/samples/step-000004" "$dir/runs/r/samples/"
expect 0 $run $sampling --resume
diff -r "$dir/straight/samples" "$dir/runs/r/samples" >&2 || fail "resumed: other samples"
[ "$(weights "$dir/runs/r/$last")" = "$without" ] || fail "resumed: other weights"
rm -rf "$dir/runs/r"

# Prompts of which none is a question.
grep -v '"ask"' "$dir/prompts/mixed.jsonl" > "$dir/prompts/drawn.jsonl"
expect 0 $run $sampling --set sample.prompts="$dir/prompts/drawn.jsonl"
cmp "$dir/straight/samples/step-000004/000000.png" "$dir/runs/r/samples/step-000004/000000.png" >&2 || fail "without a question: another picture"
rm -rf "$dir/runs/r"

# The plan knows what drawing takes.
planned() { "$train" $run "$@" --dry-run --log-format json 2> "$dir/err" | sed 's/.*"workspace":\([0-9]*\).*/\1/'; }
plain=$(planned) drawing=$(planned $sampling)
[ "$drawing" -gt "$plain" ] || fail "a plan with drawing has $drawing bytes of workspace, without $plain"

# Mistakes, before anything is spent.
printf '%s\n' '{"draw": "a", "image": "b.png"}' '{"edit": "a"}' '{"draw": "a", "ask": "b"}' '{"edit": "a", "image": "gone.png"}' > "$dir/prompts/bad.jsonl"
deep=$dir/$(printf 'deep%.0s' {1..60})
cp -r "$dir/prompts" "$deep"
expect 65 $run $sampling --set sample.prompts="$deep/bad.jsonl"
says "sample.prompts: 4 of its 4 lines cannot be used:"
says 'bad.jsonl:1: "draw" begins without a picture, and there is an "image"; "edit" changes one'
says 'bad.jsonl:2: "edit" needs an "image", the path of the picture to change'
says 'bad.jsonl:3: has "draw" and "ask"; a prompt asks for one thing'
says 'bad.jsonl:4: picture '"$deep/gone.png"
mkdir "$dir/part"
ln -s "$PWD/tests/fixtures/parity/bases/diffusion-noise/"{text_encoder,tokenizer} "$dir/part"
expect 66 $run $sampling --set model.diffusion.path="$dir/part" --set loss.generate=mse --set loss.edit=mse --set model.diffusion.edit=llm_only
says "$dir/part/unet/config.json: there is no such file"
exit $failed
