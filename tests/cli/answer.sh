#!/bin/bash
# generate and evaluate: questions in their several forms, rows that cannot be answered, scores.
. tests/cli/_train.sh
generate=$build/generate evaluate=$build/evaluate
images=$PWD/tests/fixtures/images

# run CODE PROGRAM ARGUMENTS...: as expect, for any program.
run() {
    local wanted=$1 code
    shift
    "$@" > "$dir/out" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { fail "$*: exit $code, wanted $wanted"; sed 's/^/    /' "$dir/err" >&2; }
}
batch() {
    local wanted=$1
    shift
    run "$wanted" "$generate" --config "$dir/run.json" --max-new-tokens 4 --out "$dir/answers" --batch "$@"
}
lines() { [ "$(wc -l < "$dir/answers/$1")" -eq "$2" ] || fail "$3: $1 holds $(cat "$dir/answers/$1")"; }

# Every argument of --help begins where the others do, whatever its letters.
run 0 "$generate" --help
grep -qF '  --image FILE…             the pictures' "$dir/out" || fail "--image FILE… is not aligned with the others"

# A conversation: a question a line, each answered after those before it.
run 0 "$generate" --config "$dir/run.json" --max-new-tokens 4 --ask "What is it?"
cp "$dir/out" "$dir/asked"
printf '\nWhat is it?\r\n\nWhy?' > "$dir/said"
run 0 "$generate" --config "$dir/run.json" --max-new-tokens 4 --chat < "$dir/said"
[ "$(wc -l < "$dir/out")" -eq 2 ] && head -1 "$dir/out" | cmp -s - "$dir/asked" || fail "--chat answers $(cat "$dir/out")"
run 0 "$generate" --config "$dir/run.json" --max-new-tokens 1 --chat < <(yes Why | head -129)
[ "$(wc -l < "$dir/out")" -eq 128 ] || fail "a conversation of $(wc -l < "$dir/out") questions"
says "warning: the conversation is full: it takes 128 questions"

# Lines and an array, with and without a byte-order mark and blank lines in front, are the same questions.
row() { printf '{"id": "%s", "ask": "What is it?", "image": "%s"}' "$1" "$2"; }
{ row a "$images/rgb.png"; echo; echo; row b "$images/rgb.jpg"; echo; } > "$dir/lines"
{ printf '[ '; row a "$images/rgb.png"; echo ,; row b "$images/rgb.jpg"; echo ']'; } > "$dir/array"
batch 0 "$dir/lines"
lines answers.jsonl 2 "lines"
cp "$dir/answers/answers.jsonl" "$dir/good"
for form in array lines; do
    for start in '\357\273\277' '\n \n' '\357\273\277\n\n'; do
        { printf "$start"; cat "$dir/$form"; } > "$dir/marked"
        batch 0 "$dir/marked"
        cmp -s "$dir/good" "$dir/answers/answers.jsonl" || fail "$form after \"$start\": other answers"
    done
done
{ printf '\357\273\277\n\n[{"ask":\n5}'; } > "$dir/marked"
batch 65 "$dir/marked"
says "$dir/marked:4:3: "

# LLaVA's question files: their "text" is asked; the id stays as it is, whatever its type.
{ printf '{"question_id": 7, "image": "rgb.png", "text": "What is it?", "category": "x"}\n{"question_id": "b", "image": "rgb.jpg", "text": "What is it?"}\n'; } > "$dir/questions"
batch 0 "$dir/questions" --image-root "$images"
lines answers.jsonl 2 "LLaVA's questions"
head -1 "$dir/answers/answers.jsonl" | grep -qF '{"ask":"What is it?","question_id":7,"image":"rgb.png","category":"x","answer":' || fail "LLaVA's questions: $(cat "$dir/answers/answers.jsonl")"
[ "$(sed 's/.*"answer"//' "$dir/answers/answers.jsonl")" = "$(sed 's/.*"answer"//' "$dir/good")" ] || fail "LLaVA's questions: other answers"
echo '{"question_id": 9, "image": "none.png", "text": "What is it?"}' >> "$dir/questions"
batch 0 "$dir/questions" --image-root "$images"
grep -qF '"row":2,"id":9,' "$dir/answers/bad_rows.jsonl" || fail "no question_id of a question left out: $(cat "$dir/answers/bad_rows.jsonl")"

