#!/bin/bash
# The plan for the real size, from config.json files alone: Mistral-7B with adapters of rank 128 in bf16, samples of 1024 tokens with a picture of 729.
# 16k tokens a pass fit 80 GB, 2k tokens with block recompute fit 24 GB; with rank 16 over weights in 4 bits, 4k tokens fit 12 GB.
build=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
fail() {
    echo "$0: $*" >&2
    failed=1
}
cp -r tools/bench/gpu/. "$dir/"
cp tests/fixtures/vocabulary/tokenizer.model "$dir/mistral-7b/"
mkdir "$dir/images"
cp tests/fixtures/parity/visual_tokens/images/"$(ls tests/fixtures/parity/visual_tokens/images | head -n 1)" "$dir/images/picture"
awk 'BEGIN {
    printf "["
    for (i = 0; i < 32; i++) {
        printf "%s{\"id\": \"%d\", \"image\": \"picture\", \"conversations\": [{\"from\": \"human\", \"value\": \"<image>\\nx", i ? ",\n" : "", i
        for (k = 0; k < 48; k++) printf " %c", 97 + (k * 7 + i) % 26
        printf "\"}, {\"from\": \"gpt\", \"value\": \"a"
        for (k = 1; k < 121; k++) printf " %c", 97 + (k * 5 + i) % 26
        printf "\"}]}"
    }
    print "]"
}' >"$dir/data.json"
mixture='data.mixture=[{"name": "d", "files": ["data.json"], "image_root": "images", "task": "understand"}]'
field() { sed 's/.*"'"$1"'":\([0-9]*\).*/\1/' "$dir/plan"; }

