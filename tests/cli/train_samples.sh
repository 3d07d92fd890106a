#!/bin/bash
# sample.every: what generate answers from the checkpoint of the same step; training's bits do not change; mistakes in the prompts are all told at the start.
. tests/cli/_train.sh
images=$PWD/tests/fixtures/images
mkdir "$dir/prompts"
cp "$images/rgb.png" "$images/rgb.jpg" "$dir/prompts"
cat > "$dir/prompts/ask.jsonl" <<END
{"ask": "What is it?", "image": "rgb.png"}

{"ask": "Say \"something\".\u0000"}
{"ask": "Compare.", "image": ["rgb.png", "$images/rgb.jpg"], "expected": "Alike.", "// why": "two pictures, one of them elsewhere"}
END
sampling="--set train.steps=5 --set sample.every=2 --set sample.prompts=$dir/prompts/ask.jsonl"
weights() { cat "$1"/{adapter_model,projector,token_rows,optimizer}.safetensors | sha256sum; }

expect 0 --config "$dir/run.json" --set train.steps=5
without=$(weights "$dir/runs/r/checkpoint-000005")
rm -rf "$dir/runs/r"
expect 0 --config "$dir/run.json" $sampling
says "sampled $dir/runs/r/samples/step-000002"
[ "$(weights "$dir/runs/r/checkpoint-000005")" = "$without" ] || fail "sampling changed the weights"
[ "$(ls -A "$dir/runs/r/samples" | tr '\n' ' ')" = "step-000002 step-000004 step-000005 " ] || fail "samples: $(ls -A "$dir/runs/r/samples")"
for k in 2 4 5; do
    "$build/generate" --checkpoint "$dir/runs/r/checkpoint-00000$k" --batch "$dir/prompts/ask.jsonl" --out "$dir/answers" --quiet || fail "generate: exit $?"
    sed 's/"\/\/ why":"[^"]*",//' "$dir/answers/answers.jsonl" | cmp -s - "$dir/runs/r/samples/step-00000$k/answers.jsonl" || {
        fail "step $k: generate answers otherwise"
        diff "$dir/answers/answers.jsonl" "$dir/runs/r/samples/step-00000$k/answers.jsonl" >&2
    }
done
mv "$dir/runs/r" "$dir/straight"

# Ended in the middle of a sample: what was begun is not taken for one, and the samples are the same in the end.
mkdir -p "$dir/runs/r/samples/.new"
cp -r "$dir/straight/checkpoint-000003" "$dir/straight/train.jsonl" "$dir/runs/r/"
cp -r "$dir/straight/samples/step-000002" "$dir/runs/r/samples/"
echo '{"ask": "half' > "$dir/runs/r/samples/.new/answers.jsonl"
expect 0 --config "$dir/run.json" $sampling --resume
diff -r "$dir/straight/samples" "$dir/runs/r/samples" >&2 || fail "resumed: other samples"
[ "$(weights "$dir/runs/r/checkpoint-000005")" = "$without" ] || fail "resumed: other weights"
rm -rf "$dir/runs/r"

# A picture that goes while the run trains is still looked at.
cat "$dir/prompts/rgb.png" > "$dir/prompts/going.png"
sed 's/"rgb.png"/"going.png"/' "$dir/prompts/ask.jsonl" > "$dir/prompts/going.jsonl"
"$train" --config "$dir/run.json" $sampling --set sample.prompts="$dir/prompts/going.jsonl" --quiet 2> "$dir/err" &
while [ ! -d "$dir/runs/r/samples/step-000002" ] && kill -0 $! 2> /dev/null; do sleep 0.01; done
rm "$dir/prompts/going.png"
wait $! || { fail "a picture went: exit $?"; cat "$dir/err" >&2; }
rm -rf "$dir/runs/r"

# A signal does not wait for the answers: the step is saved, and its samples are made when the run goes on.
for i in $(seq 1 400); do cat "$dir/prompts/ask.jsonl"; done > "$dir/prompts/long.jsonl"
"$train" --config "$dir/run.json" $sampling --set sample.prompts="$dir/prompts/long.jsonl" 2> "$dir/err" &
while [ ! -e "$dir/runs/r/samples/.new" ] && kill -0 $! 2> /dev/null; do sleep 0.01; done
kill -TERM $!
wait $!
code=$?
[ $code -eq 75 ] || fail "SIGTERM while sampling: exit $code, wanted 75"
says "SIGTERM: the samples after step 2 are left to --resume"
says "saved $dir/runs/r/checkpoint-000002"
[ ! -e "$dir/runs/r/samples/step-000002" ] || fail "SIGTERM: there are samples all the same"
expect 0 --config "$dir/run.json" $sampling --resume
says "sampled $dir/runs/r/samples/step-000002"
diff -r "$dir/straight/samples" "$dir/runs/r/samples" >&2 || fail "stopped by a signal: other samples"
[ "$(weights "$dir/runs/r/checkpoint-000005")" = "$without" ] || fail "stopped by a signal: other weights"
rm "$dir/runs/r/samples/step-000005/answers.jsonl"
expect 0 --config "$dir/run.json" $sampling --resume
[ ! -e "$dir/runs/r/samples/step-000005/answers.jsonl" ] || fail "samples that are there were made again"
rm -r "$dir/runs/r/samples/step-000005"
expect 0 --config "$dir/run.json" $sampling --resume
diff -r "$dir/straight/samples" "$dir/runs/r/samples" >&2 || fail "a finished run: other samples"
rm -rf "$dir/runs/r"

