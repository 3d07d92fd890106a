#!/bin/bash
# The n-th request for memory is refused: whatever n is, the program ends with exit 71 and a sentence, and what it left can be gone on with.
# REFUSALS=all tries every n, else some of each program's. In `make asan` a leak or a bad access ends with another code.
. tests/cli/_train.sh
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
settings="--set train.steps=2 --set save.every=1 --quiet"
tried=0

prepare_none() { :; }
fresh_run() { rm -rf "$dir/runs" "$dir/shards"; }
again() {
    rm -rf "$dir/runs"
    cp -r "$dir/first" "$dir/runs"
}
no_shards() { rm -rf "$dir/out"; }

# refuse BEFORE PROGRAM ARGUMENTS...: with each n, after BEFORE.
refuse() {
    local before=$1 program=$build/refusing-$2 total n code stride
    shift 2
    $before
    REFUSE_COUNT=$dir/count "$program" "$@" > "$dir/out.text" 2> "$dir/err" || { fail "$program $*: exit $? without a refusal"; cat "$dir/err" >&2; return; }
    total=$(cat "$dir/count")
    stride=$([ "${REFUSALS:-}" = all ] && echo 1 || echo $((total / 12 + 1)))
    for n in $(seq 1 "$stride" "$total"); do
        $before
        REFUSE=$n "$program" "$@" > "$dir/out.text" 2> "$dir/err"
        code=$?
        tried=$((tried + 1))
        [ $code -eq 71 ] && grep -qE 'memory|allocate' "$dir/err" || { fail "REFUSE=$n of $total ${program##*/} $*: exit $code, wanted 71 and a sentence"; head -20 "$dir/err" >&2; }
    done
}

printf '{"ask": "What?", "image": "%s"}\n{"ask": "Why?"}\n' "$PWD/tests/fixtures/images/rgb.png" > "$dir/questions"
refuse fresh_run train --config "$dir/run.json" $settings
fresh_run
expect 0 --config "$dir/run.json" $settings --steps 1
rm -rf "$dir/first"
cp -r "$dir/runs" "$dir/first"
refuse again train --config "$dir/run.json" $settings --resume
refuse again train --config "$dir/run.json" $settings --resume --set sample.every=2 --set sample.prompts="$dir/questions"
mkdir -p "$dir/gqa/images" && cp "$PWD/tests/fixtures/images/rgb.jpg" "$dir/gqa/images/a.jpg"
types='{"structural": "query", "semantic": "s"}'
printf '{"q1": {"question": "What?", "imageId": "a", "answer": "x", "isBalanced": true, "types": %s}}' "$types" > "$dir/gqa/testdev_balanced_questions.json"
echo '{"benchmarks": [{"bench": "gqa", "data": "gqa", "limit": 1}]}' > "$dir/suite.json"
refuse again train --config "$dir/run.json" $settings --resume --set eval.suite="$dir/suite.json"
no_answers() { rm -f "$dir/asked.jsonl"*; }
refuse no_answers evaluate gqa ask --config "$dir/run.json" --set save.dir="$dir/none" --data "$dir/gqa" --out "$dir/asked.jsonl" --quiet
again
expect 0 --config "$dir/run.json" $settings --resume
again
refuse prepare_none train --config "$dir/run.json" $settings --resume --dry-run
refuse no_shards prepare --config "$dir/run.json" --out "$dir/out" --report -
mixture='{"near_duplicates":"drop","sources":[{"files":"'$PWD'/tests/fixtures/parity/visual_tokens/rows.jsonl","image_root":"'$PWD'/tests/fixtures/parity/visual_tokens/images"},'
mixture+='{"name":"again","files":"'$PWD'/tests/fixtures/mixture/again.json","image_root":"'$PWD'/tests/fixtures/images"}]}'
printf '%s' "$mixture" > "$dir/mixture.json"
refuse prepare_none prepare --config "$dir/run.json" --set "data.mixture=$dir/mixture.json" --jobs 1 --export "$dir/exported.jsonl"
refuse prepare_none prepare --config "$dir/run.json" --set "data.mixture=$dir/mixture.json" --jobs 1 --stats
printf '139\n' > "$dir/ids"
sets=$PWD/tests/fixtures/edit_sets
refuse no_shards prepare --config "$dir/run.json" --out "$dir/out" --report - --exclude-image-ids "$dir/ids" --set \
    'data.mixture=[{"format":"instructpix2pix","root":"'"$sets"'/instructpix2pix","each":1},{"format":"magicbrush","root":"'"$sets"'/magicbrush"}]'
