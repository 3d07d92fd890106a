#!/bin/bash
# train --from-llava: what command lines and scripts of LLaVA mean, that train takes what it prints, and that configs/elsewhere.md is true.
build=$(realpath "$1") root=$PWD failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() { echo "$0: $*" >&2; failed=1; }
from() { "$build/train" --from-llava "$@" >"$dir/out" 2>"$dir/err"; }

cat >"$dir/tune.sh" <<'END'
#!/bin/bash
BASE=llm   # the language model
OUT="runs/of ${BASE}"
echo starting $(date) in `pwd` at $HOME
END
cat >"$dir/plain.sh" <<'END'
#!/bin/bash
BASE=llm   # the language model
OUT="runs/of ${BASE}"
echo starting $(date) in `pwd` at $HOME
cd . && deepspeed --include localhost:0,1,2 train_mem.py \
    --deepspeed zero3.json --lora_enable True --lora_r 4 --lora_alpha=8 --mm_projector_lr 2e-5 \
    --model_name_or_path $BASE --version v1 --data_path 'data.json' \
    --vision_tower vision --mm_vision_select_layer -2 --image_aspect_ratio pad \
    --mm_projector_type mlp2x_gelu --bf16 True --output_dir "$OUT/" --num_train_epochs 1 \
    --per_device_train_batch_size 2 --gradient_accumulation_steps 4 --evaluation_strategy "no" \
    --save_steps 50 --save_total_limit 1 --learning_rate 2e-4 --weight_decay 0. \
    --warmup_ratio 0.03 --lr_scheduler_type "cosine" --logging_steps 1 --model_max_length 200 \
    --gradient_checkpointing
END
cat >"$dir/wanted" <<'END'
{"name":"of llm","model":{"llm":{"path":"llm","train":"lora"},"lora":{"r":4,"alpha":8,"dropout":0.05},
"vision":{"path":"vision","layer":-2,"aspect":"pad"},"projector":{"type":"mlp2x_gelu","train":"full"},"tokens":{"image":0,"task":null}},
"data":{"mixture":[{"files":["data.json"],"task":"understand"}],"template":"v1","max_tokens":200},
"train":{"epochs":1,"batch":24,"compute":"bf16"},
"optim":{"lr":0.0002,"lr_projector":2e-05,"schedule":"cosine","warmup":0.03,"weight_decay":0},
"save":{"dir":"runs","every":50,"keep":1},"log":{"every":1}}
END
flat() { tr -d '\n' | sed -E 's/([:,{[]) +/\1/g; s/ +([]}])/\1/g; s/ +"/"/g'; }
from "$dir/plain.sh" || fail "exit $?: $(cat "$dir/err")"
[ "$(flat <"$dir/out")" = "$(tr -d '\n' <"$dir/wanted")" ] || fail "the script means $(flat <"$dir/out")"
grep -qx 'no key stands for --gradient_checkpointing, --evaluation_strategy, --deepspeed (train --from-llava alone says why)' "$dir/err" ||
    fail "what is left out is not said: $(cat "$dir/err")"

