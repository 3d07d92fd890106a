"""Pictures as Pillow sees them: decode, pad or stretch, resize, normalise."""

import json
import os

import numpy as np
from PIL import Image


class Preprocessor:
    def __init__(self, folder, aspect):
        with open(os.path.join(folder, "preprocessor_config.json"), encoding="utf-8") as f:
            c = json.load(f)
        size, self.crop = c["size"], None
        if isinstance(size, int) or "shortest_edge" in size:  # CLIP's: of the shorter side; then the middle is cut out
            self.shorter = size if isinstance(size, int) else size["shortest_edge"]
            crop = c.get("crop_size", self.shorter)
            self.crop = (crop, crop) if isinstance(crop, int) else (crop["width"], crop["height"])
        else:
            self.size = (size["width"], size["height"])
        self.mean, self.std = c["image_mean"], c["image_std"]
        self.resample = Image.Resampling(c.get("resample", 3))
        self.aspect = aspect

    def pixels(self, path):
        """[Y,X,3] u8 after decoding, padding and resizing."""
        with Image.open(path) as im:
            im = im.convert("RGB")
        if self.aspect == "pad" and im.width != im.height:
            side = max(im.size)
            canvas = Image.new("RGB", (side, side), tuple(int(m * 255) for m in self.mean))
            canvas.paste(im, ((side - im.width) // 2, (side - im.height) // 2))
            im = canvas
        if not self.crop:
            return np.asarray(im.resize(self.size, self.resample))
        short, long = sorted(im.size)
        side = {short: self.shorter, long: int(self.shorter * long / short)}
        a = np.asarray(im.resize((side[im.width], side[im.height]), self.resample))
        top, left = (a.shape[0] - self.crop[1]) // 2, (a.shape[1] - self.crop[0]) // 2
        return a[top:top + self.crop[1], left:left + self.crop[0]]

    def tensor(self, path):
        """[3,Y,X] f32: rescaled in double, rounded, then normalised in f32."""
        x = (self.pixels(path).astype(np.float64) * (1 / 255)).astype(np.float32)
        x = (x - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(x.transpose(2, 0, 1))
