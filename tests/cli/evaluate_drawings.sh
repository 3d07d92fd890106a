#!/bin/bash
# evaluate BENCH ask and score of benchmarks of pictures: drawings are those of generate with the seed that they name, however they were divided
# and resumed; what is there is kept; networks score as evaluate features and clip-score do; suites draw too. $1: the build folder.
. tests/cli/_train.sh
evaluate=$build/evaluate generate=$build/generate
fixtures=$PWD/tests/fixtures
model=(--config configs/quickstart.json --set "save.dir=$dir/runs" --set device=cpu)

# draw CODE BENCH DATA OUT OPTIONS...
draw() {
    local code=$1 bench=$2 data=$3 out=$4
    shift 4
    ends_with "$evaluate" "$code" "$bench" ask --data "$data" "${model[@]}" --out "$out" "$@"
}
same() { diff -r "$1" "$2" > "$dir/diff" || { fail "$3: $(head -3 "$dir/diff")"; }; }
# seed_of FILE: the seed that a drawing names.
seed_of() { LC_ALL=C grep -aPo 'tEXtseed\x00\K[0-9]+' "$1" | head -1; }
# is_generated FILE OPTIONS...: generate makes the same file of its seed.
is_generated() {
    local file=$1
    shift
    ends_with "$generate" 0 "${model[@]}" --steps 2 --seed "$(seed_of "$file")" --out "$dir/generated.png" "$@"
    cmp -s "$file" "$dir/generated.png" || fail "$file: not what generate $* draws"
}

# ---- COCO
coco=$fixtures/drawings/coco
draw 0 coco "$coco" "$dir/whole" --steps 2
[ "$(cd "$dir/whole" && echo *)" = "184613.png 25.png 30.png 391895.png 522418.png 574769.png 9.png drawings.jsonl how.json" ] || fail "the folder of drawings: $(ls "$dir/whole")"
is_generated "$dir/whole/9.png" --draw "589645 things, café 0."
[ "$(head -1 "$dir/whole/drawings.jsonl")" = '{"file":"9.png","id":"589645","prompt":"589645 things, café 0."}' ] || fail "drawings.jsonl: $(head -1 "$dir/whole/drawings.jsonl")"
cmp -s "$dir/whole/9.png" "$dir/whole/25.png" && fail "two captions have one drawing"
for k in 1 2 3; do
    "$evaluate" coco ask --data "$coco" "${model[@]}" --out "$dir/pieces" --steps 2 --chunk $k/3 --quiet 2> "$dir/err.$k" &
done
wait
same "$dir/whole" "$dir/pieces" "in three pieces at once: $(cat "$dir"/err.?)"
rm "$dir/pieces/9.png" "$dir/pieces/574769.png"
kept=$(stat -c %i "$dir/pieces/25.png")
draw 0 coco "$coco" "$dir/pieces" --steps 2
same "$dir/whole" "$dir/pieces" "after two were removed"
[ "$(stat -c %i "$dir/pieces/25.png")" = "$kept" ] || fail "a drawing that was there is drawn again"
draw 0 coco "$coco" "$dir/pieces" --steps 2
says "$dir/pieces: is whole and is left alone"
draw 0 coco "$coco" "$dir/first" --steps 2 --limit 2
[ "$(cd "$dir/first" && echo *.png)" = "391895.png 9.png" ] || fail "--limit 2: $(ls "$dir/first")"
cmp -s "$dir/first/9.png" "$dir/whole/9.png" || fail "--limit changes a drawing"

draw 0 coco "$coco" "$dir/piece" --steps 2 --chunk 2/3
[ "$(cd "$dir/piece" && echo *.png)" = "25.png 30.png 522418.png" ] || fail "the second of three pieces: $(ls "$dir/piece")"
mkdir "$dir/alike"
for id in 1 2; do echo "{\"image_id\": $id, \"caption_id\": $id, \"caption\": \"a circle\"}"; done > "$dir/alike/captions_val2014.jsonl"
draw 0 coco "$dir/alike" "$dir/twins" --steps 2
cmp -s "$dir/twins/1.png" "$dir/twins/2.png" && fail "one caption of two pictures has one drawing: the seed does not depend on the id"

