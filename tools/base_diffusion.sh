#!/bin/sh
# Makes configs/base/diffusion, the tiny Stable Diffusion, anew from random weights, on one core. $1: the folder with the programs.
# Run again it goes on where it was stopped. PYTHON=: one that has the packages of tests/oracle/requirements.txt.
# ROWS=, STEPS=: less of each, to try.
set -eu
bin=$1
out=runs/base-diffusion
"$bin/sketches" --out "$out/world" --count "${ROWS:-48000}" --heldout 128 --size 64 --seed 7 --all
for phase in vae grow unet export judge; do
    OMP_NUM_THREADS=1 "${PYTHON:-python3}" tools/base_diffusion.py --world "$out/world" --out "$out" --sketches "$bin/sketches" \
        --steps "${STEPS:-0}" "$phase"
done
rm -rf configs/base/diffusion
cp -r "$out/diffusion" configs/base/diffusion
echo "the tiny Stable Diffusion of configs/base/diffusion is the one of $out/diffusion now" >&2