# The emulated device: its own answers, and memory as planned.
if [ -x "$build/train-cuda-host" ]; then
    train=$build/train-cuda-host
    on_cuda="--config $dir/run.json $sampling --set device=cuda"
    expect 0 --config "$dir/run.json" --set device=cuda --set train.steps=5
    without=$(weights "$dir/runs/r/checkpoint-000005")
    rm -rf "$dir/runs/r"
    planned=$("$train" $on_cuda --dry-run --log-format json 2> "$dir/err" | sed 's/.*"total":\([0-9]*\).*/\1/')
    CUDA_HOST_REPORT=$dir/report expect 0 $on_cuda
    peak=$(sed -n 's/^peak //p' "$dir/report")
    [ $((peak * 98)) -le $((planned * 100)) ] && [ $((planned * 100)) -le $((peak * 105)) ] || fail "planned $planned bytes, the peak was $peak"
    [ "$(weights "$dir/runs/r/checkpoint-000005")" = "$without" ] || fail "sampling changed the weights on the emulated device"
    diff -r "$dir/straight/samples" "$dir/runs/r/samples" >&2 || fail "f32: the emulated device answers otherwise"
    rm -rf "$dir/runs/r"
    train=$build/train
fi

# Mistakes, all of them, before anything is spent.
cat > "$dir/prompts/bad.jsonl" <<END
{"ask": "What is it?", "image": "gone.png"}
{"draw": "a cat"}
{"ask": 5}
{"ask": "a", "seed": 1}
not JSON
[1]
{"image": "rgb.png"}
{"ask": "<image><image>", "image": "rgb.png"}
{"ask": "a", "image": "cut.png"}
{"ask": "a", "image": "."}
{"ask": "a"
END
for n in 12 13; do echo '{}'; done >> "$dir/prompts/bad.jsonl"
echo '{"ask": "a", "image": "/dev/zero"}' >> "$dir/prompts/bad.jsonl"
head -c 100 "$images/rgb.png" > "$dir/prompts/cut.png"
for how in "" --dry-run; do
    expect 65 --config "$dir/run.json" $sampling --set sample.prompts="$dir/prompts/bad.jsonl" $how
    says "sample.prompts: 14 of its 14 lines cannot be used:"
    grep -q "^$dir/prompts/bad.jsonl:2: " "$dir/err" || fail "the second bad line does not begin a line: $(cat "$dir/err")"
    says "bad.jsonl:1: picture $dir/prompts/gone.png: cannot be opened: No such file or directory"
    says "bad.jsonl:2: \"draw\": this model does not draw: model.diffusion.path is null"
    says "bad.jsonl:3: \"ask\" is an integer; it takes the text of a question"
    says "bad.jsonl:4: \"seed\" is no key of a prompt; they are \"ask\", \"draw\", \"edit\", \"image\" and \"expected\""
    says "bad.jsonl:5:1: "
    says "bad.jsonl:6: an array; a prompt is an object {\"ask\": text, \"image\": path}"
    says "bad.jsonl:7: \"ask\" is missing; it takes the text of a question"
    says "bad.jsonl:8: "
    says "bad.jsonl:9: picture $dir/prompts/cut.png: PNG: the file ends before the picture does"
    says "bad.jsonl:10: picture $dir/prompts/.: is a folder, expected a picture file"
    says "bad.jsonl:11:12: "
    says "and 2 more"
    [ ! -e "$dir/runs/r" ] || fail "a run with bad prompts has begun"
done
head -1 "$dir/prompts/bad.jsonl" > "$dir/prompts/gone.jsonl"
expect 66 --config "$dir/run.json" $sampling --set sample.prompts="$dir/prompts/gone.jsonl"
echo > "$dir/prompts/empty.jsonl"
expect 65 --config "$dir/run.json" $sampling --set sample.prompts="$dir/prompts/empty.jsonl"
says "sample.prompts: $dir/prompts/empty.jsonl: holds no prompts"
expect 66 --config "$dir/run.json" $sampling --set sample.prompts="$dir/prompts/none.jsonl"
says "sample.prompts"
expect 65 --config "$dir/run.json" $sampling --set model.vision.path=null --set model.projector.train=frozen
says "\"image\": this model has no vision tower (model.vision.path is null)"
expect 2 --config "$dir/run.json" --set sample.every=2
says "sample.every is 2 but sample.prompts names no file"
exit $failed
