#!/usr/bin/env python3
"""Times diffusers' UNet for tools/bench/bench.sh: bench_unet.py FOLDER SIDE f32|bf16

Forward and back to the context, of one picture's latents, SIDE x SIDE, in channels-last layout, weights frozen and random. FOLDER holds the
UNet's config.json. Prints the median seconds."""
import statistics
import sys
import time

import torch
from diffusers import UNet2DConditionModel


def main():
    folder, side, kind = sys.argv[1], int(sys.argv[2]), {"f32": torch.float32, "bf16": torch.bfloat16}[sys.argv[3]]
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder))
    unet = unet.to(kind).to_empty(device="cpu").to(memory_format=torch.channels_last).eval().requires_grad_(False)
    for name, p in unet.named_parameters():
        if p.dim() > 1:
            bound = p[0].numel() ** -0.5
            p.uniform_(-bound, bound)
        else:
            p.fill_("norm" in name and "weight" in name)
    latents = torch.rand(1, unet.config.in_channels, side, side, dtype=kind).contiguous(memory_format=torch.channels_last)
    noise = torch.rand(1, unet.config.out_channels, side, side)
    context = torch.rand(1, 77, unet.config.cross_attention_dim, dtype=kind, requires_grad=True)
    seconds = []
    for run in range(4):
        start = time.perf_counter()
        loss = torch.nn.functional.mse_loss(unet(latents, torch.tensor([500]), context).sample.float(), noise)
        torch.autograd.grad(loss, context)
        if run >= 1:
            seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds))


if __name__ == "__main__":
    main()
