#!/bin/bash
# What stands in a run folder before a run or comes there meanwhile: nothing is followed, nothing lost, and it is said before the first step.
STEPS=6
. tests/cli/_train.sh
straight "$dir/straight"
restore() {
    rm -rf "$dir/runs"
    mkdir -p "$dir/runs/r"
    cp -r "$dir/straight"/checkpoint-00000[1-3] "$dir/straight/train.jsonl" "$dir/runs/r/"
}
untouched() { [ "$(cat "$dir/victim")" = "mine" ] || fail "$1: a file elsewhere was written: $(head -c 200 "$dir/victim")"; echo mine > "$dir/victim"; }
echo mine > "$dir/victim"
mkdir "$dir/elsewhere"
run="$dir/runs/r"

# Folders and links where files of the run belong: 73 before anything is trained, and in a dry run.
for name in latest samples tb train.jsonl history.jsonl .lock config.resolved.json environment.json; do
    for what in folder link pipe; do
        restore
        rm -f "$run/$name"
        case $what in
        folder) case $name in samples | tb) continue ;; esac; mkdir "$run/$name" ;;
        link) ln -s "$dir/victim" "$run/$name" ;;
        pipe) mkfifo "$run/$name" ;;
        esac
        wanted=73
        case $what-$name in link-latest | link-*.resolved.json | link-environment.json) wanted=0 ;; esac
        expect $wanted --config "$dir/run.json" --resume --dry-run
        timeout 60 "$train" --config "$dir/run.json" --resume > "$dir/out" 2> "$dir/err"
        code=$?
        [ $code -eq $wanted ] || fail "$what $name: exit $code, wanted $wanted: $(tail -1 "$dir/err")"
        [ $wanted -eq 0 ] || says "save.dir: $run/$name: is a $what, expected a"
        untouched "$what $name"
    done
done
restore
ln "$dir/victim" "$run/.lock"
expect 73 --config "$dir/run.json" --resume
says ".lock: is another name of a file elsewhere"
rm "$run/train.jsonl"
rm "$run/.lock"
ln "$dir/victim" "$run/train.jsonl"
expect 0 --config "$dir/run.json" --resume
untouched "a second name of train.jsonl"

# Temporary names that are links already.
restore
for name in .checkpoint-000004.tmp .latest.tmp .train.jsonl.new .config.resolved.json.new .environment.json.new .checkpoint-trial.tmp; do
    ln -s "$dir/victim" "$run/$name"
done
ln -s "$dir/elsewhere" "$run/.checkpoint-000005.tmp"
expect 0 --config "$dir/run.json" --resume
same_end "$dir/straight" "with links for temporary names"
untouched "temporary names"
[ -z "$(ls "$dir/elsewhere")" ] || fail "a folder elsewhere was written: $(ls "$dir/elsewhere")"

# An old checkpoint that is a link now: the link goes when its turn comes, what it leads to stays.
restore
mv "$run/checkpoint-000001" "$dir/precious"
ln -s "$dir/precious" "$run/checkpoint-000001"
expect 0 --config "$dir/run.json" --resume --set save.keep=2
[ "$(cd "$run" && echo checkpoint-*)" = "checkpoint-000005 checkpoint-000006" ] || fail "save.keep=2 left: $(ls "$run")"
[ -s "$dir/precious/MANIFEST.json" ] || fail "removing an old checkpoint that is a link emptied what it leads to"

# The folder is swapped for a link in the middle of a run, between two saves.
restore
timeout 60 "$train" --config "$dir/run.json" --resume --set train.steps=100000 --set save.every=20 --change > "$dir/out" 2> "$dir/err" &
pid=$!
await $pid grep -q "saved .*checkpoint-000020" "$dir/err"
mv "$run" "$dir/moved" && ln -s "$dir/elsewhere" "$run"
wait $pid
code=$?
[ $code -eq 74 ] || fail "a swapped folder: exit $code, wanted 74"
says "$run: is no longer the folder that this run began in"
[ -z "$(ls -A "$dir/elsewhere")" ] || fail "written into the folder that was swapped in: $(ls -A "$dir/elsewhere")"

