#!/bin/bash
# A run over weights in 4 bits: it resumes with the same bits, not with other weights unless told to, and its checkpoints are asked and converted.
STEPS=3
. tests/cli/_train.sh

expect 0 --config "$dir/run.json" --set model.llm.store=nf4
mv "$dir/runs/r" "$dir/straight"
mkdir -p "$dir/runs/r"
cp -r "$dir/straight/checkpoint-000002" "$dir/straight/train.jsonl" "$dir/runs/r/"
expect 2 --config "$dir/run.json" --resume
says 'model.llm.store'
expect 0 --config "$dir/run.json" --set model.llm.store=nf4 --resume
diff -rq -x config.resolved.json -x MANIFEST.json "$dir/straight/$last" "$dir/runs/r/$last" || fail "resumed, the last checkpoints differ"

# It answers with the weights that it was trained over, and is converted with those of the folder.
for from in "--checkpoint $dir/runs/r" "--config $dir/run.json --set model.llm.store=nf4" "--config $dir/run.json"; do
    ends_with "$build/generate" 0 $from --ask "What is this?" --max-new-tokens 12
    cat "$dir/out" >> "$dir/answers"
done
[ "$(sed -n 1p "$dir/answers")" = "$(sed -n 2p "$dir/answers")" ] || fail "the checkpoint does not know that its weights are in 4 bits: $(cat "$dir/answers")"
[ "$(sed -n 1p "$dir/answers")" != "$(sed -n 3p "$dir/answers")" ] || fail "4 bits answer as 16 do: $(cat "$dir/answers")"
ends_with "$build/convert" 0 --from "$dir/runs/r" --to hf --out "$dir/merged"
says "over a language model held in nf4; what is written has the folder's own weights"

expect 0 --config "$dir/run.json" --set model.llm.store=int8 --set train.steps=4 --resume --change
grep -q '"model.llm.store: ' "$dir/runs/r/history.jsonl" || fail "history.jsonl does not say that the weights are held otherwise"

# A folder that bitsandbytes has quantised is trained over as it is; convert wants the one that it was made of.
for bits in nf4 int8; do
    expect 0 --config tests/fixtures/parity/$bits/config.json --set model.llm.path=tests/fixtures/bnb/$bits --set model.llm.store=default \
        --set model.lora.init=default --set save.dir="$dir/runs" --set name=$bits --set data.shards="$dir/shards-$bits"
    ends_with "$build/generate" 0 --checkpoint "$dir/runs/$bits" --ask Why? --max-new-tokens 4
    ends_with "$build/convert" 65 --from "$dir/runs/$bits" --to hf --out "$dir/merged-$bits"
    says "tests/fixtures/bnb/$bits: its weights are quantised (quantization_config of its config.json), which convert does not read"
done
exit $failed
