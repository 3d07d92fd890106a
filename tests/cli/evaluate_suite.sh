#!/bin/bash
# evaluate --suite: answers that are there are scored as the benchmark alone scores them, others are asked; three forms of table; bad suites.
# $1: the build folder.
set -u
evaluate=$1/evaluate dir=$(mktemp -d) failed=0 fixtures=$PWD/tests/fixtures/bench
trap 'rm -rf "$dir"' EXIT
wrong() { echo "evaluate_suite.sh: $*" >&2; failed=1; }
# run CODE ARGUMENTS...: output in $dir/text and $dir/err.
run() {
    local wanted=$1 code
    shift
    "$evaluate" "$@" > "$dir/text" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { wrong "$*: exit $code, wanted $wanted"; sed 's/^/    /' "$dir/err" >&2; }
}
says() { grep -qF -- "$1" "$dir/err" || { wrong "stderr does not say: $1"; sed 's/^/    /' "$dir/err" >&2; }; }
prints() { grep -qF -- "$1" "$dir/text" || { wrong "stdout does not say: $1"; sed 's/^/    /' "$dir/text" >&2; }; }
# score JSON BENCH: its "score" in the table, or in what the benchmark's own command prints.
score() { grep -o "\"bench\":\"$2\".*" "$1" | grep -o '"score":[^,]*' | head -1; }

# Paths are relative to the suite's file.
mkdir "$dir/out" "$dir/data"
ln -s "$fixtures"/* "$dir/data/"
printf '{"//": "x", "benchmarks": [{"bench": "gqa", "data": "data/gqa"}, {"bench": "pope", "data": "data/pope"}, %s, %s]}' \
    '{"bench": "mm-vet", "data": "data/mm-vet"}' \
    '{"bench": "llava-bench", "data": "data/llava-bench", "replies": ["data/llava-bench/replies.jsonl"]}' > "$dir/suite.json"
for bench in gqa pope mm-vet llava-bench; do cp "$fixtures/$bench/answers.jsonl" "$dir/out/$bench.jsonl"; done
run 0 --suite "$dir/suite.json" --out "$dir/out" --format json
cp "$dir/text" "$dir/table"
for bench in gqa pope; do
    run 0 $bench score --data "$fixtures/$bench" --answers "$dir/out/$bench.jsonl" --format json
    [ "$(score "$dir/table" $bench)" = "$(score "$dir/text" $bench)" ] || wrong "$bench: $(score "$dir/table" $bench) in the table, alone \
$(score "$dir/text" $bench)"
done
run 0 llava-bench judge --data "$fixtures/llava-bench" --replies "$fixtures/llava-bench/replies.jsonl" --format json
[ "$(score "$dir/table" llava-bench)" = "$(score "$dir/text" llava-bench)" ] || wrong "llava-bench differs in the table"
[ "$(score "$dir/table" mm-vet)" = '"score":null' ] || wrong "mm-vet has a score without its judge"
cmp "$fixtures/mm-vet/requests.jsonl" "$dir/out/mm-vet.requests.jsonl" || failed=1
run 0 --suite "$dir/suite.json" --out "$dir/out"
prints "LLaVA-1.5-7B"
grep -qE '^gqa +testdev_balanced +43 +37\.2 +24\.4 to 52\.1 +62\.0 ' "$dir/text" || wrong "the line of gqa: $(grep ^gqa "$dir/text")"
prints "1: mm-vet: its judge has not replied; the requests are in $dir/out/mm-vet.requests.jsonl"
run 0 --suite "$dir/suite.json" --out "$dir/out" --format markdown
prints "| gqa | testdev_balanced | 43 | 37.2 | 24.4 to 52.1 | 62.0 | 63.0 | 64.8 |"

# What has no answers is asked, by the starting point of a tiny run; then it is scored with the rest.
rm "$dir/out/gqa.jsonl"
run 2 --suite "$dir/suite.json" --out "$dir/out"
says "gqa: $dir/out/gqa.jsonl is not there, and there is no model to ask: give --config RUN.json or --checkpoint DIR"
run 0 --suite "$dir/suite.json" --out "$dir/out" --format json --quiet --config configs/quickstart.json
[ "$(wc -l < "$dir/out/gqa.jsonl")" -eq 43 ] || wrong "gqa.jsonl holds $(wc -l < "$dir/out/gqa.jsonl") answers"
[ "$(score "$dir/text" pope)" = "$(score "$dir/table" pope)" ] || wrong "pope was scored otherwise beside a model"

# A limited number of questions: asked in files of their own, and scored by themselves.
printf '{"benchmarks": [{"bench": "gqa", "data": "data/gqa", "limit": 5}, {"bench": "pope", "data": "data/pope", "limit": null}]}' > "$dir/few.json"
run 0 --suite "$dir/few.json" --out "$dir/out" --format json --quiet --config configs/quickstart.json
head -5 "$dir/out/gqa.jsonl" | cmp - "$dir/out/gqa-first-5.jsonl" || wrong "limit 5: other questions"
grep -q '"bench":"gqa","split":"testdev_balanced","n":5,"n_missing":0' "$dir/text" || wrong "limit 5: $(cat "$dir/text")"
[ "$(score "$dir/text" pope)" = "$(score "$dir/table" pope)" ] || wrong "no limit: another score"
sed -i '$d' "$dir/out/gqa-first-5.jsonl"
run 65 --suite "$dir/few.json" --out "$dir/out" --quiet
says "gqa: 1 of 5 questions have no answer, which is more than 1 %; --allow-missing counts them as wrong"
run 0 --suite "$dir/few.json" --out "$dir/out" --format json --allow-missing
says "warning: gqa: 1 of the first 5 questions have no answer, the first of them \""
grep -q '"bench":"gqa","split":"testdev_balanced","n":5,"n_missing":1' "$dir/text" || wrong "limit 5, one missing: $(cat "$dir/text")"

# All mistakes of a suite at once, with their places.
printf '{"benchmarks":[{"bench":"popo","dat":1},\n{"bench":"gqa","data":"x","replies":"y"}],"x":1}' > "$dir/bad.json"
run 2 --suite "$dir/bad.json" --out "$dir/out"
says "$dir/bad.json:1:25: \"bench\" is \"popo\", expected the name of a benchmark; did you mean \"pope\"?"
says "$dir/bad.json:1:32: unknown key \"dat\"; did you mean \"data\"?"
says "$dir/bad.json:2:37: gqa needs no judge, so it takes no \"replies\""
says "$dir/bad.json:2:43: unknown key \"x\""
printf '{"benchmarks":[{"bench":"gqa","data":"x"},{"bench":"gqa","data":"y","split":"z"},\n{"bench":"gqa","data":"z"},\n%s]}' \
    '{"bench":"pope","data":"x","split":"y"}' > "$dir/bad.json"
run 2 --suite "$dir/bad.json" --out "$dir/out"
says "$dir/bad.json:2:1: gqa stands twice with split \"testdev_balanced\""
says "$dir/bad.json:3:36: pope has one split, \"coco\"; found \"y\""
printf '{"benchmarks":[{"bench":"gqa","data":"x","limit":0}]}' > "$dir/bad.json"
run 2 --suite "$dir/bad.json" --out "$dir/out"
says "$dir/bad.json:1:50: \"limit\" is 0, expected a number of questions from 1, or null: all"
[ "$(wc -l < "$dir/err")" -le 3 ] || wrong "more mistakes: $(cat "$dir/err")"
run 66 --suite "$dir/none.json" --out "$dir/out"
run 2 --suite "$dir/suite.json"
says "needs --out DIR"
exit $failed