# Drawings of other settings do not mix, nor with what is no drawing.
draw 2 coco "$coco" "$dir/first" --steps 3
says "$dir/first/how.json: the drawings that are there were made with \"steps\" 2, asked for is 3; give another --out"
draw 2 coco "$coco" "$dir/first" --steps 2 --seed 43
says '"seed" 42, asked for is 43'
mkdir "$dir/other" && touch "$dir/other/thesis.txt"
draw 73 coco "$coco" "$dir/other" --steps 2
says "--out $dir/other: holds other things than drawings of a benchmark"
draw 2 coco "$coco" "$dir/request" --steps 2 --request "Draw it"
says '--request "Draw it": expected a text that has {caption} once'
draw 2 coco "$coco" "$dir/request" --context none
says "--context is for vist"
draw 2 coco "$coco" "$dir/request" --chunk 4/3
says "--chunk 4/3: expected K/N with K from 1 to N, as in 2/8"
draw 66 coco "$dir" "$dir/request"
says "annotations/captions_val2014.json"
draw 0 coco "$coco" "$dir/request" --steps 2 --limit 1 --request "Draw {caption} now"
is_generated "$dir/request/9.png" --draw "Draw 589645 things, café 0. now"

# A signal ends it between two evaluations; nothing is half-written, and the same command goes on.
"$evaluate" coco ask --data "$coco" "${model[@]}" --out "$dir/stopped" --steps 150 2> "$dir/err" &
pid=$!
await $pid test -e "$dir/stopped/9.png"
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 75 ] || fail "a signal: exit $code, wanted 75: $(cat "$dir/err")"
says "stopped by SIGTERM"
n=$(find "$dir/stopped" -name '*.png' | wc -l)
[ "$n" -ge 1 ] && [ "$n" -lt 7 ] || fail "$n drawings when it was stopped"
[ -z "$(find "$dir/stopped" -name '.*' -type f)" ] || fail "left behind: $(ls -A "$dir/stopped")"

# ---- scores by networks: what evaluate features and clip-score say of the same drawings
clip=$dir/clip
mkdir "$clip"
cp "$fixtures"/features/clip/* "$fixtures"/clip_tokenizer/padded_with_end/* "$clip"
score() { ends_with "$evaluate" 0 "$@" --format json; }
sed 's/.*"file":"\(.*\)\.png","id":.*,"prompt":\(.*\)}/{"id":"\1","text":\2}/' "$dir/whole/drawings.jsonl" > "$dir/texts.jsonl"
ends_with "$evaluate" 0 features --model "$clip" --images "$dir/whole" --out "$dir/pictures.h5"
ends_with "$evaluate" 0 features --model "$clip" --texts "$dir/texts.jsonl" --out "$dir/texts.h5"
score clip-score "$dir/pictures.h5" "$dir/texts.h5"
wanted=$(sed 's/.*"score":\([^,]*\),.*/\1/' "$dir/out")
score coco score --data "$coco" --answers "$dir/whole" --model "$clip" --features "$dir/kept"
grep -q "\"n\":7,\"n_missing\":0,.*\"scores\":{\"clip-score\":${wanted:0:12}" "$dir/out" || fail "CLIP score: $(cat "$dir/out"), wanted $wanted"
[ "$(cd "$dir/kept" && echo *)" = "clip-made.h5 clip-text.h5" ] || fail "files of features: $(ls "$dir/kept")"
cp "$dir/out" "$dir/scored"
score coco score --data "$coco" --answers "$dir/whole" --features "$dir/kept"
cmp -s "$dir/out" "$dir/scored" || fail "files of features that are kept score otherwise: $(cat "$dir/out")"
before=$(ls "${TMPDIR:-/tmp}" | grep -c genllava-features)
score coco score --data "$coco" --answers "$dir/whole" --model "$clip"
cmp -s "$dir/out" "$dir/scored" || fail "files of features that are not kept score otherwise: $(cat "$dir/out")"
[ "$(ls "${TMPDIR:-/tmp}" | grep -c genllava-features)" -le "$before" ] || fail "a temporary folder stays"
ends_with "$evaluate" 2 coco score --data "$coco" --answers "$dir/whole"
says "is scored by what networks make of its drawings: give their weights, or --features DIR"
ends_with "$evaluate" 65 coco score --data "$coco" --answers "$dir/first" --model "$clip"
says "5 of 7 pictures are missing, which is more than 1 %"
score coco score --data "$coco" --answers "$dir/first" --model "$clip" --limit 2
grep -q '"n":2,"n_missing":0' "$dir/out" || fail "--limit 2: $(cat "$dir/out")"
ends_with "$evaluate" 2 vist score --data "$coco" --answers "$dir/first" --reference x.npz
says "--inception and --reference are for coco"