# More than the language model has positions for is no question; an answer ends with them.
cp -r "$bases/llm-gqa" "$dir/short" && sed -i 's/"max_position_embeddings": [0-9]*/"max_position_embeddings": 24/' "$dir/short/config.json"
run 65 "$generate" --config "$dir/run.json" --set "model.llm.path=$dir/short" --ask "$(yes 'What is it?' | head -20 | tr '\n' ' ')"
says "positions (max_position_embeddings in $dir/short/config.json), the answer's among them: ask a shorter one"
run 0 "$generate" --config "$dir/run.json" --set "model.llm.path=$dir/short" --ask "What?"
says "warning: the answer ends where the language model has no more positions (max_position_embeddings)"

# Pictures beside the file, and elsewhere.
{ row a rgb.png; echo; row b rgb.jpg; echo; } > "$dir/elsewhere"
batch 65 "$dir/elsewhere"
says "relative paths of pictures start at $dir, the folder of the questions; --image-root DIR says where else"
batch 0 "$dir/elsewhere" --image-root "$images"
[ "$(sed 's/.*"answer"//' "$dir/answers/answers.jsonl")" = "$(sed 's/.*"answer"//' "$dir/good")" ] || fail "--image-root: other answers"
{ row a "$images/rgb.png"; echo; row b ../secret.png; echo; row c "$dir/secret.png"; echo; row d link.png; echo; } > "$dir/rooted"
mkdir "$dir/rooted_images"
cp "$images/rgb.png" "$dir/secret.png"
cp "$images/rgb.png" "$dir/rooted_images/rgb.png"
ln -s ../secret.png "$dir/rooted_images/link.png"
sed -i "s|$images/|$dir/rooted_images/|" "$dir/rooted"
batch 0 "$dir/rooted" --image-root "$dir/rooted_images"
lines answers.jsonl 1 "only the absolute path inside the root"
lines bad_rows.jsonl 3 "paths that leave the root"
begins() { says "${1:0:200}"; } # a fault of a row is cut after 256 bytes
begins "rooted:2: picture ../secret.png: leads by \"..\" out of the image root $dir/rooted_images"
begins "rooted:3: picture $dir/secret.png: is an absolute path outside of the image root $dir/rooted_images"
begins "rooted:4: picture link.png: leads by a link out of the image root $dir/rooted_images"
run 2 "$generate" --config "$dir/run.json" --ask "What is it?" --image-root "$images"
says "generate: --image-root is for --batch"

echo mine > "$dir/taken"
run 73 "$generate" --config "$dir/run.json" --batch "$dir/lines" --out "$dir/taken"
says "--out $dir/taken: is a file; a folder for answers.jsonl and pictures is made: give another name, or move that away"
[ "$(cat "$dir/taken")" = mine ] || fail "--out FILE was written"
batch 0 "$dir/lines"
says "warning: $dir/answers/answers.jsonl: is there already, of an earlier batch; the new answers take its place, and that of its pictures (--out DIR puts them elsewhere)"
run 66 "$generate" --checkpoint "$images" --ask "What is it?"
says "--checkpoint $images: is neither a checkpoint, which has a MANIFEST.json, nor a run folder (save.dir/name of its config), which has checkpoint-NNNNNN folders"
batch 2 "$dir/lines" --image "$images/rgb.png"
says "generate: --image is for --ask, --edit and --chat"

# A picture is a file, or comes from standard input; nothing else is opened, whoever names it.
mkfifo "$dir/pipe"
for odd in /dev/zero:"a device" "$dir/pipe:a pipe" "$dir:a folder"; do
    run 66 timeout 60 "$generate" --config "$dir/run.json" --ask "What is it?" --image "${odd%%:*}"
    says "picture ${odd%%:*}: is ${odd#*:}, expected a picture file"
    row a "${odd%%:*}" > "$dir/odd"
    batch 65 "$dir/odd"
    says "picture ${odd%%:*}: is ${odd#*:}, expected a picture file"
