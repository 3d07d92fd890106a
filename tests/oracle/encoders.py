"""Tiny text encoders of transformers and autoencoders of diffusers, and what they compute, for tests/train/models/clip_text.c and vae.c:
    python tests/oracle/encoders.py
Writes tests/fixtures/clip_text/NAME and tests/fixtures/vae/NAME: config.json and expected.safetensors. Weights are not stored: they are a
hash of their names (unets.py), which the tests compute too. The truth is computed in double."""

import json
import os

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from unets import draw, hashes, uniform

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")


def write(kind, name, config, tensors):
    folder = os.path.join(ROOT, kind, name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=1)
        f.write("\n")
    save_file({k: (v if v.dtype == torch.int32 else v.float()).contiguous() for k, v in tensors.items()},
              os.path.join(folder, "expected.safetensors"))
    print(kind, name, {k: tuple(v.shape) for k, v in tensors.items()})


def clip_text(name, prompts, **sizes):
    config = CLIPTextConfig(**sizes)
    model = CLIPTextModel(config).eval()
    draw(model)
    ids = torch.from_numpy((hashes("ids", prompts * config.max_position_embeddings) % np.uint64(config.vocab_size)).astype(np.int64))
    ids = ids.reshape(prompts, -1)
    with torch.no_grad():
        states = model.double()(ids).last_hidden_state
    write("clip_text", name, {"architectures": ["CLIPTextModel"], **config.to_diff_dict()}, {"ids": ids.int(), "states": states})


def vae(name, images, height, width, **sizes):
    n = len(sizes["block_out_channels"])
    model = AutoencoderKL(down_block_types=["DownEncoderBlock2D"] * n, up_block_types=["UpDecoderBlock2D"] * n, **sizes).eval()
    draw(model)
    pixels = torch.from_numpy((hashes("pixels", images * height * width * 3) % np.uint64(256)).astype(np.int32))
    pixels = pixels.reshape(images, height, width, 3)
    model.double()
    with torch.no_grad():
        moments = model.encode((pixels.double() / 127.5 - 1).permute(0, 3, 1, 2)).latent_dist.parameters
        b, c, y, x = moments.shape
        latents = uniform("latents", b, y, x, c // 2) * 2
        pictures = model.decode(latents.double().permute(0, 3, 1, 2)).sample
    config = {k: v for k, v in model.config.items() if k != "_use_default_values"}
    write("vae", name, {"_class_name": "AutoencoderKL", **config},
          {"size": torch.tensor([images, height, width], dtype=torch.int32), "moments": moments.permute(0, 2, 3, 1),
           "pictures": pictures.permute(0, 2, 3, 1)})


if __name__ == "__main__":
    clip_text("quick", 2, vocab_size=60, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3,
              max_position_embeddings=11)
    # Stable Diffusion 2 in small.
    clip_text("exact", 3, vocab_size=33, hidden_size=20, intermediate_size=56, num_hidden_layers=2, num_attention_heads=2,
              max_position_embeddings=7, hidden_act="gelu", layer_norm_eps=1e-3)
    # Stable Diffusion 1 in small: levels of equal and of other channels.
    vae("small", 2, 16, 24, block_out_channels=[8, 16, 16], layers_per_block=2, norm_num_groups=4, latent_channels=4)
    # Heights and widths that are odd on the way down; channels that grow by no factor.
    vae("odd", 2, 22, 13, block_out_channels=[6, 12, 18], layers_per_block=1, norm_num_groups=6, latent_channels=3, scaling_factor=0.5)