ends_with "$evaluate" 2 coco score --data "$coco" --answers "$dir/whole" --dino "$clip"
says "evaluate coco: has no score by dino-made"
ends_with "$evaluate" 2 coco ask --data "$coco" --config "$dir/run.json" --out "$dir/none"
says "evaluate: coco: this model does not draw: model.diffusion.path is null"
[ ! -e "$dir/none" ] || fail "a folder is left by a model that does not draw"

# ---- VIST
cp -r "$fixtures/drawings/vist" "$dir/vist"
mkdir "$dir/vist/images"
i=0
for photo in 0 1 2 3 900 100 101 103 104 200 201 202 203 204 300 301 302 303; do
    i=$((i + 1))
    case $((i % 2)) in 0) from=grey ;; *) from=rgb ;; esac
    cp "$fixtures/images/$from.jpg" "$dir/vist/images/$photo.jpg"
done
head -c 200 "$fixtures/images/rgb.jpg" > "$dir/vist/images/201.jpg"
draw 0 vist "$dir/vist" "$dir/stories" --steps 2
says "1 of 4 stories are left out, as a picture of theirs is not in images/"
says "warning: 4502.png: "
says "warning: 1 of 3 drawings are left out"
[ "$(cd "$dir/stories" && echo *.png)" = "4500.png 4503.png" ] || fail "stories: $(ls "$dir/stories")"
draw 0 vist "$dir/vist" "$dir/captions" --steps 2 --context captions --limit 1
draw 0 vist "$dir/vist" "$dir/last" --steps 2 --context none --limit 1
is_generated "$dir/last/4500.png" --draw "story 0 , scene 4 ."
for other in captions last; do cmp -s "$dir/stories/4500.png" "$dir/$other/4500.png" && fail "the context does not count: $other"; done
draw 0 vist "$dir/vist" "$dir/gill" --steps 2 --context none --gill-compat
[ "$(cd "$dir/gill" && echo *.png)" = "204.png 900.png" ] || fail "--gill-compat: $(ls "$dir/gill")"
score vist score --data "$dir/vist" --answers "$dir/gill" --gill-compat --model "$clip" --allow-missing
grep -q '"n":3,"n_missing":0,.*"scores":{"clip-similarity":0\.' "$dir/out" || fail "GILL's names: $(cat "$dir/out")"
# A drawing made anew under its name is noticed, with or without the network.
kept=(vist score --data "$dir/vist" --answers "$dir/gill" --gill-compat --allow-missing --features "$dir/kept.vist")
cp "$dir/out" "$dir/scored"
score "${kept[@]}" --model "$clip"
score "${kept[@]}"
cmp -s "$dir/out" "$dir/scored" || fail "features that are kept score otherwise: $(cat "$dir/out")"
cp "$fixtures/images/rgb.png" "$dir/gill/204.png"
ends_with "$evaluate" 65 "${kept[@]}"
says "clip-made.h5: its row \"204\" was made of another picture or text than the one that is there now; give --model DIR"
score "${kept[@]}" --model "$clip"
says "clip-made.h5: 1 rows are new, or of a picture or text that has changed, and are computed; 1 are kept"
cmp -s "$dir/out" "$dir/scored" && fail "another drawing has the same score"
cp "$dir/out" "$dir/scored"
score vist score --data "$dir/vist" --answers "$dir/gill" --gill-compat --model "$clip" --allow-missing
cmp -s "$dir/out" "$dir/scored" || fail "a drawing made anew scores $(cat "$dir/scored"), without files that are kept $(cat "$dir/out")"

