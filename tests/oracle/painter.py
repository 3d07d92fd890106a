"""The noise loss through diffusers' own networks, with the random numbers of debug.replay."""

import os

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from run_config import load_json


def square(path, size):
    """As torchvision's Resize and CenterCrop: [1,3,size,size], -1 … 1."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    width, height = picture.size
    scaled = (size, int(size * height / width)) if width <= height else (int(size * width / height), size)
    picture = picture.resize(scaled, Image.BILINEAR)
    left, top = (int(round((n - size) / 2.0)) for n in scaled)
    pixels = np.asarray(picture.crop((left, top, left + size, top + size)), np.float32)
    return torch.from_numpy(pixels / np.float32(127.5) - 1).permute(2, 0, 1)[None]


def schedule(folder):
    """√ᾱ and √(1-ᾱ) of every step, in double."""
    c = load_json(os.path.join(folder, "scheduler", "scheduler_config.json"))
    n, start, end = c["num_train_timesteps"], c["beta_start"], c["beta_end"]
    betas = np.linspace(start ** 0.5, end ** 0.5, n) ** 2 if c["beta_schedule"] == "scaled_linear" else np.linspace(start, end, n)
    product = np.cumprod(1 - betas)
    return product ** 0.5, (1 - product) ** 0.5


class Painter(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        settings = cfg["model"]["diffusion"]
        self.size, self.dropout = settings["size"], cfg["loss"]["condition_dropout"]
        self.vae = AutoencoderKL.from_pretrained(settings["path"], subfolder="vae", torch_dtype=torch.float32).requires_grad_(False)
        self.unet = UNet2DConditionModel.from_pretrained(settings["path"], subfolder="unet", torch_dtype=torch.float32)
        if settings["edit"] == "train_conv_in":
            self._widen()
        self.unet.requires_grad_(settings["unet"] == "full")
        self.unet.conv_in.requires_grad_(settings["unet"] != "frozen")
        self.signal, self.noise = schedule(settings["path"])
        self.replay = load_file(cfg["debug"]["replay"]) if cfg["debug"]["replay"] else {}  # no row is drawn

    def _widen(self):
        old = self.unet.conv_in
        new = nn.Conv2d(2 * old.in_channels, old.out_channels, 3, padding=1)
        with torch.no_grad():
            new.weight.zero_()
            new.weight[:, :old.in_channels] = old.weight
            new.bias.copy_(old.bias)
        self.unet.conv_in = new

    def named_tensors(self):
        return (("unet." + n, p) for n, p in self.unet.named_parameters())

    def loss(self, uid, target, source, context, null):
        """Of one picture: paths (source may be None), contexts [queries,C]."""
        dtype = self.unet.conv_in.weight.dtype
        numbers = {k: self.replay[f"{k}/{uid}"].to(dtype) for k in ("noise", "posterior", "drop")}
        t, u, d = int(self.replay[f"timestep/{uid}"]), float(numbers["drop"]), self.dropout
        with torch.no_grad():
            found = self.vae.encode(square(target, self.size).to(dtype)).latent_dist
            z = self.vae.config.scaling_factor * (found.mean + found.std * numbers["posterior"])
            x = self.signal[t] * z + self.noise[t] * numbers["noise"]
            if self.unet.conv_in.in_channels > x.shape[1]:
                seen = source is not None and not d <= u < 3 * d
                mode = self.vae.encode(square(source, self.size).to(dtype)).latent_dist.mode() if seen else torch.zeros_like(x)
                x = torch.cat([x, mode], 1)
        found = self.unet(x, torch.tensor([t]), (null if u < 2 * d else context)[None]).sample
        return (found - numbers["noise"]).square().mean()
