#!/bin/bash
# What ranks other than 0 say goes to ranks/ of the run folder and not to the terminal; nothing there is followed, and no run ends for it.
STEPS=3
. tests/cli/_train.sh
. tests/cli/_ranks.sh
as_ranks "$train"
export RANKS=3
run="--config $dir/run.json"
logs="$dir/runs/r/ranks"
again() { rm -rf "$dir/runs" && mkdir -p "$dir/runs/r"; }
when='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z'

# Each but rank 0 has a file, with what was said before there was one, too.
expect 0 $run
[ "$(ls "$logs")" = $'rank-001.log\nrank-002.log' ] || fail "the logs are $(ls "$logs")"
for k in 1 2; do
    for text in "device: " "memory: needs " "rank $k of 3 on $(hostname), process [0-9]+" "warning: [0-9]+ of [0-9]+ rows are of task"; do
        [ "$(grep -cE "^$when $text" "$logs/rank-00$k.log")" -eq 1 ] || fail "rank-00$k.log does not say \"$text\" once: $(cat "$logs/rank-00$k.log")"
    done
done
! grep -q '\[rank' "$dir/err" || fail "another rank speaks: $(cat "$dir/err")"
[ "$(grep -c 'device: ' "$dir/err")" -eq 1 ] || fail "the device is not told once"

# A resumed run adds to them; --quiet leaves warnings; as JSON.
cp -r "$logs" "$dir/before"
expect 0 $run --resume --quiet
for k in 1 2; do
    cmp -n "$(stat -c %s "$dir/before/rank-00$k.log")" "$dir/before/rank-00$k.log" "$logs/rank-00$k.log" || fail "what rank $k said before is gone"
    [ "$(grep -c 'device: ' "$logs/rank-00$k.log")" -eq 1 ] && [ "$(grep -c 'rows are of task' "$logs/rank-00$k.log")" -eq 2 ] || fail "--quiet: $(cat "$logs/rank-00$k.log")"
done
again
expect 0 $run --log-format json
grep -qE '^\{"time":[0-9.]+,"level":"info","rank":2,"message":"device: ' "$logs/rank-002.log" || fail "as JSON: $(cat "$logs/rank-002.log")"
! grep -qv '^{' "$logs/rank-002.log" || fail "as JSON: $(cat "$logs/rank-002.log")"

# One rank has none.
again
RANKS=1 expect 0 $run
[ ! -e "$logs" ] || fail "one rank makes $(ls "$logs")"

# A failure is told by rank 0, once, and stands in the file of who failed. Nothing raw of any name.
odd="$dir/sh"$'\033'"[31m"
again
expect 0 $run --set data.shards="$odd" --steps 1
at=$(LC_ALL=C grep -obUaP '\xff\xd8\xff' "$odd/shard-00000-of-00001.h5" | cut -d: -f1)
printf 'damaged' | dd of="$odd/shard-00000-of-00001.h5" bs=1 seek=$((at + 40)) conv=notrunc 2> /dev/null
again
expect 65 $run --set data.shards="$odd"
[ "$(grep -c 'error: ' "$dir/err")" -eq 1 ] || fail "not one error is told: $(cat "$dir/err")"
rank=$(sed -n 's/^error: rank \([12]\): step 1, pass 1 of 1: .*image 0 is damaged.*/\1/p' "$dir/err")
[ -n "$rank" ] || { echo "    (rank 0 has the damaged picture)"; rank=0; }
[ "$rank" -eq 0 ] || grep -qE "^$when error: .*image 0 is damaged" "$logs/rank-00$rank.log" || fail "its own log does not have it: $(cat "$logs/rank-00$rank.log")"
! grep -q $'\033' "$logs"/*.log "$dir/err" || fail "a control character is written as it is"

# Where they cannot be: said once, by rank 0, and the run goes on. What stands there stays.
echo mine > "$dir/victim"
mkdir "$dir/elsewhere"
for what in file link pipe rank-link rank-folder; do
    again
    case $what in
    file) echo mine > "$logs" ;;
    link) ln -s "$dir/elsewhere" "$logs" ;;
    pipe) mkfifo "$logs" ;;
    rank-link) mkdir "$logs" && ln -s "$dir/victim" "$logs/rank-001.log" ;;
    rank-folder) mkdir -p "$logs/rank-001.log" ;;
    esac
    expect 0 $run
    case $what in
    rank-*) says "warning: rank 1: $logs/rank-001.log: is a ${what#rank-}, expected a file of this run; move it away; the messages of this rank are not kept" ;;
    *) says "warning: rank 1: $logs: is a $what, expected a folder of this run; move it away; the messages of 2 ranks are not kept" ;;
    esac
    [ "$(grep -c 'are not kept' "$dir/err")" -eq 1 ] || fail "$what: not said once: $(cat "$dir/err")"
    [ "$(cat "$dir/victim")$(ls "$dir/elsewhere")" = mine ] || fail "$what: something elsewhere was written"
done
# A full disk later on.
again
printf '#!/bin/bash\nulimit -f 0\nexec "$@"\n' > "$dir/full"
chmod +x "$dir/full"
RANK_2=$dir/full "$train" $run 2>&1 > /dev/null | cat > "$dir/err"
[ "${PIPESTATUS[0]}" -eq 0 ] || fail "a full disk of a log: the run ends"
[ "$(grep -c '^\[rank 2\] its log cannot be written: File too large' "$dir/err")" -eq 1 ] || fail "a full disk: not said once: $(cat "$dir/err")"
exit $failed
