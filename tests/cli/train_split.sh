#!/bin/bash
# save.split: every rank writes its share of the moments. Read back by any number of ranks, with and without save.split, bit for bit; whatever
# happens to any rank in a save, the checkpoint before it is whole and nothing is left over.
STEPS=8
. tests/cli/_train.sh
. tests/cli/_ranks.sh
program=$train
as_ranks "$program"
export RANKS=4
run="--config $dir/run.json"
split="$run --set save.split=true"
shares() { (cd "$1" && echo optimizer*); }
# errors N: the last run told so many.
errors() { [ "$(grep -c 'error: ' "$dir/err")" -eq "$1" ] || { fail "not $1 errors are told"; sed 's/^/    /' "$dir/err" >&2; }; }

# The same number of ranks: the files are others, what they hold is not.
straight "$dir/straight"
expect 0 $split
[ "$(shares "$dir/runs/r/$last")" = "optimizer-00001-of-00004.safetensors optimizer-00002-of-00004.safetensors optimizer-00003-of-00004.safetensors optimizer-00004-of-00004.safetensors optimizer.safetensors.index.json" ] ||
    fail "a split checkpoint holds $(shares "$dir/runs/r/$last")"
for file in "$dir/straight/$last"/*; do
    case ${file##*/} in optimizer* | MANIFEST.json | config.resolved.json) ;; *) cmp "$file" "$dir/runs/r/$last/${file##*/}" || fail "${file##*/} differs" ;; esac
done
diff <(log_of "$dir/straight") <(log_of "$dir/runs/r") > /dev/null || fail "with save.split the log differs"
"$build/inspect" "$dir/runs/r/$last" > "$dir/out" || fail "inspect refuses it"
[ "$(grep -c ' optimizer-0000[1-4]-of-00004.safetensors ' "$dir/out")" -eq 4 ] || fail "inspect does not list the shares: $(cat "$dir/out")"
# No share is much larger than another: the largest tensor is the most that they differ by.
whole=$(stat -c %s "$dir/straight/$last/optimizer.safetensors")
for k in 1 2 3 4; do
    n=$(stat -c %s "$dir/runs/r/$last/optimizer-0000$k-of-00004.safetensors")
    [ "$n" -gt $((whole / 8)) ] && [ "$n" -lt $((whole / 2)) ] || fail "share $k takes $n of $whole bytes"
done
mv "$dir/runs/r" "$dir/split"

# from FOLDER STEP ARGUMENTS…: goes on from its checkpoint.
from() {
    local folder=$1 at=$2
    shift 2
    rm -rf "$dir/runs/r"
    mkdir -p "$dir/runs/r"
    cp -r "$folder/$(printf checkpoint-%06d "$at")" "$folder/train.jsonl" "$dir/runs/r/"
    expect 0 $run --resume "$@"
}
from "$dir/split" 3
same_end "$dir/straight" "resumed from a split checkpoint"
# Other numbers: as from the checkpoint that rank 0 wrote alone.
for folder in straight split; do
    RANKS=2 from "$dir/$folder" 3 --set save.split=true --steps 4
    RANKS=1 expect 0 $split --resume --steps 6
    [ "$(shares "$dir/runs/r/checkpoint-000006")" = optimizer.safetensors ] || fail "one rank saves $(shares "$dir/runs/r/checkpoint-000006")"
    RANKS=3 expect 0 $split --resume --steps 7
    RANKS=4 expect 0 $run --resume
    rm -rf "$dir/by_$folder"
    mv "$dir/runs/r" "$dir/by_$folder"
done
mv "$dir/by_split" "$dir/runs/r"
same_end "$dir/by_straight" "4, 2, 1, 3, 4 ranks"

# More ranks than tensors.
RANKS=8 expect 0 $split --set name=few --set model.llm.train=frozen --set model.tokens.train=frozen --set train.steps=2 --set model.projector.type=linear
"$build/inspect" "$dir/runs/few/checkpoint-000002" > /dev/null || fail "more ranks than tensors: the checkpoint is not whole"
RANKS=1 expect 0 $run --set name=few --set model.llm.train=frozen --set model.tokens.train=frozen --set train.steps=2 --set model.projector.type=linear --resume

