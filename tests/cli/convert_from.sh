# convert from folders of others: every layout and spelling of a LLaVA with a Llama and a CLIP tower gives the same tensors to the bit, a run
# starts from them, and what is not understood is refused by name. $1: the build folder.
set -u
build=$(realpath "$1") failed=0
convert=$build/convert
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
parity=$PWD/tests/fixtures/parity

wrong() { echo "convert_from.sh: $*" >&2; failed=1; }
# expect CODE TEXT COMMAND...: its exit code, and what it says (TEXT may be empty).
expect() {
    local code=$1 text=$2 got; shift 2
    "$@" > "$tmp/said" 2>&1; got=$?
    [ $got = "$code" ] || wrong "$*: exit code $got, wanted $code: $(tail -n 2 "$tmp/said")"
    grep -qF -- "$text" "$tmp/said" || wrong "$*: does not say '$text' but: $(tail -n 2 "$tmp/said")"
}
# has FILE TEXT: as JSON without blanks.
has() { tr -d ' \n' < "$1" | grep -qF -- "$2" || wrong "$1 does not hold $2"; }
# same A B [FILES]: folders of parts hold the same weights.
same() {
    local a=$1 b=$2 f; shift 2
    for f in "$@"; do cmp -s "$a/$f" "$b/$f" || wrong "$a/$f and $b/$f differ"; done
}
readonly WEIGHTS="llm/model.safetensors vision/model.safetensors projector.safetensors"
# respell FILE SED...: other names in the header of a safetensors file.
respell() {
    local file=$1 n; shift
    n=$(od -An -tu8 -N8 "$file" | tr -d ' ')
    head -c $((n + 8)) "$file" | tail -c "$n" | sed -E "$@" > "$tmp/header"
    tail -c +$((n + 9)) "$file" > "$tmp/body"
    while [ $(($(wc -c < "$tmp/header") % 8)) != 0 ]; do printf ' ' >> "$tmp/header"; done
    n=$(wc -c < "$tmp/header")
    printf "$(printf '\\x%02x\\x%02x\\x00\\x00\\x00\\x00\\x00\\x00' $((n % 256)) $((n / 256)))" > "$file"
    cat "$tmp/header" "$tmp/body" >> "$file"
}
# changed NAME FROM SED: a copy of a folder with another config.json.
changed() { rm -rf "$tmp/$1"; cp -r "$tmp/$2" "$tmp/$1"; sed -E -i "$3" "$tmp/$1/config.json"; }
# refused CODE TEXT SED: as `changed` of $folder, which is then no source.
refused() {
    changed refused "$folder" "$3"
    cmp -s "$tmp/refused/config.json" "$tmp/$folder/config.json" && wrong "$3 changes nothing"
    expect "$1" "$2" "$convert" --from "$tmp/refused" --to parts --out "$tmp/none"
    [ ! -e "$tmp/none" ] && [ ! -e "$tmp/none.partial" ] || wrong "$3: something was written"
}

# parts_of CASE: a case of parity, as parts that lie in $tmp/CASE.
parts_of() {
    mkdir "$tmp/$1"
    cp -r "$parity/$1/." "$tmp/$1"
    mv "$tmp/$1/config.json" "$tmp/$1/run.json"
    sed -i "s|\.\./bases|$parity/bases|" "$tmp/$1/run.json"
}

# a run of a Llama and a CLIP with adapters; in f32 what is merged and read again is the same to the bit
parts_of llava
mv "$tmp/llava" "$tmp/case"
for to in hf-llava llava; do
    expect 0 'likeliest token is the same at 148 of 148' "$convert" --from "$tmp/case" --to $to --type f32 --out "$tmp/$to"
    expect 0 'logits differ by 0 of' "$convert" --from "$tmp/$to" --to parts --out "$tmp/parts-$to"
    has "$tmp/parts-$to/run.json" '"template":"v1"'
    has "$tmp/parts-$to/run.json" '"aspect":"pad"'
    has "$tmp/parts-$to/llm/config.json" '"model_type":"llama"'
    has "$tmp/parts-$to/vision/config.json" '"model_type":"clip_vision_model"'
