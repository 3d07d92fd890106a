#!/bin/bash
# data.cache: what is cached changes no bit of a run; it is made once, goes on where it was stopped, and is made again when it is stale or
# damaged; the networks that made it are not needed any more.
STEPS=4
. tests/cli/_train.sh
sd=$dir/sd
cp -r "$bases/diffusion-edit" "$sd"
chmod -R u+w "$sd"
"$build/scenes" --out "$dir/scenes" --count 12 --heldout 1 --quiet || fail "no pictures"

# 6 rows to draw and 6 to edit, of 4 pictures each in 3 shards; some prompts come twice.
for i in $(seq 0 11); do
    picture() { printf '{"path": "%06d.jpg", "role": "%s"}' $((($1) % 12)) "$2"; }
    if [ $((i % 2)) -eq 0 ]; then
        printf '{"uid": "%d", "task": "generate", "images": [%s, %s], "turns": [{"from": "human", "value": "Draw"}, {"from": "gpt", "value": "<gen> and <gen>"}], "sd": {"prompt": "a house %d"}}\n' \
            $i "$(picture i target)" "$(picture i+1 target)" $((i % 5))
    else
        printf '{"uid": "%d", "task": "edit", "images": [%s, %s], "turns": [{"from": "human", "value": "<image> Paint"}, {"from": "gpt", "value": "<gen>"}], "sd": {"instruction": "blue %d"}}\n' \
            $i "$(picture i-1 input)" "$(picture i+2 target)" $((i % 3))
    fi
done > "$dir/rows.jsonl"
cat > "$dir/run.json" <<END
{
  "name": "r", "device": "cpu",
  "model": {
    "llm": {"path": "$bases/llm-gqa"}, "vision": {"path": "$bases/vision-only"},
    "lora": {"r": 2, "alpha": 4, "dropout": 0.1}, "tokens": {"image": 2},
    "gen_head": {"width": 16, "heads": 2, "ff": 20, "encoder_layers": 1, "decoder_layers": 1, "queries": 5},
    "diffusion": {"path": "$sd", "edit": "ip2p", "size": 16}
  },
  "loss": {"generate": "l2norm", "edit": "noise", "condition_dropout": 0.3},
  "data": {"mixture": [{"name": "rows", "files": ["$dir/rows.jsonl"], "image_root": "$dir/scenes/train"}], "shards": "$dir/shards", "shard_samples": 4},
  "train": {"steps": $steps, "batch": 5, "micro_tokens": 90, "micro_images": 2, "compute": "f32"},
  "optim": {"lr": 1e-2, "lr_gen_head": 1e-2, "lr_tokens": 1e-2, "warmup": 0},
  "save": {"dir": "$dir/runs", "every": 1, "keep": 100},
  "log": {"tensorboard": false}
}
END
cache=(--set 'data.cache=["latents","clip_text"]')
cached() { local code=$1; shift; rm -rf "$dir/runs"; expect "$code" --config "$dir/run.json" "${cache[@]}" "$@"; }
silent() { ! grep -q "$1" "$dir/err" || { fail "$2"; grep "$1" "$dir/err" >&2; }; }
made() { ls "$dir/shards" | grep -c "^cache-.*\.safetensors$"; }
count_made() { [ "$(made)" -eq "$1" ] || { fail "$2: $(made) files of cached results, not $1"; ls "$dir/shards" >&2; }; }
forget() { rm -f "$dir"/shards/cache-*; }
# flip FILE AT: one bit.
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "$(printf '\\x%02x' $((byte ^ 4)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2> /dev/null
}