mkdir "$dir/photos"
for k in 1 2; do cp tests/fixtures/images/rgb.png "$dir/photos/$k.png" && printf 'a red door\na door\n' > "$dir/photos/$k.txt"; done
refuse no_shards prepare --config "$dir/run.json" --out "$dir/out" --report - --set 'data.mixture=[{"format":"folder","root":"'"$dir/photos"'","as":"understand"}]'
files=$PWD/tests/fixtures/sources # without their pictures: the last row of the chats is text alone
refuse no_shards prepare --config "$dir/run.json" --out "$dir/out" --report - --set data.max_bad=1 --set 'data.mixture=[
    {"format":"captions","files":["'"$files"'/late.json","'"$files"'/gill.tsv","'"$files"'/rows.jsonl"],"each":1,"requests":"'"$files"'/requests.json"},
    {"format":"llava-reversed","files":"'"$files"'/pretrain.json"},{"format":"laion-gpt4v","files":"'"$files"'/laion.jsonl","as":"understand"},
    {"files":"'"$files"'/messages.jsonl"}]'
refuse prepare_none generate --config "$dir/run.json" --ask "What is it?" --image tests/fixtures/images/rgb.jpg --max-new-tokens 3
refuse prepare_none generate --checkpoint "$dir/runs/r/checkpoint-000001" --batch "$dir/questions" --out "$dir/answers" --max-new-tokens 3
printf '{"answer": "a", "expected": "b"}\n' > "$dir/scored"
refuse prepare_none evaluate --answers "$dir/scored" --before "$dir/scored"
for bench in vqav2 gqa vizwiz textvqa sqa pope mme mmbench seed mmmu mathvista; do
    files=$PWD/tests/fixtures/bench/$bench
    refuse prepare_none evaluate $bench score --data "$files" --answers "$files/answers.jsonl" --format json
    case $bench in vqav2 | gqa | vizwiz | mme | mmbench | seed | mmmu | mathvista) refuse no_shards evaluate $bench submit --data "$files" --answers "$files/answers.jsonl" --out "$dir/out" ;; esac
done
for bench in llava-bench mm-vet; do
    files=$PWD/tests/fixtures/bench/$bench
    refuse no_shards evaluate $bench judge --data "$files" --answers "$files/answers.jsonl" --out "$dir/out"
    refuse prepare_none evaluate $bench judge --data "$files" --replies "$files/replies.jsonl" --format json