done
grep -q mm_ "$tmp/parts-llava/llm/config.json" && wrong "the language model's settings still hold those of LLaVA"
has "$tmp/hf-llava/config.json" '"vision_feature_select_strategy":"default"'
has "$tmp/hf-llava/config.json" '"image_seq_length":9'
has "$tmp/hf-llava/config.json" '"hidden_act":"quick_gelu"'
has "$tmp/hf-llava/processor_config.json" '"num_additional_image_tokens":1'
has "$tmp/hf-llava/preprocessor_config.json" '"image_processor_type":"CLIPImageProcessor"'
has "$tmp/llava/config.json" '"mm_vision_select_feature":"patch"'
same "$tmp/parts-hf-llava" "$tmp/parts-llava" vision/model.safetensors projector.safetensors
for from in hf-llava llava; do
    for to in hf-llava llava hf; do
        expect 0 'logits differ by 0 of' "$convert" --from "$tmp/$from" --to $to --type f32 --out "$tmp/$from-$to"
    done
done
same "$tmp/llava" "$tmp/llava-llava" model.safetensors vision/model.safetensors config.json tokenizer.json
expect 0 "this one is CLIP's: the vision tower and the projector are left out" "$convert" --from "$tmp/hf-llava" --to gguf --out "$tmp/gguf"
[ -e "$tmp/gguf/model.gguf" ] && [ ! -e "$tmp/gguf/mmproj.gguf" ] || wrong "gguf of a CLIP tower: $(ls "$tmp/gguf")"

# a run starts from such parts, and says what it is started from
cp -r "$tmp/parts-llava" "$tmp/start"
cp "$tmp/case/rows.json" "$tmp/case/mixture.json" "$tmp/start"
cp -r "$tmp/case/images" "$tmp/start"
expect 0 '' "$build/train" --config "$tmp/start/run.json" --set train.epochs=null --set train.steps=1 --set train.batch=2 --set "save.dir=$tmp/runs" --set device=cpu \
    --set name=r
[ -e "$tmp/runs/r/checkpoint-000001" ] || wrong "no run starts from the parts"

# the spellings of transformers: with the prefix of its memory, and without a level of the tower
spell() { # NAME SED...
    local name=$1; shift
    cp -r "$tmp/hf-llava" "$tmp/$name"
    respell "$tmp/$name/model.safetensors" "$@"
    expect 0 'logits differ by 0 of' "$convert" --from "$tmp/$name" --to parts --out "$tmp/parts-$name"
    same "$tmp/parts-hf-llava" "$tmp/parts-$name" $WEIGHTS
}
spell memory -e 's/"language_model\.model\./"model.language_model./g' -e 's/"language_model\.lm_head/"lm_head/g' \
    -e 's/"(vision_tower|multi_modal_projector)\./"model.\1./g'
spell memory56 -e 's/"language_model\.model\./"model.language_model./g' -e 's/"language_model\.lm_head/"lm_head/g' \
    -e 's/"vision_tower\.vision_model\./"model.vision_tower./g' -e 's/"multi_modal_projector\./"model.multi_modal_projector./g'
spell saved56 -e 's/"vision_tower\.vision_model\./"vision_tower./g'

# LLaVA's own: the tower in an absolute folder; among the model's weights; settings as version 1.5 wrote them
changed absolute llava "s|\"mm_vision_tower\": .*|\"mm_vision_tower\": \"$tmp/vision\",|"
mv "$tmp/absolute/vision" "$tmp/vision"
changed v15 llava 's/"model_type": "llava_llama"/"model_type": "llava"/'
rm "$tmp/v15/chat_template.jinja" # version 1.5 brought none
for name in absolute v15; do
    expect 0 'logits differ by 0 of' "$convert" --from "$tmp/$name" --to parts --out "$tmp/parts-$name"
    has "$tmp/parts-$name/run.json" '"template":"v1"'
    same "$tmp/parts-llava" "$tmp/parts-$name" $WEIGHTS
done
changed unfrozen llava 's/"vocab_size": 332/"vocab_size": 334/'
cp "$tmp/hf-llava/model.safetensors" "$tmp/unfrozen/model.safetensors" # it has two rows more, and the tower
rm "$tmp/unfrozen/vision/model.safetensors"
respell "$tmp/unfrozen/model.safetensors" -e 's/"language_model\./"/g' -e 's/"vision_tower\./"model.vision_tower.vision_tower./g' \
    -e 's/"multi_modal_projector\.linear_1\./"model.mm_projector.0./g' -e 's/"multi_modal_projector\.linear_2\./"model.mm_projector.2./g'
