#!/bin/sh
# From pictures to training data to a run, without a network: requests about the world of sketches, replies of a stand-in for GPT-4V that is
# wrong as it is, what comes of them, and a run on that. $1: the folder with the programs.
set -eu
bin=$1 dir=runs/curate world=runs/sketches
[ -f "$world/sketches.json" ] || "$bin/sketches" --out "$world"
mkdir -p "$dir"
echo "== the rows to write requests for: the pictures to draw"
grep '"task":"generate"' "$world/train.jsonl" > "$dir/pictures.jsonl"
"$bin/curate" request --recipe draw --records "$dir/pictures.jsonl" --image-root "$world" --out "$dir/requests"
echo "== replies, and what comes of them"
"$bin/teacher" --requests "$dir/requests" --world "$world/train.jsonl" --out "$dir/replies-1.jsonl"
"$bin/curate" ingest --requests "$dir/requests" --replies "$dir/replies-1.jsonl" --out "$dir/first.jsonl"
echo "== what is worth it is asked again"
"$bin/teacher" --requests "$dir/requests" --world "$world/train.jsonl" --again "$dir"/first.retry-*.jsonl --out "$dir/replies-2.jsonl"
"$bin/curate" ingest --requests "$dir/requests" --replies "$dir/replies-1.jsonl" "$dir/replies-2.jsonl" --out "$dir/records.jsonl"
"$bin/curate" filter --in "$dir/records.jsonl" --out "$dir/drawings.jsonl" --max-same 50
"$bin/curate" stats "$dir/drawings.jsonl"
echo "== one run on them, and drawings that it never saw"
mixture="[{\"name\": \"curated\", \"files\": [\"$dir/drawings.jsonl\"], \"image_root\": \"$world\"}]"
set -- --config configs/quickstart.json --set save.dir="$dir" --set name=run
"$bin/train" "$@" --set data.mixture="$mixture" --set train.epochs=24 --resume
"$bin/generate" "$@" --quiet --batch "$world/heldout.jsonl" \
    --out "$dir/drawn" --steps 25 --guidance 3
grep '"task":"generate"' "$world/heldout.jsonl" > "$dir/heldout.jsonl"
"$bin/sketches" --check "$dir/heldout.jsonl" --pictures "$dir/drawn"
