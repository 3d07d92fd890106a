#!/bin/bash
# A run with a generation head: its files, its log, its plan; what it starts from; resumed, the same bits.
STEPS=5
. tests/cli/_train.sh
case=$PWD/tests/fixtures/parity/draw_l2norm
config=$case/config.json
run() {
    local wanted=$1 name=$2
    shift 2
    expect "$wanted" --config "$config" --set "save.dir=$dir/runs" --set "name=$name" --set save.keep=9 --set "data.shards=$dir/shards" "$@"
}

run 0 whole
says "warning: 3 of 4 rows have prompts of more than the 9 tokens, start and end included, that the text encoder of"
says 'takes: what is beyond is not seen. The longest has 17; the first is row 0 of the mixture: "A yellow cat, asleep."'
run 0 parts --steps 2
run 0 parts --resume
for file in gen_head adapter_model projector token_rows optimizer; do
    cmp "$dir/runs/whole/$last/$file.safetensors" "$dir/runs/parts/$last/$file.safetensors" >&2 || fail "$file: resumed, other bits"
done
cmp <(log_of "$dir/runs/whole") <(log_of "$dir/runs/parts") >&2 || fail "the log of a resumed run differs"

# What the run says: losses of the tasks that a step has (the third has nothing to edit), the head's learning rate.
grep -q '"step":1,.*"loss_generate":.*"loss_edit":.*"lr_gen_head":0.0,' "$dir/runs/whole/train.jsonl" || fail "the first step: $(head -1 "$dir/runs/whole/train.jsonl")"
sed -n 3p "$dir/runs/whole/train.jsonl" | grep -q '"loss_edit"' && fail "the third step has an edit loss"
run 0 plan --dry-run --log-format json
grep -q '"gen_head":17384,"text_encoder":17156,"unet":0,"vae":0}' "$dir/out" || fail "the plan: $(cat "$dir/out")"

# What a checkpoint holds.
end=$dir/runs/whole/$last
"$build/inspect" "$end/gen_head.safetensors" > "$dir/out" || fail "inspect refuses gen_head.safetensors"
for name in fc.weight query_embs tfm.encoder.layers.0.self_attn.in_proj_weight tfm.decoder.layers.1.multihead_attn.out_proj.bias model.bias; do
    grep -qE "(^|[^.a-z])$name" "$dir/out" || fail "gen_head.safetensors has no $name: $(cat "$dir/out")"
done
"$build/inspect" "$end" | grep -q gen_head_config.json || fail "inspect does not show gen_head_config.json"
tr -d ' \n' < "$end/gen_head_config.json" > "$dir/out"
for said in '"variant":{"generate":"l2norm","edit":"l2norm"}' '"image_align":"at"' '"queries":9' '"context":20' '"image_token_ids":[339,340,341]'; do
    grep -qF -- "$said" "$dir/out" || fail "gen_head_config.json does not say $said: $(cat "$dir/out")"
done

# A damaged head is named, and the checkpoint before it taken.
run 0 hurt --steps 2 --set save.every=1
printf X | dd of="$dir/runs/hurt/checkpoint-000002/gen_head.safetensors" bs=1 seek=9000 conv=notrunc status=none
run 0 hurt --resume --set save.every=1
says "checkpoint-000002/gen_head.safetensors"
cmp "$end/gen_head.safetensors" "$dir/runs/hurt/$last/gen_head.safetensors" >&2 || fail "resumed behind a damaged head, other bits"

# Where it starts: a head that a run has trained, a drawn one, the same twice; frozen it stays.
run 0 again --set "model.gen_head.init=$end/gen_head.safetensors" --set model.gen_head.train=frozen --steps 1
cmp "$end/gen_head.safetensors" "$dir/runs/again/checkpoint-000001/gen_head.safetensors" >&2 || fail "a frozen head has moved"
run 0 drawn --set model.gen_head.init=default --steps 1
run 0 redrawn --set model.gen_head.init=default --steps 1
cmp "$dir/runs/drawn/checkpoint-000001/gen_head.safetensors" "$dir/runs/redrawn/checkpoint-000001/gen_head.safetensors" >&2 || fail "two drawn heads differ"
run 65 wrong --set model.gen_head.encoder_layers=2
says "no tensor model.gen_text_hidden_fcs.0.tfm.encoder.layers.1.self_attn.in_proj_weight in it"
run 2 without --set model.diffusion.path=null
says "model.gen_head.init is set, but model.diffusion.path is null"

# Nothing to draw: the head stands still, and the run goes on.
grep '"task": "understand"' "$case/rows.jsonl" > "$dir/rows.jsonl"
run 0 seen --set "data.mixture=[{\"files\":\"$dir/rows.jsonl\",\"image_root\":\"$case/images\"}]" --set "data.shards=$dir/seen" --set "model.gen_head.init=$end/gen_head.safetensors"
cmp "$end/gen_head.safetensors" "$dir/runs/seen/$last/gen_head.safetensors" >&2 || fail "nothing reached the head, and it has moved"
exit $failed
