#!/bin/bash
# evaluate BENCH score|submit|judge: exit codes, what is said, that nothing is printed and --out stays as it was where it fails.
set -u
build=$1
evaluate=$build/evaluate
[ -x "$evaluate" ] || { echo "$evaluate is not built" >&2; exit 1; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
fixtures=$PWD/tests/fixtures/bench
pope=$fixtures/pope vqav2=$fixtures/vqav2 vizwiz=$fixtures/vizwiz

fail() {
    echo "$0: $*" >&2
    failed=1
}
# run CODE ARGUMENTS...: its output is in $dir/out and $dir/err afterwards. A failure prints nothing.
run() {
    local wanted=$1 code
    shift
    "$evaluate" "$@" > "$dir/out" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { fail "$*: exit $code, wanted $wanted"; sed 's/^/    /' "$dir/err" >&2; }
    [ $code -eq 0 ] || [ ! -s "$dir/out" ] || fail "$*: prints $(cat "$dir/out") and fails"
}
says() { grep -qF -- "$1" "$dir/err" || { fail "stderr does not say: $1"; sed 's/^/    /' "$dir/err" >&2; }; }
prints() { grep -qF -- "$1" "$dir/out" || { fail "stdout does not say: $1"; sed 's/^/    /' "$dir/out" >&2; }; }
# refused CODE TEXT ARGUMENTS...
refused() {
    local wanted=$1 text=$2
    shift 2
    run "$wanted" "$@"
    says "$text"
}

# What there is.
run 0 gqa --help
prints "evaluate BENCH submit --data DIR --answers FILE… --out FILE"
run 0 --list
for bench in vqav2 gqa vizwiz textvqa sqa pope mme mmbench mmbench-cn seed mmmu mathvista; do grep -q "^$bench  *split " "$dir/out" || fail "--list lacks $bench"; done
prints "prompt \"\\nAnswer the question using a single word or phrase.\""
[ "$(cut -c1 "$dir/out" | grep -c '[a-z]')" -eq "$(wc -l < "$dir/out")" ] || fail "--list takes more than a line for a benchmark"
run 0 --help
prints "evaluate --list"
run 0 pope score --help
prints "--allow-missing"

# Names.
refused 2 'there is no benchmark and no command "gqqa"; did you mean "gqa"?' gqqa score --data x --answers y
refused 2 'there is no benchmark and no command "something"; evaluate --list names them' something
refused 2 'evaluate pope knows no step "scor"; did you mean "score"?' pope scor
refused 2 'evaluate pope needs a step: ' pope
refused 2 'did you mean --answers?' pope score --answer x
refused 2 'needs --data DIR' pope score --answers x
refused 2 'needs --answers FILE' pope score --data "$pope"
refused 2 'needs --out FILE' vizwiz submit --data "$vizwiz" --answers "$vizwiz/answers.jsonl"
refused 2 'needs no judge; evaluate pope score scores it' pope judge --data "$pope" --answers "$pope/answers.jsonl" --out "$dir/x"
refused 2 'has no server to submit to; evaluate pope score scores here' pope submit --data "$pope" --answers "$pope/answers.jsonl" --out "$dir/x"
refused 2 '"yaml"' pope score --data "$pope" --answers "$pope/answers.jsonl" --format yaml
[ ! -e "$dir/x" ] || fail "a refused command writes --out"

refused 2 'pope has one split, "coco"; found "test"' pope score --data "$pope" --answers "$pope/answers.jsonl" --split test

# Scores, as a table and as JSON.
run 0 pope score --data "$pope" --answers "$pope/answers.jsonl"
grep -qE '^f1 +69\.91$' "$dir/out" || fail "pope says $(cat "$dir/out")"
grep -qE '^adversarial/accuracy +66\.67 +[0-9.]+ to [0-9.]+$' "$dir/out" || fail "pope says $(cat "$dir/out")"
run 0 pope score --data "$pope" --answers "$pope/answers.jsonl" --format json
cp "$dir/out" "$dir/whole"
prints '{"bench":"pope","split":"coco","n":90,"n_missing":0,"n_duplicate":0,"score":69.9074074074074'
[ "$(wc -l < "$dir/out")" -eq 1 ] || fail "JSON of more than a line"

# The same answers: in other orders, from several files, from a pipe, with a byte order mark and carriage returns.
same() { cmp -s "$dir/out" "$dir/whole" || fail "$1: $(cat "$dir/out")"; }
sort -r "$pope/answers.jsonl" > "$dir/sorted"
run 0 pope score --data "$pope" --answers "$dir/sorted" --format json
same "sorted answers"
head -40 "$pope/answers.jsonl" > "$dir/first" && tail -n +41 "$pope/answers.jsonl" > "$dir/rest"
run 0 pope score --data "$pope" --answers "$dir/rest" "$dir/first" --format json
same "two files"
run 0 pope score --data "$pope" --answers - --format json < "$pope/answers.jsonl"
same "standard input"
{ printf '\357\273\277'; sed 's/$/\r/' "$pope/answers.jsonl"; } > "$dir/marked"
run 0 pope score --data "$pope" --answers "$dir/marked" --format json
same "BOM and CRLF"
{ cat "$pope/answers.jsonl"; printf '{"question_id": 3, "te'; } > "$dir/torn"
run 0 pope score --data "$pope" --answers "$dir/torn" --format json
same "a torn last line"
says "torn:91: the last line is torn and is left out"
cp -r "$pope" "$dir/flat" && mv "$dir/flat/coco/"* "$dir/flat"
run 0 pope score --data "$dir/flat" --answers "$pope/answers.jsonl" --format json
same "files beside the merged one"

# Several answers to a question: the last counts.
{ head -1 "$pope/answers.jsonl" | sed 's/"text": "[^"]*"/"text": "something else"/'; cat "$pope/answers.jsonl"; } > "$dir/twice"
run 0 pope score --data "$pope" --answers "$dir/twice" --format json
[ "$(sed 's/"n_duplicate":1/"n_duplicate":0/' "$dir/out")" = "$(cat "$dir/whole")" ] || fail "answered twice: $(cat "$dir/out")"

mathvista=$fixtures/mathvista
run 0 mathvista judge --data "$mathvista" --answers "$mathvista/answers.jsonl" --replies "$mathvista/replies.jsonl" \
    "$mathvista/replies.jsonl" --format json
prints "\"n_duplicate\":$(grep -c '"status_code": *200' "$mathvista/replies.jsonl"),"

# Too few, too many, broken.
tail -n +2 "$pope/answers.jsonl" > "$dir/fewer"
refused 65 '1 of 90 questions have no answer, which is more than 1 %; --allow-missing counts them as wrong' \
    pope score --data "$pope" --answers "$dir/fewer"
run 0 pope score --data "$pope" --answers "$dir/fewer" --allow-missing --format json
prints '"n":90,"n_missing":1,'
{ cat "$pope/answers.jsonl"; echo '{"question_id": 4, "text": "yes"}'; } > "$dir/more"
refused 65 'more:91: answers "4", which is no question of this benchmark and split' pope score --data "$pope" --answers "$dir/more"
{ head -3 "$pope/answers.jsonl"; echo '{"question_id": 4, "te'; tail -n +4 "$pope/answers.jsonl"; } > "$dir/broken"
refused 65 'broken:4:' pope score --data "$pope" --answers "$dir/broken"
echo '{"question_id": 3}' > "$dir/mute"
refused 65 'mute:1: "text" is absent, expected the answer as text' pope score --data "$pope" --answers "$dir/mute"
printf '{"question_id": 3}' > "$dir/mute"
refused 65 'mute:1: "text" is absent, expected the answer as text' pope score --data "$pope" --answers "$dir/mute"
refused 66 "$dir/none" pope score --data "$pope" --answers "$dir/none"
refused 66 "coco_pope_adversarial.json" pope score --data "$dir" --answers "$pope/answers.jsonl"
mkdir "$dir/none_asked"
: > "$dir/no_answers"
run 0 llava-bench judge --data "$fixtures/llava-bench" --replies "$dir/no_answers" --allow-missing
grep -qE '^all +-$' "$dir/out" || fail "llava-bench without a reply says $(cat "$dir/out")"
echo '{"a": {"isBalanced": false}}' > "$dir/none_asked/testdev_balanced_questions.json"
refused 65 "gqa: the files in $dir/none_asked hold no question of split testdev_balanced" \
    gqa score --data "$dir/none_asked" --answers "$dir/no_answers"
echo '{}' > "$dir/none_asked/mm-vet.json"
: > "$dir/none_asked/mm-vet-prompt.txt"
refused 65 "mm-vet: the files in $dir/none_asked hold no question of split v1" \
    mm-vet judge --data "$dir/none_asked" --answers "$dir/no_answers" --out "$dir/x"
[ ! -e "$dir/x" ] || fail "requests about no questions"
echo '[{"isBalanced": true, "answer": "x"}]' > "$dir/none_asked/testdev_balanced_questions.json"
for step in "score --answers $dir/no_answers" "submit --answers $dir/no_answers --out $dir/x"; do
    refused 65 "testdev_balanced_questions.json:1:1: expected '{' of a JSON object, found '['" gqa $step --data "$dir/none_asked"
done
refused 65 'the labels of test2015 are not public' vqav2 score --data "$vqav2" --split test2015 --answers "$vqav2/answers.jsonl"
refused 66 'v2_mscoco_train2014_annotations.json' vqav2 score --data "$vqav2" --split train2014 --answers "$vqav2/answers.jsonl"

# Submissions; --out stays as it was where they fail.
echo before > "$dir/submission"
head -5 "$vizwiz/answers.jsonl" > "$dir/short"
refused 65 'has no answer, and the server takes no submission that lacks one' \
    vizwiz submit --data "$vizwiz" --answers "$dir/short" --out "$dir/submission"
refused 65 'which is no question of this benchmark and split' vqav2 submit --data "$vqav2" --split test2015 --answers "$dir/more" \
    --out "$dir/submission" --allow-missing
[ "$(cat "$dir/submission")" = before ] || fail "a failed submission changes --out"
[ "$(find "$dir" -name '*submission*' | wc -l)" -eq 1 ] || fail "a failed submission leaves $(find "$dir" -name '*submission*')"
run 0 vizwiz submit --data "$vizwiz" --answers "$vizwiz/answers.jsonl" --out "$dir/submission"
cmp -s <(tr -d '\n' < "$dir/submission") "$vizwiz/submission.json" || fail "vizwiz submits $(cat "$dir/submission")"
refused 73 'cannot be created: No such file or directory' vizwiz submit --data "$vizwiz" --answers "$vizwiz/answers.jsonl" --out "$dir/none/x"
mkfifo "$dir/pipe"
mkdir "$dir/folder"
for out in pipe folder; do
    refused 73 "--out $dir/$out: is a $out, which is not replaced by a file" \
        vizwiz submit --data "$vizwiz" --answers "$vizwiz/answers.jsonl" --out "$dir/$out"
    refused 73 "--out $dir/$out: is a $out, which is not replaced by a file" \
        mm-vet judge --data "$fixtures/mm-vet" --answers "$fixtures/mm-vet/answers.jsonl" --out "$dir/$out"
done
refused 73 "--out $dir/torn: is a file, which is not replaced by a folder" \
    mme submit --data "$fixtures/mme" --answers "$fixtures/mme/answers.jsonl" --out "$dir/torn"
[ -p "$dir/pipe" ] || fail "a pipe was replaced by a file"
run 0 gqa submit --data "$fixtures/gqa" --answers "$fixtures/gqa/answers.jsonl" --out -
[ "$(cat "$dir/out")" = "$(cat "$fixtures/gqa/submission.json")" ] || fail "gqa prints another submission"
run 0 mm-vet judge --data "$fixtures/mm-vet" --answers "$fixtures/mm-vet/answers.jsonl" --out -
cmp "$fixtures/mm-vet/requests.jsonl" "$dir/out" || failed=1
refused 2 'what is written is a folder' mme submit --data "$fixtures/mme" --answers "$fixtures/mme/answers.jsonl" --out -
ls -d "${TMPDIR:-/tmp}"/genllava-out-* 2> /dev/null && fail "a temporary folder is left"
[ ! -e ./- ] || fail "a file \"-\" was made"
# One that is short says so; more than 1 % are missing only where that is allowed.
for bench in gqa mm-vet mmmu mathvista vqav2 mmbench mme; do
    world=$fixtures/$bench out=$dir/short-$bench
    run 0 $bench submit --data "$world" --answers "$world/answers.jsonl" --out "$out"
    ! grep -q 'have no answer' "$dir/err" || fail "$bench: $(cat "$dir/err")"
    sed '3d;5d' "$world/answers.jsonl" > "$dir/less"
    rm -r "$out"
    refused 65 "questions have no answer, which is more than 1 %; --allow-missing submits the others" \
        $bench submit --data "$world" --answers "$dir/less" --out "$out"
    [ ! -e "$out" ] || fail "$bench: a short submission is written"
    run 0 $bench submit --data "$world" --answers "$dir/less" --out "$out" --allow-missing
    grep -qE 'warning: [12] of [0-9]+ questions have no answer, and have none, or an empty one, in the submission' "$dir/err" ||
        fail "$bench: $(cat "$dir/err")"
    [ -e "$out" ] || fail "$bench: no submission"
done
run 0 mme submit --data "$fixtures/mme" --answers "$fixtures/mme/answers.jsonl" --out "$dir/results"
[ "$(ls "$dir/results" | wc -l)" -eq 14 ] || fail "mme submits $(ls "$dir/results")"
# Multiple choice: a workbook, and labels that a split does not have.
run 0 mmbench submit --data "$fixtures/mmbench" --answers "$fixtures/mmbench/answers.jsonl" --out "$dir/book.xlsx"
cmp -s "$dir/book.xlsx" "$fixtures/mmbench/submission.xlsx" || fail "mmbench submits another workbook"
mkdir "$dir/mmmu" && sed 's/"answer": "[^"]*"/"answer": "?"/' "$fixtures/mmmu/validation.jsonl" > "$dir/mmmu/test.jsonl"
refused 65 'this split has no labels to score with' mmmu score --data "$dir/mmmu" --split test --answers "$fixtures/mmmu/answers.jsonl"
run 0 mmmu submit --data "$dir/mmmu" --split test --answers "$fixtures/mmmu/answers.jsonl" --out "$dir/mmmu/out"
run 0 mmmu submit --data "$fixtures/mmmu" --answers "$fixtures/mmmu/answers.jsonl" --out "$dir/labelled"
cmp -s "$dir/mmmu/out" "$dir/labelled" || fail "mmmu submits by the labels"

# A judge that only reads what answers say: the score without it, its requests, the score with its replies.
math=$fixtures/mathvista
run 0 mathvista score --data "$math" --answers "$math/answers.jsonl" --format json
prints '"direct":'
run 0 mathvista judge --data "$math" --answers "$math/answers.jsonl" --out "$dir/requests"
[ "$(wc -l < "$dir/requests")" -eq "$(wc -l < "$math/replies.jsonl")" ] || fail "mathvista asks $(wc -l < "$dir/requests") times"
grep -q '"model":"gpt-4-0613","max_completion_tokens":1024,"temperature":0' "$dir/requests" || fail "mathvista asks $(head -1 "$dir/requests")"
run 0 mathvista judge --data "$math" --answers "$math/answers.jsonl" --replies "$math/replies.jsonl"
refused 2 'needs --answers FILE beside --replies FILE' mathvista judge --data "$math" --replies "$math/replies.jsonl"
head -3 "$math/replies.jsonl" > "$dir/few"
refused 65 'questions have no answer, which is more than 1 %' \
    mathvista judge --data "$math" --answers "$math/answers.jsonl" --replies "$dir/few"
{ cat "$math/replies.jsonl"; echo '{"custom_id":"x","response":{"status_code":200,"body":{"choices":[{"message":{"content":"1"}}]}}}'; } > "$dir/more"
refused 65 'answers "x", which is no question' mathvista judge --data "$math" --answers "$math/answers.jsonl" --replies "$dir/more"
# GQA's questions are read one by one: 16 MB of them, which held as a whole take ten times as much.
mkdir "$dir/many"
awk 'BEGIN {
    printf "{"
    for (i = 1; i <= 50000; i++)
        printf "%s\"%d\": {\"semantic\": [{\"operation\": \"select\", \"dependencies\": [], \"argument\": \"person (372029)\"}, {\"operation\": " \
            "\"query\", \"dependencies\": [0], \"argument\": \"name\"}], \"question\": \"Who is person %d?\", \"imageId\": \"%d\", \"isBalanced\": true, " \
            "\"answer\": \"man\", \"types\": {\"semantic\": \"rel\", \"structural\": \"query\"}}", (i > 1 ? ", " : ""), i, i, i
    print "}"
}' > "$dir/many/testdev_balanced_questions.json"
echo '{"question_id": "7", "text": "man"}' > "$dir/many.jsonl"
if (ulimit -v 150000; OMP_NUM_THREADS=1 "$evaluate" --version > /dev/null 2>&1); then # not with the address sanitizer
    (ulimit -v 150000; export OMP_NUM_THREADS=1; run 0 gqa score --data "$dir/many" --answers "$dir/many.jsonl" --allow-missing; exit $failed) || failed=1
    prints "gqa testdev_balanced: 50000 questions, 49999 without an answer"
fi
exit $failed