# Damage to any file of a rank is found, and one that is missing or that the manifest does not name.
export RANKS=2
rm -rf "$dir/runs"
expect 0 $split --steps 2
flip() { printf '\377' | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") / 2)) conv=notrunc 2> /dev/null; }
cp -r "$dir/runs/r" "$dir/two"
for what in "flip optimizer-00002-of-00002.safetensors" "rm optimizer-00002-of-00002.safetensors" "flip optimizer.safetensors.index.json" "rm optimizer.safetensors.index.json"; do
    rm -rf "$dir/runs/r" && cp -r "$dir/two" "$dir/runs/r"
    ${what%% *} "$dir/runs/r/checkpoint-000002/${what#* }"
    expect 0 $split --resume --steps 2
    says "$dir/runs/r/checkpoint-000002/${what#* }: "
    says "resuming from $dir/runs/r/checkpoint-000001"
done
rm -rf "$dir/runs/r" && cp -r "$dir/two" "$dir/runs/r"
cp "$dir/straight/checkpoint-000003/optimizer.safetensors" "$dir/runs/r/checkpoint-000002/"
expect 0 $split --resume --steps 2
says "does not name optimizer.safetensors, which a checkpoint must have"

# again: two steps, and a third to be saved.
again() {
    rm -rf "$dir/runs/r"
    mkdir -p "$dir/runs"
    cp -r "$dir/two" "$dir/runs/r"
}
# begin: in a folder of its own two steps, and the third.
begin() {
    run="--config $dir/run.json" split="--config $dir/run.json --set save.split=true"
    expect 0 $split --steps 2
    mv "$dir/runs/r" "$dir/two"
    again
    expect 0 $split --resume --steps 3
    mv "$dir/runs/r" "$dir/three"
}
rm -rf "$dir/runs" "$dir/two"
begin
# whole WHEN: the run can be finished, and nothing is left over.
whole() {
    expect 0 $split --resume --steps 3
    diff -r "$dir/three/checkpoint-000003" "$dir/runs/r/checkpoint-000003" > /dev/null || fail "$1: the last checkpoint differs"
    [ -z "$(find "$dir/runs/r" -name '.*' ! -name .)" ] || fail "$1: left over $(ls -A "$dir/runs/r")"
}
kept() { "$build/inspect" "$dir/runs/r/checkpoint-000002" > /dev/null && [ ! -e "$dir/runs/r/checkpoint-000003" ] || fail "$1: the old checkpoint is not whole, or there is another"; }

# A full disk for one rank ends all with its sentence; the old checkpoint stays.
printf '#!/bin/bash\nulimit -f 4\nexec "$@"\n' > "$dir/full"
chmod +x "$dir/full"
for rank in 0 1; do
    again
    export RANK_$rank="$dir/full"
    expect 74 $split --resume --steps 3
    unset RANK_$rank
    says "error: rank $rank: saving checkpoint-000003: $dir/runs/r/.checkpoint-000003.tmp/"
    says "File too large"
    errors 1
    kept "a full disk"
    [ -z "$(find "$dir/runs/r" -name '.checkpoint*')" ] || fail "a full disk of rank $rank: left over $(ls -A "$dir/runs/r")"
    whole "after a full disk of rank $rank"
done

# A rank that sees another folder under that name: said before a step is taken.
if unshare -m true 2> /dev/null; then
    rm -rf "$dir/runs/r"
    printf '#!/bin/bash\nexec unshare -m sh -c %s "$0" "$@"\n' "'mount -t tmpfs none \"$dir/runs\" && mkdir \"$dir/runs/r\" && exec \"\$@\"'" > "$dir/apart"
    chmod +x "$dir/apart"
    RANK_1=$dir/apart expect 73 $split
    says "error: rank 1: save.split: $dir/runs/r/.checkpoint-000000.tmp: cannot be opened: No such file or directory; with save.split every rank must see the folder that rank 0 has made there"
    errors 1
    [ ! -e "$dir/runs/r/train.jsonl" ] || fail "a rank that sees another folder: steps are taken"
    [ -z "$(find "$dir/runs/r" -name '.checkpoint*')" ] || fail "a rank that sees another folder: left over $(ls -A "$dir/runs/r")"
    RANK_1=$dir/apart expect 0 $run --steps 1
else
    echo "    skipped: a rank that sees another folder, for nothing can be mounted here"
fi

command -v strace > /dev/null && strace -o /dev/null true 2> /dev/null || { echo "    skipped: strace may not trace here"; exit $failed; }
export OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0
# Any rank killed at, or refused, the n-th call of a kind.
calls=write,fsync,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat
faults() { # RANK WHAT...
    local rank=$1 total hit=0 n what code
    shift
    begin
    again
    export RANK_$rank="strace -f -o $dir/calls -e trace=$calls"
    expect 0 $split --resume --steps 3 --quiet
    total=$(sed 's/^[0-9]* *//; s/(.*//' "$dir/calls" | sort | uniq -c | sort -rn | awk 'NR == 1 { print $1 }')
    for n in $(seq 1 "$total"); do
        for what; do
            again
            export RANK_$rank="strace -f -o /dev/null -e trace=$calls -e inject=$calls:$what:when=$n"
            { "$train" $split --resume --steps 3 --quiet > /dev/null 2> "$dir/err"; } 2> /dev/null
            code=$?
            unset RANK_$rank
            case $what-$code in signal=KILL-99 | error=ENOSPC-7[34]) hit=$((hit + 1)) ;; *-0) ;; error=ENOSPC-*) fail "rank $rank, call $n of $total failed: exit $code"; cat "$dir/err" >&2 ;; esac
            [ -e "$dir/runs/r/checkpoint-000003" ] || kept "rank $rank, call $n of $total, $what"
            whole "rank $rank, call $n of $total, $what"
        done
    done
    echo "    rank $rank: $hit of $(($# * total)) of $* ended the run"
    [ $hit -ge 4 ] || fail "only $hit calls of rank $rank were hit"
}

