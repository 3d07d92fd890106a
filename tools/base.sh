#!/bin/sh
# Makes the base model of configs/base anew, from random weights. $1: the folder with the programs. Run again it goes on where it was stopped.
set -eu
bin=$1
world=runs/base-scenes
"$bin/scenes" --out "$world/whole" --count 40000 --heldout 100 --seed 2 --objects 3 --kinds caption
"$bin/scenes" --out "$world/single" --count 80000 --heldout 100 --seed 3 --objects 3 --kinds refer --turns 3
"$bin/train" --config configs/base.json --resume
for part in llm/model.safetensors vision/model.safetensors projector.safetensors; do
    cp "runs/base/latest/$part" "configs/base/$part"
done
