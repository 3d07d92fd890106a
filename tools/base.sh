#!/bin/sh
# Makes the base model of configs/base anew, from random weights. $1: the folder with the programs; what follows goes to train. Run again
# it goes on where it was stopped. PICTURES=: of whole scenes, and twice as many of single objects.
set -eu
bin=$1
shift
world=runs/base-scenes
pictures=${PICTURES:-40000}
mkdir -p "$world"
"$bin/scenes" --out "$world/whole" --count "$pictures" --heldout 100 --seed 2 --objects 3 --kinds caption
"$bin/scenes" --out "$world/single" --count $((2 * pictures)) --heldout 100 --seed 3 --objects 3 --kinds refer --turns 3
"$bin/train" --config configs/base.json --resume "$@"
for part in llm/model.safetensors vision/model.safetensors projector.safetensors; do
    cp "runs/base/latest/$part" "configs/base/$part"
done
echo "the base model of configs/base is the one of runs/base/latest now" >&2
