#!/bin/bash
# Runs under a noise loss: resumed they end as if they had not been stopped, drawn numbers belong to samples, and what does not fit together
# is said.
STEPS=4
. tests/cli/_train.sh
cases=$PWD/tests/fixtures/parity
common=(--set save.dir="$dir/runs" --set name=r --set log.tensorboard=false --set save.every=1 --quiet)

# of CASE ARGUMENTS…: an uninterrupted run in $dir/straight and one that was resumed in $dir/runs/r.
resumed() {
    local config=$cases/$1/config.json
    shift
    rm -rf "$dir/straight" "$dir/runs"
    expect 0 --config "$config" "${common[@]}" "$@"
    mv "$dir/runs/r" "$dir/straight"
    expect 0 --config "$config" "${common[@]}" "$@" --steps 2
    expect 0 --config "$config" "${common[@]}" "$@" --resume
    same_end "$dir/straight" "$*"
}

# in_channels N: what the folder of the trained UNet says.
in_channels() { grep -q "\"in_channels\": $1," "$dir/straight/$last/unet/config.json" || fail "unet/config.json does not say $1 channels"; }

resumed noise_frozen --set debug.replay=null
[ ! -e "$dir/straight/$last/unet" ] || fail "a frozen UNet is in the checkpoint"
cp "$dir/straight/train.jsonl" "$dir/drawn.jsonl"
resumed noise_edit --set train.steps=4
in_channels 8
resumed noise_conv_in
[ -e "$dir/straight/$last/unet_conv_in.safetensors" ] && [ ! -e "$dir/straight/$last/unet" ] || fail "conv_in alone is not in the checkpoint"
resumed noise_conv_in --set model.diffusion.unet=full
in_channels 8

# Another number of pictures at a time, other passes: the same samples see the same numbers.
losses() { sed -n 's/.*"loss_generate":\([^,}]*\).*"loss_edit":\([^,}]*\).*/\1 \2/p' "$1"; }
same_losses() {
    rm -rf "$dir/runs"
    expect 0 --config "$cases/noise_frozen/config.json" "${common[@]}" --set debug.replay=null "$@"
    paste <(losses "$dir/drawn.jsonl") <(losses "$dir/runs/r/train.jsonl") |
        awk 'function near(a, b) { return (a - b)^2 <= (2e-5 * a)^2 } { n += near($1, $3) && near($2, $4) } END { exit n != '"$STEPS"' }' ||
        fail "$*: other losses: $(paste <(losses "$dir/drawn.jsonl") <(losses "$dir/runs/r/train.jsonl"))"
}
same_losses --set train.micro_images=1
same_losses --set train.micro_images=4
same_losses --set train.micro_tokens=80
rm -rf "$dir/runs"
expect 0 --config "$cases/noise_frozen/config.json" "${common[@]}" --set debug.replay=null --set seed=7
diff -q <(losses "$dir/drawn.jsonl") <(losses "$dir/runs/r/train.jsonl") > "$dir/diff" && fail "another seed, the same losses"

# refused CASE CODE SENTENCE ARGUMENTS…
refused() {
    local config=$cases/$1/config.json code=$2 sentence=$3
    shift 3
    rm -rf "$dir/runs"
    expect "$code" --config "$config" "${common[@]}" "$@"
    says "$sentence"
}
noise=$cases/bases/diffusion-noise edit=$cases/bases/diffusion-edit
real() { (cd "$1" && pwd -P); }
refused noise_frozen 2 'model.diffusion.edit is "ip2p", which needs a UNet of 8 input channels; that of '"$(real "$noise")"' has 4: "train_conv_in", with model.diffusion.unet "conv_in" or "full", adds those that are missing' \
    --set model.diffusion.edit=ip2p
refused noise_edit 2 'model.diffusion.edit is "llm_only", which needs a UNet of 4 input channels; that of '"$(real "$edit")"' has 8: for that there is "ip2p"' \
    --set model.diffusion.edit=llm_only
refused noise_edit 2 'model.diffusion.edit is "train_conv_in", which needs a UNet of 4 input channels; that of '"$(real "$edit")"' has 8: for that there is "ip2p"' \
    --set model.diffusion.edit=train_conv_in
refused noise_frozen 2 'model.diffusion.edit is "ip2p", which needs a UNet of 8 input channels; that of '"$(real "$noise")"' has 4' \
    --set model.diffusion.edit=ip2p --set loss.generate=l2norm --set loss.edit=l2norm
refused noise_frozen 2 'model.diffusion.size is 21, expected a multiple of 2, by which the VAE of '"$(real "$noise")"' divides it' --set model.diffusion.size=21
cp -r "$noise" "$dir/deep"
chmod -R u+w "$dir/deep"
printf '{"block_out_channels": [8, 8, 8, 8], "cross_attention_dim": 12, "norm_num_groups": 4, "attention_head_dim": 2, "downsample_padding": 0}' \
    > "$dir/deep/unet/config.json"
refused noise_frozen 2 "model.diffusion.size is 8, of which the UNet of $dir/deep leaves nothing on its way down; raise it" \
    --set model.diffusion.path="$dir/deep" --set model.diffusion.size=8
replay=$cases/noise_edit/start/replay.safetensors
refused noise_frozen 65 "$replay: no timestep/… for row 0 of the mixture; behind the \"/\" stands the row's uid, here one whose SHA-256 begins with " --set debug.replay="$replay"

# Of a folder only what the losses need has to be there.
mkdir "$dir/sd"
cp -r "$noise/text_encoder" "$noise/tokenizer" "$dir/sd/"
refused noise_frozen 66 "$dir/sd/unet/config.json: there is no such file" --set model.diffusion.path="$dir/sd"
says "$dir/sd/scheduler/scheduler_config.json: there is no such file; how noise is mixed in is read from there"
rm -rf "$dir/runs"
expect 0 --config "$cases/noise_frozen/config.json" "${common[@]}" --set model.diffusion.path="$dir/sd" --set loss.generate=mse --set loss.edit=l2norm

# All of the autoencoder is counted, though a run has only its encoder in memory.
expect 0 --config "$cases/noise_frozen/config.json" "${common[@]}" --dry-run --log-format json
grep -q '"unet":36076,"vae":27395}' "$dir/out" || fail "the plan: $(cat "$dir/out")"

# Who answers in text reads nothing that draws, and does without its folder.
rm -rf "$dir/runs"
cp -r "$noise" "$dir/all"
expect 0 --config "$cases/noise_frozen/config.json" "${common[@]}" --set debug.replay=null --set model.diffusion.path="$dir/all"
mv "$dir/all" "$dir/away"
"$build/generate" --checkpoint "$dir/runs/r" --ask Why --max-new-tokens 2 > "$dir/out" 2> "$dir/err" || fail "generate without the diffusion folder: $(cat "$dir/err")"
exit $failed
