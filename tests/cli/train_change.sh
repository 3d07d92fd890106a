#!/bin/bash
# --resume with other data or settings: refused with the difference, or taken with --change.
STEPS=6
. tests/cli/_train.sh
cp "$PWD/tests/fixtures/parity/visual_tokens/rows.jsonl" "$dir/rows.jsonl"
sed -i "s|\"files\": \[[^]]*\]|\"files\": [\"$dir/rows.jsonl\"]|" "$dir/run.json"
straight "$dir/straight"
restore() {
    rm -rf "$dir/runs/r"
    mkdir -p "$dir/runs/r"
    cp -r "$dir/straight"/checkpoint-00000[1-6] "$dir/straight/train.jsonl" "$dir/runs/r/"
}
history() { grep -qF -- "$1" "$dir/runs/r/history.jsonl" || fail "history.jsonl does not say $1: $(cat "$dir/runs/r/history.jsonl")"; }
log_steps() { wc -l < "$dir/runs/r/train.jsonl"; }

# The same bytes with another time are the same data.
restore
touch "$dir/rows.jsonl"
expect 0 --config "$dir/run.json" --resume checkpoint-000003
same_end "$dir/straight" "after touching the rows"
[ ! -e "$dir/runs/r/history.jsonl" ] || fail "nothing differed, but history.jsonl says: $(cat "$dir/runs/r/history.jsonl")"

# A row less: refused before anything is prepared, the file is named.
restore
cp "$dir/rows.jsonl" "$dir/rows.whole"
cp "$dir/shards/manifest.jsonl" "$dir/manifest"
sed -i '$d' "$dir/rows.jsonl"
for dry in "" --dry-run; do
    expect 2 --config "$dir/run.json" --resume checkpoint-000003 $dry
    says "files.$dir/rows.jsonl.bytes: $(stat -c %s "$dir/rows.whole") there, $(stat -c %s "$dir/rows.jsonl") here"
    says "files.$dir/rows.jsonl.sha256: \"$(sha256sum < "$dir/rows.whole" | cut -d' ' -f1)\" there, \"$(sha256sum < "$dir/rows.jsonl" | cut -d' ' -f1)\" here"
done
cmp -s "$dir/manifest" "$dir/shards/manifest.jsonl" || fail "the shards were made anew before the difference was told"
expect 0 --config "$dir/run.json" --resume checkpoint-000003 --change
history '{"step":3,"from":"'"$dir/runs/r/checkpoint-000003"'","difference":["files.'"$dir/rows.jsonl.bytes: "
[ "$(log_steps)" -eq 6 ] || fail "$(log_steps) steps after a change of data"
[ "$(grep -c 'going on from' "$dir/err")" = 1 ] || fail "a change of data is told $(grep -c 'going on from' "$dir/err") times"
cp "$dir/rows.whole" "$dir/rows.jsonl"

# A picture: its name and the rows stay, its pixels do not.
restore
cp -r "$PWD/tests/fixtures/parity/visual_tokens/images" "$dir/images"
sed "s|\"image_root\": \"[^\"]*\"|\"image_root\": \"$dir/images\"|; s|\"name\": \"r\"|\"name\": \"p\"|" "$dir/run.json" > "$dir/pictures.json"
expect 0 --config "$dir/pictures.json" --steps 2
picture=$(find "$dir/images" -type f | sort | head -1) other=$(find "$dir/images" -type f | sort | tail -1)
cp "$other" "$picture"
expect 2 --config "$dir/pictures.json" --resume
says "the pictures, or the rows made from these files, are others"
expect 0 --config "$dir/pictures.json" --resume --change --steps 3
grep -q 'the pictures, or the rows' "$dir/runs/p/history.jsonl" || fail "history.jsonl does not tell of the picture"

# Weights of the mixture decide what is seen, though they leave the shards as they are.
expect 0 --config "$dir/run.json" --set name=w --steps 2
sed 's|"name": "rows"|"name": "rows", "weight": 2|' "$dir/run.json" > "$dir/weight.json"
expect 2 --config "$dir/weight.json" --set name=w --resume
says "sources[0].weight: 1.0 there, 2.0 here"

# A finished run goes on when it has more steps now; its learning rate is that of the new schedule.
restore
expect 2 --config "$dir/run.json" --resume --set train.steps=9
says "--resume --change takes the rest too, to train longer or on other data"
says "train.steps: 6 there, 9 here"
expect 0 --config "$dir/run.json" --resume --change --set train.steps=9 --set optim.lr=0.5 --set optim.schedule=constant
history '"difference":["train.steps: 6 there, 9 here","optim.lr: 0.01 there, 0.5 here","optim.schedule: \"cosine\" there'
history '{"step":6,'
[ "$(log_steps)" -eq 9 ] || fail "$(log_steps) steps, wanted 9"
tail -1 "$dir/runs/r/train.jsonl" | grep -q '"lr":0.5,' || fail "the last step has another learning rate: $(tail -1 "$dir/runs/r/train.jsonl")"
expect 0 --config "$dir/run.json" --resume --set train.steps=9 --set optim.lr=0.5 --set optim.schedule=constant
[ "$(wc -l < "$dir/runs/r/history.jsonl")" -eq 1 ] || fail "a run that resumes without a change adds to history.jsonl"

# Another rank: no saved tensor may change its shape.
restore
expect 2 --config "$dir/run.json" --resume --change --set model.lora.r=3
says "28 of its tensors would change their shape"
says "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight: [2, "
expect 0 --config "$dir/run.json" --resume checkpoint-000003 --change --set model.lora.alpha=8 --set model.vision.train=full
history 'model.vision.train: \"frozen\" there, \"full\" here'
history 'model.lora.alpha: 4.0 there, 8.0 here'

# What was trained is read again, or the change is refused.
restore
for llm in frozen full; do
    expect 2 --config "$dir/run.json" --resume --change --set model.llm.train=$llm
    says "$dir/runs/r/checkpoint-000006: its adapter_model.safetensors holds the adapters as trained there, which these settings would not read"
    says 'model.llm.train: "lora" there, "'$llm'" here'
done
drawing() { expect "$1" --config "$PWD/tests/fixtures/parity/noise_conv_in/config.json" --set save.dir="$dir/runs" --quiet "${@:2}"; }
drawing 0 --set name=conv_in --steps 2
drawing 0 --set name=full --set model.diffusion.unet=full --steps 2
drawing 2 --set name=conv_in --set model.diffusion.unet=full --resume --change
says "its unet_conv_in.safetensors holds the UNet's first convolution as trained there"
drawing 2 --set name=full --resume --change
says "its unet holds the UNet as trained there"
drawing 2 --set name=full --set model.diffusion.unet=frozen --set model.diffusion.edit=llm_only --resume --change --dry-run
says "its unet holds the UNet as trained there"

# The name may change; with nothing to resume it starts and says so; alone it means nothing.
expect 0 --config "$dir/run.json" --set name=new --resume "$dir/straight/checkpoint-000003"
expect 0 --config "$dir/run.json" --set name=fresh --resume --change --steps 1
says "nothing to resume in $dir/runs/fresh: starting from the beginning"
expect 2 --config "$dir/run.json" --set name=fresh --change
says "--change goes with --resume"

exit $failed
