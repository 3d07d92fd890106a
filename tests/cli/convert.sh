#!/bin/bash
# convert: every format of --list, there and back again, what starts from parts, mistakes and their sentences. Faults: convert_faults.sh.
. tests/cli/_train.sh
convert=$build/convert generate=$build/generate
case=$PWD/tests/fixtures/parity/visual_tokens
images=$PWD/tests/fixtures/images

# to CODE FORMAT OUT ARGUMENTS...: converts into $dir/OUT. After a failure nothing is there.
to() {
    local wanted=$1 format=$2 out=$dir/$3
    shift 3
    ends_with "$convert" "$wanted" --to "$format" --out "$out" "$@"
    [ ! -e "$out.partial" ] || fail "--to $format $*: left $out.partial"
    [ "$wanted" -eq 0 ] || [ ! -e "$out" ] || fail "--to $format $*: left $out"
}
# patch FILE BYTES: in place of the last ones.
patch() { printf "$2" | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") - 4)) conv=notrunc status=none; }
same() { cmp -s "$1" "$2" || fail "$3: ${1#"$dir"/} and ${2#"$dir"/} differ"; }

# A run whose bases are its own copies, and one that draws.
mkdir "$dir/bases"
cp -r tests/fixtures/parity/bases/llm-gqa tests/fixtures/parity/bases/vision-only "$dir/bases"
given="--set model.llm.path=$dir/bases/llm-gqa --set model.vision.path=$dir/bases/vision-only --set save.dir=$dir/runs"
expect 0 --config "$case/config.json" $given --set name=r --set "data.shards=$dir/shards" --quiet
expect 0 --config tests/fixtures/parity/noise_conv_in/config.json --set name=draws --set "save.dir=$dir/runs" --set "data.shards=$dir/drawn" --quiet
checkpoint=$dir/runs/r/checkpoint-000005

# --list names every format; each is written, or refused for what the model lacks.
ends_with "$convert" 0 --list
formats=$(sed -n 's/^\([a-z-]*\)  *[a-zA-Z].*/\1/p' "$dir/out")
[ "$(echo $formats)" = "peft hf hf-llava llava gguf diffusers parts" ] || fail "--list names $formats"
for format in $formats; do
    case $format in
    diffusers) to 65 diffusers of-r --from "$dir/runs/r"; says "draws no pictures" ;;
    *)
        to 0 "$format" "$format" --from "$dir/runs/r"
        says "using $checkpoint"
        [ -s "$dir/$format/README.md" ] || fail "--to $format: no README.md"
        ;;
    esac
    case $format in peft | hf | hf-llava | llava) [ -s "$dir/$format/config.json" ] || [ $format = peft ] || fail "--to $format: no config.json" ;; esac
    case $format in hf | hf-llava | gguf | parts) says "read back and asked: logits differ by " ;; esac
done
# A tower without the layers behind its features, as little bases are: no export names one that is not there.
layers=$(sed -n 's/.*"num_hidden_layers": \([0-9]*\).*/\1/p' "$dir/bases/vision-only/config.json")
cp -r "$dir/bases/vision-only" "$dir/bases/short"
sed -i "s/\"num_hidden_layers\": $layers/\"num_hidden_layers\": $((layers + 1))/" "$dir/bases/short/config.json"
expect 0 --config "$case/config.json" $given --set name=short --set "model.vision.path=$dir/bases/short" --set model.vision.layer=-2 --set "data.shards=$dir/shards" --steps 1 --quiet
for format in hf-llava llava parts; do
    to 0 $format short-$format --from "$dir/runs/short"
    ! grep -rq "\"num_hidden_layers\": $((layers + 1))" "$dir/short-$format" --include=config.json || fail "--to $format names a layer of the tower that is not there"
