#!/bin/bash
# evaluate --suite, and ask of drawings, by several ranks: the files and the table of one process, to the byte, also after a stop, and where one benchmark is
# there already. $1: the build folder.
. tests/cli/_train.sh
evaluate=$build/evaluate fixtures=$PWD/tests/fixtures
ln -s "$fixtures/bench" "$dir/bench"
ln -s "$fixtures/drawings" "$dir/drawings"
mkdir -p "$dir/brush/images/77"
for name in input output1 output2; do cp "$fixtures/metrics/edits/data/pictures/0.png" "$dir/brush/images/77/77-$name.png"; done
cat > "$dir/brush/edit_sessions.json" <<'ROWS'
{"77": [{"input": "77-input.png", "output": "77-output1.png", "instruction": "make it red"},
        {"input": "77-output1.png", "output": "77-output2.png", "instruction": "a gray ground"}]}
ROWS
cat > "$dir/suite.json" <<'ROWS'
{"benchmarks": [{"bench": "gqa", "data": "bench/gqa"}, {"bench": "coco", "data": "drawings/coco"}, {"bench": "pope", "data": "bench/pope"},
                {"bench": "magicbrush", "data": "brush"}]}
ROWS
# suite CODE OUT OPTIONS...
suite() {
    local wanted=$1 out=$2
    shift 2
    ends_with "$evaluate" "$wanted" --suite "$dir/suite.json" --out "$out" --config configs/quickstart.json --set "save.dir=$dir/runs" --set device=cpu \
        --steps 2 --format json "$@"
}
same() {
    diff -r "$dir/one" "$1" > "$dir/diff" || fail "$2: $(head -3 "$dir/diff")"
    cmp -s "$dir/out" "$dir/table" || fail "$2: another table: $(cat "$dir/out")"
}
suite 0 "$dir/one"
cp "$dir/out" "$dir/table"
[ "$(cd "$dir/one" && echo *)" = "coco gqa.jsonl magicbrush pope.jsonl" ] || fail "the suite's files: $(ls "$dir/one")"
[ "$(ls "$dir/one/coco" "$dir/one/magicbrush/77" | grep -c png)" = 10 ] || fail "drawings: $(ls "$dir/one"/*)"
suite 0 "$dir/two" --ranks 2
same "$dir/two" "two ranks"
cp "$dir/err" "$dir/said"
suite 0 "$dir/two" --ranks 2
same "$dir/two" "two ranks, when all is there"
rm "$dir/two/coco/9.png" "$dir/two/coco/574769.png" "$dir/two/pope.jsonl" "$dir/two/magicbrush/77/77_iter_2.png"
suite 0 "$dir/two" --ranks 3
same "$dir/two" "three ranks, what was missing"

# Drawings alone.
ends_with "$evaluate" 0 coco ask --data "$fixtures/drawings/coco" --config configs/quickstart.json --set "save.dir=$dir/runs" --set device=cpu --steps 2 \
    --out "$dir/coco" --ranks 2
diff -r "$dir/one/coco" "$dir/coco" > "$dir/diff" || fail "coco ask --ranks 2: $(head -3 "$dir/diff")"

# Ranks in containers, in each of which the process has the same number.
if unshare -rpf --mount-proc true 2> /dev/null; then
    . tests/cli/_ranks.sh
    printf '#!/bin/sh\nexec unshare -rpf --mount-proc "%s" "$@"\n' "$evaluate" > "$dir/contained"
    chmod +x "$dir/contained"
    as_ranks "$dir/contained"
    for i in 1 2 3; do
        rm -r "$dir/coco"
        RANKS=2 ends_with "$train" 0 coco ask --data "$fixtures/drawings/coco" --config configs/quickstart.json --set "save.dir=$dir/runs" --set device=cpu \
            --steps 2 --out "$dir/coco"
        diff -r "$dir/one/coco" "$dir/coco" > "$dir/diff" || fail "ranks in containers: $(head -3 "$dir/diff")"
    done
fi

# A signal stops all; one process goes on.
"$evaluate" --suite "$dir/suite.json" --out "$dir/stopped" --config configs/quickstart.json --set "save.dir=$dir/runs" --set device=cpu --steps 150 \
    --ranks 2 2> "$dir/err" > "$dir/out" &
pid=$!
has_drawn() { [ -n "$(find "$dir/stopped/coco" -name '*.png' 2> /dev/null)" ]; }
await $pid has_drawn
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 75 ] || fail "a signal: exit $code, wanted 75: $(cat "$dir/err")"
says "stopped by SIGTERM: "
[ ! -s "$dir/out" ] && [ ! -e "$dir/stopped/pope.jsonl" ] || fail "stopped, and yet: $(cat "$dir/out"; ls "$dir/stopped")"
[ -z "$(find "$dir/stopped" -name '.*' -type f)" ] || fail "left behind: $(find "$dir/stopped" -name '.*')"
suite 2 "$dir/one" --ranks 2 --checkpoint "$dir/none"
exit $failed
