#!/bin/bash
# The way of `make example-curate` on a small world: what a stand-in for GPT-4V answers wrongly is left out or asked again, and the rest is what
# the world says. $1: the build folder.
set -u
bin=$1 dir=$(mktemp -d) failed=0
trap 'rm -rf "$dir"' EXIT
wrong() { echo "curate_example.sh: $*" >&2; failed=1; }
must() { "$@" > "$dir/out" 2> "$dir/err" || { wrong "$* failed"; cat "$dir/err" >&2; exit 1; }; }
# number JSON KEY
number() { grep -o "\"$2\":[0-9]*" "$1" | head -1 | cut -d: -f2; }

must "$bin/sketches" --quiet --out "$dir/world" --count 1600 --heldout 2
grep '"task":"generate"' "$dir/world/train.jsonl" > "$dir/pictures.jsonl"
asked=$(wc -l < "$dir/pictures.jsonl")
must "$bin/curate" request --recipe draw --records "$dir/pictures.jsonl" --image-root "$dir/world" --out "$dir/requests"
must "$bin/teacher" --requests "$dir/requests" --world "$dir/world/train.jsonl" --out "$dir/replies-1.jsonl"
must "$bin/curate" ingest --format json --requests "$dir/requests" --replies "$dir/replies-1.jsonl" --out "$dir/first.jsonl"
accepted=$(number "$dir/out" accepted) again=$(number "$dir/out" retry) rejected=$(grep -c . "$dir/first.rejects.jsonl")
[ $((accepted + rejected)) -eq "$asked" ] || wrong "$accepted accepted and $rejected rejected are not the $asked that were asked"
for why in join.absent transport.error transport.http transport.length transport.content_filter transport.empty refusal.refusal \
    parse.bad_json schema.too_short schema.marker schema.mentions; do
    grep -q "\"$why\":[1-9]" "$dir/out" || wrong "no reply was $why: $(cat "$dir/out")"
done
must "$bin/teacher" --requests "$dir/requests" --world "$dir/world/train.jsonl" --again "$dir"/first.retry-*.jsonl --out "$dir/replies-2.jsonl"
must "$bin/curate" ingest --format json --requests "$dir/requests" --replies "$dir/replies-2.jsonl" "$dir/replies-1.jsonl" \
    --out "$dir/records.jsonl"
[ "$(number "$dir/out" accepted)" -eq $((accepted + again)) ] || wrong "$(cat "$dir/out"), wanted $accepted and $again accepted"
# Each record says what the world's row of the same picture says.
said() { sed -E 's/.*"path":"([^"]*)","role":"target".*"from":"human","value":"([^"]*)".*"prompt":"([^"]*)".*/\1 | \2 | \3/' "$1" | sort; }
[ -z "$(comm -23 <(said "$dir/records.jsonl") <(said "$dir/pictures.jsonl"))" ] || wrong "records differ from the world: $(comm -23 \
    <(said "$dir/records.jsonl") <(said "$dir/pictures.jsonl") | head -3)"
must "$bin/prepare" --config configs/quickstart.json --out "$dir/shards" --strict \
    --set data.mixture="[{\"files\": [\"$dir/records.jsonl\"], \"image_root\": \"$dir/world\"}]"
grep -q ": $((accepted + again)) samples" "$dir/out" || wrong "prepare: $(cat "$dir/out")"
exit $failed
