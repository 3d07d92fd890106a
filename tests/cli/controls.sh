#!/bin/bash
# Names, rows, answers and settings that hold control characters, cut characters and bytes that are not UTF-8: nothing of them reaches a terminal or a
# log raw, from any program.
. tests/cli/_train.sh
esc=$'\033' csi=$'\302\233' bidi=$'\342\200\256'
hostile="x${esc}[31m${csi}2J${bidi}"$'\007\r'

# clean FILE WHAT: valid UTF-8 without a control character but line feed and tab, and without what turns a line around.
clean() {
    iconv -f UTF-8 -t UTF-8 "$1" > /dev/null 2>&1 || fail "$2: $(basename "$1") is not UTF-8: $(cat -v "$1")"
    ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]' "$1" || fail "$2: raw in $(basename "$1"): $(cat -v "$1")"
}
# shows CODE WHAT PROGRAM ARGUMENTS...: its exit code; both its streams are clean.
shows() {
    local wanted=$1 what=$2 code
    shift 2
    "$@" > "$dir/out" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { fail "$what: exit $code, wanted $wanted"; cat -v "$dir/err" >&2; }
    clean "$dir/err" "$what"
    clean "$dir/out" "$what"
}
# parses FILE WHAT: every line is JSON. (evaluate reads it strictly.)
parses() {
    [ -s "$1" ] || fail "$2: no line of JSON"
    sed 's/^{/{"answer": "x", "expected": "x", /' "$1" | "$build/evaluate" --answers - > "$dir/parsed" 2>&1 ||
        fail "$2: not JSON: $(cat -v "$dir/parsed") $(cat -v "$1")"
}

folder=$dir/$hostile$'\351\n'"error: nothing happened"
mkdir "$folder"

# Settings, flags and names of files.
shows 2 "an unknown key" "$train" --config "$dir/run.json" --set "${hostile}=1"
shows 2 "a value" "$train" --config "$dir/run.json" --set "device=$hostile"
shows 66 "a path" "$train" --config "$dir/run.json" --set "model.llm.path=$folder/gone"
! grep -q '^error: nothing' "$dir/err" || fail "a name forges a line of its own: $(cat -v "$dir/err")"
says "\\xe9\\nerror: nothing happened/gone"
shows 2 "a flag" "$train" "--$hostile"
shows 66 "a config" "$train" --config "$folder/gone.json"
printf '{"model": {"llm": {"path": "a\\u001b[31m\\u0085\\u202e\\nwarning: forged"}}, "na\\u0007me": 1}' > "$folder/run.json"
shows 2 "keys of a config" "$train" --config "$folder/run.json"
for program in prepare generate evaluate inspect convert curate report scenes stamps; do
    shows 2 "$program: a flag" "$build/$program" "--$hostile" x
done
shows 66 "inspect: a path" "$build/inspect" "$folder/gone"
shows 66 "report: a path" "$build/report" "$folder/gone" --format text

# Records of curate: what they, their recipe and their folders say.
printf '%s\n' '{"uid":"a\u001b[31m\u202e","image":"\u001b[2Jgone.jpg"}' '{"uid":"b\u0007","image":"rgb.png"}' > "$folder/records.jsonl"
ask=(--records "$folder/records.jsonl" --image-root tests/fixtures/images --out "$folder/requests")
shows 2 "curate: a command" "$build/curate" "$hostile"
shows 2 "curate: a recipe" "$build/curate" request --recipe "$hostile" "${ask[@]}"
shows 0 "curate: records" "$build/curate" request --recipe draw "${ask[@]}"
says 'record "a\x1b[31m\u202e" is left out'
shows 0 "curate: records as JSON" "$build/curate" request --recipe draw "${ask[@]}" --log-format json
parses "$dir/out" "curate: records as JSON"
clean "$folder/requests/records.jsonl" "curate: records.jsonl"
id=$(sed -n '1s/.*"custom_id":"\([0-9a-f]*\)".*/\1/p' "$folder/requests/records.jsonl")
# reply CONTENT: a file of one.
reply() { printf '{"custom_id":"%s","response":{"status_code":200,"body":{"model":"m\\u001b[2J","choices":[{"finish_reason":"stop","message":{"content":"%s"}}]}}}' "$id" "$1" > "$folder/replies"; }
reply 'a\u001b[2J\u0085\u202e'
shows 65 "curate: a reply" "$build/curate" ingest --requests "$folder/requests" --replies "$folder/replies" --out "$folder/made.jsonl"
clean "$folder/made.rejects.jsonl" "curate: rejects"
reply '{\"request\": \"Draw \\u001b[2J it\\u0007 \\u202enow\", \"caption\": \"one two three four \\u009bfive\"}'
shows 0 "curate: a record" "$build/curate" ingest --requests "$folder/requests" --replies "$folder/replies" --out "$folder/made.jsonl"
clean "$folder/made.jsonl" "curate: made.jsonl"
shows 0 "curate: stats" "$build/curate" stats "$folder/made.jsonl"
shows 0 "curate: stats as JSON" "$build/curate" stats --format json "$folder/made.jsonl"
parses "$dir/out" "curate: stats as JSON"
printf '{"schema": "\u001b[2J", "na\u0007me": "\u202e", "kind": "\u009b"}' > "$folder/recipe.json"
shows 2 "curate: a recipe's values" "$build/curate" request --recipe "$folder/recipe.json" "${ask[@]}"

