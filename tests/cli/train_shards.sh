#!/bin/bash
# data.shards where it is not set: runs with the same data share one folder, other data get another; a dry run takes shards that are fresh,
# and with =quick reads no data. $1: the build folder.
STEPS=2
. tests/cli/_train.sh
sed -i 's|, "shards": "[^"]*"||' "$dir/run.json"
shared() { ls -d "$dir"/runs/shards/*/ 2> /dev/null | wc -l; }
made() { grep -c "preparing" "$dir/err"; }

# A dry run that has to read the rows says nothing of shards, and makes none; quick does not even open the rows.
expect 0 --config "$dir/run.json" --dry-run --log-format json
grep -q '"samples":5,' "$dir/out" || fail "--dry-run counts: $(cat "$dir/out")"
[ "$(shared)" = 0 ] || fail "a dry run made shards"
expect 0 --config "$dir/run.json" --dry-run=quick --log-format json
grep -q '"samples":null,"steps":null' "$dir/out" || fail "--dry-run=quick counts: $(cat "$dir/out")"
says "the data are not read"
printf 'no row' > "$dir/broken.jsonl"
expect 0 --config "$dir/run.json" --set "data.mixture=[{\"files\":[\"$dir/broken.jsonl\"]}]" --dry-run=quick
expect 65 --config "$dir/run.json" --set "data.mixture=[{\"files\":[\"$dir/broken.jsonl\"]}]" --dry-run
expect 2 --config "$dir/run.json" --dry-run=quik
says '--dry-run is "quik"; it takes quick, or nothing'

expect 0 --config "$dir/run.json"
[ "$(made)" = 1 ] && [ "$(shared)" = 1 ] || fail "a first run: $(ls "$dir"/runs/shards)"
folder=$(echo "$dir"/runs/shards/*)
[[ ${folder##*/} =~ ^[0-9a-f]{16}$ ]] || fail "the folder is called ${folder##*/}"
grep -qF "\"shards\": \"$folder\"" "$dir/runs/r/config.resolved.json" || fail "config.resolved.json does not say $folder"
expect 0 --config "$dir/run.json" --set name=again --set optim.lr=1 --set train.batch=2
[ "$(made)" = 0 ] && [ "$(shared)" = 1 ] || fail "another run with the same data prepares them again"
expect 0 --config "$dir/runs/r/config.resolved.json" --set name=resolved
[ "$(made)" = 0 ] || fail "config.resolved.json prepares again"

# Fresh shards answer a dry run, though the rows are no longer read: unreadable to nobody but a reader.
strace=$(command -v strace) && { $strace -f -e trace=openat -o "$dir/trace" "$train" --config "$dir/run.json" --set name=dry --dry-run > /dev/null 2>&1
    ! grep -q 'rows.jsonl' "$dir/trace" || fail "a dry run over fresh shards reads the rows"; }
ends_with "$train" 0 --config "$dir/run.json" --set name=dry --dry-run --log-format json
grep -q '"samples":5,' "$dir/out" || fail "over fresh shards --dry-run counts: $(cat "$dir/out")"

# Other data lie elsewhere; those of the first run stay. A resumed run is not told of the folder beside what really differs.
expect 0 --config "$dir/run.json" --set name=cut --set data.max_tokens=30
[ "$(made)" = 1 ] && [ "$(shared)" = 2 ] || fail "other tokens: $(ls "$dir"/runs/shards)"
expect 2 --config "$dir/run.json" --set data.max_tokens=30 --resume
says "data.max_tokens"
! grep -q "data.shards" "$dir/err" || fail "the folder of the shards is named as a difference"
ends_with "$build/prepare" 0 --config "$dir/run.json"
grep -qF "$folder: 5 samples" "$dir/out" || fail "prepare makes others: $(cat "$dir/out")"

exit $failed
