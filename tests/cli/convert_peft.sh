# convert: what --to peft writes, read over its base, is the run's model; a run trains on with it; strangers' adapters are merged or refused
# by name. $1: the build folder.
STEPS=3
. tests/cli/_train.sh
convert=$build/convert
base=$bases/llm-gqa

straight "$dir/straight"
run=$dir/straight/$last
ends_with "$convert" 0 --from "$run" --to peft --out "$dir/peft"
says "read back and asked"
ends_with "$convert" 0 --from "$run" --to hf --type f32 --out "$dir/hf"
ends_with "$convert" 0 --from "$dir/peft" --base "$base" --to hf --type f32 --out "$dir/hf2"
cmp "$dir/hf/model.safetensors" "$dir/hf2/model.safetensors" || fail "peft -> hf has other weights than the run -> hf"
for file in config.json added_tokens.json; do cmp "$dir/hf/$file" "$dir/hf2/$file" || fail "peft -> hf: $file differs"; done
ends_with "$convert" 0 --from "$dir/peft" --base "$base" --to peft --out "$dir/peft2"
cmp "$dir/peft/adapter_model.safetensors" "$dir/peft2/adapter_model.safetensors" || fail "peft -> peft: other weights"
ends_with "$convert" 0 --from "$dir/peft" --base "$base" --to parts --out "$dir/parts"
ends_with "$convert" 0 --from "$run" --to parts --out "$dir/parts2"
for file in adapter/adapter_model.safetensors token_rows.safetensors llm/model.safetensors; do
    cmp "$dir/parts/$file" "$dir/parts2/$file" || fail "peft -> parts: $file is not that of the run -> parts"
done
grep -q '"r":[[:space:]]*2' "$dir/parts/run.json" || fail "parts: the rank is not the adapter's"

# A base that ties head and embeddings, whose added rows differ.
sed -e "s|$bases/llm-gqa|$bases/llm-tied|" "$dir/run.json" > "$dir/tied.json"
expect 0 --config "$dir/tied.json"
ends_with "$convert" 0 --from "$dir/runs/r" --to peft --out "$dir/tied"
says "untie it before loading"
ends_with "$convert" 0 --from "$dir/runs/r" --to hf --type f32 --out "$dir/tied-hf"
ends_with "$convert" 0 --from "$dir/tied" --base "$bases/llm-tied" --to hf --type f32 --out "$dir/tied-hf2"
cmp "$dir/tied-hf/model.safetensors" "$dir/tied-hf2/model.safetensors" || fail "tied: peft -> hf has other weights than the run -> hf"

# Bases.
ends_with "$convert" 2 --from "$dir/peft" --to hf --out "$dir/no"
says "--base DIR"
ends_with "$convert" 66 --from "$dir/peft" --base "$dir/peft" --to hf --out "$dir/no"
ends_with "$convert" 65 --from "$dir/peft" --base "$bases/llm-tied" --to hf --out "$dir/no"
says "trainable_token_indices"

# edited SED-EXPRESSION: a copy of the adapter with another configuration, in $dir/bad.
edited() {
    rm -rf "$dir/bad"
    cp -r "$dir/peft" "$dir/bad"
    tr -d '\n\t' < "$dir/peft/adapter_config.json" | sed -E 's/: +/:/g' > "$dir/one_line"
    sed -E "$1" "$dir/one_line" > "$dir/bad/adapter_config.json"
    cmp -s "$dir/one_line" "$dir/bad/adapter_config.json" && fail "$1 changes nothing"
}
# refused SED-EXPRESSION TEXT...
refused() {
    edited "$1"
    ends_with "$convert" 65 --from "$dir/bad" --base "$base" --to hf --out "$dir/no"
    shift
    for text; do says "$text"; done
    [ -e "$dir/no" ] && fail "refused, but something was written"
}
refused 's/"LORA"/"IA3"/' 'peft_type is "IA3"'
refused 's/"bias":"none"/"bias":"all"/' 'bias is "all"'
refused 's/"fan_in_fan_out":false/"fan_in_fan_out":true/' 'fan_in_fan_out is true'
refused 's/"bias":/"layer_replication":[[0,2]],"bias":/' 'layer_replication is an array'
refused 's/"bias":/"target_parameters":["x"],"bias":/' 'target_parameters is an array'
refused 's/"bias":/"some_new_key":3,"bias":/' 'some_new_key is 3'
refused 's/"use_dora":false/"use_dora":true/' 'use_dora is true' 'no magnitude'
refused 's/"alpha_pattern":\{\}/"alpha_pattern":{"(?=a)":3}/' 'alpha_pattern: "(?=a)"'
refused 's/"trainable_token_indices":.*$/"x":null}/' 'trainable_token_indices has no list'
refused 's/"trainable_token_indices":.*$/"trainable_token_indices":[336,338,337,339,340]}/' '338 is none of the base'\''s 336 rows'

# A scale of one layer alone: merged, but no run trains on with it.
edited 's/"alpha_pattern":\{\}/"alpha_pattern":{"layers\\\\.\\\\d\\\\.self_attn\\\\.q_proj":8}/'
ends_with "$convert" 0 --from "$dir/bad" --base "$base" --to hf --type f32 --out "$dir/scaled"
cmp -s "$dir/hf/model.safetensors" "$dir/scaled/model.safetensors" && fail "alpha_pattern changes nothing"
for to in parts peft; do ends_with "$convert" 65 --from "$dir/bad" --base "$base" --to $to --out "$dir/no"; done

# Of another width: both shapes are named.
cp -r "$base" "$dir/deep"
sed -E 's/"intermediate_size": 80/"intermediate_size": 96/' "$base/config.json" > "$dir/deep/config.json"
ends_with "$convert" 65 --from "$dir/peft" --base "$dir/deep" --to hf --out "$dir/no"
says "[80, 48]"

exit $failed
