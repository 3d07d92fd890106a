#!/usr/bin/env bash
# Runs the targets of `make fuzz`, or only those named: bash tests/fuzz/run.sh BUILD [NAME]... FUZZ_SECONDS: for each (60).
# The corpus of a target begins with files of tests/fixtures and tests/fuzz/corpus, and grows in BUILD/corpus from one call to the next.
# What a target finds stays there too: BUILD/found/NAME-crash-…, and the command that repeats it is printed.
set -euo pipefail
build=$1
shift
seconds=${FUZZ_SECONDS:-60}
fixtures=tests/fixtures
parity=$fixtures/parity
memory=/dev/shm
[ -w "$memory" ] || memory=${TMPDIR:-/tmp}
FUZZ_FOLDER=$(mktemp -d "$memory/genllava-fuzz-XXXXXX")
export FUZZ_FOLDER
trap 'rm -rf "$FUZZ_FOLDER"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$build/found"

# byte NUMBER: one byte
byte() { printf '%b' "\\0$(printf %03o "$1")"; }

# seeds NAME FOLDER: the first inputs
seeds() {
    [ ! -d "tests/fuzz/corpus/$1" ] || cp "tests/fuzz/corpus/$1/"* "$2"
    case $1 in
    json | config | mixture)
        for f in $parity/*/config.json $parity/*/mixture.json configs/*.json $parity/bases/*/config.json; do
            cp "$f" "$2/$(echo "$f" | tr / _)"
        done ;;
    recipe) for f in configs/curate/*.json $fixtures/curate/requests/*/recipe.json; do cp "$f" "$2/$(echo "$f" | tr / _)"; done ;;
    subjects) for k in 0 3 4; do for f in $fixtures/curate/requests/*/records.jsonl; do
                  { byte $k; cat "$f"; } > "$2/$k$(echo "$f" | tr / _)"
              done; done ;;
    rows | questions) find $parity -name 'rows.json*' -size -8k | while read -r f; do cp "$f" "$2/$(echo "$f" | tr / _)"; done ;;
    sources) source_seeds "$2" ;;
    safetensors) cp $parity/bases/llm-old/*.index.json "$2"
                 find $parity -name '*.safetensors' -size -12k | head -8 | while read -r f; do cp "$f" "$2/$(echo "$f" | tr / _)"; done ;;
    gguf) cp $fixtures/containers/*.gguf "$2" ;;
    npy) cp $fixtures/metrics/features/*.np[yz] "$2" ;;
    torch_bin) cp $fixtures/containers/*.bin "$2" ;;
    replay) for f in $parity/*/start/replay.safetensors; do cp "$f" "$2/$(echo "$f" | tr / _)"; done ;;
    tokenizer) cp $parity/bases/llm-gqa/tokenizer.model "$2" ;;
    picture) find $fixtures/images -size -4k \( -name '*.png' -o -name '*.jpg' -o -name '*.gif' -o -name '*.webp' \) \
                 -exec cp {} "$2" \; ;;
    prompts) printf '%s\n' '{"ask":"What is it?","image":["a.png"]}' '{"ask":"Who?"}' > "$2/two"
             printf '%s\n' '{"ask":"<image>\nWhat?","image":"a.png"}' > "$2/one" ;;
    answers) printf '%s\n' '{"kind":"a","ask":"Who?","answer":"Yes.","expected":"yes"}' '{"ask":"Why?","answer":"no"}' > "$2/two" ;;
    cli) printf '%s\n' --config=a --set b=c --image d e --steps 7 --temperature 0.5 --colour red --resume --dry-run f > "$2/words" ;;
    shard) shard_seeds "$2" ;;
    runlog) { byte 2; printf '{"step":%d,"loss":1.5,"lr":1e-4,"grad_norm":0.5,"seconds":0.1}\n' 1 2 3; } > "$2/three" ;;
    journal) { byte 0; cat "$FUZZ_FOLDER/shards/manifest.jsonl"; } > "$2/manifest"
             { byte 1; cat "$FUZZ_FOLDER/shards/pictures.list"; } > "$2/pictures" ;;
    esac
}

