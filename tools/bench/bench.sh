#!/bin/sh
# Matmuls against the machine's peak; then whole training steps, their memory, convolutions, a UNet, the start of the program, text
# generation, pictures, and a mixture being prepared, with PyTorch, Pillow and SentencePiece beside them when PYTHON has them. $1: the
# folder with the programs, $2: python. The two programs take turns; a ratio is the median of the pairs. The steps: text only, f32, LoRA
# on all seven linears, random weights: bases, data and PyTorch's step are of the same shape.
set -eu
export LC_ALL=C # in other languages awk may read 0.5 as 0
bin=$(cd "$1" && pwd) python=$2 root=$(pwd)
pairs=5 steps=12 row=${ROW:-C}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
torch=yes
"$python" -c 'import torch, transformers, peft, diffusers' 2>/dev/null || torch=no
[ $torch = yes ] || echo "no PyTorch behind $python: only our side (make bench PYTHON=…)"

# Waits until half a second passes in which the cores are idle but for a tenth; fails when a minute brings none. FORCE=1 measures anyway.
idle_ticks() { awk '/^cpu / { all = 0; for (i = 2; i <= 9; i++) all += $i; print $5 + $6, all }' /proc/stat; }
quiet() {
    [ "${FORCE:-0}" != 1 ] || return 0
    for _ in $(seq 120); do
        before=$(idle_ticks)
        sleep 0.5
        ! echo "$before $(idle_ticks)" | awk '{ exit !($3 - $1 >= 0.9 * ($4 - $2)) }' || return 0
    done
    return 1
}
asked() { case "$1" in "$row"*) ;; *) return 1 ;; esac; }
busy() { printf '%-28s machine busy: no ratio measured now would mean anything\n' "$1"; }
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# folder WIDTH LAYERS FF HEADS KV VOCAB
base() {
    mkdir -p "$dir/llm"
    cp "$root/tests/fixtures/vocabulary/tokenizer.model" "$dir/llm/"
    cat >"$dir/llm/config.json" <<END
{"model_type": "mistral", "architectures": ["MistralForCausalLM"], "hidden_size": $1, "num_hidden_layers": $2, "intermediate_size": $3,
 "num_attention_heads": $4, "num_key_value_heads": $5, "vocab_size": $6,
 "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "sliding_window": null,
 "max_position_embeddings": 4096, "hidden_act": "silu", "initializer_range": 0.02, "tie_word_embeddings": false}
END
}
# data BATCH TOKENS PERCENT: records of about TOKENS tokens, the answer being PERCENT of them
data() {
    awk -v n=$(($1 * steps)) -v tokens="$2" -v percent="$3" 'BEGIN {
        printf "["
        for (i = 0; i < n; i++) {
            answer = int(tokens * percent / 100) - 2
            question = tokens - answer - 14
            printf "%s{\"id\": \"%d\", \"conversations\": [{\"from\": \"human\", \"value\": \"x", i ? ",\n" : "", i
            for (k = 1; percent < 100 && k < question; k++) printf " %c", 97 + (k * 7 + i) % 26
            printf "\"}, {\"from\": \"gpt\", \"value\": \"a"
            for (k = 1; k < answer; k++) printf " %c", 97 + (k * 5 + i) % 26
            printf "\"}]}"
        }
        print "]"
    }' >"$dir/data.json"
}
config() { # BATCH RANK PERCENT
    template=mistral_instruct
    [ "$3" -lt 100 ] || template=plain
    cat >"$dir/run.json" <<END
{"name": "run", "model": {"llm": {"path": "llm", "init": "random"}, "vision": {"path": null},
 "lora": {"r": $2, "alpha": $(($2 * 2)), "dropout": 0},
 "tokens": {"image": 0, "task": null}},
 "data": {"mixture": [{"name": "d", "files": ["data.json"], "task": "understand"}], "template": "$template"},
 "train": {"steps": $steps, "batch": $1, "micro_tokens": 65536, "compute": "f32", "recompute": "none"},
 "save": {"dir": "runs"}, "log": {"tensorboard": false}}
END
}
field() { sed -n "s/.*\"$1\":\([0-9.e+-]*\).*/\1/p" "$dir/runs/run/train.jsonl"; }

