#!/bin/bash
# convert takes the memory of a layer and a few pieces, not that of the model: 600 MiB of weights, a sparse file of zeros, in little more than is taken for small ones.
. tests/cli/_train.sh
convert=$build/convert
export OMP_NUM_THREADS=1 # stacks of threads count too
layers=48 hidden=512 ff=1408
limit=360000             # KiB of memory that no file backs, of which 256 MiB are addresses alone, for workspaces of matmuls

(ulimit -d $limit; "$convert" --version > /dev/null 2>&1) || { echo "    skipped: this build takes more by itself"; exit 77; }

# Its config is that of a small one with other sizes; the header of its weights lists one tensor after the other.
mkdir "$dir/big"
base=tests/fixtures/parity/bases/llm-gqa
cp "$base/tokenizer.model" "$dir/big"
sed -E 's/("hidden_size": )[0-9]+/\1'$hidden'/; s/("intermediate_size": )[0-9]+/\1'$ff'/; s/("num_hidden_layers": )[0-9]+/\1'$layers'/;
        s/("head_dim": )[0-9]+/\164/; s/("num_(attention|key_value)_heads": )[0-9]+/\18/; s/"bfloat16"/"float32"/' \
    "$base/config.json" | sed 's/_heads": 18/_heads": 8/' > "$dir/big/config.json"
vocab=$(sed -nE 's/.*"vocab_size": ([0-9]+).*/\1/p' "$base/config.json")
at=0
header='{"__metadata__":{"format":"pt"}'
tensor() { # NAME SHAPE ELEMENTS
    header="$header,\"$1\":{\"dtype\":\"F32\",\"shape\":[$2],\"data_offsets\":[$at,$((at + 4 * $3))]}"
    at=$((at + 4 * $3))
}
tensor lm_head.weight "$vocab,$hidden" $((vocab * hidden))
tensor model.embed_tokens.weight "$vocab,$hidden" $((vocab * hidden))
tensor model.norm.weight "$hidden" $hidden
for ((layer = 0; layer < layers; layer++)); do
    for name in input_layernorm post_attention_layernorm; do tensor "model.layers.$layer.$name.weight" "$hidden" $hidden; done
    for name in q k v o; do tensor "model.layers.$layer.self_attn.${name}_proj.weight" "$hidden,$hidden" $((hidden * hidden)); done
    for name in gate up; do tensor "model.layers.$layer.mlp.${name}_proj.weight" "$ff,$hidden" $((ff * hidden)); done
    tensor "model.layers.$layer.mlp.down_proj.weight" "$hidden,$ff" $((ff * hidden))
done
header="$header}"
while [ $((${#header} % 8)) != 0 ]; do header="$header "; done
n=${#header}
{ printf "\\$(printf %o $((n & 255)))\\$(printf %o $((n >> 8 & 255)))\\$(printf %o $((n >> 16 & 255)))\\0\\0\\0\\0\\0"; printf %s "$header"; } > "$dir/big/model.safetensors"
truncate -s $((8 + n + at)) "$dir/big/model.safetensors"

for format in hf gguf; do
    (ulimit -d $limit && exec "$convert" --from "$dir/big" --to $format --out "$dir/$format" > "$dir/out" 2> "$dir/err")
    code=$?
    [ $code = 0 ] || { fail "$((at >> 20)) MiB --to $format within $((limit >> 10)) MiB: exit $code"; cat "$dir/err" >&2; }
    rm -rf "$dir/$format"
done
exit $failed