# same_as_computed ARGUMENTS…: log, checkpoints and dumps of a run with cached results, and of one that was resumed, are those without.
same_as_computed() {
    rm -rf "$dir/runs" "$dir/straight" "$dir/dumps"
    expect 0 --config "$dir/run.json" --dump "$dir/dumps/computed" "$@"
    mv "$dir/runs/r" "$dir/straight"
    cached 0 --dump "$dir/dumps/cached" "$@"
    diff -r "$dir/dumps/computed" "$dir/dumps/cached" > "$dir/diff" || fail "$*: cached results change the dumps"
    diff <(log_of "$dir/straight") <(log_of "$dir/runs/r") > "$dir/diff" || fail "$*: cached results change train.jsonl: $(head -4 "$dir/diff")"
    diff -rq -x config.resolved.json -x MANIFEST.json "$dir/straight/$last" "$dir/runs/r/$last" || fail "$*: cached results change the checkpoint"
    cached 0 --steps 2 "$@"
    expect 0 --config "$dir/run.json" "${cache[@]}" "$@" --resume
    silent "data.cache: making" "$*: results that are there are made again"
    same_end "$dir/straight" "$*, cached and resumed"
}
same_as_computed
count_made 6 "two kinds, three shards"
"$build/inspect" "$dir/shards" > "$dir/out"
grep -q "^cached     latents in 3 files, .* KiB; prepare verifies them$" "$dir/out" || fail "inspect does not tell the cache: $(cat "$dir/out")"
same_as_computed --set train.winograd=false --set loss.generate=mse --set train.micro_images=3
same_as_computed --set train.compute=bf16 --set loss.edit=mse --set model.diffusion.edit=ip2p --set loss.generate=noise
same_as_computed --set data.workers=2 --set loss.generate=noise --set data.shuffle=false
same_as_computed --set model.vision.path=null --set 'data.mixture=[{"files":"'"$dir/rows.jsonl"'","image_root":"'"$dir/scenes/train"'","max":1}]' --set train.batch=1

# A run that goes from computing to reading says what it would change.
rm -rf "$dir/runs"
expect 0 --config "$dir/run.json" --steps 1
expect 2 --config "$dir/run.json" "${cache[@]}" --resume
says "data.cache: [] there, [\"latents\",\"clip_text\"] here"

# Stopped between files, or in the middle of one: those that are finished stay.
forget
cached 0 --steps 1
for cut in 1 2; do
    ls "$dir"/shards/cache-*.safetensors | head -n $cut | xargs rm
    touch "$dir/shards/$(basename "$(ls "$dir"/shards/cache-*.safetensors | head -n 1)").tmp"
    rest=$(made)
    touch -d "2020-01-01" "$dir"/shards/cache-*.safetensors
    cached 0 --steps 1
    [ "$(find "$dir/shards" -name 'cache-*.safetensors' ! -newermt 2021-01-01 | wc -l)" -eq "$rest" ] || fail "finished files are made again"
    count_made 6 "going on"
done
says "data.cache: making clip_text of "
says "of shard 0: there are none yet"
forget
rm -rf "$dir/runs"
cat > "$dir/limit.sh" <<'END'
ulimit -f "$1"; shift; exec "$@"
END
bash "$dir/limit.sh" 2 "$train" --config "$dir/run.json" "${cache[@]}" > "$dir/out" 2> "$dir/err"
[ $? -eq 74 ] || fail "a full disk does not end with 74: $(cat "$dir/err")"
says "cache-latents-"
[ -z "$(ls "$dir"/shards/*.tmp 2> /dev/null)" ] || fail "a full disk leaves half a file"
cached 0 --steps 1

# Damage: found at the start where files, tables or sizes are wrong; of results when they are read, and by prepare.
latents=$(ls "$dir"/shards/cache-latents-*-00001.safetensors)
truncate -s -100 "$latents"
cached 0 --steps 1
says "data.cache: making latents of 4 pictures of shard 1: $latents: "
flip "$latents" $((8 + $(od -An -tu8 -N 8 "$latents") + 32)) # the header, the key, the hashes of pictures
cached 0
says "holds results of other samples"
flip "$latents" $(($(stat -c %s "$latents") - 40)) # the checksums of four results are the end
cached 65
says "data.cache: $latents: result 3 is damaged; prepare makes it again"
"$build/prepare" --config "$dir/run.json" "${cache[@]}" > "$dir/out" 2> "$dir/err" || fail "prepare fails: $(cat "$dir/err")"
says "data.cache: making latents of 4 pictures of shard 1: $latents: result 3 is damaged"
cached 0
silent "data.cache: making" "what prepare made is made again"

