#!/bin/bash
# What is wrong with a run that draws ends with a sentence that names it, and the exit code of its kind: files, channels, rows, numbers.
STEPS=4
. tests/cli/_train.sh
case=$PWD/tests/fixtures/parity/noise_frozen
noise=$PWD/tests/fixtures/parity/bases/diffusion-noise

# A diffusion folder of one's own to spoil.
fresh() {
    rm -rf "$dir/sd" "$dir/runs"
    cp -r "$noise" "$dir/sd"
    chmod -R u+w "$dir/sd"
}
# refused CODE SENTENCE ARGUMENTS…: a run over it
refused() {
    local code=$1 sentence=$2
    shift 2
    expect "$code" --config "$case/config.json" --set save.dir="$dir/runs" --set name=r --set log.tensorboard=false --set "model.diffusion.path=$dir/sd" --quiet "$@"
    says "$sentence"
}

# Files: those of both networks at once, before anything is made.
fresh
rm "$dir/sd/vae/diffusion_pytorch_model.safetensors" "$dir/sd/unet/diffusion_pytorch_model.safetensors"
refused 66 "model.diffusion.path: $dir/sd/vae: neither diffusion_pytorch_model.safetensors nor diffusion_pytorch_model.safetensors.index.json in it"
says "model.diffusion.path: $dir/sd/unet: neither diffusion_pytorch_model.safetensors nor"
[ ! -e "$dir/runs" ] || fail "a run without weights has made its folder"
fresh
rm -r "$dir/sd/vae"
refused 66 "model.diffusion.path: $dir/sd/vae/config.json: there is no such file; the sizes of the model are read from there"

# Channels: of the latents, of the picture to edit, of the context.
fresh
sed -i 's/"latent_channels": 4/"latent_channels": 3/' "$dir/sd/vae/config.json"
refused 65 "model.diffusion.path: $dir/sd: latent_channels of vae/config.json is 3, out_channels of unet/config.json is 4; they must be equal: take VAE and UNet of one model"
fresh
sed -i 's/"in_channels": 4/"in_channels": 5/' "$dir/sd/unet/config.json"
refused 2 "model.diffusion.edit is \"sdedit\", which needs a UNet of 4 input channels; that of $dir/sd has 5"
fresh
sed -i 's/"cross_attention_dim": 12/"cross_attention_dim": 16/' "$dir/sd/unet/config.json"
refused 65 "model.diffusion.path: $dir/sd: the states of text_encoder are 12 wide (hidden_size), but unet takes a context of 16 (cross_attention_dim)"

# Rows: named with their number and reason, counted, and an error where every row has to be good.
fresh
sed '3s/{"path": "a.jpg", "role": "input"}, //; 3s/<image>\\n//' "$case/rows.jsonl" > "$dir/rows.jsonl"
rows="--set debug.replay=null --set data.shards=$dir/shards --steps 1"
mixture="data.mixture=[{\"name\":\"m\",\"files\":[\"$dir/rows.jsonl\"],\"image_root\":\"$case/images\"}]"
refused 0 "warning: $dir/rows.jsonl: row 2 (id e/0) left out, marker_mismatch: task edit, and no input image: there is nothing to edit" $rows --set "$mixture"
says "1 of 5 rows left out: 1 marker_mismatch"
"$build/prepare" --config "$case/config.json" --set "$mixture" --strict --out "$dir/strict" > /dev/null 2> "$dir/err"
code=$?
[ $code = 65 ] || fail "--strict with an edit that has no source: exit $code"
says "1 marker_mismatch"
sed '1s/<gen>/Here is a picture of a cat that sits on a red mat and looks at you <gen>/' "$case/rows.jsonl" > "$dir/rows.jsonl"
rm -rf "$dir/runs"
refused 0 "row 0 (id g/0) left out, too_long: " $rows --set "$mixture" --set data.max_tokens=40
says "tokens, data.max_tokens is 40, and the cut would go through [IMG] tokens"
sed '5s/ remove the hat//' "$case/rows.jsonl" > "$dir/rows.jsonl"
rm -rf "$dir/runs"
refused 0 "row 4 (id e/1) left out, no_prompt: task edit, and no words in" $rows --set "$mixture" --set loss.edit=mse

# Numbers: a latent that is not one spoils the step, and the weight that it came from is named; so is what is replayed.
fresh
vae=$dir/sd/vae/diffusion_pytorch_model.safetensors
header=$(od -An -tu8 -N8 "$vae" | tr -d ' ')
at=$(head -c $((header + 8)) "$vae" | grep -ao '"encoder.conv_in.bias":{[^}]*"data_offsets":\[[0-9]*' | grep -o '[0-9]*$')
printf '\000\176' | dd of="$vae" bs=1 seek=$((8 + header + at)) conv=notrunc 2> /dev/null
refused 65 "loss nan (loss_generate, loss_edit), norm of the gradient nan; the step is left out and no weight changes" --set debug.replay=null --set train.steps=2
says "warning: the autoencoder's encoder holds numbers that are not finite, in the weight vae.encoder.conv_in.bias, which is frozen"
says "error: the last 2 steps all gave a loss or gradient that is not finite: the autoencoder's encoder holds such values, in the weight vae.encoder.conv_in.bias"
fresh
cp "$case/start/replay.safetensors" "$dir/replay.safetensors"
header=$(od -An -tu8 -N8 "$dir/replay.safetensors" | tr -d ' ')
at=$(head -c $((header + 8)) "$dir/replay.safetensors" | grep -ao '"noise/g/0":{[^}]*"data_offsets":\[[0-9]*' | grep -o '[0-9]*$')
printf '\000\000\300\177' | dd of="$dir/replay.safetensors" bs=1 seek=$((8 + header + at)) conv=notrunc 2> /dev/null
refused 65 "$dir/replay.safetensors: noise/g/0 holds nan, expected finite numbers (debug.replay)" --set "debug.replay=$dir/replay.safetensors"
exit $failed
