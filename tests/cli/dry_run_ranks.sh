#!/bin/bash
# A dry run of several ranks prints what each of them will need and do, and finds ranks that do not see the same: settings, program, machine, bases,
# data. What is cheap to find is found at the start of a run too.
STEPS=4
. tests/cli/_train.sh
. tests/cli/_ranks.sh
program=$(realpath "$train")
as_ranks "$program"
export RANKS=3
run="--config $dir/run.json"
errors() { [ "$(grep -c 'error: ' "$dir/err")" -eq "$1" ] || { fail "not $1 errors are told"; sed 's/^/    /' "$dir/err" >&2; }; }
nothing_made() { [ ! -e "$dir/runs" ] && [ ! -e "$dir/shards" ] || fail "$1: something was made"; }

# The ranks' samples are those of the run: 4 steps of 3, one each.
expect 0 $run --dry-run
grep -qE '^ranks +needed +mapped +passes +samples +tokens$' "$dir/out" || fail "no line for the ranks: $(cat "$dir/out")"
for r in 0 1 2; do grep -qE "^  $r +[0-9.]+ MiB +[0-9.]+ KiB +4 +4 +[0-9]+\$" "$dir/out" || fail "no line for rank $r: $(cat "$dir/out")"; done
[ "$(grep -cE '^  [0-9].* to |^  all' "$dir/out")" -eq 0 ] || fail "ranks with other tokens are one line: $(cat "$dir/out")"
tokens=$(sed -n '/^ranks/,$p' "$dir/out" | awk 'NR > 1 { n += $NF } END { print n }')
[ "$(awk '/^run/ { r = 1 } r && $1 == "tokens" { print $2; exit }' "$dir/out")" -eq "$tokens" ] || fail "the ranks' $tokens tokens are not the run's: $(cat "$dir/out")"
expect 0 $run --dry-run --log-format json
grep -qE '"ranks":\[(\{"needed":[0-9]+,"mapped":[0-9]+,"passes":4,"samples":4,"tokens":[0-9]+\},?){3}\]' "$dir/out" || fail "as JSON: $(cat "$dir/out")"
nothing_made "a dry run"
ends_with "$program" 0 $run --ranks 3 --dry-run
[ "$(grep -c '^ranks' "$dir/out")" -eq 1 ] || fail "--ranks 3 --dry-run: $(cat "$dir/out")"
ends_with "$program" 0 $run --dry-run
! grep -q '^ranks' "$dir/out" || fail "one rank has a line of its own"
# What is not counted is not told.
expect 0 $run --dry-run=quick
grep -qE '^ranks +needed +mapped$' "$dir/out" && grep -qE '^  all 3, each +[0-9.]+ MiB +[0-9.]+ KiB$' "$dir/out" || fail "without samples: $(cat "$dir/out")"
expect 0 $run --dry-run=quick --log-format json
grep -qE '"ranks":\[(\{"needed":[0-9]+,"mapped":[0-9]+\},?){3}\]' "$dir/out" || fail "without samples, as JSON: $(cat "$dir/out")"
# Alike they are one line.
head -c "$(($(head -n 1 tests/fixtures/parity/visual_tokens/rows.jsonl | wc -c)))" tests/fixtures/parity/visual_tokens/rows.jsonl > "$dir/one.jsonl"
for i in 1 2 3; do sed "s/\"uid\": \"/&$i-/" "$dir/one.jsonl"; done > "$dir/alike.jsonl"
sed "s|$PWD/tests/fixtures/parity/visual_tokens/rows.jsonl|$dir/alike.jsonl|" "$dir/run.json" > "$dir/alike.json"
expect 0 --config "$dir/alike.json" --dry-run
grep -qE '^  all 3, each +[0-9.]+ MiB ' "$dir/out" && [ "$(sed -n '/^ranks/,$p' "$dir/out" | wc -l)" -eq 2 ] || fail "ranks alike are not one line: $(cat "$dir/out")"

# with NAME COMMANDS: a file that runs them before the program it is given, for RANK_1.
with() {
    printf '#!/bin/bash\n%s\nexec "$@"\n' "$2" > "$dir/$1"
    chmod +x "$dir/$1"
    export RANK_1="$dir/$1"
}
# Settings and program: also in a run.
with settings 'set -- "$@" --set optim.lr=0.5 --set save.keep=7'
for dry in --dry-run ""; do
    expect 2 $run $dry
    says "error: rank 0: the ranks have different settings; start all of them with the same file and flags:"
    says "optim.lr: rank 1 sees 0.5, rank 0 sees 0.01"
    says "save.keep: rank 1 sees 7, rank 0 sees 100"
    [ "$(grep -c ' sees ' "$dir/err")" -eq 2 ] || fail "not two settings differ: $(cat "$dir/err")"
    errors 1
    nothing_made "other settings"
