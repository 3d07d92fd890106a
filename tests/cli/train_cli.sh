#!/bin/bash
# The command line: flags, exit codes, what is said.
. tests/cli/_train.sh
config=$dir/run.json

expect 0 --help
[ "$(awk '{ if (length > n) n = length } END { print n }' "$dir/out")" -le 80 ] || fail "--help is wider than a terminal"
grep -q -- '--resume \[CHECKPOINT\]' "$dir/out" || fail "--help does not explain --resume"
expect 0 --version
for library in compiler OpenMP libhdf5-dev libsentencepiece-dev libjpeg62-turbo-dev MPI CUDA; do
    grep -Eq "^$library .* [^ ]+$" "$dir/out" || fail "--version does not tell of $library: $(cat "$dir/out")"
done
[ "$(cut -c 23 "$dir/out" | sed 1d | sort -u)" = " " ] || fail "--version is no table: $(cat "$dir/out")"
for missing in none "$dir/nothing"; do
    GENLLAVA_MPI=$missing expect 0 --version
    grep -Eq '^MPI +not found$' "$dir/out" || fail "--version finds MPI where there is none: $(cat "$dir/out")"
done
expect 0 --keys optim
grep -q '^optim.lr_projector$' "$dir/out" || fail "--keys optim does not explain optim.lr_projector"
expect 2 --keys optm
says '--keys: there is no key or section "optm"'
expect 0 --print-schema
grep -q '"additionalProperties": false' "$dir/out" || fail "--print-schema prints no schema"
expect 2
says "train needs --config FILE.json"
expect 2 --confg x
says "unknown option --confg (did you mean --config?)"
expect 2 --config "$config" --steps 0
says "--steps"
expect 66 --config "$dir/none.json"
says "$dir/none.json: cannot be opened: No such file or directory"
expect 2 --config "$config" --set optim.lrr=1
says '--set optim.lrr: unknown key "optim.lrr"; did you mean "optim.lr"?'
printf '{"model":{"llm":{"path":"x"}},\n"optim":{"lr":-1,},"data":{"mixture":"m"}}' > "$dir/bad.json"
expect 2 --config "$dir/bad.json"
says "$dir/bad.json:2:17: trailing comma"
[ "$(head -c 1 "$dir/err")" = / ] || fail "a position does not stand at the start of its line: $(cat "$dir/err")"

# Inputs that are not there name their key; what this build cannot do is said before any work.
expect 66 --config "$config" --set model.llm.path=/nowhere/llm
says "model.llm.path: /nowhere/llm: there is no such file or folder"
expect 66 --config "$config" --set model.projector.init=/nowhere/p.safetensors
says "model.projector.init: /nowhere/p.safetensors: there is no such file or folder"
expect 66 --config "$config" --set data.mixture=/nowhere/m.json
says "data.mixture: /nowhere/m.json: there is no such file or folder"
# All of them at once, whatever names them.
mkdir "$dir/bare"
cat > "$dir/missing.json" <<END
{"model": {"llm": {"path": "bare"}, "vision": {"path": "v"}, "projector": {"init": "p.safetensors"}},
 "data": {"mixture": [{"name": "a", "files": ["a.json", "missing.json"], "image_root": "pictures"}]}}
END
cat > "$dir/wanted" <<END
$dir/missing.json:1:48: model.vision.path: $dir/v: there is no such file or folder
$dir/missing.json:1:76: model.projector.init: $dir/p.safetensors: there is no such file or folder
model.llm.path: $dir/bare/config.json: there is no such file; the sizes of the model are read from there
model.llm.path: $dir/bare/tokenizer.model: there is no such file; the tokenizer is read from there
$dir/a.json: cannot be opened: No such file or directory (a file of source "a" of the mixture)
$dir/pictures: No such file or directory (image_root of source "a" of the mixture)
END
expect 66 --config "$dir/missing.json" --dry-run
diff "$dir/wanted" "$dir/err" >&2 || fail "not every missing path is said at once"
grep -v projector "$dir/wanted" > "$dir/fewer"
"$build/prepare" --config "$dir/missing.json" 2> "$dir/err"
[ $? = 66 ] || fail "prepare without its inputs has another exit code"
diff "$dir/fewer" "$dir/err" >&2 || fail "prepare does not say every missing path at once"
expect 66 --config "$config" --set "model.diffusion.path=$dir/bare" --set loss.edit=mse
says "model.diffusion.path: $dir/bare/text_encoder/config.json: there is no such file; the sizes of the model are read from there"
diffusion="$PWD/tests/fixtures/parity/bases/diffusion-text"
expect 2 --config "$config" --set "model.diffusion.path=$diffusion" --set loss.edit=mse
says "model.gen_head.queries is 77, but the text encoder of $diffusion has 9 positions (max_position_embeddings); they must be equal"
cp -r "$PWD/tests/fixtures/parity/bases/diffusion-noise" "$dir/blind"
chmod -R u+w "$dir/blind"
rm -r "$dir/blind/text_encoder"
noise="--set model.diffusion.path=$dir/blind --set loss.generate=noise --set loss.edit=noise --set model.diffusion.size=20"
expect 2 --config "$config" --dry-run $noise
says "model.gen_head.queries is 77, but the tokenizer of $dir/blind has 5 positions (model_max_length); they must be equal"
rm -r "$dir/blind/tokenizer"
expect 0 --config "$config" --dry-run $noise
expect 2 --config "$config" --set "model.diffusion.path=$diffusion" --set loss.edit=mse --set model.tokens.image=0
says "model.tokens.image is 0, but model.diffusion.path is set: what is drawn is read from visual output tokens"
expect 2 --config "$config" --set model.gen_head.heads=3
says "model.gen_head.heads is 3, but must divide model.gen_head.width, which is 512"
if ! nvidia-smi -L >/dev/null 2>&1; then
    expect 69 --config "$config" --set device=cuda
    says "error: device: "
    says "no CUDA"