ours_step() {
    rm -rf "$dir/runs"
    /usr/bin/env time -f %M -o "$dir/ours_kb" "$bin/train" --config "$dir/run.json" --quiet 2>"$dir/err" || { cat "$dir/err" >&2; exit 1; }
    field seconds | tail -n +4 | median
}
theirs_step() {
    tokens=$(field tokens | median)
    "$python" tests/oracle/bench_step.py $shape "$((${tokens%.*} / batch))" $percent $steps >"$dir/out"
    cut -d' ' -f2 "$dir/out" >"$dir/theirs_kb"
    cut -d' ' -f1 "$dir/out"
}
ours_start() {
    rm -rf "$dir/runs"
    /usr/bin/env time -f %e -o "$dir/t" "$bin/train" --config "$dir/run.json" --quiet --steps 1
    cat "$dir/t"
}
theirs_start() {
    /usr/bin/env time -f %e -o "$dir/t" "$python" tests/oracle/bench_step.py $shape 64 100 1 >"$dir/out"
    cat "$dir/t"
}
ours_conv() { GENLLAVA_ISA=$isa "$bin/bench-conv" $shape; }
theirs_conv() { # kept to AVX2 where we are
    if [ "$isa" = avx2 ]; then
        ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 "$python" tests/oracle/bench_conv.py $shape
    else
        "$python" tests/oracle/bench_conv.py $shape
    fi
}
ours_unet() { "$bin/bench-unet" $shape; }
theirs_unet() { "$python" tests/oracle/bench_unet.py $shape 2>"$dir/err" || { cat "$dir/err" >&2; exit 1; }; }
ours_prepare() { # processor seconds: prepare waits for the disk at the end of a shard
    rm -rf "$dir/shards"
    /usr/bin/env time -f '%U %S %M' -o "$dir/t" "$bin/prepare" --config "$dir/run.json" --jobs 1 --quiet >"$dir/out"
    grep -o '[0-9]* tokens' "$dir/out" >"$dir/tokens"
    awk '{ print $3 }' "$dir/t" >"$dir/ours_kb"
    awk '{ print $1 + $2 }' "$dir/t"
}
theirs_prepare() {
    /usr/bin/env time -f '%U %S %M' -o "$dir/t" \
        "$python" tests/oracle/bench_prepare.py "$dir/rows.json" "$dir/pictures" "$vocabulary" >"$dir/out"
    cmp "$dir/tokens" "$dir/out" >&2 || exit 1
    awk '{ print $3 }' "$dir/t" >"$dir/theirs_kb"
    awk '{ print $1 + $2 }' "$dir/t"
}
ours_decode() { "$bin/bench-decode" "$dir/decode.json" $texts; }
theirs_decode() { "$python" tests/oracle/bench_decode.py $shape $texts 2>"$dir/err" || { cat "$dir/err" >&2; exit 1; }; }
ours_picture() { taskset -c 0 "$bin/bench-pictures" "$picture" 384; }
theirs_picture() { taskset -c 0 "$python" tests/oracle/bench_picture.py "$picture" 384; }

# compare NAME GOAL UNIT WHAT: ours_WHAT and theirs_WHAT, which print a time, in turn
compare() {
    asked "$1" || return 0
    : >"$dir/ours"; : >"$dir/theirs"; : >"$dir/ratio"; : >"$dir/memory"; : >"$dir/ours_kb"; : >"$dir/theirs_kb"
    for _ in $(seq $pairs); do
        quiet || { busy "$1"; return 0; }
        "ours_$4" >"$dir/a"
        cat "$dir/a" >>"$dir/ours"
        [ $torch = yes ] || continue
        "theirs_$4" >"$dir/b"
        cat "$dir/b" >>"$dir/theirs"
        paste "$dir/a" "$dir/b" | awk '{ print $2 / $1 }' >>"$dir/ratio"
        [ ! -s "$dir/theirs_kb" ] || paste "$dir/ours_kb" "$dir/theirs_kb" | awk '{ print $1 / $2 }' >>"$dir/memory"
    done
    printf '%-28s %9.4f %-2s' "$1" "$(median <"$dir/ours")" "$3"
    [ $torch = no ] || printf '  %9.4f %-2s  %7.2fx (%.2f to %.2f; hold %s)' "$(median <"$dir/theirs")" "$3" "$(median <"$dir/ratio")" \
        "$(sort -g "$dir/ratio" | head -n 1)" "$(sort -g "$dir/ratio" | tail -n 1)" "$2"
    [ ! -s "$dir/memory" ] || printf '  memory %.2fx' "$(median <"$dir/memory")"
    echo
}

# step NAME GOAL WIDTH LAYERS FF HEADS KV VOCAB BATCH TOKENS RANK PERCENT
step() {
    asked "$1" || return 0
    base "$3" "$4" "$5" "$6" "$7" "$8"
    data "$9" "${10}" "${12}"
    config "$9" "${11}" "${12}"
    shape="$3 $4 $5 $6 $7 $8 ${11} $9" batch=$9 percent=${12}
    compare "$1" "$2" s step
}