done
run 0 "$generate" --config "$dir/run.json" --max-new-tokens 4 --ask "What is it?" --image "$images/rgb.png"
cp "$dir/out" "$dir/asked"
run 0 "$generate" --config "$dir/run.json" --max-new-tokens 4 --ask "What is it?" --image - < "$images/rgb.png"
cmp -s "$dir/out" "$dir/asked" || fail "a picture from standard input gets another answer"

# A system text stands in the prompt; an empty one is none, and plain has no place for one.
asked_with() { run 0 "$generate" --config "$dir/run.json" --max-new-tokens 16 --ask "What is it?" "$@"; }
asked_with
cp "$dir/out" "$dir/asked"
asked_with --system ""
cmp -s "$dir/out" "$dir/asked" || fail "an empty system text changes the answer"
asked_with --system "the red star on a blue ring. the red star on a blue ring"
! cmp -s "$dir/out" "$dir/asked" || fail "a system text changes nothing: $(cat "$dir/asked")"
run 2 "$generate" --config "$dir/run.json" --ask "What is it?" --system "Be brief." --set data.template=plain
says "a system text, and the template plain has no place for one"

# What is asked is a text, and pictures have names.
run 2 "$generate" --config "$dir/run.json" --ask ""
says "generate: --ask: its text is empty"
run 2 "$generate" --config "$dir/run.json" --ask "$(printf 'caf\351?')"
says "generate: --ask: byte 3 of its text is 0xe9, where UTF-8 has none"
run 2 "$generate" --config "$dir/run.json" --ask "What is it?" --image ""
says "generate: --image: the name of a picture is empty"

run 0 "$generate" --help
cat -s "$dir/out" | cmp -s - "$dir/out" || fail "--help has two blank lines in a row"

# What cannot be answered is left out, said and listed; the others are answered as ever.
cp "$images/rgb.png" "$dir/cut.png"
truncate -s 100 "$dir/cut.png"
{ row x gone.png; echo; row a "$images/rgb.png"; echo; echo '{"ask": 5}'; row y cut.png; echo; echo 'not JSON'; row b "$images/rgb.jpg"; echo; echo '{"draw": "a cat"}'; } > "$dir/some"
batch 0 "$dir/some"
cmp -s "$dir/good" "$dir/answers/answers.jsonl" || fail "the good rows got other answers"
says "$dir/some:1: picture $dir/gone.png: cannot be opened: No such file or directory"
says "$dir/some:3: \"ask\" is an integer; it takes the text of a question"
says "$dir/some:4: picture $dir/cut.png: "
says "$dir/some:5:1: expected a value"
says "$dir/some:7: this model does not draw: model.diffusion.path is null"
says "5 of 7 questions left out; they are listed in $dir/answers/bad_rows.jsonl"
lines bad_rows.jsonl 5 "bad rows"
head -1 "$dir/answers/bad_rows.jsonl" | grep -qF "{\"file\":\"$dir/some\",\"row\":0,\"id\":\"x\",\"path\":\"$dir/gone.png\",\"message\":\"" || fail "bad_rows.jsonl: $(head -1 "$dir/answers/bad_rows.jsonl")"
sed -n 2p "$dir/answers/bad_rows.jsonl" | grep -qF '"row":2,' || fail "bad_rows.jsonl: $(sed -n 2p "$dir/answers/bad_rows.jsonl")"
{ echo; echo '{"question": 1}'; echo; row a "$images/rgb.png"; echo; } > "$dir/blank"
batch 0 "$dir/blank"
says "warning: $dir/blank:2: neither \"ask\", \"draw\" nor \"edit\", nor \"conversations\", \"messages\" or \"turns\"; a row is {\"ask\": text, \"image\": path} or a LLaVA record {\"conversations\": [{\"from\": \"human\", \"value\": text}, …], \"image\": path}"
grep -qF '"row":0,' "$dir/answers/bad_rows.jsonl" || fail "a blank line counts as a row: $(cat "$dir/answers/bad_rows.jsonl")"
{ echo "[$(row a "$images/rgb.png"),"; echo '{"ask": 5}]'; } > "$dir/array"
batch 0 "$dir/array"
says "warning: $dir/array: row 1: \"ask\" is an integer; it takes the text of a question"
grep -qF '"row":1,' "$dir/answers/bad_rows.jsonl" || fail "the row of an array: $(cat "$dir/answers/bad_rows.jsonl")"
batch 0 "$dir/lines"
[ ! -e "$dir/answers/bad_rows.jsonl" ] || fail "bad rows of an earlier batch stay"
{ row x gone.png; echo; row y cut.png; } > "$dir/none"
batch 65 "$dir/none"
says "none of the 2 questions of $dir/none can be answered; the first: $dir/none:1: picture $dir/gone.png: cannot be opened: No such file or directory"
echo '{"draw": "a cat"}' > "$dir/draw"
batch 2 "$dir/draw"
: > "$dir/empty"
batch 65 "$dir/empty"
says "$dir/empty: holds no questions"

