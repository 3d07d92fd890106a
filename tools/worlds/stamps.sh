#!/bin/sh
# The example with real drawings: a naming set from the captioned pictures of Tux Paint, trained with the quickstart's config but for the
# paths. $1: the folder with the programs.
set -eu
bin=$1
set_folder=runs/stamps-set
mixture="[{\"name\": \"stamps\", \"files\": [\"$set_folder/train.json\"], \"task\": \"understand\"}]"
mkdir -p runs
[ -f "$set_folder/heldout.json" ] || "$bin/stamps" --out "$set_folder"
"$bin/train" --config configs/quickstart.json --set name=stamps --set data.mixture="$mixture" --set train.epochs=10 --resume
"$bin/generate" --quiet --config configs/quickstart.json --set name=stamps --batch "$set_folder/heldout.json" \
    --out "$set_folder/after" --max-new-tokens 24
"$bin/evaluate" --answers "$set_folder/after/answers.jsonl" --label "names of drawings never seen"
