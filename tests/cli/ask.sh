#!/bin/bash
# evaluate BENCH ask: the answers are those of generate, in the official order, however many are decoded at a time, in chunks, after a stop.
. tests/cli/_train.sh
evaluate=$build/evaluate
images=$PWD/tests/fixtures/images
data=$dir/gqa
mkdir -p "$data/images"
cp "$images/rgb.jpg" "$data/images/a.jpg"
cp "$images/grey.jpg" "$data/images/b.jpg"
cp "$images/exif6.jpg" "$data/images/c.jpg"
head -c 200 "$images/rgb.jpg" > "$data/images/broken.jpg"

# questions SPLIT IMAGE...: a question about each, in this order, and one that is not balanced.
questions() {
    local split=$1 i=0 image
    shift
    {
        printf '{"0": {"question": "Not asked", "imageId": "a", "answer": "x", "isBalanced": false, "types": {"structural": "query", "semantic": "s"}}'
        for image; do
            i=$((i + 1))
            printf ',\n"q%d": {"question": "What is \\"%d\\"?%s", "imageId": "%s", "answer": "x", "isBalanced": true, "types": {"structural": "query", "semantic": "s"}}' \
                $i $i "$(printf ' Why?%.0s' $(seq $((i % 4))))" "$image"
        done
        echo '}'
    } > "$data/${split}_questions.json"
}
questions testdev_balanced a b c a broken b a none c b a a c

# ask CODE OUT OPTIONS...
ask() {
    local wanted=$1 out=$2
    shift 2
    ends_with "$evaluate" "$wanted" gqa ask --data "$data" --config "$dir/run.json" --out "$out" "$@"
}
same() { cmp -s "$dir/whole" "$1" || { fail "$2: other answers"; diff "$dir/whole" "$1" | head -6 >&2; }; }

ask 0 "$dir/whole"
says "question q5: picture $data/images/broken.jpg: "
says "question q8: "
says "warning: 2 questions have an empty answer, as their picture is missing or broken"
[ "$(wc -l < "$dir/whole")" -eq 13 ] || fail "$(wc -l < "$dir/whole") answers"
[ ! -e "$dir/whole.partial" ] || fail "the partial file stays"
sed -n 5p "$dir/whole" | grep -qE '^\{"question_id": "q5", "prompt": "What is \\"5\\"\? Why\?\\nAnswer the question using a single word or phrase\.", "text": "", "answer_id": "[0-9a-f]{16}", "model_id": "r", "metadata": \{"no_picture": true\}\}$' ||
    fail "the form of an answer: $(sed -n 5p "$dir/whole")"
[ "$(sed 's/.*"question_id": "q\([0-9]*\)".*/\1/' "$dir/whole" | tr '\n' ' ')" = "1 2 3 4 5 6 7 8 9 10 11 12 13 " ] || fail "the order: $(cat "$dir/whole")"
grep -q '"text": "[^"]' "$dir/whole" || fail "all answers are empty"
sed -n 1p "$dir/whole" | grep -q '"metadata": {}}$' || fail "an answer with its picture: $(sed -n 1p "$dir/whole")"

# More than a few without their picture are said loudly, when they are asked and when they are scored; POPE would count them as a yes each.
says "warning: MANY: 2 of 13 pictures that are asked about could not be read, the first of them $data/images/broken.jpg: a score of these answers says nothing"
ends_with "$evaluate" 0 gqa score --data "$data" --answers "$dir/whole"
says "warning: gqa: 2 of 13 answers were given without the picture, which could not be read: this score says nothing about the model"
grep -q '^gqa testdev_balanced: 13 questions, 0 without an answer, 2 with an empty one, as their PICTURE IS MISSING$' "$dir/out" || fail "score: $(cat "$dir/out")"
pope=$PWD/tests/fixtures/bench/pope
ends_with "$evaluate" 0 pope ask --data "$pope" --config "$dir/run.json" --out "$dir/pope"
n=$(wc -l < "$dir/pope")
says "warning: NONE: $n of $n pictures that are asked about could not be read"
ends_with "$evaluate" 0 pope score --data "$pope" --answers "$dir/pope" --format json
says "warning: pope: $n of $n answers were given without the picture"
grep -q "\"n_duplicate\":0,\"n_no_picture\":$n,\"score\":" "$dir/out" || fail "POPE without pictures: $(cat "$dir/out")"

