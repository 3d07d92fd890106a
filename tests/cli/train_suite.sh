#!/bin/bash
# eval.suite: benchmarks asked at every validation: what evaluate asks and scores of the checkpoint of the same step; training stays the same to the
# bit; a signal saves, and the run goes on with the answers. $1: the build folder.
STEPS=6
. tests/cli/_train.sh
evaluate=$build/evaluate
fixtures=$PWD/tests/fixtures
mkdir -p "$dir/gqa/images"
cp "$fixtures/images/rgb.jpg" "$dir/gqa/images/a.jpg"
cp "$fixtures/images/grey.jpg" "$dir/gqa/images/b.jpg"
# questions SPLIT N: about a and b in turn. The model can answer none; "" is what it says first.
questions() {
    for i in $(seq "$2"); do
        printf '%s"q%d": {"question": "What is %d?", "imageId": "%s", "answer": "x", "isBalanced": true, "types": {"structural": "query", "semantic": "s"}}' \
            "$([ $i = 1 ] && echo '{' || echo ', ')" $i $i "$([ $((i % 2)) = 1 ] && echo a || echo b)"
    done > "$dir/gqa/$1_questions.json"
    echo '}' >> "$dir/gqa/$1_questions.json"
}
questions testdev_balanced 6
questions long 200
ln -s "$fixtures/bench/mm-vet" "$dir/mm-vet"
cat > "$dir/suite.json" <<END
{"benchmarks": [{"bench": "gqa", "data": "gqa", "limit": 4}, {"bench": "gqa", "data": "gqa", "split": "long", "limit": 2}]}
END
suite=(--config "$dir/run.json" --set "eval.suite=$dir/suite.json" --set eval.every=3)
without_suite() { log_of "$1" | sed -E 's/,"suite_[a-zA-Z_-]*":[^,}]*//g'; }
asks_of() { ls "$dir/runs/r/suite" 2> /dev/null | tr '\n' ' '; }

straight "$dir/plain"