done
grep -q "\"vision_feature_layer\": $layers" "$dir/short-hf-llava/config.json" || fail "hf-llava takes its features from another layer"
grep -q "\"mm_vision_select_layer\": $layers" "$dir/short-llava/config.json" || fail "llava takes its features from another layer"
ends_with "$build/train" 0 --config "$dir/short-parts/run.json" --set "data.shards=$dir/shards" --dry-run=quick
ends_with "$build/inspect" 0 "$dir/short-parts/vision"
grep -q '^vision_model.post_layernorm.weight ' "$dir/out" || fail "the norm behind the last layer is missing in the tower of parts"
to 0 diffusers drawn-diffusers --from "$dir/runs/draws"
to 0 parts drawn-parts --from "$dir/runs/draws"
to 65 hf-llava drawn-llava --from "$dir/runs/draws"
says "has no vision tower; --to hf takes the language model"
to 65 peft drawn-peft --from "$dir/runs/draws"
says "has no adapters, which is what peft holds"
to 0 gguf q8_0 --from "$dir/runs/r" --type q8_0
says "(1e-01 is allowed)"
[ "$(stat -c %s "$dir/q8_0/model.gguf")" -lt "$(stat -c %s "$dir/gguf/model.gguf")" ] || fail "q8_0 is no smaller than bf16"

# There and back again, to the bit.
to 0 parts parts/again --from "$dir/parts"
for file in $(cd "$dir/parts" && find . -type f ! -name README.md ! -path './again/*'); do
    same "$dir/parts/$file" "$dir/parts/again/$file" "parts of parts"
done
rm -r "$dir/parts/again"
to 0 hf-llava llava32 --from "$checkpoint" --type f32
to 0 parts from-llava --from "$dir/llava32"
to 0 hf-llava back --from "$dir/from-llava" --type f32
same "$dir/llava32/model.safetensors" "$dir/back/model.safetensors" "hf-llava by way of parts"

# The embeddings, element 0, are named from the end: transformers takes 0 for no element at all.
sed 's/"layer": -2/"layer": 0/' "$dir/from-llava/run.json" > "$dir/run.json" && mv "$dir/run.json" "$dir/from-llava/run.json"
to 0 hf-llava first --from "$dir/from-llava" --type f32
grep -q '"vision_feature_layer": -4,' "$dir/first/config.json" || fail "hf-llava of element 0: $(grep layer "$dir/first/config.json")"
says "logits differ by 0 of"

# A CLIP whose config.json leaves its activation to the class has that of CLIP, not of SigLIP.
expect 0 --config tests/fixtures/parity/llava/config.json --set name=clip --set "save.dir=$dir/runs" --set "data.shards=$dir/of-clip" --quiet
to 0 hf-llava clip --from "$dir/runs/clip" --type f32

# Parts answer as the checkpoint does, and a run starts from them as from the checkpoint's files.
for config in "--checkpoint $checkpoint" "--config $dir/parts/run.json"; do
    ends_with "$generate" 0 $config --ask "What is it?" --image "$images/rgb.png" --max-new-tokens 8
    [ ! -e "$dir/asked" ] || same "$dir/asked" "$dir/out" "answers of parts"
    cp "$dir/out" "$dir/asked"
done
losses() { sed -n 's/.*"loss":\([^,}]*\).*/\1/p' "$dir/runs/$1/train.jsonl"; }
short="--steps 2 --set data.mixture=$case/mixture.json --set data.shards=$dir/shards --set save.dir=$dir/runs --quiet"
expect 0 --config "$dir/parts/run.json" $short --set name=parts
expect 0 --config "$case/config.json" $given $short --set name=files --set "model.lora.init=$checkpoint" \
    --set "model.projector.init=$checkpoint/projector.safetensors" --set "model.tokens.init=$checkpoint/token_rows.safetensors"
[ -n "$(losses parts)" ] && [ "$(losses parts)" = "$(losses files)" ] || fail "a run from parts: losses $(losses parts), wanted $(losses files)"

