"""Tiny UNets of diffusers, their outputs and gradients, for tests/train/models/unet.c:
    python tests/oracle/unets.py
Writes tests/fixtures/unet/NAME/config.json and expected.safetensors. Weights are not stored: they are a hash of their names (`draw`), which
the test computes too. Of the gradient of a weight a sketch of eight signed sums is kept (`sketch`): the error of the sketch is, in the mean,
that of the whole. The truth is computed in double."""

import json
import os

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "unet")
SUMS = 8
CROSS, PLAIN = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")


def mix(x):
    """The finaliser of SplitMix64, elementwise on uint64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hashes(name, n):
    h = 0xCBF29CE484222325  # FNV-1a
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        return mix(np.uint64(h) + np.arange(n, dtype=np.uint64))


def uniform(name, *shape):
    """Numbers of [-1,1) with 24 bits."""
    n = int(np.prod(shape))
    u = (hashes(name, n) >> np.uint64(40)).astype(np.float64) * 2.0 ** -23 - 1
    return torch.from_numpy(u.astype(np.float32).reshape(shape))


def draw(model):
    """Spreads that keep every gradient lively: ±2/sqrt(fan_in), biases ±0.25, weights of norms 1 ± 0.25."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            u = uniform(name, *p.shape)
            if p.dim() > 1:
                p.copy_((u.double() * (2 / p[0].numel() ** 0.5)).float())
            else:
                p.copy_(u * 0.25 + (1 if "norm" in name and name.endswith("weight") else 0))


def sketch(name, grad):
    """Sums of the elements with signs drawn from the hash: bit k of element i for sum k."""
    g = grad.numpy().astype(np.float64).ravel()
    h = hashes(name + "#", g.size)
    return torch.tensor([float(np.sum(np.where((h >> np.uint64(k)) & np.uint64(1), g, -g))) for k in range(SUMS)])


def unet(name, batch, height, width, queries, timesteps, blocks, **config):
    config = {"down_block_types": [(CROSS if a else PLAIN)[0] for a in blocks],
              "up_block_types": [(CROSS if a else PLAIN)[1] for a in reversed(blocks)], "sample_size": height, **config}
    model = UNet2DConditionModel(**config).eval()
    draw(model)
    folder = os.path.join(FOLDER, name)
    os.makedirs(folder, exist_ok=True)
    full = {k: v for k, v in model.config.items() if k != "_use_default_values"}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump({"_class_name": "UNet2DConditionModel", **full}, f, indent=1)
        f.write("\n")
    channels, width_c = config.get("in_channels", 4), config["cross_attention_dim"]
    latents, context = uniform("latents", batch, height, width, channels) * 2, uniform("context", batch, queries, width_c) * 2
    target = uniform("target", batch, height, width, 4) * 2
    model.double()
    c = context.double().requires_grad_()
    y = model(latents.double().permute(0, 3, 1, 2), torch.tensor(timesteps), c).sample.permute(0, 2, 3, 1)
    loss = ((y - target.double()) ** 2).mean()
    loss.backward()
    out = {"timesteps": torch.tensor(timesteps, dtype=torch.int32), "shape": torch.tensor([batch, height, width, queries], dtype=torch.int32),
           "output": y.detach(), "loss": loss.detach(), "grad.context": c.grad, "grad.conv_in": model.conv_in.weight.grad}
    weights = dict(model.named_parameters())
    out["sketches"] = torch.stack([sketch(key, p.grad) for key, p in weights.items()])
    out["shapes"] = torch.tensor([list(p.shape) + [0] * (4 - p.dim()) for p in weights.values()], dtype=torch.int32)
    save_file({k: (v if v.dtype == torch.int32 else v.float()).contiguous() for k, v in out.items()},
              os.path.join(folder, "expected.safetensors"), {"names": " ".join(weights)})
    print(name, len(weights), "tensors, loss", loss.item(), "gradient of the context", c.grad.norm().item())


if __name__ == "__main__":
    # Groups of 12 channels of the concatenated 32 + 16; sizes that halve to 3 x 5 and 2 x 3 and come back.
    unet("odd", 2, 6, 10, 5, [0, 981], [True, True, False], block_out_channels=[16, 32, 32], layers_per_block=1, norm_num_groups=4,
         cross_attention_dim=12, attention_head_dim=2)
    # Source latents beside the noisy ones, heads that differ, linear projections, padding below and right, sine first.
    unet("eight", 2, 8, 4, 3, [17, 500], [True, True, False], in_channels=8, block_out_channels=[16, 32, 32], layers_per_block=[2, 1, 2],
         norm_num_groups=8, cross_attention_dim=10, attention_head_dim=[2, 4, 1], use_linear_projection=True, downsample_padding=0,
         flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-4)
    # Stable Diffusion 1.4 in small.
    unet("small", 1, 8, 16, 4, [250], [True, True, True, False], block_out_channels=[8, 16, 24, 24], layers_per_block=2, norm_num_groups=4,
         cross_attention_dim=8, attention_head_dim=2)