# ---- edits
brush=$dir/brush
mkdir -p "$brush/images/77"
for name in input output1 output2; do cp "$fixtures/metrics/edits/data/pictures/0.png" "$brush/images/77/77-$name.png"; done
cat > "$brush/edit_sessions.json" <<'ROWS'
{"77": [{"input": "77-input.png", "output": "77-output1.png", "instruction": "make it red"},
        {"input": "77-output1.png", "output": "77-output2.png", "instruction": "a gray ground"}]}
ROWS
draw 0 magicbrush "$brush" "$dir/edits" --steps 2
[ "$(cd "$dir/edits/77" && echo *)" = "77_1.png 77_inde_2.png 77_iter_2.png" ] || fail "edits: $(ls "$dir/edits/77")"
is_generated "$dir/edits/77/77_iter_2.png" --edit "a gray ground" --image "$dir/edits/77/77_1.png"
score magicbrush score --data "$brush" --answers "$dir/edits" --model "$clip"
grep -q '"n":2,.*"all_turn/clip-i":.*"final_turn/n":1.0,"final_turn/clip-i":' "$dir/out" || fail "magicbrush: $(cat "$dir/out")"
rm "$brush/images/77/77-input.png"
draw 0 magicbrush "$brush" "$dir/less" --steps 2
says "77-input.png"
[ "$(cd "$dir/less/77" && echo *)" = "77_inde_2.png" ] || fail "without the first picture: $(ls "$dir/less/77")"

# ---- a suite draws what is not there
printf '{"benchmarks": [{"bench": "coco", "data": "%s", "limit": 2, "features": "kept"}, {"bench": "vist", "data": "vist", "limit": 1}]}' "$coco" > "$dir/suite.json"
ends_with "$evaluate" 0 --suite "$dir/suite.json" --out "$dir/suite" "${model[@]}" --steps 2 --format json
cmp -s "$dir/suite/coco-first-2/9.png" "$dir/whole/9.png" || fail "a suite draws otherwise: $(ls "$dir/suite")"
grep -q '"bench":"coco","split":"val2014","n":2,.*"scores":{"clip-score":.*"bench":"vist","split":"val","n":1,"n_missing":0,"n_duplicate":0,"score":null' "$dir/out" || fail "a suite: $(cat "$dir/out")"
sed -i 's/"features": "kept"/"model": "clip"/' "$dir/suite.json"
cp "$dir/out" "$dir/scored"
ends_with "$evaluate" 0 --suite "$dir/suite.json" --out "$dir/suite" --format json
cmp -s "$dir/out" "$dir/scored" || fail "a suite with weights: $(cat "$dir/out")"
ends_with "$evaluate" 0 --suite "$dir/suite.json" --out "$dir/suite"
grep -q "vist: is scored by what networks make of its drawings" "$dir/out" || fail "a suite without networks: $(cat "$dir/out")"
printf '{"benchmarks": [{"bench": "pope", "data": "x", "features": "y"}, {"bench": "coco", "data": "x", "reference": 3}]}' > "$dir/suite.json"
ends_with "$evaluate" 2 --suite "$dir/suite.json" --out "$dir/suite"
says 'pope draws nothing, so it takes no "features"'
says '"reference" is 3, expected a path'
exit $failed