# Small files of the public layouts, each behind the byte that says what it is; plus 12: one row a picture, plus 24: filtered.
source_seeds() {
    s=$fixtures/sources e=$fixtures/edit_sets
    for seed in 0:$s/messages.jsonl 1:$s/pretrain.json 2:$s/captions_train2017.json 14:$s/late.json 3:$s/cc3m.tsv 15:$s/gill.tsv \
        4:$s/rows.jsonl 40:$s/rows.jsonl 5:$s/laion.jsonl 6:$e/instructpix2pix/seeds.json 7:$e/instructpix2pix/0000000/prompt.json \
        8:$e/instructpix2pix/0000000/metadata.jsonl 44:$e/instructpix2pix/0000000/metadata.jsonl 9:$e/magicbrush/train/edit_sessions.json \
        10:$e/magicbrush/train/global_captions.json 11:$fixtures/images/pictures.txt; do
        { byte "${seed%%:*}"; cat "${seed#*:}"; } > "$1/${seed%%:*}-$(basename "${seed#*:}")"
    done
}

# A shard of a case of tests/fixtures, for the seeds.
make_shards() {
    "$build/prepare" --quiet --config $parity/visual_tokens/config.json --set data.shard_samples=5 --jobs 1 \
        --out "$FUZZ_FOLDER/shards" > /dev/null
}

# What lies below the seal, and before it the number of image bytes as two bytes.
shard_seeds() {
    for f in "$FUZZ_FOLDER"/shards/*.h5; do
        images=$(sed -n 's/^image_bytes 0*//p' "$f" 2>/dev/null | head -n 1 | tr -dc 0-9)
        images=${images:-0}
        { byte $((images % 256)); byte $((images / 256)); tail -c +513 "$f"; } > "$1/$(basename "$f")"
    done
}

# slow TARGET FILE: whether the input takes more than a second of processor time, whatever else the machine does
slow() {
    ! (ulimit -t 2 && exec "$1" -timeout=60 -close_fd_mask=3 "$2" > /dev/null 2>&1)
}

# run NAME: until its time is over or it finds something
run() {
    target=$build/fuzz-$1 corpus=$build/corpus/$1 log=$build/found/$1.log end=$(($(date +%s) + seconds))
    mkdir -p "$corpus"
    seeds "$1" "$corpus"
    rm -f "$build/found/$1"-*
    while :; do
        left=$((end - $(date +%s)))
        [ $left -gt 0 ] || break
        "$target" -max_total_time=$left -timeout=1 -rss_limit_mb=1024 -max_len=131072 -len_control=0 -close_fd_mask=3 -print_final_stats=1 \
            -artifact_prefix="$build/found/$1-" "$corpus" > "$log" 2>&1 && break
        found=$(find "$build/found" -name "$1-*" | head -n 1)
        case $found in
        */"$1"-timeout-*) if ! slow "$target" "$found"; then rm "$found"; continue; fi ;;
        */"$1"-slow-unit-*) rm "$found"; continue ;;
        esac
        echo "fuzz-$1 found something: $log"
        grep -E '^==[0-9]+==ERROR|runtime error|SUMMARY|^status ' "$log" | head -n 5
        echo "  repeat: FUZZ_FOLDER=\$(mktemp -d) $target $found"
        return 1
    done
    rm -f "$build/found/$1"-slow-unit-*
    echo "fuzz-$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1) inputs, nothing found"
}

make_shards
failed=0
export ASAN_OPTIONS=quarantine_size_mb=8:allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1
if [ $# = 0 ]; then
    for file in tests/fuzz/*.c; do
        [ "$file" = tests/fuzz/fuzz.c ] || set -- "$@" "$(basename "$file" .c)"
    done
fi
for name; do
    run "$name" || failed=1
done
exit $failed