# Rows: what they say of themselves, their pictures and their turns.
cut=$(printf '漢%.0s' $(seq 200))
cat > "$dir/rows.jsonl" <<'END'
{"id": "a\u001b[31mRED", "image": "nope\u001b]0;OWNED\u0007\u001b[2J.jpg", "conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "x"}]}
{"id": "c", "task": "\u001b[31mx", "conversations": [{"from": "human", "value": "hi"}, {"from": "\u001b[5mhu\u009b\u202e", "value": "hi"}]}
END
for shift in '' a ab; do
    printf '{"id": "%s", "conversations": [{"from": "human", "value": "hi"}, {"from": "%s", "value": "hi"}]}\n' "$shift$cut" "$shift$cut"
    printf '{"id": "%s", "image": "%s", "conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "hi"}]}\n' "$shift" "$shift$cut"
done >> "$dir/rows.jsonl"
mkdir "$dir/${hostile}rows"
for i in 1 2 3 4; do cat "$PWD/tests/fixtures/parity/visual_tokens/rows.jsonl"; done | cat - "$dir/rows.jsonl" > "$dir/${hostile}rows/rows.jsonl"
name=$(printf '%s' "$dir/${hostile}rows" | sed 's/\x1b/\\\\u001b/; s/\x07/\\\\u0007/; s/\r/\\\\r/')
sed "s|\"data\": {|&\"max_bad\": 1, |; s|\"files\": \[[^]]*\]|\"files\": [\"$name/rows.jsonl\"]|; s|\"name\": \"rows\"|\"name\": \"ro\\\\u001b[31mws\"|" "$dir/run.json" > "$dir/hostile.json"
shows 0 "prepare" "$build/prepare" --config "$dir/hostile.json" --out "$folder/shards" --report "$dir/report.json"
says "\\x1b[31m"
clean "$dir/report.json" "the report"
clean "$folder/shards/manifest.jsonl" "the shards' manifest"
for format in text json; do shows 0 "prepare --stats as $format" "$build/prepare" --config "$dir/hostile.json" --stats --format $format; done
shows 0 "prepare --export" "$build/prepare" --config "$dir/hostile.json" --export "$folder/exported.jsonl"
clean "$folder/exported.jsonl" "the exported rows"
shows 0 "inspect: shards" "$build/inspect" "$folder/shards"
shows 0 "inspect: a sample" "$build/inspect" "$folder/shards" --sample 0
shows 0 "inspect: a sample as JSON" "$build/inspect" "$folder/shards" --sample 0 --format json
shows 0 "train" "$train" --config "$dir/hostile.json" --set "data.shards=$folder/shards2" --steps 1 --set "save.dir=$folder/runs"
clean "$folder/runs/r/train.jsonl" "train"
shows 0 "inspect: a run" "$build/inspect" "$folder/runs/r"
for format in html text; do shows 0 "report as $format" "$build/report" "$folder/runs/r" --out - --format $format; done
shows 0 "inspect: a checkpoint" "$build/inspect" "$folder/runs/r/checkpoint-000001"
shows 0 "generate" "$build/generate" --checkpoint "$folder/runs/r" --ask "hi" --max-new-tokens 1
"$train" --config "$dir/hostile.json" --set "data.shards=$folder/shards3" --steps 1 --set "save.dir=$folder/runs3" --log-format json > "$dir/out" 2> "$dir/log.jsonl" ||
    fail "train with its log in JSON: $(cat -v "$dir/log.jsonl")"
clean "$dir/log.jsonl" "the log in JSON"
parses "$dir/log.jsonl" "the log in JSON"
"$train" --config "$folder/gone.json" --log-format json 2> "$dir/log.jsonl"
clean "$dir/log.jsonl" "an error in JSON"
parses "$dir/log.jsonl" "an error in JSON"

# A message longer than its buffer, cut at every byte of a character.
long=$(printf '🙂%.0s' $(seq 2500))
for shift in '' a ab abc; do
    shows 2 "a long value" "$train" --config "$dir/run.json" --set "device=$shift$long"
    ! grep -q '\\x' "$dir/err" || fail "a long value is cut inside a character: $(tail -c 40 "$dir/err")"
done

# Questions, answers and kinds of question.
shows 65 "generate: rows" "$build/generate" --config "$dir/run.json" --batch "$dir/rows.jsonl" --out "$dir/answers" --image-root "$folder" --max-new-tokens 1
! grep -q '\\xe6' "$dir/err" "$dir/answers/bad_rows.jsonl" || fail "a row's text is cut inside a character: $(grep -h '\\xe6' "$dir/err")"
clean "$dir/answers/bad_rows.jsonl" "bad_rows.jsonl"
shows 66 "generate: a picture" "$build/generate" --config "$dir/run.json" --ask hi --image "$folder/gone.png"
printf '{"answer": "x", "expected": "%s\\u001b[31m\\u009b\\n\\u0000\\u202e", "kind": "%s\\u001b[2J\\n"}\n' a "$cut" > "$dir/scored.jsonl"
printf '{"answer": "x", "expected": "a", "kind": "漢 \\t"}\n' >> "$dir/scored.jsonl"
shows 0 "evaluate" "$build/evaluate" --answers "$dir/scored.jsonl" --label "$hostile"
grep -qF '("a\x1b[31m\x9b\n\x00\u202e")' "$dir/out" || fail "evaluate: the commonest answer: $(cat -v "$dir/out")"

# A model's answer: bytes as they are into a file, fit for a terminal on one. (So hot that any token comes; most of this vocabulary are bytes.)
for seed in $(seq 40); do # one that ends with a byte that is no character
    wild=("$build/generate" --config "$dir/run.json" --ask hi --temperature 1000 --max-new-tokens 200 --seed "$seed" --quiet)
    "${wild[@]}" > "$dir/raw" 2> "$dir/err"
    [ "$(tail -c 4 "$dir/raw")" != $'\357\277\275' ] || break
done
LC_ALL=C grep -qP '[\x01-\x08\x0e-\x1f]' "$dir/raw" || fail "an answer without any control character tests nothing: $(cat -v "$dir/raw")"
if script -qec true /dev/null < /dev/null > /dev/null 2>&1; then
    script -qec "${wild[*]}" /dev/null < /dev/null | tr -d '\r' > "$dir/terminal"
    clean "$dir/terminal" "an answer on a terminal"
    grep -qP '\\x[01][0-9a-f]' "$dir/terminal" || fail "the answer on a terminal lacks its controls: $(cat -v "$dir/terminal")"
    damaged() { LC_ALL=C grep -ac $'^\357\277\275$' < <(LC_ALL=C sed $'s/\357\277\275/\\n&\\n/g' "$1"); }
    [ "$(damaged "$dir/raw")" = "$(damaged "$dir/terminal")" ] || fail "the answer on a terminal is another than in a file"
else
    echo "    skipped: answers on a terminal, for this machine gives out none"
fi

# Names of tensors.
header='{"w\u001b[31m\u009b\n\u202e":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
{ printf "\\$(printf %03o ${#header})\0\0\0\0\0\0\0%s\0\0\0\0" "$header"; } > "$dir/one.safetensors"
shows 0 "inspect: weights" "$build/inspect" "$dir/one.safetensors"
shows 0 "inspect: weights as JSON" "$build/inspect" "$dir/one.safetensors" --format json
grep -qF 'w\u001b[31m\u009b\n\u202e' "$dir/out" || fail "inspect: the name in JSON: $(cat -v "$dir/out")"
exit $failed
