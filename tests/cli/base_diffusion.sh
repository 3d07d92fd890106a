#!/bin/bash
# The tiny Stable Diffusion of configs/base (make base-diffusion): small files, and what a run that draws needs of it opens.
set -u
build=$(realpath "$1") failed=0 folder=configs/base/diffusion
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() { echo "$0: $*" >&2; failed=1; }
[ -z "$(find $folder -size +1999k)" ] || fail "a file is larger than 2 MB: $(find $folder -size +1999k)"
[ "$(du -sk $folder | cut -f1)" -lt 12000 ] || fail "the folder is larger than 12 MB"
"$build/sketches" --quiet --out "$dir/world" --count 4 --heldout 0 --size 64
cat > "$dir/run.json" <<END
{
  "name": "draw",
  "model": {
    "llm": {"path": "$PWD/configs/base/llm", "train": "lora"},
    "vision": {"path": "$PWD/configs/base/vision", "train": "frozen"},
    "projector": {"init": "$PWD/configs/base/projector.safetensors"},
    "lora": {"r": 4, "alpha": 8},
    "gen_head": {"queries": 16},
    "diffusion": {"path": "$PWD/$folder", "size": 64, "edit": "ip2p"}
  },
  "loss": {"generate": "l2norm", "edit": "noise"},
  "data": {"mixture": [{"name": "world", "files": ["$dir/world/train.jsonl"]}], "max_tokens": 256},
  "train": {"batch": 4, "micro_tokens": 1024},
  "save": {"dir": "$dir/runs"}
}
END
"$build/train" --quiet --config "$dir/run.json" --steps 1 > "$dir/out" 2>&1 || fail "exit $?: $(tail -2 "$dir/out")"
grep -q '"loss_generate":[0-9.]*,.*"loss_edit":[0-9.]*' "$dir/runs/draw/train.jsonl" || fail "no losses: $(cat "$dir/runs/draw/train.jsonl")"
exit $failed