# Another size or another network: other files, and a line that says why. The old ones stay for those who want them.
cached 0 --steps 1 --set model.diffusion.size=20
says "data.cache: the latents beside the shards were made otherwise: size: 16 there, 20 here"
cp "$sd/vae/diffusion_pytorch_model.safetensors" "$dir/vae.safetensors"
flip "$sd/vae/diffusion_pytorch_model.safetensors" $(($(stat -c %s "$dir/vae.safetensors") - 1))
cached 0 --steps 1
says "data.cache: the latents beside the shards are of other weights"
silent "making clip_text" "states of prompts are made again for another autoencoder"
count_made 12 "three kinds of latents, one of states"
expect 2 --config "$dir/run.json" "${cache[@]}" --resume --set loss.edit_weight=2
cp "$dir/vae.safetensors" "$sd/vae/diffusion_pytorch_model.safetensors"
expect 65 --config "$dir/run.json" "${cache[@]}" --resume
says "is not the base that"
cached 0 --steps 1
silent "data.cache: making" "results of the first network are made again"

# Without their weights both networks are done without, resumed too; not where something is to be made.
mkdir "$dir/away"
mv "$sd/vae/diffusion_pytorch_model.safetensors" "$dir/away/"
mv "$sd/text_encoder/model.safetensors" "$dir/away/"
cached 66
says "$sd/vae holds no weights, and $dir/shards has latents of 2 networks with these settings; put back the weights of the one that is meant"
forget
mv "$dir"/away/diffusion* "$sd/vae/"; mv "$dir"/away/model* "$sd/text_encoder/"
cached 0 --steps 2
mv "$sd/vae/diffusion_pytorch_model.safetensors" "$dir/away/"
mv "$sd/text_encoder/model.safetensors" "$dir/away/"
expect 0 --config "$dir/run.json" "${cache[@]}" --resume
[ -d "$dir/straight" ] && rm -rf "$dir/straight"
mv "$dir/runs/r" "$dir/straight"
expect 0 --config "$dir/run.json" "${cache[@]}"
same_end "$dir/straight" "without the networks"
rm "$latents"
cached 66
says "data.cache: latents are to be made, but $sd/vae holds no weights (diffusion_pytorch_model.safetensors)"
forget
cached 66
says "data.cache: $sd/vae holds no weights (diffusion_pytorch_model.safetensors), and $dir/shards no latents made with these settings"
"$build/prepare" --config "$dir/run.json" "${cache[@]}" --out "$dir/other" > "$dir/out" 2> "$dir/err"
[ $? -eq 66 ] && [ ! -e "$dir/other" ] || fail "prepare does not miss the weights before it begins"
mv "$dir"/away/diffusion* "$sd/vae/"; mv "$dir"/away/model* "$sd/text_encoder/"

# A plan: it makes nothing, says what will be made, and counts neither network.
plan() { rm -rf "$dir/runs"; expect 0 --config "$dir/run.json" "$@" --dry-run --log-format json; }
plan
grep -q '"text_encoder":[1-9].*"vae":[1-9]' "$dir/out" || fail "the plan without a cache has no networks: $(cat "$dir/out")"
plan "${cache[@]}"
grep -q '"text_encoder":0,.*"vae":0' "$dir/out" || fail "the plan with a cache counts the networks: $(cat "$dir/out")"
says "data.cache: latents of 12 pictures will be made before the run begins, which needs "
count_made 0 "a plan"
rm -rf "$dir/shards"
plan "${cache[@]}"
says "data.cache: latents will be made before the run begins, which needs "
[ ! -e "$dir/shards" ] || fail "a plan makes shards"
cached 0
plan "${cache[@]}"
silent "will be made" "the plan would make again what is there"

# Of no use: said, and ignored.
cached 0 --set loss.generate=noise --steps 1
says 'data.cache: "clip_text" is of no use here, for no loss of the run reads them'

# By one of several ranks, for all.
train=$build/train-ranks
if [ -x "$train" ]; then
    export TEST_RANKS=2 TEST_RANKS_PIDS=$dir/pids
    forget
    same_as_computed
    forget
    cached 0
    [ "$(grep -c "data.cache: making" "$dir/err")" -eq 6 ] || fail "two ranks make other than 6 files: $(cat "$dir/err")"
fi

# On an emulated device.
train=$build/train-cuda-host
if [ -x "$train" ]; then
    forget
    rm -rf "$dir/runs" "$dir/dumps"
    expect 0 --config "$dir/run.json" --set device=cuda --steps 2 --dump "$dir/dumps/computed"
    cached 0 --set device=cuda --steps 2 --dump "$dir/dumps/cached"
    diff -r "$dir/dumps/computed" "$dir/dumps/cached" > "$dir/diff" || fail "on an emulated device cached results change the dumps"
    count_made 6 "an emulated device"
fi
exit $failed