# decode NAME GOAL WIDTH LAYERS FF HEADS KV VOCAB SEQUENCES: prompts of 32 tokens, then 128 more of each, without adapters
decode() {
    asked "$1" || return 0
    base "$3" "$4" "$5" "$6" "$7" "$8"
    cat >"$dir/decode.json" <<END
{"model": {"llm": {"path": "llm", "init": "random", "train": "frozen"}, "vision": {"path": null}, "tokens": {"image": 0, "task": null}},
 "data": {"mixture": [{"name": "d", "files": ["data.json"], "task": "understand"}]}}
END
    shape="$3 $4 $5 $6 $7 $8" texts="$9 32 128"
    compare "$1" "$2" s decode
}

if ! asked C1; then
    :
elif quiet; then
    echo "C1 (hold 0.85 of the FMA peak with AVX-512, 0.75 with AVX2)"
    "$bin/bench-kernels" matmul
else
    busy C1
fi
echo

printf '%-28s %12s  %12s  %s\n' "" ours PyTorch "faster by (smallest to largest)"
step "C2 step, width 64" 5 64 2 256 4 2 420 8 64 8 100
step "C3 step, width 256" 1.4 256 4 1024 8 4 4096 8 128 16 100
step "C4 step, width 512, all rows" 1.5 512 8 1408 8 4 32000 4 256 16 100
step "C4, a quarter of the rows" 2.0 512 8 1408 8 4 32000 4 256 16 25

for isa in avx512 avx2; do
    [ "$isa" = avx2 ] || grep -q avx512dq /proc/cpuinfo || continue
    goal=$([ "$isa" = avx2 ] && echo 1.5 || echo 2.0)
    for pass in forward backward; do
        for form in "1 64 320 320" "4 32 640 640" "4 16 1280 1280"; do # images, side and channels of Stable Diffusion's UNet
            shape="$pass $form"
            compare "C5 $isa $shape" "$goal" ms conv
        done
    done
done

mkdir "$dir/unet" # of Stable Diffusion 1.4
cat >"$dir/unet/config.json" <<END
{"_class_name": "UNet2DConditionModel", "in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280, 1280],
 "layers_per_block": 2, "attention_head_dim": 8, "cross_attention_dim": 768, "norm_num_groups": 32,
 "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
 "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]}
END
shape="$dir/unet 32 f32"
compare "C6 UNet to context, f32" 1.3 s unet
shape="$dir/unet 32 bf16"
! grep -q avx512_bf16 /proc/cpuinfo || compare "C6 UNet to context, bf16" 1.1 s unet

base 64 2 256 4 2 420
data 8 64 100
config 8 8 100
shape="64 2 256 4 2 420 8 8"
compare "C8 start to first step" 10 s start

for many in 1 8; do
    decode "C12 width 64, $many at a time" 3 64 2 256 4 2 420 $many
    decode "C12 width 512, $many at a time" 1.5 512 8 1408 8 4 32000 $many
done

"$bin/scenes" --out "$dir/pictures" --count 1 --heldout 1 --size 640 --seed 1 2>/dev/null
picture="$dir/pictures/train/000000.jpg"
compare "C9 JPEG to 384 x 384" 1.5 ms picture
if [ $torch = yes ]; then
    "$python" tests/oracle/bench_picture.py "$picture" progressive "$dir/progressive.jpg"
    picture="$dir/progressive.jpg"
    compare "C9 progressive JPEG" 1.5 ms picture
fi

# Rows of LLaVA's form with Mistral's vocabulary, where mistral-common is installed, else that of the tests.
rows=100000
vocabulary=$("$python" -c 'import mistral_common as m; print(m.__path__[0])' 2>/dev/null)/data/tokenizer.model.v1
[ -f "$vocabulary" ] || vocabulary="$root/tests/fixtures/vocabulary/tokenizer.model"
if asked C13; then
    base 64 2 256 4 2 32000
    cp "$vocabulary" "$dir/llm/tokenizer.model"
    rm -rf "$dir/pictures"
    "$bin/scenes" --out "$dir/pictures" --count 100 --heldout 1 --size 256 --seed 1 --quiet
    awk -v rows=$rows -v pictures=100 -f tools/bench/llava_rows.awk \
        README.md CONTRIBUTING.md */README.md data/SCHEMA.md >"$dir/rows.json"
    cat >"$dir/run.json" <<END
{"name": "run", "model": {"llm": {"path": "llm", "init": "random"}, "vision": {"path": "$root/configs/base/vision"},
 "tokens": {"image": 0, "task": null}},
 "data": {"mixture": [{"name": "d", "files": ["rows.json"], "image_root": "pictures", "task": "understand"}], "shards": "shards",
 "template": "mistral_instruct"},
 "train": {"steps": 1, "batch": 1}, "save": {"dir": "runs"}}
END
    compare "C13 prepare, $rows rows" 2 s prepare
fi