# The folder that is filled is swapped for a link, or for a folder with another word, after any of rank 1's looks into the run folder.
swaps() {
    local swaps=0 look by pid stopped filled code
    begin
    for look in $(seq 1 12); do for by in link folder; do
        again
        rm -rf "$dir/elsewhere" "$dir/moved"
        mkdir "$dir/elsewhere"
        echo mine > "$dir/elsewhere/theirs"
        echo 00000000000000000000000000000000 > "$dir/elsewhere/.word"
        : > "$dir/trace"
        RANK_1="strace -f -o $dir/trace -P $dir/runs/r -e trace=openat -e inject=openat:signal=STOP:when=$look" "$train" $split --resume --steps 3 > /dev/null 2> "$dir/err" &
        pid=$!
        until grep -q "stopped by SIGSTOP" "$dir/trace" || ! kill -0 $pid 2> /dev/null; do sleep 0.01; done
        stopped=$(sed -n 's/^\([0-9]*\) .*stopped by SIGSTOP.*/\1/p' "$dir/trace" | head -1)
        filled=$(cd "$dir/runs/r" && echo .checkpoint-*.tmp)
        if [ -n "$stopped" ] && [ -d "$dir/runs/r/$filled" ]; then
            mv "$dir/runs/r/$filled" "$dir/moved"
            if [ $by = link ]; then ln -s "$dir/elsewhere" "$dir/runs/r/$filled"; else cp -r "$dir/elsewhere" "$dir/runs/r/$filled"; fi
            kill -CONT "$stopped"
            wait $pid
            code=$?
            swaps=$((swaps + 1))
            [ $code -eq 74 ] || [ $code -eq 73 ] || fail "swapped for a $by after look $look: exit $code: $(tail -1 "$dir/err")"
            [ "$(cd "$dir/elsewhere" && echo * .word)" = "theirs .word" ] || fail "swapped for a $by after look $look: written elsewhere: $(ls -A "$dir/elsewhere")"
            [ -L "$dir/runs/r/$filled" ] || [ "$(cd "$dir/runs/r/$filled" && echo * .word)" = "theirs .word" ] || fail "swapped for a $by after look $look: written into what was swapped in: $(ls -A "$dir/runs/r/$filled")"
            kept "swapped for a $by after look $look"
            whole "swapped for a $by after look $look"
        else
            [ -z "$stopped" ] || kill -CONT "$stopped"
            wait $pid
        fi
    done; done
    echo "    the folder swapped $swaps times"
    [ $swaps -ge 8 ] || fail "only $swaps swaps fell into a save"
}
beside killed faults 0 signal=KILL
beside failing faults 0 error=ENOSPC
beside rank1 faults 1 signal=KILL error=ENOSPC
beside swaps swaps
together
exit $failed