# what it prints is a run: planned from the files that it names
cp "$dir/out" "$dir/run.json"
cp -r "$root/configs/base/llm" "$root/configs/base/vision" "$dir/"
cat >"$dir/data.json" <<'END'
[{"id": "1", "conversations": [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Left."}]}]
END
(cd "$dir" && "$build/train" --config run.json --dry-run) >"$dir/plan" 2>&1 || fail "train does not take it: $(tail -3 "$dir/plan")"

# LLaVA's own defaults, and the stages without adapters
need='--model_name_or_path llm --data_path d.json --version plain'
wants() { # TEXT WORDS...
    text=$1
    shift
    from $need "$@" || fail "$*: exit $?: $(cat "$dir/err")"
    case $(flat <"$dir/out") in *"$text"*) ;; *) fail "$*: no $text in $(flat <"$dir/out")" ;; esac
}
wants '"train":{"epochs":3,"batch":64,"compute":"f32"},"optim":{"lr":5e-05,"lr_projector":5e-05,"schedule":"linear","warmup":0}'
grep -q '^train.batch: the command does not say how many GPUs there are; 8' "$dir/err" || fail "8 GPUs are not said: $(cat "$dir/err")"
grep -q '^save.keep: LLaVA would keep every checkpoint' "$dir/err" || fail "what is kept is not said: $(cat "$dir/err")"
wants '"llm":{"path":"llm","train":"full"}'
need="accelerate launch --num_processes 5 train.py $need" wants '"batch":40'
need="deepspeed --include a:0,1@b:0,1 train.py $need" wants '"batch":32'
wants '"llm":{"path":"llm","train":"frozen"}' --tune_mm_mlp_adapter True
wants '"vision":{"path":"v","layer":-1,"aspect":"stretch"},"projector":{"type":"linear","train":"frozen","init":"p.safetensors"}' \
    --vision_tower v --freeze_mm_mlp_adapter --pretrain_mm_mlp_adapter p.safetensors
wants '"train":"lora","store":"nf4"' --lora_enable True --bits 4
wants '"steps":7' --max_steps 7
wants '"schedule":"constant","warmup":0' --lr_scheduler_type constant --warmup_ratio 0.1
wants '"schedule":"constant","warmup":12' --lr_scheduler_type constant_with_warmup --warmup_steps 12 --warmup_ratio 0.1
wants '"save":{"dir":"/","every":0}' --output_dir /x --save_strategy no

refused() { # CODE SENTENCE WORDS...
    code=$1 text=$2
    shift 2
    from "$@"
    got=$?
    [ $got = "$code" ] && [ ! -s "$dir/out" ] && grep -qF -- "$text" "$dir/err" || fail "$*: exit $got: $(cat "$dir/err")"
}
refused 2 '--lora_rr is no flag of LLaVA that is known here; did you mean --lora_r?' $need --lora_rr 4
refused 2 '"word" belongs to no flag' word
refused 2 '--version is "v0" by LLaVA'"'"'s default; templates are plain' --model_name_or_path llm --data_path d.json
refused 2 '--model_name_or_path is not given' --data_path d.json
refused 2 '--data_path is not given' --model_name_or_path llm
refused 2 '--image_aspect_ratio is "anyres"; pad and square' $need --vision_tower v --image_aspect_ratio anyres
refused 2 '--bits is "4"; a language model that is trained whole' $need --bits 4
refused 2 '--quant_type is "fp4"' $need --lora_enable True --bits 4 --quant_type fp4
refused 2 '--lora_enable is "maybe"; it takes True or False' $need --lora_enable maybe
refused 2 '--learning_rate is "fast"; it takes a number' $need --learning_rate fast
refused 2 '--learning_rate is "1e999"; it takes a number' $need --learning_rate 1e999
refused 2 '--optim is "adafactor"' $need --optim adafactor
refused 66 'none.sh' "$dir/none.sh"
refused 65 'no command in it runs a file that ends in ".py"' "$dir/tune.sh"

# scripts that only the shell can read
script() { printf '%s\n' "$1" >"$dir/s.sh"; }
script 'deepspeed x.py --output_dir $HOME_OF_ALL'
deep=$dir/$(printf 'deep%.0s' {1..60})
mkdir "$deep" && cp "$dir/s.sh" "$deep/"
for at in "$dir" "$deep"; do refused 65 's.sh:1: $HOME_OF_ALL is not set to a plain text by the script; put its value there' "$at/s.sh"; done
script 'A=$(date)
deepspeed x.py --output_dir $A'
refused 65 's.sh:2: $A is not set to a plain text by the script' "$dir/s.sh"
script 'A=1
deepspeed x.py --output_dir $(date)'
refused 65 's.sh:2: $(date) is computed when the script runs' "$dir/s.sh"
script 'A=1
A=$(date)
deepspeed x.py --output_dir $A'
refused 65 's.sh:3: $A is not set to a plain text by the script' "$dir/s.sh"
script 'A=1
for A in 2 3; do deepspeed x.py --output_dir $A; done'
refused 65 's.sh:2: $A is not set to a plain text by the script' "$dir/s.sh"
script 'deepspeed x.py --output_dir `date`'
refused 65 's.sh:1: `date` is computed' "$dir/s.sh"
script 'deepspeed x.py --output_dir "open'
refused 65 's.sh:1: a quote is not closed' "$dir/s.sh"

for set in 'if [ -d big ]; then A=2; fi' 'if [ -d big ]
then
    A=2
fi' '[ -d big ] && A=2' 'case $1 in
big) A=2 ;;
esac' 'while true; do A=2; break; done'; do
    script "A=1
$set
B=3; deepspeed x.py --seed \$B --output_dir \$A"
    refused 65 ': $A is not set to a plain text by the script' "$dir/s.sh"
done
script "deepspeed x.py $(seq -s ' ' 600)"
refused 65 's.sh:1: 511 is a word too many' "$dir/s.sh"

# what they do beside it is left out: other commands, however long, and where the output goes
script "for i in $(seq -s ' ' 600); do echo; done; A=1; A=7
</dev/null deepspeed x.py $need --seed \$A>a.log 2>&1 > \"\$(date).log\" --output_dir /x 2>> b"
from "$dir/s.sh" || fail "redirections: exit $?: $(cat "$dir/err")"
case $(flat <"$dir/out") in *'"name":"x",'*'"seed":7'*) ;; *) fail "redirections: $(flat <"$dir/out")" ;; esac

# the page: its first table is what the program prints, and every key it names is one
"$build/train" --from-llava >"$dir/table"
awk '/^## LLaVA$/ { on = 1; next } /^## / { on = 0 } on && /^\|/' configs/elsewhere.md | cmp -s - "$dir/table" ||
    fail "configs/elsewhere.md: the table of LLaVA's flags is not what train --from-llava prints"
keys=$(sed -nE 's/^\| .* \| (.*) \| .* ?\|$/\1/p' configs/elsewhere.md | grep -oE '`[a-z_.]+`' | tr -d '`' | sort -u)
[ "$(echo "$keys" | wc -l)" -gt 30 ] || fail "only these keys were found in configs/elsewhere.md: $keys"
for key in $keys; do
    "$build/train" --keys "$key" >/dev/null 2>&1 || fail "configs/elsewhere.md names a key $key that there is not"
done
exit $failed
