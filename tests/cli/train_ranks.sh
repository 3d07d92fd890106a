#!/bin/bash
# Several ranks: one of them locks, prepares, logs and saves; they resume, stop and fail together.
. tests/cli/_train.sh
. tests/cli/_ranks.sh
[ -x "$build/train-cuda-host" ] || { echo "make cuda-host builds what this tests"; exit 77; }
as_ranks "$build/train-cuda-host"
export RANKS=2 GENLLAVA_NCCL=none # a real one would look for real devices
# errors N: the last run told so many.
errors() { [ "$(grep -c 'error: ' "$dir/err")" -eq "$1" ] || { fail "not $1 errors are told"; sed 's/^/    /' "$dir/err" >&2; }; }

# One of them prepares, logs and saves, and says so once.
straight "$dir/straight"
[ "$(wc -l < "$dir/straight/train.jsonl")" -eq $steps ] || fail "train.jsonl does not have a line a step"
for text in "^preparing $dir/shards" "^device: " "^memory: " "^step 16/16 " "^saved $dir/runs/r/checkpoint-000016"; do
    [ "$(grep -c "$text" "$dir/err")" -eq 1 ] || fail "\"$text\" is not said once: $(cat "$dir/err")"
done
awk -F '"waited":' '!($2 + 0 > 0 && $2 + 0 <= 1) { exit 1 }' "$dir/straight/train.jsonl" || fail "the share of waiting is not told: $(cat "$dir/straight/train.jsonl")"
grep -q '^step 16/16 .* tokens/s  [0-9.e-]* s/step  [0-9]* % waited  0:00 left' "$dir/err" || fail "the step line does not tell the share of waiting"
awk -F '"peak_share":' 'NR > 1 && !($2 + 0 > 0 && $2 + 0 < 1.2) { exit 1 }' "$dir/straight/train.jsonl" || fail "the share of peak is not told: $(cat "$dir/straight/train.jsonl")"
grep -q '"ranks": 2' "$dir/straight/environment.json" || fail "environment.json does not tell the ranks"
"$build/inspect" "$dir/straight/$last" > /dev/null || fail "the last checkpoint is not whole"

# Resumed they end with the same bits; --steps stops before; what is finished is said once.
expect 0 --config "$dir/run.json" --steps 3
for k in 3 7 15; do
    mkdir -p "$dir/runs/r"
    cp -r "$dir/straight/$(printf checkpoint-%06d $k)" "$dir/straight/train.jsonl" "$dir/runs/r/"
    expect 0 --config "$dir/run.json" --resume
    same_end "$dir/straight" "resumed at step $k"
    [ $k -eq 15 ] || rm -rf "$dir/runs/r"
done
expect 0 --config "$dir/run.json" --resume
says "16 of 16 steps are finished: there is nothing left to do"
cp "$dir/runs/r/config.resolved.json" "$dir/"
expect 0 --config "$dir/config.resolved.json" --resume
[ "$(grep -c "not the one that the file lies in" "$dir/err")" -eq 1 ] || fail "copied settings are not told once: $(cat "$dir/err")"
expect 2 --config "$dir/run.json"
says "error: rank 0: $dir/runs/r holds checkpoints of an earlier run"
errors 1
rm -rf "$dir/runs/r"

# Another number of ranks goes on with the same samples; the losses differ by rounding.
for n in 4 2 1 4; do
    at=$((${at:-0} + 4))
    RANKS=$n expect 0 --config "$dir/run.json" --resume --steps $at
done
samples() { sed 's/.*\("samples":.*\),"seconds.*/\1/' "$1/train.jsonl"; }
[ "$(samples "$dir/straight")" = "$(samples "$dir/runs/r")" ] || fail "4, 2, 1, 4 ranks saw other samples than 2"
paste <(sed 's/.*"loss":\([^,]*\),.*/\1/' "$dir/straight/train.jsonl") <(sed 's/.*"loss":\([^,]*\),.*/\1/' "$dir/runs/r/train.jsonl") |
    awk '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= 1e-4 * $1)) exit 1 }' || fail "4, 2, 1, 4 ranks lose otherwise than 2"
rm -rf "$dir/runs/r"

# Ranks without any rows.
RANKS=3 expect 0 --config "$dir/run.json" --set train.batch=1 --set train.steps=3
rm -rf "$dir/runs/r"

# Samples are taken once; a dry run prints one plan and leaves nothing.
printf '{"ask": "What is it?"}\n' > "$dir/prompts.jsonl"
expect 0 --config "$dir/run.json" --set sample.every=2 --set sample.prompts="$dir/prompts.jsonl" --set train.steps=4
[ "$(ls "$dir/runs/r/samples")" = $'step-000002\nstep-000004' ] || fail "samples of other steps: $(ls "$dir/runs/r/samples")"
rm -rf "$dir/runs/r"
expect 0 --config "$dir/run.json" --dry-run --log-format json
[ "$(wc -l < "$dir/out")" -eq 1 ] || fail "a dry run printed not one plan: $(cat "$dir/out")"

# A signal to any rank stops all after the same step.
for rank in 1 0; do
    rm -rf "$dir/runs/r"
    "$train" --config "$dir/run.json" --set train.steps=100000 --set save.every=0 > /dev/null 2> "$dir/err" &
    await $! steps_past 2
    kill -TERM "$(sed -n $((rank + 1))p "$dir/pids")"
    wait $!
    code=$?
    [ $code -eq 75 ] || fail "SIGTERM to rank $rank: exit $code, wanted 75"
    lines=$(wc -l < "$dir/runs/r/train.jsonl")
    says "SIGTERM: stopped after step $lines of 100000; go on with --resume"
    [ -f "$dir/runs/r/$(printf checkpoint-%06d "$lines")/MANIFEST.json" ] || fail "SIGTERM to rank $rank: no checkpoint of the last step, $lines"
