#!/bin/bash
# data.validation: held-out rows are judged while training, which stays the same to the bit; the best checkpoint is kept, patience ends a
# run, and a run that was stopped goes on alike. $1: the build folder. (The losses themselves: tests/train/validate.c.)
STEPS=12
. tests/cli/_train.sh

rows=$PWD/tests/fixtures/parity/visual_tokens
cat > "$dir/held.json" <<END
[{"name": "held", "files": ["$rows/rows.jsonl"], "image_root": "$rows/images", "max": 4}]
END
held=(--config "$dir/run.json" --set "data.validation=$dir/held.json")

# number STEP KEY [RUN]: of train.jsonl, or nothing.
number() { sed -n "s/^{\"step\":$1,.*\"$2\":\([^,}]*\).*/\1/p" "$dir/runs/${3:-r}/train.jsonl"; }
with_validation() { grep -c '"loss_validation":' "$dir/runs/r/train.jsonl"; }
without_validation() { log_of "$1" | sed -E 's/,"loss_validation[a-z_]*":[^,}]*//g'; }

straight "$dir/plain"

# With and without: the same bits, the same log.
expect 0 "${held[@]}" --set eval.every=5
says "step 5: validation loss"
[ "$(with_validation)" = 3 ] || fail "12 steps, validated every 5: $(with_validation) lines, wanted those of steps 5, 10 and 12"
for step in 5 10 12; do [ -n "$(number $step loss_validation)" ] || fail "step $step has no validation loss"; done
[ -n "$(number 5 loss_validation_text)" ] || fail "no loss_validation_text"
diff -rq -x config.resolved.json -x MANIFEST.json -x state.json "$dir/plain/$last" "$dir/runs/r/$last" || fail "training differs with validation"
diff <(log_of "$dir/plain") <(without_validation "$dir/runs/r") > "$dir/diff" || { fail "train.jsonl differs"; head -4 "$dir/diff" >&2; }
[ -d "$dir/shards/validation-"* ] || fail "no validation-H beside the shards: $(ls "$dir/shards")"
mv "$dir/runs/r" "$dir/judged"

# Every row counts, and eval.samples takes the first; eval.every 0: once, at the end.
expect 0 "${held[@]}" --set name=few --set eval.samples=2
[ "$(grep -c '"loss_validation":' "$dir/runs/few/train.jsonl")" = 1 ] || fail "eval.every 0 validates more than once"
[ "$(number 12 loss_validation few)" != "$(sed -n 's/^{"step":12,.*"loss_validation":\([^,}]*\).*/\1/p' "$dir/judged/train.jsonl")" ] ||
    fail "eval.samples takes all rows"

# Stopped and resumed: the same log and the same state.
expect 0 "${held[@]}" --set eval.every=5 --steps 6
expect 0 "${held[@]}" --set eval.every=5 --resume
same_end "$dir/judged" "stopped after step 6"
rm -r "$dir/runs/r"
if [ "${RANKS:-1}" = 1 ]; then
    expect 0 "${held[@]}" --set eval.every=5 --ranks 2
    a=$(number 12 loss_validation) b=$(sed -n 's/^{"step":12,.*"loss_validation":\([^,}]*\).*/\1/p' "$dir/judged/train.jsonl")
    awk "BEGIN { exit !(($a - $b) ^ 2 <= ($b * 1e-4) ^ 2) }" || fail "two ranks find $a, one $b"
    rm -r "$dir/runs/r"
fi

# Held-out rows that are longer, and more in a pass, than those that are learned from have their place in the plan, however much is recomputed.
cat > "$dir/one.json" <<END
[{"name": "one", "files": ["$rows/rows.jsonl"], "image_root": "$rows/images", "max": 1}]
END
for recompute in none selective block; do
    expect 0 --config "$dir/run.json" --set "data.mixture=$dir/one.json" --set data.shards="$dir/short" --set "data.validation=$dir/held.json" \
        --set name=$recompute --set train.recompute=$recompute --set train.micro_tokens=4096 --set train.batch=5 --set eval.every=1 --steps 2
done

# A learning rate that ruins the model: the first validation stays the best, its checkpoint is kept, and patience ends the run.
ruin=(--set optim.lr=3 --set optim.lr_projector=3 --set optim.lr_tokens=3 --set optim.warmup=1 --set save.keep=1 --set save.best=true
      --set eval.every=1 --set eval.patience=3 --set save.every=0)
expect 0 "${held[@]}" "${ruin[@]}"
says "by eval.patience: 3 validations in a row found no loss below"
best=$(readlink "$dir/runs/r/best") newest=$(readlink "$dir/runs/r/latest")
[ "$best" != "$newest" ] && [ -f "$dir/runs/r/$best/MANIFEST.json" ] || fail "best is $best, latest $newest: $(ls "$dir/runs/r")"
lowest=$(for step in 1 2 3 4 5 6 7 8 9 10 11 12; do number $step loss_validation | sed "s/\$/ $step/"; done | sort -g | head -1)
[ "$best" = "checkpoint-$(printf %06d "${lowest#* }")" ] || fail "best is $best, the lowest loss was $lowest"
[ $((10#${newest#checkpoint-} - 10#${best#checkpoint-})) = 3 ] || fail "ended at $newest, wanted 3 steps after $best"
expect 0 "${held[@]}" "${ruin[@]}" --resume
says "by eval.patience: 3 validations in a row found no loss below"
expect 0 "${held[@]}" "${ruin[@]}" --set eval.patience=0 --resume
[ "$(readlink "$dir/runs/r/latest")" = "$last" ] || fail "without patience it does not go on to the end"
[ -d "$dir/runs/r/$best" ] || fail "the best checkpoint was removed"
"$build/inspect" "$dir/runs/r/best" > /dev/null || fail "best is no checkpoint"

# A loss by other rows is not compared with the lowest so far.
expect 0 "${held[@]}" "${ruin[@]}" --set name=other --set eval.patience=4 --steps 2
expect 0 "${held[@]}" "${ruin[@]}" --set name=other --set eval.patience=4 --steps 3 --resume
! grep -qF 'not those of before' "$dir/err" || fail "the same rows are taken for others"
expect 0 "${held[@]}" "${ruin[@]}" --set name=other --set eval.patience=4 --steps 4 --resume --set eval.samples=2
says "the held-out rows are not those of before: the next validation counts as the lowest"
grep -q 'step 4: validation loss .*, the lowest so far' "$dir/err" || fail "other rows: $(grep validation "$dir/err")"
[ "$(readlink "$dir/runs/other/best")" = checkpoint-000004 ] || fail "best is $(readlink "$dir/runs/other/best"), by rows that judge no longer"

# What judges must be named; what is held out is looked for, planned and prepared like the rest.
expect 2 --config "$dir/run.json" --set eval.every=2
says "eval.every is set, but data.validation names no held-out rows to judge by"
expect 0 "${held[@]}" --set name=patient --set eval.patience=2 --dry-run
says "warning: eval.patience is set, but eval.every is 0"
expect 66 --config "$dir/run.json" --set "data.validation=$dir/absent.json"
says "data.validation: $dir/absent.json: there is no such file or folder"
expect 0 "${held[@]}" --set name=dry --dry-run
ends_with "$build/prepare" 0 "${held[@]}" --out "$dir/made"
[ "$(ls -d "$dir"/made/validation-*/shard-* | wc -l)" = 1 ] || fail "prepare leaves data.validation out"
[ "$(wc -l < "$dir/out")" = 2 ] || fail "prepare says: $(cat "$dir/out")"

exit $failed