# Each by itself, as generate answers it.
sed 's/^{"question_id": "\(q[0-9]*\)", "prompt": \(.*\), "text": .*/{"id": "\1", "ask": \2}/' "$dir/whole" |
    paste -d' ' - <(printf '%s\n' a b c a broken b a none c b a a c) | grep -v ' \(broken\|none\)$' | sed "s#} \([a-z]*\)\$#, \"image\": \"$data/images/\1.jpg\"}#" > "$dir/asked"
ends_with "$build/generate" 0 --config "$dir/run.json" --batch "$dir/asked" --out "$dir/alone" --max-new-tokens 128
diff <(sed 's/.*"answer":\(".*"\)}$/\1/' "$dir/alone/answers.jsonl") <(grep -v '"text": ""' "$dir/whole" | sed 's/.*"text": \(".*"\), "answer_id".*/\1/') >&2 ||
    fail "generate answers otherwise"

# However many at a time.
for n in 1 3; do
    ask 0 "$dir/by$n" --at-once $n
    same "$dir/by$n" "$n at a time"
done

# In chunks, of which the last ones may be empty; the first few.
: > "$dir/chunks"
for k in 1 2 3 4 5 6 7 8; do
    ask 0 "$dir/chunk$k" --chunk $k/8
    cat "$dir/chunk$k" >> "$dir/chunks"
done
[ ! -s "$dir/chunk8" ] || fail "the last chunk is not empty"
same "$dir/chunks" "chunks"
ask 0 "$dir/few" --limit 3
head -3 "$dir/whole" | cmp -s - "$dir/few" || fail "--limit 3"
for chunk in 0/3 4/3 1 x/2 1/2x; do
    ask 2 "$dir/none" --chunk $chunk
    says "--chunk $chunk: expected K/N with K from 1 to N, as in 2/8"
done

# A whole file is left alone; a partial one is gone on with, without the line that was being written.
cp "$dir/whole" "$dir/kept"
echo x >> "$dir/kept"
ask 0 "$dir/kept"
says "is whole and is left alone"
[ "$(tail -1 "$dir/kept")" = x ] || fail "a whole file was written"
{ sed -n '9p;2p;7p' "$dir/whole"; sed -n 4p "$dir/whole" | head -c 90; } > "$dir/resumed.partial"
ask 0 "$dir/resumed"
says "resumed.partial:4: the last line is torn; its question is asked again"
says "3 of 13 questions are answered already"
same "$dir/resumed" "resumed"
sed -n 2p "$dir/whole" | sed 's/, "text": .*, "answer_id"/, "text": "taken", "answer_id"/' > "$dir/resumed2.partial"
ask 0 "$dir/resumed2"
grep -q '"q2".*"text": "taken"' "$dir/resumed2" || fail "an answer of the partial file is not taken"
sed 2q "$dir/whole" | sed 's/"model_id": "r"/"model_id": "s"/' > "$dir/other.partial"
ask 2 "$dir/other"
says 'other.partial:1: is an answer of "s", asked is "r"'
sed '2s/"answer_id": "./"answer_id": "_/' "$dir/few" > "$dir/other.partial"
ask 2 "$dir/other"
says "other.partial:2: answers a question that is not asked here"
echo '{"question_id": 1}' > "$dir/other.partial"
ask 65 "$dir/other"
says "other.partial:1: is no answer of this program"

# Files without questions.
echo '{"0": {"isBalanced": false}}' > "$data/empty_questions.json"
ask 65 "$dir/empty" --split empty
says "gqa: the files in $data hold no question of split empty"
[ ! -e "$dir/empty" ] && [ ! -e "$dir/empty.partial" ] || fail "answers to no questions"

# What is no file is not taken for answers.
mkdir "$dir/folder"
ask 73 "$dir/folder"
says "--out $dir/folder: is a folder, which is not replaced by a file"
ask 2 -
says "so it cannot be standard output"

# Stopped by a signal: 75, and the same command goes on.
questions many $(for i in $(seq 60); do echo a b c; done)
ask 0 "$dir/many" --split many
"$evaluate" gqa ask --data "$data" --config "$dir/run.json" --out "$dir/stopped" --split many 2> "$dir/err" &
await $! test -s "$dir/stopped.partial"
kill -TERM $!
wait $!
[ $? -eq 75 ] || { fail "SIGTERM: another exit code"; cat "$dir/err" >&2; }
says "stopped by SIGTERM: "
[ -s "$dir/stopped.partial" ] && [ ! -e "$dir/stopped" ] || fail "nothing to go on from"
ask 0 "$dir/stopped" --split many
cmp -s "$dir/many" "$dir/stopped" || fail "stopped and resumed: other answers"

