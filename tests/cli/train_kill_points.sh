#!/bin/bash
# SIGKILL at the n-th write, fsync, rename, mkdir, unlink, symlink of a run that saves twice and removes an old checkpoint, or a failure of that
# call: for every n, the run can be resumed and ends with the same bits; a failure is said with the file and exit 74 (or 73).
. tests/cli/_train.sh
command -v strace > /dev/null || { echo "    skipped: strace is not installed"; exit 77; }
strace -o /dev/null true 2> /dev/null || { echo "    skipped: strace may not trace here"; exit 77; }
export OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0 # leaks cannot be looked for under strace
calls=write,fsync,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,symlink,symlinkat,ftruncate,truncate
limits="--set save.keep=1 --set train.steps=3"
# begin: in a folder of its own the whole run, and its first step.
begin() {
    expect 0 --config "$dir/run.json" $limits
    mv "$dir/runs/r" "$dir/whole"
    expect 0 --config "$dir/run.json" $limits --steps 1
    mv "$dir/runs/r" "$dir/first"
}
again() {
    rm -rf "$dir/runs/r"
    mkdir -p "$dir/runs"
    cp -r "$dir/first" "$dir/runs/r"
}
begin
again
# strace counts each kind of call for itself: the n-th of every kind is hit at once.
strace -f -e trace=$calls -o "$dir/calls" "$train" --config "$dir/run.json" $limits --resume --quiet 2> "$dir/err"
total=$(sed 's/^[0-9]* *//; s/(.*//' "$dir/calls" | sort | uniq -c | sort -rn | awk 'NR == 1 { print $1 }')

# inject WHAT N: resumes under strace, which does that to the N-th call.
inject() {
    { strace -f -o /dev/null -e trace=$calls -e inject=$calls:"$1":when="$2" "$train" --config "$dir/run.json" $limits --resume --quiet > /dev/null 2> "$dir/err"; } 2> /dev/null
}
# whole WHEN: the run can be finished, and nothing is left over.
whole() {
    expect 0 --config "$dir/run.json" $limits --resume
    diff -r "$dir/whole/checkpoint-000003" "$dir/runs/r/checkpoint-000003" > /dev/null || fail "$1: the last checkpoint differs"
    [ "$(cd "$dir/runs/r" && echo checkpoint-*)" = checkpoint-000003 ] || fail "$1: left $(ls -A "$dir/runs/r")"
    [ -z "$(find "$dir/runs/r" -name '.*' ! -name .)" ] || fail "$1: left over $(ls -A "$dir/runs/r")"
}
killed() {
    local n
    begin
    for n in $(seq 1 "$total"); do
        again
        inject signal=KILL "$n"
        whole "killed at call $n of $total"
    done
    echo "    killed at $total calls"
}
failing() {
    local n code
    begin
    for n in $(seq 1 "$total"); do
        again
        inject error=ENOSPC "$n"
        code=$?
        case $code in
        0) ;;
        73 | 74) ! grep -q "^error" "$dir/err" || says "No space left on device" ;; # the message may be the call that failed
        *) fail "call $n of $total failed: exit $code, wanted 74"; cat "$dir/err" >&2 ;;
        esac
        whole "after call $n of $total failed"
    done
    echo "    $total calls failed"
}
beside killed killed
beside failing failing
together
exit $failed