fi
expect 2 --config "$config" --set model.llm.train=frozen --set model.projector.train=frozen --set model.tokens.train=frozen
says "nothing is trained"
expect 2 --dry-run --config "$config" --set model.llm.train=frozen --set model.projector.train=frozen --set model.tokens.train=frozen
says "nothing is trained: set one of model.llm.train, model.vision.train, model.projector.train, model.tokens.train"
expect 73 --dry-run --config "$config" --set "save.dir=$config/runs"
says "save.dir: $config/runs/r: "
cp -r "$bases/llm-gqa" "$dir/cut"
truncate -s -10 "$dir/cut/model.safetensors"
expect 65 --config "$config" --set "model.llm.path=$dir/cut" --set "data.shards=$dir/none"
says "$dir/cut/model.safetensors: tensor \"model.norm.weight\": its data ends at byte"
[ ! -e "$dir/none" ] || fail "data was prepared before the weights were looked at"
[ ! -e "$dir/runs/r" ] || [ -z "$(ls "$dir/runs/r" | grep checkpoint)" ] || fail "a refused run left a checkpoint"
rm -rf "$dir/runs"

# The life of a run folder.
expect 0 --config "$config" --resume --steps 2
says "nothing to resume in $dir/runs/r: starting from the beginning"
expect 2 --config "$config"
says "$dir/runs/r holds checkpoints of an earlier run: go on from them with --resume, or start afresh under another name with --set name=NAME"
expect 0 --config "$config" --dry-run
says "$dir/runs/r holds checkpoints of an earlier run: go on from them with --resume, or start afresh under another name with --set name=NAME"
expect 0 --config "$config" --dry-run --set name=idle --set optim.lr_vision=1 --set optim.lr_gen_head=1e-4
says "warning: optim.lr_vision is set, but nothing that it is the learning rate of is trained"
grep -q 'optim.lr_gen_head is set' "$dir/err" && fail "a learning rate at its default is said to be idle"
expect 2 --config "$config" --dry-run --resume --set optim.lr=1
says "was made with other settings"
expect 66 --config "$config" --dry-run --resume "$dir/gone"
says "--resume: $dir/gone: there is no such checkpoint"
expect 0 --config "$config" --dry-run --resume
says "resuming from $dir/runs/r/checkpoint-000002"
expect 0 --config "$config" --resume --steps 2
says "2 of 16 steps are finished: there is nothing left to do"
expect 0 --config - --resume --set name=r < "$config"
grep -q '  lr [^ ]* (projector)  grad ' "$dir/err" || fail "the step line does not tell whose learning rate it shows: $(cat "$dir/err")"
grep -q '^step 16/16 .* left  [0-9.e-]* % of peak$' "$dir/err" || fail "the step line does not tell the share of peak: $(cat "$dir/err")"
expect 0 --config "$config" --resume
says "16 of 16 steps are finished: there is nothing left to do; to train longer, raise train.steps or train.epochs and give --resume --change"
for file in config.resolved.json environment.json train.jsonl latest checkpoint-000016/MANIFEST.json; do
    [ -e "$dir/runs/r/$file" ] || fail "the run folder has no $file"
done
grep -A2 '"planned"' "$dir/runs/r/environment.json" | tr -d ' \n' | grep -qE '"steps":16,"memory":[1-9][0-9]{5}' || fail "environment.json does not tell what was planned"
[ "$(wc -l < "$dir/runs/r/train.jsonl")" -eq 16 ] || fail "train.jsonl has not 16 lines"
for key in step loss loss_text lr lr_lora lr_projector lr_tokens grad_norm tokens images seconds skipped_steps skipped_samples; do
    grep -q "\"$key\":" "$dir/runs/r/train.jsonl" || fail "train.jsonl has no $key"
done
# Its steps are finished updates, as in the names of checkpoints, in a run that was resumed too.
[ "$(sed 's/^{"step":\([0-9]*\),.*/\1/' "$dir/runs/r/train.jsonl")" = "$(seq 16)" ] || fail "train.jsonl has other steps than 1 to 16"
# The share of peak: known once the ceiling is, so not of the first step of a process; the run stopped after step 2.
shares=$(sed -n 's/^{"step":\([0-9]*\),.*"peak_share":\([^,]*\),.*/\1 \2/p' "$dir/runs/r/train.jsonl")
[ "$(cut -d ' ' -f 1 <<< "$shares")" = "$(echo 2; seq 4 16)" ] || fail "the share of peak is told of other steps: $shares"
awk '!($2 > 0 && $2 < 1.2) { exit 1 }' <<< "$shares" || fail "a share of peak is none: $shares"