# A marker in the prompt, text alone, and a picture that lies in the table with the questions: the answers of generate.
letter='\nAnswer with the option'"'"'s letter from the given choices directly.'
alone() { sed -E 's/.*"answer":(".*")\}$/\1/' "$dir/alone/answers.jsonl" | sed -n "$1p"; }
text_of() { sed -nE "$2"'s/.*"text": (".*"), "(answer_id|options)".*/\1/p' "$1"; }
mkdir -p "$dir/sqa/images/test/1"
cp "$images/rgb.jpg" "$dir/sqa/images/test/1/i.jpg"
echo '{"test": ["1", "2"]}' > "$dir/sqa/pid_splits.json"
problem='"question": "Who?", "choices": ["a", "b"], "answer": 0, "hint": ""'
printf '{"1": {%s, "image": "i.jpg"}, "2": {%s, "image": null}}' "$problem" "$problem" > "$dir/sqa/problems.json"
ends_with "$evaluate" 0 sqa ask --data "$dir/sqa" --config "$dir/run.json" --out "$dir/sqa/out"
asked="Context: N/A\nQuestion: Who?\nOptions: (A) a (B) b$letter"
printf '{"ask": "%s", "image": "%s"}\n{"ask": "%s"}\n' "$asked" "$images/rgb.jpg" "$asked" > "$dir/asked"
ends_with "$build/generate" 0 --config "$dir/run.json" --batch "$dir/asked" --out "$dir/alone" --max-new-tokens 1024
for k in 1 2; do [ "$(text_of "$dir/sqa/out" $k)" = "$(alone $k)" ] || fail "sqa $k: $(sed -n ${k}p "$dir/sqa/out")"; done
grep -qF '{"question_id": "1", "prompt": "<image>\nContext: N/A\nQuestion' "$dir/sqa/out" || fail "sqa: $(head -1 "$dir/sqa/out")"
mkdir -p "$dir/mmbench"
{
    printf 'index\tquestion\thint\tA\tB\tC\tD\tanswer\timage\n'
    printf '7\tWho?\t\ta\tb\t\t\tA\t%s\n8\tWho?\t\ta\tb\t\t\tA\t!\n' "$(base64 -w0 "$images/rgb.jpg")"
} > "$dir/mmbench/mmbench_dev_20230712.tsv"
ends_with "$evaluate" 0 mmbench ask --data "$dir/mmbench" --config "$dir/run.json" --out "$dir/mmbench/out"
says "question 8: "
printf '{"ask": "%s", "image": "%s"}\n' "Who?\nA. a\nB. b$letter" "$images/rgb.jpg" > "$dir/asked"
ends_with "$build/generate" 0 --config "$dir/run.json" --batch "$dir/asked" --out "$dir/alone" --max-new-tokens 1024
[ "$(text_of "$dir/mmbench/out" 1)" = "$(alone 1)" ] || fail "mmbench: $(head -1 "$dir/mmbench/out")"
sed 's/"text": ".*", "options"/"text": "", "options"/; s/"answer_id": "[^"]*"/"answer_id": ""/' "$dir/mmbench/out" > "$dir/form"
[ "$(head -1 "$dir/form")" = '{"question_id": 7, "round_id": 0, "prompt": "Who?\nA. a\nB. b", "text": "", "options":["a","b"],"option_char":["A","B"], "answer_id": "", "model_id": "r", "metadata": {}}' ] ||
    fail "the form of an answer: $(head -1 "$dir/form")"
grep -q '"question_id": 8,.*"text": "",' "$dir/mmbench/out" || fail "a broken picture has an answer"

# A model without eyes; files that are not there.
sed 's#"vision": {[^}]*},##' "$dir/run.json" > "$dir/blind.json"
ends_with "$evaluate" 2 gqa ask --data "$data" --config "$dir/blind.json" --out "$dir/none"
says "this model has no vision tower"
ask 66 "$dir/none" --split none
ends_with "$evaluate" 2 gqa ask --data "$data" --out "$dir/none"
says "evaluate: say which model"
ends_with "$evaluate" 2 gqa aks
says 'did you mean "ask"?'
exit $failed
