"""Numbers of eval/metrics: scikit-image (pixels), NumPy and SciPy (FID, cosines). Needs scikit-image, scipy, numpy, h5py, Pillow:
python tests/oracle/bench_pictures.py tests/fixtures"""
import json, pathlib, sys
import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity


def pixels(goal, image):
    image, goal = image.convert("RGB"), goal.convert("RGB")
    if image.size != goal.size:
        image = image.resize(goal.size, Image.BICUBIC)
    a, b = (np.asarray(x).astype(np.float64) / 255 for x in (image, goal))
    l2 = float(((a - b) ** 2).mean())
    ssim = None
    if min(goal.size) >= 11:
        ssim = float(structural_similarity(a, b, channel_axis=2, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False))
    return {"l1": float(np.abs(a - b).mean()), "l2": l2, "psnr": None if l2 == 0 else float(-10 * np.log10(l2)), "ssim": ssim}


def picture(rng, width, height, mode="RGB"):
    """Soft shapes with some noise: SSIM is neither 0 nor 1."""
    channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
    y, x = np.mgrid[:height, :width]
    waves = [127 + 100 * np.sin(x / rng.uniform(2, 9) + y / rng.uniform(2, 9) + rng.uniform(0, 6)) for _ in range(channels)]
    noisy = np.clip(np.stack(waves, -1) + rng.normal(0, 12, (height, width, channels)), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy[:, :, 0] if channels == 1 else noisy, mode)


def near(rng, image, sigma):
    noisy = np.asarray(image).astype(float) + rng.normal(0, sigma, np.asarray(image).shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8), image.mode)


def pairs(folder, rng):
    folder.mkdir(parents=True, exist_ok=True)
    goal = picture(rng, 37, 23)
    worlds = {
        "near": (near(rng, goal, 20), goal), "equal": (goal, goal), "far": (picture(rng, 37, 23), goal),
        "resized": (picture(rng, 50, 31), goal), "enlarged": (picture(rng, 16, 12), goal), "small": (picture(rng, 10, 20), picture(rng, 10, 20)),
        "window": (picture(rng, 11, 11), picture(rng, 11, 11)), "alpha": (picture(rng, 20, 20, "RGBA"), picture(rng, 20, 20)),
        "grey": (picture(rng, 20, 30, "L"), picture(rng, 20, 30, "L"))}
    lines, numbers = [], []
    for name, (a, b) in worlds.items():
        a.save(folder / f"{name}.a.png")
        b.save(folder / f"{name}.b.png")
        lines.append({"id": name, "a": f"{name}.a.png", "b": f"{name}.b.png"})
        numbers.append(pixels(b, a))
    (folder / "pairs.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    mean = {k: float(np.mean([n[k] for n in numbers if n[k] is not None])) for k in numbers[0]}
    text = "".join(f"{x['id']} " + " ".join("nan" if v is None else repr(v) for v in n.values()) + "\n"
                   for x, n in zip(lines + [{"id": "mean"}], numbers + [mean]))
    (folder / "pixels.txt").write_text(text)


def main():
    out = pathlib.Path(sys.argv[1])
    pairs(out / "metrics" / "pixels", np.random.default_rng(18))


if __name__ == "__main__":
    main()