done
files=$PWD/tests/fixtures/bench/mathvista
refuse no_shards evaluate mathvista judge --data "$files" --answers "$files/answers.jsonl" --out "$dir/out"
refuse prepare_none evaluate mathvista judge --data "$files" --answers "$files/answers.jsonl" --replies "$files/replies.jsonl" --format json
metrics=$PWD/tests/fixtures/metrics
refuse prepare_none evaluate pixels --pairs "$metrics/pixels/pairs.jsonl" --format json
for second in b.npy b_deflated.npz; do refuse prepare_none evaluate fid "$metrics/features/few.h5" "$metrics/features/$second" --format json; done
for second in texts.h5 texts.npy; do refuse prepare_none evaluate clip-score "$metrics/features/images.h5" "$metrics/features/$second" --format json; done
refuse prepare_none evaluate magicbrush score --data "$metrics/magicbrush/goals" --answers "$metrics/magicbrush/edits" --format json
refuse prepare_none evaluate gier score --data "$metrics/edits/data" --answers "$metrics/edits/made" --allow-missing --format json
mkdir "$dir/clip"
cp tests/fixtures/features/clip/* tests/fixtures/clip_tokenizer/padded_with_end/* "$dir/clip"
printf '{"id":1,"text":"a red circle"}\n' > "$dir/texts"
refuse prepare_none evaluate features --device cpu --model "$dir/clip" --images "$metrics/edits/made" --out "$dir/features.h5"
refuse prepare_none evaluate features --device cpu --model "$dir/clip" --texts "$dir/texts" --out "$dir/features.h5"
drawings=$PWD/tests/fixtures/drawings
cp -r "$metrics/magicbrush/goals" "$dir/goals"
echo '{"99": [{"input": "99-input.png", "output": "99-output1.png", "instruction": "make it red"}]}' > "$dir/goals/edit_sessions.json"
refuse prepare_none evaluate magicbrush score --data "$dir/goals" --answers "$metrics/magicbrush/edits" --features "$drawings/magicbrush/features"
tiny=(--config tests/fixtures/parity/noise_edit/config.json --set save.dir="$dir/drawing" --set device=cpu --steps 1 --quiet)
refuse no_shards evaluate coco ask --data "$drawings/coco" "${tiny[@]}" --out "$dir/out" --limit 2
no_shards
ends_with "$build/evaluate" 0 coco ask --data "$drawings/coco" "${tiny[@]}" --out "$dir/drawn" --limit 2
refuse prepare_none evaluate coco score --data "$drawings/coco" --answers "$dir/drawn" --limit 2 --model "$dir/clip"
printf '{"77": [{"input": "a.jpg", "output": "a.jpg", "instruction": "one"}, {"input": "a.jpg", "output": "a.jpg", "instruction": "two"}]}' > "$dir/edit_sessions.json"
mkdir "$dir/77"
cp tests/fixtures/images/rgb.jpg "$dir/77/a.jpg"
refuse no_shards evaluate magicbrush ask --data "$dir" "${tiny[@]}" --out "$dir/out"
rm -rf "$dir/out"
"$build/refusing-prepare" --config "$dir/run.json" --out "$dir/out" > /dev/null 2>&1 || fail "prepare fails"
for format in text json; do
    for what in "$dir/runs/r" "$dir/runs/r/checkpoint-000001" "$dir/runs/r/checkpoint-000001/adapter_model.safetensors" "$dir/out"/shard-*.h5; do
        refuse prepare_none inspect --format $format "$what"
    done
done
refuse prepare_none inspect "$dir/out"/shard-*.h5 --sample 1
mkdir -p "$dir/runs/r/samples/step-000002"
printf '{"ask":"Why?","expected":"x","answer":"x"}\n{"draw":"x","picture":"p.png"}\n' > "$dir/runs/r/samples/step-000002/answers.jsonl"
cp tests/fixtures/images/rgb.png "$dir/runs/r/samples/step-000002/p.png"
for format in html text; do refuse prepare_none report "$dir/runs/r" --format $format --out "$dir/page"; done
no_export() {
    [ ! -e "$dir/export.partial" ] || fail "convert left $(ls -A "$dir/export.partial")"
    rm -rf "$dir/export" "$dir/export.partial"
}
for format in peft llava hf gguf parts; do
    probe=$([ $format = peft ] || [ $format = llava ] || echo "--probe $dir/questions")
    refuse no_export convert --from "$dir/first/r/checkpoint-000001" --to $format --out "$dir/export" $probe
done
no_export
refuse no_export convert --from tests/fixtures/parity/bases/llm-gqa --to hf --out "$dir/export"
for what in model.gguf tensors.bin; do refuse prepare_none inspect "tests/fixtures/containers/$what"; done
refuse prepare_none inspect --format json tests/fixtures/containers/model.gguf
no_requests() {
    [ -z "$(ls -A "$dir" | grep requests)" ] || [ "$(ls "$dir/requests" 2>&1)" = "$(printf '%s\n' recipe.json records.jsonl requests-00000.jsonl)" ] ||
        fail "curate left $(ls -AR "$dir"/*requests*)"
    rm -rf "$dir/requests"
}
printf '{"uid": "a", "image": "rgb.jpg", "n": [1, "b"]}\n{"uid": "c", "image": "rgb.png", "n": 0.5}\n' > "$dir/records.jsonl"
printf '{"schema": "genllava.recipe/1", "name": "r", "kind": "draw", "model": "m", "system": "s", "user": "JSON {n}", "body": {"x": 1}}' > "$dir/recipe.json"
refuse no_requests curate request --recipe "$dir/recipe.json" --records "$dir/records.jsonl" --image-root tests/fixtures/images --max-side 9 --out "$dir/requests"
refuse no_requests curate request --recipe detail --images tests/fixtures/images --out "$dir/requests"
no_records() {
    [ -z "$(find "$dir" -name '.made.*')" ] || fail "curate left $(find "$dir" -name '.made.*')"
    rm -f "$dir"/made.*
}
replies=tests/fixtures/curate/replies/edit
refuse no_records curate ingest --requests $replies/dir --replies $replies/replies-0.jsonl - --out "$dir/made.jsonl" --max-lines 2 < /dev/null
sed 's|"uid":"edit-x/[^,]*|"uid":"r/1"|' $replies/wanted.jsonl > "$dir/edits"
for file in fixed variable; do
    refuse no_records curate filter --in "$dir/edits" --out "$dir/made.jsonl" --features tests/fixtures/curate/features/$file.h5 --min-clip -1 --min-clip-image -1 --min-clip-dir -1 \
        --exclude-image-ids "$dir/questions"
done
refuse no_records curate stats "$dir/edits"
echo "    $tried refusals"
exit $failed