# More prompts are compared; one that cannot be asked is said before anything is written.
to 0 hf plain --from "$dir/runs/r"
places() { sed -n 's/.* of \([0-9]*\) places$/\1/p' "$dir/err"; }
built_in=$(places)
printf '{"ask": "Why?"}\n{"ask": "What is it?", "image": "%s"}\n' "$images/rgb.png" > "$dir/probe.jsonl"
to 0 hf probed --from "$dir/runs/r" --probe "$dir/probe.jsonl"
[ "$(places)" -gt "$built_in" ] || fail "--probe: compared at $(places) places, $built_in without"
says "1 of 2 prompts of --probe show pictures; what was written has no vision tower and was not asked them"
one=$(($(places) - built_in))
to 0 hf-llava seen --from "$dir/runs/r"
built_in=$(places)
to 0 hf-llava seen-too --from "$dir/runs/r" --probe "$dir/probe.jsonl"
[ "$(places)" -gt $((built_in + one)) ] || fail "--probe with a picture: compared at $(places) places, $built_in without"
printf '[{"draw": "a cat"}, {"conversations": [{"from": "human", "value": "<image>\\nWhat?"}, {"from": "gpt", "value": "It."}], "image": "%s"}]' \
    "$images/rgb.jpg" > "$dir/records.json"
to 0 hf-llava records --from "$dir/runs/r" --probe "$dir/records.json"
[ "$(places)" -gt "$built_in" ] || fail "--probe of records: compared at $(places) places, $built_in without"
echo '{"answer": "Why?"}' > "$dir/bad.jsonl"
to 65 hf no --from "$dir/runs/r" --probe "$dir/bad.jsonl"
says "$dir/bad.jsonl:1: asks nothing"
echo '{"ask": "Why?", "image": "nowhere.png"}' > "$dir/bad.jsonl"
to 66 hf no --from "$dir/runs/r" --probe "$dir/bad.jsonl"
says "$dir/bad.jsonl:1: "
: > "$dir/bad.jsonl"
to 65 hf no --from "$dir/runs/r" --probe "$dir/bad.jsonl"
says "holds no prompts"
to 66 hf no --from "$dir/runs/r" --probe "$dir/nowhere.jsonl"
to 2 hf no --from "$dir/runs/r" --probe "$dir/probe.jsonl" --no-verify
says "--probe asks what was written, and --no-verify does not"
to 2 diffusers no --from "$dir/runs/r" --probe "$dir/probe.jsonl"
says "--probe is not for --to diffusers"

# --out: what is there stays as it is; an empty folder is fine; parents are made.
mkdir "$dir/full" "$dir/empty"
echo mine > "$dir/full/file"
ends_with "$convert" 73 --from "$dir/runs/r" --to hf --out "$dir/full"
says "is there already, and holds file"
[ "$(ls "$dir/full")" = file ] && [ "$(cat "$dir/full/file")" = mine ] || fail "--out that holds a file was touched"
ends_with "$convert" 73 --from "$dir/runs/r" --to hf --out "$dir/full/file"
[ "$(cat "$dir/full/file")" = mine ] || fail "--out that is a file was touched"
to 0 hf empty --from "$dir/runs/r"
[ -s "$dir/empty/model.safetensors" ] || fail "an empty --out was not filled"
to 0 hf a/b/c/ --from "$dir/runs/r" --no-verify
same "$dir/empty/model.safetensors" "$dir/a/b/c/model.safetensors" "twice the same"

# Usage.
to 2 hff no --from "$dir/runs/r"
says 'did you mean "hf"?'
to 2 hf no --from "$dir/runs/r" --type f61
says 'did you mean f16?'
to 2 hf no --from "$dir/runs/r" --type q8_0
says "--type q8_0 is for --to gguf"
to 2 parts no --from "$dir/runs/r" --type f32
says "--type is not for --to parts"
to 2 hf no --from "$dir/runs/r" --base "$dir/bases/llm-gqa"
says "knows its base models"
to 2 gguf no --from "$dir/runs/r" --max-shard-size 1G
says "--max-shard-size is not for --to gguf"
to 2 hf no --from "$dir/runs/r" --max-shard-size 5X
says "expected a number of bytes"
ends_with "$convert" 2 --from "$dir/runs/r" --to hf
says "--out DIR is missing"
to 66 hf no --from "$dir/nowhere"
mkdir "$dir/nothing"
to 66 hf no --from "$dir/nothing"

