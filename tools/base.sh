#!/bin/sh
# Makes the base model of configs/base anew, from random weights. $1: the folder with the programs. Run again it goes on where it was stopped.
set -eu
bin=$1
world=runs/base-scenes
"$bin/scenes" --out "$world/one" --count 30000 --heldout 200 --seed 1 --objects 1 --kinds caption
"$bin/scenes" --out "$world/three" --count 50000 --heldout 300 --seed 2 --objects 3 --kinds caption
"$bin/train" --config configs/base.json --resume
for part in llm/model.safetensors vision/model.safetensors projector.safetensors; do
    cp "runs/base/latest/$part" "configs/base/$part"
done