done
cp "$program" "$dir/other-train"
echo >> "$dir/other-train"
with other 'shift; set -- '"$dir"'/other-train "$@"'
for dry in --dry-run ""; do
    expect 2 $run $dry
    says "error: rank 0: the ranks run different programs; install the same on all machines:"
    says "hash of train: rank 1 sees "
    errors 1
done

# Machines: a plan is refused, a run warned of.
if [ "$(GENLLAVA_ISA=avx2 "$program" $run --dry-run > /dev/null 2>&1; echo $?)" -eq 0 ]; then
    export RANK_1=GENLLAVA_ISA=ref RANK_0=GENLLAVA_ISA=avx2 RANK_2=GENLLAVA_ISA=avx2
    expect 2 $run --dry-run
    says "the machines of the ranks compute differently, so that their copies of the weights may drift apart:"
    says 'device: rank 1 sees "cpu, ref", rank 0 sees "cpu, avx2"'
    expect 0 $run --steps 1
    says "warning: the machines of the ranks compute differently"
    rm -rf "$dir/runs" "$dir/shards"
    unset RANK_0 RANK_1 RANK_2
fi

# Bases and data, where a rank sees other files under the same names.
if unshare -m true 2> /dev/null; then
    cp -r "$bases/llm-gqa" "$dir/llm"
    cp -r "$dir/llm" "$dir/llm2"
    cp tests/fixtures/parity/visual_tokens/rows.jsonl "$dir/rows.jsonl"
    head -n 4 "$dir/rows.jsonl" > "$dir/rows2.jsonl"
    chmod -R u+w "$dir"/llm*
    printf '\1\2' | dd of="$dir/llm2/model.safetensors" bs=1 seek=$(($(stat -c %s "$dir/llm2/model.safetensors") - 9)) conv=notrunc 2> /dev/null
    sed -i "s|$PWD/tests/fixtures/parity/visual_tokens/rows.jsonl|$dir/rows.jsonl|; s|$bases/llm-gqa|$dir/llm|" "$dir/run.json"
    # sees THIS AT: rank 1 does, in place of what is there.
    sees() {
        with sees 'exec unshare -m sh -c '"'mount --bind $1 $2 && exec \"\$@\"' \"\$0\" \"\$@\""
    }
    sees "$dir/llm2" "$dir/llm"
    for dry in --dry-run ""; do
        expect 65 $run $dry
        says "error: rank 0: the ranks see different files:"
        grep -qE "^llm.model.safetensors: rank 1 sees \"[0-9]+ bytes, hash [0-9a-f]{32}\", rank 0 sees \"[0-9]+ bytes, hash " "$dir/err" || fail "the file is not named: $(cat "$dir/err")"
        errors 1
    done
    rm "$dir/llm2/model.safetensors"
    expect 66 $run --dry-run
    errors 1
    sees "$dir/rows2.jsonl" "$dir/rows.jsonl"
    expect 65 $run --dry-run
    says "error: rank 0: the ranks see different data:"
    says "data.samples: rank 1 sees 4, rank 0 sees 5"
    says "data.made from.files.$dir/rows.jsonl.bytes: rank 1 sees $(stat -c %s "$dir/rows2.jsonl"), rank 0 sees $(stat -c %s "$dir/rows.jsonl")"
    nothing_made "other data"
    mkdir "$dir/empty"
    mkdir "$dir/data" && mv "$dir/rows.jsonl" "$dir/data/"
    sed -i "s|$dir/rows.jsonl|$dir/data/rows.jsonl|" "$dir/run.json"
    sees "$dir/empty" "$dir/data"
    expect 66 $run --dry-run
    says "data.made from: rank 1 sees nothing, rank 0 sees something"
    unset RANK_1
    expect 0 $run --steps 1
    cp -r "$dir/shards" "$dir/shards2"
    rm -rf "$dir/runs" "$dir/shards"
    head -n 4 "$dir/shards2/../data/rows.jsonl" > "$dir/data/four"
    mv "$dir/data/rows.jsonl" "$dir/data/five" && mv "$dir/data/four" "$dir/data/rows.jsonl"
    expect 0 $run --steps 1
    rm -rf "$dir/runs"
    sees "$dir/shards2" "$dir/shards"
    expect 65 $run
    says "error: rank 0: the ranks see different data:"
    says "data.samples: rank 1 sees 5, rank 0 sees 4"
    unset RANK_1
else
    echo "    skipped: other files under the same names, for nothing can be mounted here"
fi

# A run that is there already is planned again.
rm -rf "$dir/runs"
expect 0 $run --steps 1
expect 0 $run --dry-run
says "warning: rank 0: $dir/runs/r holds checkpoints of an earlier run" 
grep -q '^ranks' "$dir/out" || fail "a run that is there is not planned: $(cat "$dir/out")"
exit $failed