# Shards, and how much is said.
to 0 hf pieces --from "$dir/runs/r" --max-shard-size 20K
[ -s "$dir/pieces/model-00002-of-"*.safetensors ] && [ -s "$dir/pieces/model.safetensors.index.json" ] || fail "--max-shard-size: $(ls "$dir/pieces")"
to 0 parts from-shards --from "$dir/pieces"
to 0 parts from-one --from "$dir/empty"
to 0 hf of-shards --from "$dir/from-shards" --type f32
to 0 hf of-one --from "$dir/from-one" --type f32
same "$dir/of-one/model.safetensors" "$dir/of-shards/model.safetensors" "shards"
to 0 gguf quiet --from "$dir/empty" --quiet
grep -v '^warning: ' "$dir/err" && fail "--quiet says more than warnings"
to 0 hf json --from "$dir/runs/r" --log-format json
! grep -v '^{.*}$' "$dir/err" > /dev/null || fail "--log-format json: $(cat "$dir/err")"

# Numbers that cannot be, named.
cp -r "$dir/llava32" "$dir/broken"
patch "$dir/broken/model.safetensors" '\0\0\300\177'
to 65 hf-llava no --from "$dir/broken"
says "holds a number that is not finite"
patch "$dir/broken/model.safetensors" '\0\120\303\107'
to 65 hf-llava no --from "$dir/broken" --type f16
says "holds 100000, which f16 cannot: take --type bf16 or f32"
says "$dir/broken/model.safetensors: "

# A base that lies elsewhere now, and one that is not the one trained on.
mv "$dir/bases/llm-gqa" "$dir/moved"
to 66 hf no --from "$dir/runs/r"
to 0 hf of-moved --from "$dir/runs/r" --set model.llm.path="$dir/moved"
same "$dir/empty/model.safetensors" "$dir/of-moved/model.safetensors" "a base that has moved"
to 2 hf no --from "$dir/runs/r" --set model.lora.r=3
says "only model.llm.path, model.vision.path and model.diffusion.path can be set"
to 2 hf no --from "$dir/of-moved" --base-changed
says "--base-changed is for runs"
mv "$dir/moved" "$dir/bases/llm-gqa"
sed -i 's/^{/{ /' "$dir/bases/llm-gqa/config.json"
to 65 hf no --from "$dir/runs/r"
says "$dir/bases/llm-gqa"
to 0 hf of-changed --from "$dir/runs/r" --base-changed
same "$dir/empty/model.safetensors" "$dir/of-changed/model.safetensors" "a base that has changed"

# A model from elsewhere has its own chat template or none; runs of parts lie beside them.
cp -r "$dir/empty" "$dir/foreign"
rm "$dir/foreign/chat_template.jinja"
to 0 gguf foreign-gguf --from "$dir/foreign"
! grep -q tokenizer.chat_template "$dir/foreign-gguf/model.gguf" || fail "gguf: a chat template that its source has not"
printf '{{ messages[0].content }}' > "$dir/foreign/chat_template.jinja"
to 0 gguf foreign-own --from "$dir/foreign"
grep -qF '{{ messages[0].content }}' "$dir/foreign-own/model.gguf" || fail "gguf: the chat template is not its source's"
to 66 hf no --from "$dir/foreign-own/model.gguf"
says "GGUF is written, not read"
to 0 parts foreign-parts --from "$dir/foreign"
grep -q '"dir": "runs"' "$dir/foreign-parts/run.json" && grep -q '"train": "lora"' "$dir/foreign-parts/run.json" || fail "parts: $(cat "$dir/foreign-parts/run.json")"
sed -i 's/"train": "lora"/"train": "frozen"/' "$dir/foreign-parts/run.json" # as somebody has written it, who trains the rest
to 0 parts frozen-parts --from "$dir/foreign-parts"
same "$dir/foreign-parts/run.json" "$dir/frozen-parts/run.json" "parts of parts whose language model is frozen"
exit $failed