# Of a record every question is asked, after those before it with their given answers; each picture stands where its marker does.
value() { sed -n "$1p" "$dir/answers/answers.jsonl" | sed 's/.*"answer"://; s/}$//'; }
said() { printf '{"from": "human", "value": "%s"}, {"from": "gpt", "value": %s}' "$1" "$2"; }
printf '{"ask": "What is it?", "image": "%s"}\n{"ask": "Why?"}\n' "$images/rgb.png" > "$dir/alone"
batch 0 "$dir/alone"
first=$(value 1) blind=$(value 2)
printf 'What is it?\nWhy?\n' | "$generate" --config "$dir/run.json" --max-new-tokens 4 --chat --image "$images/rgb.png" 2> "$dir/err" | od -c > "$dir/chat"
printf '{"id": 7, "image": "%s", "conversations": [%s, %s, {"from": "human", "value": " And then? "}]}\n' "$images/rgb.png" \
    "$(said '<image>\nWhat is it?' "$first")" "$(said 'Why?' '"So."')" > "$dir/record"
printf '{"uid": "u/1", "split": "test", "images": [{"path": "%s"}], "turns": [%s, %s]}\n' "$images/rgb.png" "$(said 'Why?' '"a"')" "$(said 'Where <image>?' '"b"')" >> "$dir/record"
printf '{"id": "one", "image": "%s", "conversations": [%s]}\n' "$images/rgb.png" "$(said 'What is it?<image>' '"x"')" >> "$dir/record"
batch 0 "$dir/record"
lines answers.jsonl 6 "records"
[ "$(value 1)" = "$first" ] || fail "the first question of a record: $(value 1), alone $first"
[ "$(value 4)" = "$blind" ] || fail "a question before the picture: $(value 4), without one $blind"
[ "$(value 6)" = "$first" ] || fail "a record of one question: $(value 6), alone $first"
for i in 1 2; do printf '%b\n' "$(value $i | sed 's/^"//; s/"$//')"; done | od -c | cmp -s - "$dir/chat" || fail "the second question: $(value 2), --chat $(cat "$dir/chat")"
head -3 "$dir/answers/answers.jsonl" | sed 's/,"answer":.*//' > "$dir/found"
cat > "$dir/wanted" <<ROWS
{"ask":"What is it?","id":7,"image":"$images/rgb.png","turn":0,"expected":$first
{"ask":"Why?","id":7,"image":"$images/rgb.png","turn":1,"expected":"So."
{"ask":"And then?","id":7,"image":"$images/rgb.png","turn":2
ROWS
cmp -s "$dir/wanted" "$dir/found" || { fail "the lines of a record:"; diff "$dir/wanted" "$dir/found" >&2; }
sed -n 5p "$dir/answers/answers.jsonl" | grep -qF '"uid":"u/1","split":"test","images":[{"path":"'"$images/rgb.png"'"}],"id":"u/1","turn":1,"expected":"b","answer":' ||
    fail "a unified record: $(sed -n 5p "$dir/answers/answers.jsonl")"
# A row's own system text is told the model, another than --system too.
printf '{"conversations": [{"from": "system", "value": "the red star on a blue ring"}, %s]}\n' "$(said 'What is it?' '"x"')" > "$dir/told"
batch 0 "$dir/told" --max-new-tokens 16 --system "two"
by_row=$(value 1)
printf '%s\n' '{"messages": [{"role": "system", "content": "the red star on a blue ring"}, {"role": "user", "content": [{"type": "text", "text": "What is it?"}]}]}' > "$dir/chat"
batch 0 "$dir/chat" --max-new-tokens 16
[ "$(value 1)" = "$by_row" ] || fail "the same in chat messages: $by_row, then $(value 1)"
echo '{"ask": "What is it?"}' > "$dir/untold"
batch 0 "$dir/untold" --max-new-tokens 16 --system "the red star on a blue ring"
[ "$(value 1)" = "$by_row" ] || fail "a row's system turn: $by_row, as --system $(value 1)"
batch 0 "$dir/untold" --max-new-tokens 16
[ "$(value 1)" != "$by_row" ] || fail "a system text changes nothing: $by_row"
# Records that cannot be asked are left out with a sentence; so is one question, where only that fails.
cat > "$dir/some" <<ROWS
{"id": 0, "conversations": [$(said 'hi' '"x"')]}
{"id": 1, "conversations": [$(said '<image>\nhi' '"x"')]}
{"id": 2, "conversations": [{"from": "observation", "value": "hi"}, {"from": "gpt", "value": "x"}]}
{"id": 3, "conversations": [{"from": "human", "value": "hi"}, {"from": "human", "value": "x"}]}
{"id": 4, "task": "generate", "conversations": [$(said 'hi' '"<gen>"')]}
{"id": 5, "image": "$dir/gone.png", "conversations": [$(said 'hi' '"x"'), $(said '<image>' '"x"')]}
{"id": 6, "image": "$images/rgb.png", "conversations": [$(said 'hi' '"x"')]}
{"id": 7, "messages": [{"role": "tool", "content": "hi"}]}
ROWS
batch 0 "$dir/some"
lines answers.jsonl 2 "records that cannot be asked"
says "warning: $dir/some:2: 1 <image> in the turns from human, 0 images"
says "warning: $dir/some:3: turn 0 is from \"observation\", expected human or gpt, or user or assistant"
says "warning: $dir/some:4: a turn from human follows one from the same"
says "warning: $dir/some:5: this model does not draw: model.diffusion.path is null"
says "warning: $dir/some:6: question 1: picture $dir/gone.png: cannot be opened"
says "warning: $dir/some:7: 0 <image> in the turns from human, 1 image"
says "warning: $dir/some:8: turn 0 is from \"tool\", expected human or gpt, or user or assistant"
says "7 of 9 questions left out"
sed -n 5p "$dir/answers/bad_rows.jsonl" | grep -qF '"row":5,"id":5,"turn":1,' || fail "a question left out: $(tail -1 "$dir/answers/bad_rows.jsonl")"
printf '{"ask": "hi"}\n{"conversations": []}\n' > "$dir/silent"
batch 0 "$dir/silent"
says "warning: $dir/silent:2: a conversation without a turn from human"
# Time grows with a question's length, not with its square (400,000 markers took minutes).
{ printf '{"ask": "hi"}\n{"conversations": [{"from": "human", "value": "'; head -c 2800000 < <(yes '<image>' | tr -d '\n'); printf '"}]}\n'; } > "$dir/markers"
run 0 prlimit --cpu=20 "$generate" --config "$dir/run.json" --max-new-tokens 4 --out "$dir/answers" --batch "$dir/markers"
says "400000 <image> in the turns from human, 0 images"

# A picture that is null or "" is none, as in rows that are trained on.
printf '{"ask": "What is it?"}\n{"ask": "What is it?", "image": null}\n{"ask": "What is it?", "image": ""}\n' > "$dir/blind"
batch 0 "$dir/blind"
[ "$(sed 's/.*"answer"//' "$dir/answers/answers.jsonl" | sort -u | wc -l)" = 1 ] && lines answers.jsonl 3 "no picture" || fail "a row without a picture: $(cat "$dir/answers/answers.jsonl")"

# A run folder stands for its newest checkpoint.
expect 0 --config "$dir/run.json" --steps 2
run 0 "$generate" --checkpoint "$dir/runs/r/checkpoint-000002" --ask "What is it?" --max-new-tokens 4
cp "$dir/out" "$dir/by_checkpoint"
run 0 "$generate" --checkpoint "$dir/runs/r" --ask "What is it?" --max-new-tokens 4
says "using $dir/runs/r/checkpoint-000002"
cmp -s "$dir/by_checkpoint" "$dir/out" || fail "--checkpoint with a run folder: another answer"
# It may be asked where its bases lie elsewhere and on another device; the rest stands.
base=$(sed -n 's/.*"path": "\([^"]*llm-gqa\)".*/\1/p' "$dir/run.json")
cp -r "$base" "$dir/moved"
run 0 "$generate" --checkpoint "$dir/runs/r" --set device=cpu --set model.llm.path="$dir/moved" --ask "What is it?" --max-new-tokens 4
cmp -s "$dir/by_checkpoint" "$dir/out" || fail "--checkpoint with its base elsewhere: another answer"
# Another base than the one trained on is refused with the names of both, unless it is meant. Its end tokens count: the ids of one of these
# lists hold the first token of the answer.
says_other="model.llm.path: $dir/moved is not the base that $dir/runs/r/checkpoint-000002 was trained on, which is $base: its generation_config.json was not there"
empty=0
for first in 0 60 120 180 240 300; do
    printf '{"eos_token_id": [%s]}' "$(seq -s, $first $((first + 59)))" > "$dir/moved/generation_config.json"
    run 65 "$generate" --checkpoint "$dir/runs/r" --set model.llm.path="$dir/moved" --ask "What is it?" --max-new-tokens 4
    says "$says_other; give that one (--set KEY=DIR), or go on with --base-changed"
    run 0 "$generate" --checkpoint "$dir/runs/r" --set model.llm.path="$dir/moved" --base-changed --ask "What is it?" --max-new-tokens 4
    says "$says_other"
    [ "$(wc -c < "$dir/out")" -gt 1 ] || empty=$((empty + 1))
done
[ $empty -eq 1 ] || fail "end tokens of generation_config.json: $empty of 6 lists end the answer at once, wanted 1"
run 66 "$generate" --checkpoint "$dir/runs/r" --set model.llm.path="$dir/nowhere" --ask "What is it?" # what is set is what is read
says "model.llm.path: $dir/nowhere"
run 2 "$generate" --checkpoint "$dir/runs/r" --set model.lora.r=8 --ask "What is it?"
says "generate: --set model.lora.r=8: a checkpoint's own settings stand as they are; only device, train.compute, train.memory, data.max_pixels, model.llm.multiply, model.llm.path, model.vision.path and model.diffusion.path can be set"
run 66 "$generate" --checkpoint "$dir/answers" --ask "What is it?"
says "error: --checkpoint $dir/answers: is neither a checkpoint, which has a MANIFEST.json, nor a run folder"
run 66 "$generate" --checkpoint "$dir/nowhere" --ask "What is it?"
says "error: --checkpoint $dir/nowhere: there is no such folder"

# Scores: NUL is a character like others, long answers are compared whole; standard input.
long=$(printf 'x%.0s' $(seq 100))
cat > "$dir/scored" <<ROWS
{"answer": "Yes.", "expected": " yes"}
{"answer": "a\\u0000b", "expected": "a"}
{"answer": "${long}y", "expected": "${long}z"}

{"answer": "${long}z", "expected": "${long}z"}
ROWS
run 0 "$evaluate" --answers - --label result < "$dir/scored"
grep -qF 'result: 50.0 % (' "$dir/out" || fail "scores: $(cat "$dir/out")"
# Letters beyond ASCII: case, composed or not, ß; every kind counts its own, also in the answers before (whose kinds do not matter).
cat > "$dir/letters" <<'ROWS'
{"answer": "\u00c9t\u00e9", "expected": "\u00e9te\u0301.", "kind": "b"}
{"answer": "\u0414\u041e\u041c", "expected": "\u0434\u043e\u043c", "kind": "a"}
{"answer": "STRASSE", "expected": "\u3000Stra\u00dfe", "kind": "a"}
{"answer": "e", "expected": "\u00e9", "kind": "a"}
ROWS
sed 's/"kind": "b"/"kind": "a"/; s/STRASSE/x/' "$dir/letters" > "$dir/letters_before"
run 0 "$evaluate" --answers "$dir/letters" --before "$dir/letters_before"
printf '%-20s %9s %9s %9s %9s\n' kind questions accuracy before majority > "$dir/wanted"
printf '%-20s %9d %7.1f %% %7.1f %% %7.1f %%  ("%s")\n' b 1 100 100 100 été a 3 66.7 33.3 33.3 дом >> "$dir/wanted"
echo 'accuracy: 75.0 % (before 50.0 %, majority 50.0 %)' >> "$dir/wanted"
cmp -s "$dir/wanted" "$dir/out" || { fail "letters beyond ASCII:"; diff "$dir/wanted" "$dir/out" >&2; }
run 0 "$evaluate" --answers "$dir/letters" --before "$dir/letters_before" --log-format json
grep -qF '{"label":"accuracy","questions":4,"right":3,"right_before":2,"right_by_majority":2,"accuracy":0.75,"kinds":[{"kind":"b","questions":1,' "$dir/out" ||
    fail "scores as JSON: $(cat "$dir/out")"
# What is no character is read as U+FFFD, and said; a question whose answer nobody gave is not scored, and said.
printf '{"answer": "caf\351", "expected": "Caf\\ufffd"}\n{"answer": "\\ud800", "expected": "x"}\n{"answer": "y"}\n' > "$dir/damaged"
run 0 "$evaluate" --answers "$dir/damaged"
grep -qF 'accuracy: 50.0 % (' "$dir/out" || fail "damaged answers: $(cat "$dir/out")"
says "warning: $dir/damaged: 2 rows hold what is no character (bytes that are not UTF-8, lone surrogates); it is read as U+FFFD"
says "warning: $dir/damaged: 1 of 3 answers have no \"expected\" beside them and are not scored"
for array in '[{"answer": "y", "expected": "y"}]' $'\n[\n {"answer": "y", "expected": "y"}\n]'; do
    run 65 "$evaluate" --answers - <<< "$array"
    says 'standard input: is a JSON array, expected an answer a line, as `generate --batch` writes them'
done
run 65 "$evaluate" --answers - <<< '{"answer": "y"}'
says 'standard input: none of its answers has an "expected" beside it'
# Kinds that differ late are two; the commonest answer is the first of equally frequent ones.
printf '{"answer": "x", "expected": "%s", "kind": "%s"}\n' b "${long}1" a "${long}1" a "${long}2" > "$dir/kinds"
run 0 "$evaluate" --answers "$dir/kinds"
[ "$(grep -c '^xxx' "$dir/out")" = 2 ] && grep -q '2 .* 50.0 %  ("b")' "$dir/out" || fail "long kinds: $(cat "$dir/out")"
# Time grows with the answers, not with their square (which took 20 s).
seq 80000 | sed 's/.*/{"answer": "a&", "expected": "b&"}/' > "$dir/many"
run 0 prlimit --cpu=8 "$evaluate" --answers "$dir/many"
grep -qF 'all                      80000     0.0 %               0.0 %  ("b1")' "$dir/out" || fail "many answers: $(cat "$dir/out")"
run 0 "$evaluate" --answers "$dir/scored" --before - < "$dir/scored"
[ ! -s "$dir/err" ] || fail "a warning about whole answers: $(cat "$dir/err")"
batch 0 "$dir/array"
sed 's/"answer"/"expected":"x","answer"/' "$dir/answers/answers.jsonl" > "$dir/answers/scored.jsonl"
run 0 "$evaluate" --answers "$dir/answers/scored.jsonl"
[ ! -s "$dir/err" ] || fail "a warning about another file's rows: $(cat "$dir/err")"
mv "$dir/answers/scored.jsonl" "$dir/answers/answers.jsonl"
run 0 "$evaluate" --answers "$dir/answers/answers.jsonl"
says "warning: 1 of 2 questions of the batch had no answer ($dir/answers/bad_rows.jsonl); the score is over the other 1"
run 2 "$evaluate" --answers - --before -
run 65 "$evaluate" --answers - <<< '{"answer": 1, "expected": "x"}'
says 'standard input:1: needs "answer" and "expected", both text'
run 65 "$evaluate" --answers - < <(cat "$dir/scored"; echo "{")
exit $failed