done
rm -rf "$dir/runs/r"

# Any failure ends all, with one sentence: the first rank's disk is full …
mkdir -p "$dir/runs/r"
cp -r "$dir/straight"/checkpoint-000005 "$dir/straight/train.jsonl" "$dir/runs/r/"
(ulimit -f 4; expect 74 --config "$dir/run.json" --resume; exit $failed) || failed=1
says "error: rank 0: saving checkpoint-000006: $dir/runs/r/.checkpoint-000006.tmp/"
errors 1
expect 0 --config "$dir/run.json" --resume
same_end "$dir/straight" "after a full disk"
# … its folder is another's, or cannot be there …
exec 9> "$dir/runs/r/.lock"
printf "%s %d\n" "$(hostname)" $$ >&9
flock 9
expect 73 --config "$dir/run.json" --resume
says "error: rank 0: $dir/runs/r is being trained in by process $$ on "
errors 1
exec 9<&-
expect 73 --config "$dir/run.json" --set save.dir=/proc/nothing
says "error: rank 0: save.dir: /proc/nothing" # who is not root is told of the folder that would be in it
says ": cannot be created: "
# … the second has a picture that cannot be read, or a device that fails …
cp "$dir/shards/shard-00000-of-00001.h5" "$dir/whole.h5"
at=$(LC_ALL=C grep -obUaP '\xff\xd8\xff' "$dir/whole.h5" | cut -d: -f1)
printf 'damaged' | dd of="$dir/shards/shard-00000-of-00001.h5" bs=1 seek=$((at + 40)) conv=notrunc 2> /dev/null
rm -rf "$dir/runs/r"
expect 65 --config "$dir/run.json"
says "error: rank 1: step 1, pass 1 of 1: $dir/shards/shard-00000-of-00001.h5: image 0 is damaged"
errors 1
mv "$dir/whole.h5" "$dir/shards/shard-00000-of-00001.h5"
CUDA_HOST_DEVICES=2 RANK_1=CUDA_HOST_FAIL=attention:5:700 expect 69 --config "$dir/run.json" --set device=cuda
says "error: rank 1: step 1, in one of its 1 passes, the last of them with records "
errors 1
# … two would share one device …
CUDA_HOST_DEVICES=2 RANKS=3 expect 69 --config "$dir/run.json" --set device=cuda
says "error: rank 0: device: ranks 0 and 2 have the same GPU (host emulation, "
says "); start at most as many ranks on a machine as it has visible GPUs"
errors 1
# … they would not compute alike …
RANK_1=CUDA_HOST_DRIVER=0 expect 69 --config "$dir/run.json" --set device=auto
says 'error: device: some ranks have found a GPU and others none; set it to "cuda" or "cpu"'
errors 1
if grep -q avx512_bf16 /proc/cpuinfo; then
    RANK_1=GENLLAVA_ISA=avx2 expect 69 --config "$dir/run.json" --set train.compute=auto
    says 'error: train.compute: some ranks would compute in bf16 and others in f32; set it to one of them'
fi
# … there are more of them than the first may have connections …
RANKS=12 GENLLAVA_RANKS_JOIN=1 RANK_0="prlimit --nofile=12:12" expect 69 --config "$dir/run.json" --dry-run=quick
says "warning: callers at the ranks' port cannot be let in: Too many open files (ulimit -Hn must be larger than the number of ranks)"
# … all miss the same.
expect 66 --config "$dir/run.json" --set model.llm.path="$dir/nothing"
says "error: --set: model.llm.path: $dir/nothing: there is no such file or folder"
errors 1
rm -rf "$dir/runs/r"

# Each takes a device of its own; resumed they end with the same bits there too.
export CUDA_HOST_DEVICES=2
on_cuda="--config $dir/run.json --set device=cuda --set train.steps=3"
RANK_0=CUDA_HOST_REPORT=$dir/report0 RANK_1=CUDA_HOST_REPORT=$dir/report1 expect 0 $on_cuda
[ "$(sed -n 's/^device //p' "$dir/report0" "$dir/report1" | tr '\n' ' ')" = "0 1 " ] || fail "the devices of the ranks are $(grep device "$dir"/report?)"
last=checkpoint-000003
mv "$dir/runs/r" "$dir/on_cuda"
mkdir "$dir/runs/r"
cp -r "$dir/on_cuda/checkpoint-000001" "$dir/on_cuda/train.jsonl" "$dir/runs/r/"
expect 0 $on_cuda --resume
same_end "$dir/on_cuda" "resumed on devices"
# … and each saves its share of the moments from there.
rm -rf "$dir/runs/r"
expect 0 $on_cuda --set save.split=true --steps 2
[ -e "$dir/runs/r/checkpoint-000002/optimizer-00002-of-00002.safetensors" ] || fail "split on devices: $(ls "$dir/runs/r/checkpoint-000002")"
expect 0 $on_cuda --resume
same_end "$dir/on_cuda" "resumed on devices from a split checkpoint"
# Some launchers show each rank its own alone, as number 0.
rm -rf "$dir/runs/r"
CUDA_HOST_DEVICES=1 RANK_1=CUDA_VISIBLE_DEVICES=1 expect 0 $on_cuda
exit $failed
