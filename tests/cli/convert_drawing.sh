#!/bin/bash
# convert: what draws, into parts and out of them: a head of any file name, one that is nowhere, an input that is not widened yet.
. tests/cli/_train.sh
convert=$build/convert run=tests/fixtures/parity/noise_conv_in
base=tests/fixtures/parity/bases/diffusion-noise

to() { ends_with "$convert" "$1" --from "$3" --to "$2" --out "$4" --quiet; }
same() { cmp -s "$1" "$2" || fail "$3: ${1#"$dir"/} and ${2#"$dir"/} differ"; }

expect 0 --config "$run/config.json" --set name=r --set "save.dir=$dir/runs" --set "data.shards=$dir/shards" --quiet
to 0 parts "$dir/runs/r" "$dir/parts"
same "$dir/parts/gen_head.safetensors" "$dir/runs/r/checkpoint-000004/gen_head.safetensors" "the head of a checkpoint"
grep -q '"edit": "ip2p"' "$dir/parts/run.json" || fail "parts of a widened input are not for edit ip2p"

mv "$dir/parts/gen_head.safetensors" "$dir/parts/mine.safetensors"
sed -i 's/"gen_head.safetensors"/"mine.safetensors"/' "$dir/parts/run.json"
for format in parts diffusers; do
    to 0 $format "$dir/parts" "$dir/$format-of-mine"
    same "$dir/$format-of-mine/gen_head.safetensors" "$dir/parts/mine.safetensors" "$format with a head of another name"
    same "$dir/$format-of-mine/gen_head_config.json" "$dir/parts/gen_head_config.json" "$format with a head of another name"
done
grep -q '"init": "gen_head.safetensors"' "$dir/parts-of-mine/run.json" || fail "parts do not name the head that they hold"

# A base as it came, which a run would widen, stays one.
cp -r "$dir/parts" "$dir/narrow"
rm -r "$dir/narrow/diffusion"
cp -r "$base" "$dir/narrow/diffusion"
sed -i 's/"edit": "ip2p"/"edit": "train_conv_in"/' "$dir/narrow/run.json"
to 0 parts "$dir/narrow" "$dir/of-narrow"
to 0 parts "$dir/of-narrow" "$dir/of-narrow-again"
same "$dir/of-narrow/diffusion/unet/config.json" "$base/unet/config.json" "a UNet that is not widened"

sed -i 's/"mine.safetensors"/"default"/' "$dir/parts/run.json"
for format in parts diffusers; do
    to 66 $format "$dir/parts" "$dir/no-head"
    says "there is no file with the weights of the generation head"
    [ ! -e "$dir/no-head" ] && [ ! -e "$dir/no-head.partial" ] || fail "--to $format without a head left something"
done
exit $failed
