#!/bin/bash
# Descriptors as a program finds them: results that cannot be written, standard descriptors that are closed, pipes nobody reads, few files allowed.
. tests/cli/_train.sh
programs="train prepare generate evaluate inspect convert curate report scenes stamps"

# ends CODE COMMAND...: its stderr is in $dir/err.
ends() {
    local wanted=$1 code
    shift
    "$@" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { fail "$*: exit $code, wanted $wanted"; head -3 "$dir/err" >&2; }
}
# A pipe that nobody reads is descriptor 9.
mkfifo "$dir/pipe"
exec 8<> "$dir/pipe" 9> "$dir/pipe" 8<&-
# refused COMMAND...: its results are 74 on a full disk, on a closed descriptor and where SIGPIPE is ignored, and end it by SIGPIPE elsewhere.
refused() {
    ends 74 "$@" > /dev/full
    says error
    ends 74 "$@" >&-
    says error
    ends 141 "$@" >&9
    ! grep -q '^error' "$dir/err" || fail "$*: tells an error of a reader that has gone"
    (trap '' PIPE; ends 74 "$@" >&9; says error; exit $failed) || failed=1
}

for p in $programs; do
    ends 74 "$build/$p" --help > /dev/full
    refused "$build/$p" --version
    [ "$("$build/$p" --version <&- 2>&- | head -1)" = "GenLLaVA $p $("$train" --version | sed 's/.* //; q')" ] || fail "$p --version with stdin and stderr closed"
done
refused "$train" --print-schema
refused "$train" --keys
refused "$train" --config "$dir/run.json" --quiet --dry-run
refused "$train" --config "$dir/run.json" --quiet --dry-run --log-format json
refused "$build/prepare" --config "$dir/run.json" --quiet
refused "$build/prepare" --config "$dir/run.json" --quiet --report -
refused "$build/prepare" --config "$dir/run.json" --quiet --export -
for format in text json; do refused "$build/prepare" --config "$dir/run.json" --quiet --stats --format $format; done
refused "$build/generate" --config "$dir/run.json" --quiet --ask "What?" --max-new-tokens 2
ends 74 "$build/generate" --config "$dir/run.json" --quiet --chat --max-new-tokens 2 > /dev/full <<< "What?"
printf '{"answer": "a", "expected": "a"}\n' > "$dir/answers"
refused "$build/evaluate" --answers "$dir/answers"
for format in text json; do refused "$build/inspect" --format $format "$dir"/shards/shard-*.h5; done
"$train" --config "$dir/run.json" --quiet --steps 1 --set name=looked 2> "$dir/err" || fail "train: exit $?: $(cat "$dir/err")"
refused "$build/report" "$dir/runs/looked" --out -
refused "$build/report" "$dir/runs/looked" --format text
refused "$build/convert" --list
for format in text json; do refused "$build/curate" request --recipe draw --images tests/fixtures/images --out "$dir/requests" --quiet --log-format $format; done
replies=tests/fixtures/curate/replies/edit
for format in text json; do
    refused "$build/curate" ingest --requests $replies/dir --replies $replies/replies-0.jsonl --out "$dir/made.jsonl" --quiet --format $format
    refused "$build/curate" filter --in $replies/wanted.jsonl --out "$dir/made.jsonl" --quiet --format $format
    refused "$build/curate" stats $replies/wanted.jsonl --format $format
done
ends 74 "$build/curate" request --recipe draw --records - --out "$dir/requests" <&-
says "standard input: cannot be read"
refused "$build/inspect" "$dir/shards" --sample 1
refused "$build/inspect" "$dir/shards" --sample 1 --pixels - --config "$dir/run.json"
ends 74 "$train" --config - <&-
says "standard input: "

# Messages that nobody reads end no run, and none of them lands in a file of the program.
straight "$dir/straight"
"$train" --config "$dir/run.json" <&- >&- 2>&- || fail "a run with standard descriptors closed: exit $?"
same_end "$dir/straight" "standard descriptors closed"
rm -rf "$dir/runs/r"
"$train" --config "$dir/run.json" > /dev/null 2>&9 || fail "a run whose messages nobody reads: exit $?"
same_end "$dir/straight" "messages that nobody reads"
"$build/prepare" --config "$dir/run.json" --out "$dir/closed" --report "$dir/report.json" <&- 2>&- > /dev/null || fail "prepare with stderr closed: exit $?"
cmp "$dir"/closed/shard-*.h5 "$dir"/shards/shard-*.h5 || fail "shards made with stderr closed differ"
grep -q '"schema": *"genllava.report/1"' "$dir/report.json" || fail "the report with stderr closed: $(head -c 200 "$dir/report.json")"

# Few files: fewer jobs and fewer shards open at once; a soft limit is no limit.
"$build/scenes" --out "$dir/scenes" --count 160 --heldout 1 --size 32 --quiet || fail "scenes: exit $?"
scenes='data.mixture=[{"name": "s", "files": ["'$dir'/scenes/train.json"], "image_root": "'$dir'/scenes"}]'
prepare() { "$build/prepare" --config "$dir/run.json" --set "$scenes" --set data.shard_samples=1 --quiet "$@" > /dev/null 2> "$dir/err"; }
run() { "$train" --config "$dir/run.json" --quiet --set "$scenes" --set data.shard_samples=1 --set data.shards="$dir/one" --set train.micro_tokens=512 "$@" 2> "$dir/err"; }
prepare --out "$dir/one" --jobs 1 || fail "prepare: exit $?"
(ulimit -n 48; prepare --out "$dir/many" --jobs 64) || { fail "prepare with 48 files: exit $?"; cat "$dir/err" >&2; }
diff -r "$dir/one" "$dir/many" > /dev/null || fail "with 48 files other shards are made"
run --set name=all || { fail "train on 160 shards: exit $?"; cat "$dir/err" >&2; }
(ulimit -n 48; run --set name=few) || { fail "train on 160 shards with 48 files: exit $?"; cat "$dir/err" >&2; }
cmp "$dir"/runs/{all,few}/checkpoint-000016/adapter_model.safetensors || fail "with 48 files another run"
(ulimit -S -n 8; run --set name=soft) || { fail "train with a soft limit of 8 files: exit $?"; cat "$dir/err" >&2; }
exit $failed
