#!/bin/sh
# Times whole training steps, their memory and the start of the program, with PyTorch beside them when PYTHON has it; kernels alone
# are `make bench-kernels`. $1: the folder with the programs, $2: python. The two programs take turns; a ratio is the median of the pairs. Text only,
# f32, LoRA on all seven linears, random weights: bases, data and PyTorch's step are of the same shape.
set -eu
bin=$(cd "$1" && pwd) python=$2 root=$(pwd)
pairs=5 steps=12
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
torch=yes
"$python" -c 'import torch, transformers, peft' 2>/dev/null || torch=no
[ $torch = yes ] || echo "no PyTorch behind $python: only our side (make bench PYTHON=…)"

busy() { awk -v cores="$(nproc)" '{ exit !($1 > 0.6 * cores) }' /proc/loadavg; }
if busy; then
    echo "machine busy (load $(cut -d' ' -f1 /proc/loadavg)): no ratio measured now would mean anything"
    [ "${FORCE:-0}" = 1 ] || exit 0
fi
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# folder WIDTH LAYERS FF HEADS KV VOCAB
base() {
    mkdir -p "$dir/llm"
    cp "$root/tests/fixtures/vocabulary/tokenizer.model" "$dir/llm/"
    cat >"$dir/llm/config.json" <<END
{"model_type": "mistral", "architectures": ["MistralForCausalLM"], "hidden_size": $1, "num_hidden_layers": $2, "intermediate_size": $3,
 "num_attention_heads": $4, "num_key_value_heads": $5, "vocab_size": $6, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "sliding_window": null,
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
{"name": "run", "model": {"llm": {"path": "llm", "init": "random"}, "vision": {"path": null}, "lora": {"r": $2, "alpha": $(($2 * 2)), "dropout": 0},
 "tokens": {"image": 0, "task": null}}, "data": {"mixture": [{"name": "d", "files": ["data.json"], "task": "understand"}], "template": "$template"},
 "train": {"steps": $steps, "batch": $1, "micro_tokens": 65536, "compute": "f32", "recompute": "none"}, "save": {"dir": "runs"}, "log": {"tensorboard": false}}
END
}
field() { sed -n "s/.*\"$1\":\([0-9.e+-]*\).*/\1/p" "$dir/runs/run/train.jsonl"; }

# step NAME GOAL WIDTH LAYERS FF HEADS KV VOCAB BATCH TOKENS RANK PERCENT
step() {
    name=$1 goal=$2
    base "$3" "$4" "$5" "$6" "$7" "$8"
    data "$9" "${10}" "${12}"
    config "$9" "${11}" "${12}"
    : >"$dir/ours"; : >"$dir/theirs"; : >"$dir/ratio"; : >"$dir/memory"
    for _ in $(seq $pairs); do
        rm -rf "$dir/runs/run/checkpoint"* "$dir/runs/run/latest" "$dir/runs/run/train.jsonl"
        /usr/bin/env time -f %M -o "$dir/rss" "$bin/train" --config "$dir/run.json" --quiet 2>"$dir/err" || { cat "$dir/err"; exit 1; }
        ours=$(field seconds | tail -n +4 | median)
        echo "$ours" >>"$dir/ours"
        [ $torch = yes ] || continue
        tokens=$(field tokens | median)
        result=$("$python" tests/oracle/bench_step.py "$3" "$4" "$5" "$6" "$7" "$8" "${11}" "$9" "$((${tokens%.*} / $9))" "${12}" $steps)
        echo "${result%% *}" >>"$dir/theirs"
        echo "$ours ${result%% *}" | awk '{ print $2 / $1 }' >>"$dir/ratio"
        echo "$(tail -n 1 "$dir/rss") ${result##* }" | awk '{ print $1 / $2 }' >>"$dir/memory"
    done
    if [ $torch = yes ]; then
        printf '%-28s %9.4f s  %9.4f s  %6.2fx (%.2f to %.2f; hold %s)  memory %.2fx\n' "$name" "$(median <"$dir/ours")" "$(median <"$dir/theirs")" \
            "$(median <"$dir/ratio")" "$(sort -g "$dir/ratio" | head -n 1)" "$(sort -g "$dir/ratio" | tail -n 1)" "$goal" "$(median <"$dir/memory")"
    else
        printf '%-28s %9.4f s\n' "$name" "$(median <"$dir/ours")"
    fi
}

printf '%-28s %11s  %11s  %s\n' "a step" ours PyTorch "faster by (smallest to largest)"
step "C2 width 64" 5 64 2 256 4 2 420 8 64 8 100
step "C3 width 256" 1.4 256 4 1024 8 4 4096 8 128 16 100
step "C4 width 512, all rows" 1.5 512 8 1408 8 4 32000 4 256 16 100
step "C4 width 512, a quarter" 2.0 512 8 1408 8 4 32000 4 256 16 25

base 64 2 256 4 2 420
data 8 64 100
config 8 8 100
for _ in $(seq $pairs); do
    rm -rf "$dir/runs/run"
    /usr/bin/env time -f %e -o "$dir/t" "$bin/train" --config "$dir/run.json" --quiet --steps 1
    cat "$dir/t" >>"$dir/start"
    [ $torch = yes ] || continue
    /usr/bin/env time -f %e -o "$dir/t" "$python" tests/oracle/bench_step.py 64 2 256 4 2 420 8 8 64 100 1 >"$dir/out"
    cat "$dir/t" >>"$dir/start_torch"
done
if [ $torch = yes ]; then
    printf '%-28s %9.4f s  %9.4f s  %.3f of it (hold 0.1)\n' "C8 start to first step" "$(median <"$dir/start")" "$(median <"$dir/start_torch")" \
        "$(echo "$(median <"$dir/start") $(median <"$dir/start_torch")" | awk '{ print $1 / $2 }')"
else
    printf '%-28s %9.4f s\n' "C8 start to first step" "$(median <"$dir/start")"
fi