expect 0 'logits differ by 0 of' "$convert" --from "$tmp/unfrozen" --to parts --out "$tmp/parts-unfrozen"
same "$tmp/parts-hf-llava" "$tmp/parts-unfrozen" $WEIGHTS
changed square llava 's/"image_aspect_ratio": "pad"/"image_aspect_ratio": null/'
expect 0 '' "$convert" --from "$tmp/square" --to parts --out "$tmp/parts-square"
has "$tmp/parts-square/run.json" '"aspect":"stretch"'

# what LLaVA's trainer writes beside an adapter: the projector, and settings that name the tower
mkdir "$tmp/trained"
cp "$parity/llava/start/lora/"* "$PWD/tests/fixtures/llava_lora/non_lora_trainables.bin" "$tmp/trained"
sed "s|\"mm_vision_tower\": .*|\"mm_vision_tower\": \"$parity/bases/clip-only\",|" "$tmp/llava/config.json" > "$tmp/trained/config.json"
base=$parity/bases/llm-llama
expect 0 'logits differ by 0 of' "$convert" --from "$tmp/trained" --base "$base" --to parts --out "$tmp/parts-trained"
expect 0 '' "$convert" --from "$tmp/case" --to parts --out "$tmp/parts-case"
same "$tmp/parts-case" "$tmp/parts-trained" $WEIGHTS adapter/adapter_model.safetensors
has "$tmp/parts-trained/run.json" '"alpha":8'
expect 0 'likeliest token is the same at 148 of 148' "$convert" --from "$tmp/trained" --base "$base" --to hf-llava --type f32 --out "$tmp/merged"
same "$tmp/hf-llava" "$tmp/merged" model.safetensors
changed untold trained '/"mm_vision_tower"/d; s/llava_llama/llama/'
expect 65 'config.json names no mm_vision_tower' "$convert" --from "$tmp/untold" --base "$base" --to parts --out "$tmp/none"
rm -r "$tmp/untold"
expect 2 '--base' "$convert" --from "$tmp/trained" --to hf-llava --out "$tmp/none"

# a Mistral with a SigLIP, task tokens and visual tokens: their rows are told from the base's again
parts_of visual_tokens
mv "$tmp/visual_tokens" "$tmp/mistral"
for to in hf-llava llava; do
    expect 0 'likeliest token is the same at' "$convert" --from "$tmp/mistral" --to $to --type f32 --out "$tmp/mistral-$to"
    expect 0 'logits differ by 0 of' "$convert" --from "$tmp/mistral-$to" --to parts --out "$tmp/mistral-parts-$to"
    has "$tmp/mistral-parts-$to/run.json" '"image":4'
    has "$tmp/mistral-parts-$to/run.json" '"understand":"[I2T]"'
    has "$tmp/mistral-parts-$to/llm/config.json" '"model_type":"mistral"'
    has "$tmp/mistral-parts-$to/vision/config.json" '"model_type":"siglip_vision_model"'
done
has "$tmp/mistral-llava/config.json" '"model_type":"llava_mistral"'
has "$tmp/mistral-llava/config.json" '"mm_vision_select_feature":"cls_patch"'
has "$tmp/mistral-hf-llava/config.json" '"vision_feature_select_strategy":"full"'
same "$tmp/mistral-parts-hf-llava" "$tmp/mistral-parts-llava" $WEIGHTS token_rows.safetensors
# task tokens of other names are not known again, which is said once
cp -r "$tmp/mistral" "$tmp/named"
sed -i 's/"tokens": {/"tokens": {"task": {"understand": "[LOOK]", "generate": "[DRAW]", "edit": "[EDIT]"},/' "$tmp/named/run.json"
expect 0 'likeliest token is the same at' "$convert" --from "$tmp/named" --to hf-llava --type f32 --out "$tmp/named-hf-llava"
grep -q 'no prompt here' "$tmp/said" && wrong "convert tells strangers of its own tokens: $(cat "$tmp/said")"
expect 0 'warning: "[LOOK]" (id 336), like others of the added tokens, is no task token' "$convert" --from "$tmp/named-hf-llava" --to parts \
    --out "$tmp/named-parts"
