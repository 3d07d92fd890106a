#!/bin/sh
# Draws the quickstart's worlds, where they are not there yet: pictures with questions, and requests to draw and to change pictures.
# tools/quickstart.sh and tools/study.sh call it. $1: the folder with the programs; $2: where the worlds go; $3: how many times smaller
# than the quickstart's they are (1).
set -eu
bin=$1
runs=$2
part=${3:-1}
mkdir -p "$runs/scenes"
"$bin/scenes" --out "$runs/scenes/one" --count $((2500 / part)) --heldout $((100 / part)) --seed 21 --objects 1 --kinds color
"$bin/scenes" --out "$runs/scenes/many" --count $((10000 / part)) --heldout $((400 / part)) --seed 22 --objects 3 \
    --kinds side,height,size,count
"$bin/sketches" --out "$runs/sketches" --count $((8000 / part)) --heldout $((128 / part)) --seed 23 --size 64