# The same at any moment of a save: the run is stopped after the n-th call of a kind, as is its folder or the checkpoint that is being filled, and
# goes on with another folder or a link there.
swap_at() { # CALL N FOLDER
    restore
    rm -rf "$dir/moved" "$dir/elsewhere"/*
    echo mine > "$dir/elsewhere/theirs"
    local pid code at_end
    : > "$dir/trace"
    strace -D -o "$dir/trace" -e trace="$1" -e inject="$1":signal=STOP:when="$2" "$train" --config "$dir/run.json" --resume --steps 4 > "$dir/out" 2> "$dir/err" &
    pid=$!
    until grep -q "^--- stopped by SIGSTOP\|^+++" "$dir/trace"; do sleep 0.01; done
    if [ ! -e "$run/.lock" ] || [ ! -e "$3" ]; then
        kill -CONT $pid 2> /dev/null
        wait $pid
        return
    fi
    grep -q "^saved" "$dir/err"
    at_end=$?
    mv "$3" "$dir/moved"
    if [ $(($2 % 2)) -eq 0 ]; then ln -s "$dir/elsewhere" "$3"; else cp -r "$dir/elsewhere" "$3"; fi
    kill -CONT $pid
    wait $pid
    code=$?
    swaps=$((swaps + 1))
    [ $at_end -eq 0 ] || [ $code -eq 74 ] || fail "$3 swapped after $1 $2: exit $code, wanted 74: $(tail -1 "$dir/err")"
    [ $at_end -eq 0 ] || says "is no longer the folder that "
    [ "$(ls -A "$dir/elsewhere")$(cat "$dir/elsewhere/theirs")" = theirsmine ] || fail "$3 swapped after $1 $2: written elsewhere: $(ls -A "$dir/elsewhere")"
    [ -L "$3" ] || [ ! -e "$3" ] || [ "$(ls -A "$3")" = theirs ] || fail "$3 swapped after $1 $2: written into what was swapped in: $(ls -A "$3")"
}
if command -v strace > /dev/null && strace -o /dev/null true 2> /dev/null; then
    export ASAN_OPTIONS=detect_leaks=0 # leaks cannot be looked for under strace
    swaps=0
    for call in fsync renameat unlinkat; do
        restore
        strace -o "$dir/calls" -e trace=$call "$train" --config "$dir/run.json" --resume --steps 4 --quiet 2> /dev/null
        total=$(grep -c "^$call(" "$dir/calls")
        first=$(grep -n '\.checkpoint-trial' "$dir/calls" | head -1 | cut -d: -f1)
        for n in $(seq "${first:-1}" "$total"); do
            case $((n / 2 % 2)) in 0) swap_at $call "$n" "$run" ;; 1) swap_at $call "$n" "$run/.checkpoint-000004.tmp" ;; esac
        done
    done
    echo "    the folder or its checkpoint swapped at $swaps calls"
    [ $swaps -gt 15 ] || fail "only $swaps swaps fell into a run"
    unset ASAN_OPTIONS
else
    echo "    skipped: swaps in the middle of a save, for strace may not trace here"
fi

# Whatever stands in train.jsonl, its steps stay.
restore
{ echo "junk at the top"; head -2 "$dir/straight/train.jsonl"; echo '{"step":1000000000000000000,"loss":1}'; echo '[1]'; tail -n +3 "$dir/straight/train.jsonl"; } > "$run/train.jsonl"
expect 0 --config "$dir/run.json" --resume
same_end "$dir/straight" "with junk in train.jsonl"
says "$run/train.jsonl: 2 of its lines told of no step and are gone"

# A log of an earlier version, which counted its steps from 0.
restore
awk -F '[:,]' '{ sub(/"step":[0-9]+/, "\"step\":" $2 - 1); print }' "$dir/straight/train.jsonl" > "$run/train.jsonl"
expect 0 --config "$dir/run.json" --resume
same_end "$dir/straight" "with a log that counts from 0"
says "$run/train.jsonl: an earlier version counted its steps from 0; now its first is 1"

# Folders without the right to be listed or entered. root may everything.
if [ "$(id -u)" -ne 0 ]; then
    as() { "$@"; }
elif command -v setpriv > /dev/null && setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$train" -a -r "$bases/llm-gqa/config.json"; then
    as() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
else
    echo "    skipped: rights, for there is no other user who may read here"
    exit $failed
fi
for mode in 000 444 311 555; do
    restore
    chmod 755 "$dir"
    [ "$(id -u)" -ne 0 ] || chown -R 65534:65534 "$dir/runs" "$dir/shards"
    chmod $mode "$run"
    [ $mode != 000 ] || chmod 000 "$dir/runs"
    as "$train" --config "$dir/run.json" --resume > "$dir/out" 2> "$dir/err"
    code=$?
    [ $code -eq 73 ] || fail "a run folder of mode $mode: exit $code, wanted 73"
    says "save.dir: $run: cannot be created: Permission denied"
    chmod -R u+rwX "$dir/runs"
done
cp -r "$bases/llm-gqa" "$dir/llm"
[ "$(id -u)" -ne 0 ] || chown -R 65534:65534 "$dir/llm"
chmod 000 "$dir/llm"
as "$train" --config "$dir/run.json" --set name=other --set "model.llm.path=$dir/llm" > "$dir/out" 2> "$dir/err"
code=$?
[ $code -eq 66 ] || fail "a base that may not be entered: exit $code, wanted 66"
says "Permission denied"
grep -q "no such\|No such" "$dir/err" && fail "a base without the right to enter is said not to be there: $(cat "$dir/err")"
exit $failed