# An adapter to begin with is told where it names another base; its own base under another path is the same one.
init="--set model.lora.init=$dir/adapter --set model.lora.r=2 --set model.lora.alpha=4 --set name=begun --steps 1"
for base in llm-gqa hub/llm-gqa/ mistralai/Mistral-7B-v0.1; do
    rm -rf "$dir/adapter" "$dir/runs/begun"
    mkdir "$dir/adapter"
    cp "$dir/runs/r/checkpoint-000016"/adapter_model.safetensors "$dir/adapter"
    sed "s|\"base_model_name_or_path\": *\"[^\"]*\"|\"base_model_name_or_path\": \"$base\"|" "$dir/runs/r/checkpoint-000016/adapter_config.json" > "$dir/adapter/adapter_config.json"
    expect 0 --config "$config" $init
    case $base in
    mistralai/*) says "warning: $dir/adapter/adapter_config.json: the adapter was made for the base \"$base\", model.llm.path is $bases/llm-gqa: on another base" ;;
    *) grep -q "was made for the base" "$dir/err" && fail "the base $base is said to be another one" ;;
    esac
done

# What ran, written out, runs again.
expect 0 --config "$dir/runs/r/config.resolved.json" --resume
says "nothing left to do"
grep -q "not the one that the file lies in" "$dir/err" && fail "a run's own settings are taken for a copy"
expect 0 --config "$dir/runs/r/checkpoint-000016/config.resolved.json" --resume
grep -q "not the one that the file lies in" "$dir/err" && fail "a checkpoint's settings are taken for a copy"

# Those of a copy mean the folder that they were made for, which is said.
cp -r "$dir/runs/r" "$dir/copy"
expect 0 --config "$dir/copy/config.resolved.json" --resume
says "warning: $dir/copy/config.resolved.json: its save.dir and name mean the folder $dir/runs/r, not the one that the file lies in; another is taken with --set save.dir=DIR"
expect 0 --config "$dir/copy/config.resolved.json" --resume --set "save.dir=$dir" --set name=copy
grep -q "not the one that the file lies in" "$dir/err" && fail "a folder given with --set is warned of"
says "resuming from $dir/copy/checkpoint-000016"

# Rows that only a model that draws could learn from wholly are said.
expect 0 --config "$config" --dry-run --resume
says 'warning: 4 of 5 rows are of task "generate" or "edit", but model.diffusion.path is null: their text is learned, not what they draw'

# Whatever lies beside the weights of a base travels with the model that is trained whole, weights in other forms do not.
cp -r "$bases/llm-gqa" "$dir/base"
echo '{{ messages }}' > "$dir/base/chat_template.jinja"
echo 'Apache-2.0' > "$dir/base/LICENSE"
echo '{}' > "$dir/base/special_tokens_map.json"
echo x > "$dir/base/pytorch_model.bin"
echo '{}' > "$dir/base/pytorch_model.bin.index.json"
expect 0 --config "$config" --set name=full --set "model.llm.path=$dir/base" --set model.llm.train=full --steps 1
for name in chat_template.jinja LICENSE special_tokens_map.json tokenizer.model; do
    cmp -s "$dir/base/$name" "$dir/runs/full/checkpoint-000001/llm/$name" || fail "$name does not travel to llm/"
done
ls "$dir/runs/full/checkpoint-000001/llm" | grep -q pytorch_model && fail "old weights travel to llm/"

# More ranks than processors are said.
cores=$(getconf _NPROCESSORS_ONLN)
[ "$cores" -gt 4 ] || { expect 0 --config "$config" --set name=many --set train.batch=8 --dry-run --ranks $((cores + 1))
    says "warning: --ranks $((cores + 1)) on $cores processors: on the CPU the ranks will take turns"; }

# --quiet says nothing; JSON messages are one object a line.
expect 0 --config "$config" --set name=w --set optim.warmup=0.03 --set train.steps=1
says "all of them are warm-up, which begins with a learning rate of 0: lower optim.warmup (it is 0.03), or train more steps"
grep '"understand"' "$PWD/tests/fixtures/parity/visual_tokens/rows.jsonl" > "$dir/rows.jsonl"
expect 0 --config "$config" --set name=q --set "data.mixture=[{\"files\":\"$dir/rows.jsonl\"}]" --set data.shards="$dir/q" --quiet --steps 1
[ ! -s "$dir/err" ] || fail "--quiet says: $(cat "$dir/err")"
expect 0 --config "$config" --set name=j --log-format json --steps 1
grep -q '"message":"step 1/.*","step":1,"loss":[0-9.]*,.*"tokens":[0-9]*,' "$dir/err" || fail "a step's numbers are no members of its JSON"
grep -qv '^{"time":.*}$' "$dir/err" && fail "not a JSON object: $(grep -v '^{"time":.*}$' "$dir/err" | head -1)"
exit $failed