has "$tmp/named-parts/run.json" '"understand":null'

# a projector of one layer, and pictures that are stretched
parts_of stretch_rslora
expect 0 'likeliest token is the same at' "$convert" --from "$tmp/stretch_rslora" --to llava --type f32 --out "$tmp/linear"
expect 0 'logits differ by 0 of' "$convert" --from "$tmp/linear" --to parts --out "$tmp/parts-linear"
has "$tmp/parts-linear/run.json" '"projector":{"type":"linear"'
has "$tmp/parts-linear/run.json" '"aspect":"stretch"'
expect 65 'its projector has 1 layers' "$convert" --from "$tmp/linear" --to hf-llava --out "$tmp/none"

# refused, each by name
folder=llava
refused 66 'mm_vision_tower is "openai/clip-vit-large-patch14-336"' 's|"mm_vision_tower": .*|"mm_vision_tower": "openai/clip-vit-large-patch14-336",|'
refused 65 'mm_vision_tower is missing' '/"mm_vision_tower"/d'
refused 65 'mm_projector_type is "cabstractor"' 's/mlp2x_gelu/cabstractor/'
refused 65 'image_aspect_ratio is "anyres"' 's/"image_aspect_ratio": "pad"/"image_aspect_ratio": "anyres"/'
refused 65 'mm_vision_select_feature is "cls_patch", expected "patch"' 's/"patch"/"cls_patch"/'
refused 65 'mm_use_im_start_end' 's/"mm_use_im_start_end": false/"mm_use_im_start_end": true/'
refused 65 'mm_patch_merge_type' 's/"flat"/"spatial_unpad"/'
folder=hf-llava
refused 65 'vision_feature_layer is a list of 2 layers' 's/"vision_feature_layer": -2/"vision_feature_layer": [-2, -3]/'
refused 65 'vision_feature_select_strategy is "full", expected "default"' 's/(select_strategy": )"default"/\1"full"/'
refused 65 'projector_hidden_act is "relu"' 's/"projector_hidden_act": "gelu"/"projector_hidden_act": "relu"/'
refused 65 'multimodal_projector_bias is false' 's/"multimodal_projector_bias": true/"multimodal_projector_bias": false/'
refused 65 'model_type is "llava_next"' 's/"model_type": "llava"/"model_type": "llava_next"/'
refused 65 'quantization_config' 's/"model_type": "llava"/"quantization_config": {"bits": 4}, &/'
refused 65 'has 330 pieces, but the model 90 rows' 's/"vocab_size": [0-9]+/"vocab_size": 90/'
folder=mistral-hf-llava
refused 65 'vision_feature_select_strategy is "default", expected "full"' 's/(select_strategy": )"full"/\1"default"/'
changed list hf-llava 's/"vision_feature_layer": -2/"vision_feature_layer": [-2]/'
expect 0 'logits differ by 0 of' "$convert" --from "$tmp/list" --to parts --out "$tmp/parts-list"
folder=hf-llava-hf
refused 65 'model_type is "qwen2"' 's/"model_type": "llama"/"model_type": "qwen2"/'
refused 65 'quantization_config is of gptq; only nf4' 's/"model_type": "llama"/"quantization_config": {"bits": 4, "quant_method": "gptq"}, &/'
# LlavaForConditionalGeneration as transformers saved it, with fewer rows than its vocabulary has pieces
cp -r "$PWD/tests/fixtures/llava" "$tmp/few"
cp "$parity/bases/llm-llama/tokenizer.model" "$tmp/few"
sed 's/31/26/' "$parity/bases/clip-only/preprocessor_config.json" > "$tmp/few/preprocessor_config.json"
expect 65 'has 330 pieces, but the model 50 rows' "$convert" --from "$tmp/few" --to parts --out "$tmp/none"
cp -r "$tmp/hf-llava" "$tmp/untold"
rm "$tmp/untold/tokenizer.model"
expect 66 'tokenizer.model' "$convert" --from "$tmp/untold" --to parts --out "$tmp/none"
[ ! -e "$tmp/none" ] || wrong "something was written of a model without tokenizer.model"

exit $failed
