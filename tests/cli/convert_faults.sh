#!/bin/bash
# convert under faults: SIGKILL at, and a full disk at, every write, fsync, rename, mkdir and unlink; SIGTERM; a parent that may not be written
# in; a stale OUT.partial. Nothing half-written is ever met under --out, nothing is left over, and the next run succeeds.
. tests/cli/_train.sh
convert=$build/convert
export OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0 # leaks cannot be looked for under strace
expect 0 --config tests/fixtures/parity/visual_tokens/config.json --set name=r --set "save.dir=$dir/runs" --set "data.shards=$dir/shards" --quiet
arguments="--from $dir/runs/r/checkpoint-000005"
mkdir "$dir/world"
out=$dir/world/out

# nothing_but NAMES WHEN: so much is in the folder around --out, hidden names too.
nothing_but() { [ "$(ls -A "$dir/world" | tr '\n' ' ')" = "$1" ] || fail "$2: there is $(ls -A "$dir/world" | tr '\n' ' ')"; }
# whole FORMAT WHEN: converting succeeds, gives the same bytes as ever and leaves nothing beside them.
whole() {
    rm -rf "$out"
    ends_with "$convert" 0 $arguments --to "$1" --out "$out"
    diff -r "$dir/$1" "$out" > /dev/null || fail "$2: --to $1 gives other files"
    nothing_but "out " "$2"
    rm -rf "$out"
}

for format in hf gguf parts; do ends_with "$convert" 0 $arguments --to $format --out "$dir/$format"; done

# What an earlier run left goes; what lies there under a name of its own does not count.
mkdir "$out.partial"
echo old > "$out.partial/model.safetensors"
whole hf "a stale OUT.partial"

# A folder that may not be written in (root may).
if [ "$(id -u)" != 0 ]; then
    chmod a-w "$dir/world"
    ends_with "$convert" 73 $arguments --to hf --out "$out"
    chmod u+w "$dir/world"
    nothing_but "" "a read-only parent"
fi
echo file > "$dir/file"
ends_with "$convert" 73 $arguments --to hf --out "$dir/file/out"
[ "$(cat "$dir/file")" = file ] || fail "a file in the place of a parent was touched"

command -v strace > /dev/null && strace -o /dev/null true 2> /dev/null || { echo "    partly skipped: strace may not trace here"; exit $failed; }
command -v pkill > /dev/null || { echo "    partly skipped: no pkill (Debian package procps)"; exit $failed; }
calls=write,pwrite64,fsync,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,ftruncate,fallocate
makes=write,pwrite64,fsync,rename,renameat,renameat2,mkdir,mkdirat,ftruncate,fallocate # what needs room on a disk
# inject FORMAT CALLS:WHAT N: converts under strace, which does that to the N-th call of every kind.
inject() {
    { timeout 60 strace -f -o /dev/null -e trace=$calls -e inject="$2":when="$3" "$convert" $arguments --to "$1" --out "$out" > /dev/null 2> "$dir/err"; } 2> /dev/null
}
hits=0
for format in hf gguf parts; do
    strace -f -e trace=$calls -o "$dir/calls" "$convert" $arguments --to $format --out "$out" --quiet 2> /dev/null
    rm -rf "$out"
    total=$(sed 's/^[0-9]* *//; s/(.*//' "$dir/calls" | sort | uniq -c | sort -rn | awk 'NR == 1 { print $1 }')
    for n in $(seq 1 "$total"); do
        inject $format $calls:signal=KILL "$n"
        # What stands under --out is whole, also when the run was killed.
        [ ! -e "$out" ] || diff -r "$dir/$format" "$out" > /dev/null || fail "--to $format killed at call $n of $total: half a folder"
        [ $((n % 3)) != 1 ] || whole $format "after --to $format was killed at call $n of $total"
        rm -rf "$out" "$out.partial"
        inject $format $makes:error=ENOSPC "$n"
        code=$?
        case $code in
        0) ;;
        73 | 74)
            ! grep -q "^error" "$dir/err" || says "No space left on device" # the message may be the call that failed
            # The last one makes the name durable that the folder has by then.
            [ ! -e "$out" ] || diff -r "$dir/$format" "$out" > /dev/null || fail "--to $format: call $n of $total failed: half a folder"
            rm -rf "$out"
            nothing_but "" "--to $format: call $n of $total failed"
            ;;
        *) fail "--to $format: call $n of $total failed: exit $code, wanted 74"; cat "$dir/err" >&2 ;;
        esac
        rm -rf "$out" "$out.partial"
        hits=$((hits + 2))
    done
done
# A signal, early and late: nothing is left.
for n in 1 4 8; do
    inject parts write,fsync:signal=TERM "$n"
    code=$?
    [ $code -eq 75 ] || fail "SIGTERM at call $n: exit $code, wanted 75"
    says "stopped; nothing was left behind"
    nothing_but "" "SIGTERM at call $n"
    rm -rf "$out"
done
# Somebody else's folder that appears meanwhile is not replaced.
strace -f -o "$dir/trace" -e trace=mkdirat -e inject=mkdirat:signal=STOP:when=1 "$convert" $arguments --to hf --out "$out" 2> "$dir/err" &
tracer=$!
await $tracer grep -qs "stopped by SIGSTOP" "$dir/trace"
[ -e "$out.partial" ] || fail "stopped before there is $out.partial"
mkdir "$out"
echo mine > "$out/file"
pkill -CONT -P $tracer
wait $tracer
code=$?
[ $code -eq 73 ] || fail "--out was filled meanwhile: exit $code, wanted 73"
[ "$(ls -A "$out")" = file ] || fail "--out was filled meanwhile and holds $(ls -A "$out")"
nothing_but "out " "--out was filled meanwhile"
echo "    $hits calls killed at or failed"
exit $failed