# With and without: the same bits, the same log; the answers and scores of evaluate.
expect 0 "${suite[@]}" --set log.tensorboard=true
diff -rq -x config.resolved.json -x MANIFEST.json -x state.json "$dir/plain/$last" "$dir/runs/r/$last" || fail "training differs with benchmarks"
diff <(log_of "$dir/plain") <(without_suite "$dir/runs/r") > "$dir/diff" || { fail "train.jsonl differs"; head -4 "$dir/diff" >&2; }
[ "$(asks_of)" = "step-000003 step-000006 " ] || fail "asked after $(asks_of)"
for k in 3 6; do
    "$evaluate" --suite "$dir/suite.json" --out "$dir/asked$k" --checkpoint "$dir/runs/r/checkpoint-00000$k" --quiet --format json > "$dir/out" || fail "evaluate: exit $?"
    for name in gqa-first-4 gqa-long-first-2; do
        cmp "$dir/asked$k/$name.jsonl" "$dir/runs/r/suite/step-00000$k/$name.jsonl" || fail "step $k: evaluate is answered otherwise"
    done
    score=$(grep -o '"score":[^,]*' "$dir/out" | head -1)
    grep -q "^{\"step\":$k,.*,\"suite_gqa\":${score#*:},\"suite_gqa-long\":" "$dir/runs/r/train.jsonl" || fail "step $k: $(grep "^{\"step\":$k," "$dir/runs/r/train.jsonl"), evaluate $score"
    grep -qF "$score" "$dir/runs/r/suite/step-00000$k/scores.json" || fail "step $k: scores.json: $(cat "$dir/runs/r/suite/step-00000$k/scores.json")"
    says "step $k: gqa $(printf %.2f "${score#*:}"), gqa-long "
done
[ "$(grep -c '"suite_' "$dir/runs/r/train.jsonl")" = 2 ] || fail "other steps have scores"
cat "$dir"/runs/r/tb/* | tr -d '\0' | grep -qa 'suite/gqa-long' || fail "no scores in TensorBoard"
mv "$dir/runs/r" "$dir/judged"

# Stopped after a step, in the middle of its questions, and killed there: what is there is gone on with, and the end is the same.
expect 0 "${suite[@]}" --steps 4
expect 0 "${suite[@]}" --resume
same_end "$dir/judged" "stopped after step 4"
rm -r "$dir/runs/r/suite" && sed -i '$s/,"suite_.*/}/' "$dir/runs/r/train.jsonl" # as if it had been killed after the last save
mkdir -p "$dir/runs/r/suite/step-000006" "$dir/runs/r/suite/step-000009"
sed -n 2p "$dir/judged/suite/step-000006/gqa-first-4.jsonl" > "$dir/runs/r/suite/step-000006/gqa-first-4.jsonl.partial"
expect 0 "${suite[@]}" --resume
says "1 of 4 questions are answered already"
same_end "$dir/judged" "killed while benchmarks were asked"
[ "$(asks_of)" = "step-000006 " ] || fail "answers of steps to come stay: $(asks_of)"
expect 0 "${suite[@]}" --resume
! grep -q "step 6: gqa" "$dir/err" || fail "a step that has its scores is asked again"
# Files that have gone bad by then cost the scores, not the run.
rm -r "$dir/runs/r/suite" && sed -i '$s/,"suite_.*/}/' "$dir/runs/r/train.jsonl"
mkdir -p "$dir/runs/r/suite/step-000006"
echo garbage > "$dir/runs/r/suite/step-000006/gqa-first-4.jsonl"
expect 0 "${suite[@]}" --resume
says "warning: eval.suite: "
says "step-000006/gqa-first-4.jsonl:1"
says "the run goes on without scores of step 6"
grep -q '^{"step":6,.*"suite_' "$dir/runs/r/train.jsonl" && fail "scores of garbage: $(tail -1 "$dir/runs/r/train.jsonl")"
rm -r "$dir/runs/r"

sed 's/"split": "long", "limit": 2/"split": "long"/' "$dir/suite.json" > "$dir/long.json"
long=(--config "$dir/run.json" --set "eval.suite=$dir/long.json")
for when in 3 6; do # in the middle, and after the last step
    "$train" "${long[@]}" --set eval.every=$when --quiet 2> "$dir/err" &
    while [ ! -s "$dir/runs/r/suite/step-00000$when/gqa-long.jsonl.partial" ] && kill -0 $! 2> /dev/null; do sleep 0.01; done
    kill -TERM $!
    wait $!
    code=$?
    [ $code -eq 75 ] || { fail "SIGTERM at step $when: exit $code, wanted 75"; cat "$dir/err" >&2; }
    [ -f "$dir/runs/r/checkpoint-00000$when/MANIFEST.json" ] || fail "SIGTERM at step $when: nothing is saved"
    ! grep -q '"suite_' "$dir/runs/r/train.jsonl" || fail "SIGTERM at step $when: scores all the same"
    expect 0 "${long[@]}" --set eval.every=$when --resume
    grep -q "^{\"step\":$when,.*\"suite_gqa-long\":" "$dir/runs/r/train.jsonl" || fail "resumed: step $when has no scores"
    grep -q "of 200 questions are answered already" "$dir/err" || fail "resumed at step $when: asked anew"
    diff -rq -x config.resolved.json -x MANIFEST.json -x state.json "$dir/plain/$last" "$dir/runs/r/$last" || fail "SIGTERM at step $when: other weights"
    rm -r "$dir/runs/r"
done

# Beside held-out rows; several ranks; a benchmark that is scored by a judge.
rows=$fixtures/parity/visual_tokens
echo "[{\"name\": \"held\", \"files\": [\"$rows/rows.jsonl\"], \"image_root\": \"$rows/images\", \"max\": 2}]" > "$dir/held.json"
echo '{"benchmarks": [{"bench": "gqa", "data": "gqa", "limit": 4}, {"bench": "mm-vet", "data": "mm-vet", "limit": 3}]}' > "$dir/judge.json"
cp -r "$fixtures/images" "$dir/none" # its pictures
expect 66 --config "$dir/run.json" --set "eval.suite=$dir/judge.json"
says "eval.suite: mm-vet: none of its pictures is there; the first is $dir/mm-vet/images/"
rm "$dir/mm-vet"
mkdir -p "$dir/mm-vet/images"
cp "$fixtures/bench/mm-vet/"mm-vet* "$dir/mm-vet/"
cp "$fixtures/images/rgb.png" "$dir/mm-vet/images/v1_0.png"
expect 0 --config "$dir/run.json" --set "eval.suite=$dir/judge.json" --set "data.validation=$dir/held.json" --set eval.every=3 --ranks 2
says "eval.suite: mm-vet is scored by a judge"
says "warning: eval.suite: mm-vet: 2 of 3 questions will have an empty answer, as their picture is missing: $dir/mm-vet/images/"
grep -q '^{"step":3,.*"loss_validation":.*"suite_gqa":[^,]*}$' "$dir/runs/r/train.jsonl" || fail "two ranks: $(sed -n 3p "$dir/runs/r/train.jsonl")"
[ "$(wc -l < "$dir/runs/r/suite/step-000003/mm-vet-first-3.requests.jsonl")" = 3 ] || fail "no requests: $(ls "$dir/runs/r/suite/step-000003")"
rm -r "$dir/runs/r"

# The emulated device: memory as planned, and the same training.
if [ -x "$build/train-cuda-host" ]; then
    train=$build/train-cuda-host
    expect 0 --config "$dir/run.json" --set device=cuda
    mv "$dir/runs/r" "$dir/plain-cuda"
    planned=$("$train" "${suite[@]}" --set device=cuda --dry-run --log-format json 2> "$dir/err" | sed 's/.*"total":\([0-9]*\).*/\1/')
    CUDA_HOST_REPORT=$dir/report expect 0 "${suite[@]}" --set device=cuda
    peak=$(sed -n 's/^peak //p' "$dir/report")
    [ $((peak * 98)) -le $((planned * 100)) ] && [ $((planned * 100)) -le $((peak * 105)) ] || fail "planned $planned bytes, the peak was $peak"
    diff -rq -x config.resolved.json -x MANIFEST.json -x state.json "$dir/plain-cuda/$last" "$dir/runs/r/$last" || fail "training differs on the emulated device"
    diff -r -x scores.json "$dir/judged/suite" "$dir/runs/r/suite" >&2 || fail "f32: the emulated device answers otherwise"
    rm -r "$dir/runs/r"
    train=$build/train
fi

# Mistakes, before anything is spent; a dry run counts the memory.
printf '{"benchmarks": [{"bench": "gqa", "data": "gqa", "split": "none"}, {"bench": "pope", "data": "pope"}]}' > "$dir/bad.json"
for how in "" --dry-run; do
    expect 66 --config "$dir/run.json" --set "eval.suite=$dir/bad.json" --set "data.validation=$dir/absent.json" $how
    says "data.validation: $dir/absent.json: there is no such file or folder"
    says "eval.suite: gqa: $dir/gqa/none_questions.json: cannot be opened: No such file or directory"
    says "eval.suite: pope: $dir/pope/coco_pope_adversarial.json: cannot be opened: No such file or directory"
done
expect 66 --config "$dir/run.json" --set "eval.suite=$dir/gone.json"
says "eval.suite: $dir/gone.json: there is no such file or folder"
echo '{"benchmarks": [{"bench": "gqq", "data": "gqa"}]}' > "$dir/bad.json"
expect 2 --config "$dir/run.json" --set "eval.suite=$dir/bad.json"
says 'did you mean "gqa"?'
echo '{"benchmarks": [{"bench": "magicbrush", "data": "x"}]}' > "$dir/bad.json"
expect 2 --config "$dir/run.json" --set "eval.suite=$dir/bad.json"
says "eval.suite: magicbrush: asks no questions, so a run cannot be judged by it"
expect 2 "${suite[@]}" --set model.vision.path=null --set model.projector.train=frozen
says "eval.suite: gqa: asks about pictures, and this model has no vision tower"
# The least of five: the process itself, which counts, is some hundred kilobytes larger at times.
workspace() { for _ in 1 2 3 4 5; do expect 0 "$@" --dry-run --log-format json; sed 's/.*"workspace":\([0-9]*\).*/\1/' "$dir/out"; done | sort -n | head -n 1; }
with=$(workspace "${suite[@]}") without=$(workspace --config "$dir/run.json")
[ "$with" -gt $((without + 500000)) ] || fail "planned for benchmarks: $with, without $without"
exit $failed