# plan LIMIT_GB KEY=VALUE...
plan() {
    limit=$1
    shift
    (cd "$dir" && "$build/train" --config r128.json --dry-run --log-format json --quiet --set device=cpu --set train.memory=ignore --set "$mixture" --set train.batch=16 "$@" >plan 2>err) ||
        fail "the dry run ends with $?: $(cat "$dir/err")"
    total=$(field total)
    echo "    $* : $(field tokens) tokens in $(field steps) steps, $total bytes of $limit GB"
    [ "$total" -le $((limit * 1000000000)) ] || fail "$*: the plan is $total bytes, more than $limit GB"
    # and it is the real size: the weights alone are 7.24 billion and the vision tower's in bf16
    [ "$(field weights)" -gt 15200000000 ] && [ "$(field weights)" -lt 15400000000 ] || fail "weights: $(field weights) bytes"
    [ "$(field trainable)" -gt 3400000000 ] || fail "trainable: $(field trainable) bytes"
}
case $build in /*) ;; *) build=$PWD/$build ;; esac
plan 80 --set train.micro_tokens=16384
[ "$(field activations)" -gt 45000000000 ] || fail "activations of a pass of 16k tokens: $(field activations) bytes"
plan 24 --set train.micro_tokens=2048 --set train.recompute=block

(cd "$dir" && "$build/train" --config r128.json --dry-run --log-format json --quiet --set device=cpu --set train.memory=ignore --set "$mixture" --set train.batch=16 \
    --set model.lora.r=16 --set train.micro_tokens=4096 --set train.recompute=block --set model.llm.store=nf4 >plan 2>err) || fail "in 4 bits: $(cat "$dir/err")"
echo "    rank 16 in 4 bits: $(field total) bytes of 12 GB"
[ "$(field total)" -le 12000000000 ] && [ "$(field total)" -gt 8000000000 ] || fail "in 4 bits the plan is $(field total) bytes"
# 6,979,321,856 weights of half a byte and a 16th of a float, and what is not of the layers' matrices: 262,410,240 of the language model, and the tower's
[ "$(field weights)" -gt 5240000000 ] && [ "$(field weights)" -lt 5260000000 ] || fail "in 4 bits weights take $(field weights) bytes"

# Nothing but config.json files: neither weights, nor a tokenizer, nor data. The plan is the same, the rest is said, and no memory is too small for it.
rm "$dir/mistral-7b/tokenizer.model" "$dir/siglip-so400m/preprocessor_config.json"
sed 's/, "init": "random"//' "$dir/r128.json" > "$dir/bare.json"
(cd "$dir" && "$build/train" --config bare.json --dry-run --log-format json --set device=cpu --set train.recompute=block > plan 2> err) ||
    fail "a dry run without weights and data ends with $?: $(cat "$dir/err")"
grep -q '"trainable":357138432,.*"samples":null,"steps":null,"tokens":null}' "$dir/plan" || fail "without weights and data: $(cat "$dir/plan")"
[ "$(field llm)" -eq 7241732096 ] && [ "$(field vision)" -eq 397745440 ] || fail "without weights: $(cat "$dir/plan")"
[ "$(field weights)" -gt 15200000000 ] && [ "$(field weights)" -lt 15400000000 ] || fail "without weights they take $(field weights) bytes"
[ "$(field activations)" -gt 4290000000 ] || fail "the largest pass of the settings takes $(field activations) bytes"
for said in "weights not checked: $dir/mistral-7b holds none; the language model is planned as if drawn" "samples are not counted, for their data are not there" \
    "$dir/mistral-7b/tokenizer.model: there is no such file" "$dir/none.json: cannot be opened"; do
    grep -qF "$said" "$dir/err" || fail "not said: $said: $(cat "$dir/err")"
done
# With what draws: the published head and text encoder, and a target image for each of the 20 samples.
without=$(field activations)
mkdir -p "$dir/sd/text_encoder"
cat > "$dir/sd/text_encoder/config.json" <<END
{"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072,
 "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-05}
END
(cd "$dir" && "$build/train" --config bare.json --dry-run --log-format json --set device=cpu --set train.recompute=block --set model.diffusion.path=sd \
    --set loss.edit=l2norm > plan 2> err) || fail "a dry run with a text encoder ends with $?: $(cat "$dir/err")"
grep -q '"gen_head":31958784,"text_encoder":123060480,"unet":0,"vae":0},"trainable":389097216,' "$dir/plan" || fail "with a head: $(cat "$dir/plan")"
echo "    the head adds $(($(field activations) - without)) bytes of activations"
[ $(($(field activations) - without)) -gt 25000000 ] || fail "the head's activations are not in the plan: $(cat "$dir/plan")"

# A run is not a plan, and a folder without its sizes is no folder.
(cd "$dir" && "$build/train" --config bare.json --set device=cpu > plan 2> err)
[ $? -eq 66 ] || fail "a run without weights and data: $(cat "$dir/err")"
rm "$dir/siglip-so400m/config.json"
(cd "$dir" && "$build/train" --config bare.json --dry-run --set device=cpu > plan 2> err)
[ $? -eq 66 ] || fail "a dry run without sizes: $(cat "$dir/err")"
grep -qF "$dir/siglip-so400m/config.json: there is no such file; the sizes of the model are read from there" "$dir/err" || fail "no sizes: $(cat "$dir/err")"
# Weights of another format are not "none".
cp tools/bench/gpu/siglip-so400m/config.json "$dir/siglip-so400m/"
touch "$dir/mistral-7b/pytorch_model.bin"
(cd "$dir" && "$build/train" --config bare.json --dry-run --set device=cpu > plan 2> err)
[ $? -eq 66 ] && grep -qF "is a pickle, which is never read" "$dir/err" || fail "a pickle: $(cat "$dir/err")"

# configs/llava-7b.json: Vicuna-7B v1.5 and CLIP ViT-L/14 at 336 px, by the config.json files as they are published.
mkdir "$dir/vicuna" "$dir/clip"
cat > "$dir/vicuna/config.json" <<END
{"_name_or_path": "vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size":
4096, "initializer_range": 0.02, "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 32,
"num_hidden_layers": 32, "num_key_value_heads": 32, "pad_token_id": 0, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
"tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.31.0", "use_cache": true, "vocab_size": 32000}
END
cat > "$dir/clip/config.json" <<END
{"_name_or_path": "openai/clip-vit-large-patch14-336", "architectures": ["CLIPModel"], "initializer_factor": 1.0, "logit_scale_init_value": 2.6592,
"model_type": "clip", "projection_dim": 768, "text_config": {"hidden_size": 768, "model_type": "clip_text_model"}, "text_config_dict": {"hidden_size":
768},  "torch_dtype": "float32", "transformers_version": null,  "vision_config": {"_name_or_path": "", "add_cross_attention": false, "architectures":
null, "attention_dropout": 0.0, "bad_words_ids": null, "bos_token_id": null, "chunk_size_feed_forward": 0, "cross_attention_hidden_size": null,
"decoder_start_token_id": null, "diversity_penalty": 0.0, "do_sample": false, "dropout": 0.0, "early_stopping": false, "encoder_no_repeat_ngram_size":
0, "eos_token_id": null, "exponential_decay_length_penalty": null, "finetuning_task": null, "forced_bos_token_id": null, "hidden_act": "quick_gelu",
"hidden_size": 1024, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "image_size": 336, "initializer_factor": 1.0, "initializer_range": 0.02,
"intermediate_size": 4096, "is_decoder": false, "is_encoder_decoder": false, "label2id": {"LABEL_0": 0, "LABEL_1": 1}, "layer_norm_eps": 1e-05,
"length_penalty": 1.0, "max_length": 20, "min_length": 0, "model_type": "clip_vision_model", "no_repeat_ngram_size": 0, "num_attention_heads": 16,
"num_beam_groups": 1, "num_beams": 1, "num_channels": 3, "num_hidden_layers": 24, "num_return_sequences": 1, "output_attentions": false,
"output_hidden_states": false, "output_scores": false, "pad_token_id": null, "patch_size": 14, "prefix": null, "problem_type": null, "projection_dim":
768, "pruned_heads": {}, "remove_invalid_values": false, "repetition_penalty": 1.0, "return_dict": true, "return_dict_in_generate": false,
"sep_token_id": null, "task_specific_params": null, "temperature": 1.0, "tf_legacy_loss": false, "tie_encoder_decoder": false, "tie_word_embeddings":
true, "tokenizer_class": null, "top_k": 50, "top_p": 1.0, "torch_dtype": null, "torchscript": false, "transformers_version": "4.21.3", "typical_p":
1.0, "use_bfloat16": false},  "vision_config_dict": {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "num_attention_heads": 16,
"num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768}}
END
llava() { # CONFIG COUNTS
    "$build/train" --config "configs/$1" --set model.llm.path="$dir/vicuna" --set model.vision.path="$dir/clip" --set device=cpu --set train.memory=ignore \
        --dry-run --log-format json >"$dir/plan" 2>"$dir/err" || fail "configs/$1: $(cat "$dir/err")"
    grep -q "$2" "$dir/plan" || fail "configs/$1: $(cat "$dir/plan")"
}
llava llava-7b-stage1.json '"llm":6738415616,"vision":290909184,"projector":20979712,.*"trainable":20979712,'
llava llava-7b.json '"llm":6738415616,"vision":290909184,"projector":20979712,"lora":319815680,"tokens":0,.*"trainable":340795392,'
exit $failed
