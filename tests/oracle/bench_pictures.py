"""Numbers of eval/metrics: scikit-image (pixels), pytorch-fid (FID), NumPy (cosines); and of MagicBrush by its authors' script. Needs
scikit-image, pytorch-fid (with torch and torchvision), numpy, h5py, Pillow, and a folder with image_eval.py of MagicBrush (its revision
44745b5 wrote official.txt):
python tests/oracle/bench_pictures.py tests/fixtures FOLDER"""
import json, pathlib, shutil, sys, tempfile, types
import h5py
import numpy as np
from PIL import Image
from pytorch_fid.fid_score import calculate_frechet_distance
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


def fid_of_few(x, y):
    """Without a root of a singular matrix: the nuclear norm of the product of centred features."""
    (m1, s1), (m2, s2) = statistics(x), statistics(y)
    a, b = (z.astype(np.float64) - z.astype(np.float64).mean(0) for z in (x, y))
    norm = np.linalg.svd(a @ b.T / np.sqrt((len(a) - 1) * (len(b) - 1)), compute_uv=False).sum()
    return float(((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * norm)


def statistics(x):
    x = x.astype(np.float64)
    return x.mean(0), np.cov(x, rowvar=False)


def h5(path, features, names, fixed=True):
    with h5py.File(path, "w") as f:
        f["feat"] = features
        if names:
            f["name"] = np.array([n.encode() for n in names], dtype="S16") if fixed else names


def features(folder, rng):
    """Sets with more rows than columns and with fewer; a mean far from 0, which sums of squares in f32 would lose."""
    folder.mkdir(parents=True, exist_ok=True)
    d = 12
    mix = [rng.normal(0, 1, (d, d)) * 0.7 ** np.arange(d) for _ in range(2)]
    a, b = (rng.normal(0, 1, (n, d)) @ m + off for n, m, off in ((60, mix[0], 1000), (45, mix[1], 1000.5)))
    few, fewer = a[:7].astype(np.float32), b[:5].astype(np.float32)
    a, b = a.astype(np.float32), b
    np.save(folder / "a.npy", a)
    np.save(folder / "b.npy", b)  # f64
    np.save(folder / "columns.npy", np.asfortranarray(b))
    h5(folder / "few.h5", few, None)
    np.save(folder / "fewer.npy", fewer)
    (m, s) = statistics(b)
    np.savez(folder / "b.npz", mu=m, sigma=s)
    np.savez_compressed(folder / "b_deflated.npz", extra=np.arange(3), sigma=s, mu=m)
    wide = float(calculate_frechet_distance(*statistics(a), m, s))
    numbers = [("a.npy", "b.npy", wide), ("a.npy", "columns.npy", wide), ("a.npy", "b.npz", wide), ("b_deflated.npz", "a.npy", wide),
               ("few.h5", "fewer.npy", fid_of_few(few, fewer)), ("few.h5", "b.npy", fid_of_few(few, b)), ("a.npy", "a.npy", 0.0)]
    (folder / "fid.txt").write_text("".join(f"{x} {y} {v!r}\n" for x, y, v in numbers))


def cosines(folder, rng):
    names = [f"{i}.png" for i in (3, 1, 4, 15, 9, 2, 6)]
    images = rng.normal(0, 1, (7, 10)).astype(np.float32)
    texts = (images + rng.normal(0, 1, (7, 10))).astype(np.float32)
    texts[2] = -images[2]  # below 0
    order = rng.permutation(7)
    h5(folder / "images.h5", images, names)
    h5(folder / "images_unnamed.h5", images, None)
    h5(folder / "texts.h5", texts[order], [names[i] for i in order], fixed=False)
    np.save(folder / "texts.npy", texts[order])
    (folder / "texts.txt").write_text("".join(f"{names[i]}\n" for i in order))
    np.save(folder / "texts_by_row.npy", texts)

    def score(x, y):
        x, y = x.astype(np.float64), y.astype(np.float64)
        return float(np.maximum((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1), 0).mean())
    good, shuffled = score(images, texts), score(images, texts[order])
    numbers = [("images.h5", "texts.h5", good), ("images.h5", "texts.npy", good), ("images.h5", "texts_by_row.npy", good),
               ("images_unnamed.h5", "texts.h5", shuffled)]
    (folder / "cosine.txt").write_text("".join(f"{x} {y} {v!r}\n" for x, y, v in numbers))


def means(numbers):
    return {k: float(np.mean([n[k] for n in numbers if n[k] is not None])) for k in numbers[0]}


def magicbrush(folder, rng):
    """Twelve turns, two, one; masks and a text beside; edits of another size. Pairs as image_eval.py makes them, but for its "_1"."""
    every, final = [], []
    for name, turns, size in (("327701", 12, (12, 12)), ("99", 2, (14, 10)), ("500010", 1, (9, 11))):
        goals, edits = (folder / below / name for below in ("goals", "edits"))
        goals.mkdir(parents=True)
        edits.mkdir(parents=True)
        picture(rng, *size).save(goals / f"{name}-input.png")
        for k in range(1, turns + 1):
            goal = picture(rng, *size)
            goal.save(goals / f"{name}-output{k}.png")
            goal.save(goals / f"{name}-mask{k}.png")
            single = picture(rng, *size) if k % 2 else picture(rng, 8, 8)
            single.save(edits / (f"{name}_1.png" if k == 1 else f"{name}_inde_{k}.png"))
            every.append(pixels(goal, single))
            if k > 1:
                single = picture(rng, *size)
                single.save(edits / f"{name}_iter_{k}.png")
            last = pixels(goal, single)
        final.append(last)
    (folder / "goals" / "edit_sessions.json").write_text("{}\n")
    (folder / "scores.txt").write_text("".join(f"{of}/{k} {v!r}\n" for of, numbers in (("all_turn", every), ("final_turn", final))
                                               for k, v in list(means(numbers).items())[:2] + [("n", len(numbers))]))


def magicbrush_by_its_authors(folder, scripts):
    """The two shorter sessions: of ten turns and more the script takes the tenth for the first as well, and stops."""
    sys.path.insert(0, scripts)
    for name in ("clip", "pyiqa", "pyiqa.utils", "pyiqa.utils.img_util"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["pyiqa.utils.img_util"].is_image_file = None
    import image_eval
    with tempfile.TemporaryDirectory() as world:
        for below in ("goals", "edits"):
            for name in ("99", "500010"):
                shutil.copytree(folder / below / name, pathlib.Path(world) / below / name)
        pairs = image_eval.load_data(types.SimpleNamespace(generated_path=f"{world}/edits", gt_path=f"{world}/goals"))
        numbers = [(f"{of}/{k}", image_eval.eval_distance(p, k)) for of, p in zip(("all_turn", "final_turn"), pairs) for k in ("l1", "l2")]
    (folder / "official.txt").write_text("".join(f"{k} {v!r}\n" for k, v in numbers))


def edits(folder, rng):
    """A manifest as of MGIE's sets; one goal is named by a folder, one edit is a JPEG's name, one is missing."""
    (folder / "data" / "pictures").mkdir(parents=True)
    (folder / "made").mkdir()
    lines, numbers = [], []
    for k, id in enumerate(["a", 7, "b-c", "d", "lost"]):
        goal = picture(rng, 16, 13 - k)
        goal.save(folder / "data" / "pictures" / f"{k}.png")
        lines.append({"id": id, "source": f"pictures/{k}.png", "target": f"pictures/{k}.png", "instruction": "brighter"})
        if id != "lost":
            made = near(rng, goal, 25) if k % 2 else picture(rng, 20, 20)
            made.save(folder / "made" / f"{id}.{'jpg' if k == 3 else 'png'}", quality=95)
            with Image.open(folder / "made" / f"{id}.{'jpg' if k == 3 else 'png'}") as read:
                numbers.append(pixels(goal, read))
    (folder / "data" / "test.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    mean = means(numbers)
    (folder / "scores.txt").write_text("".join(f"{k} {mean[k]!r}\n" for k in ("l1", "l2", "ssim", "psnr")))


def main():
    out = pathlib.Path(sys.argv[1])
    pairs(out / "metrics" / "pixels", np.random.default_rng(18))
    features(out / "metrics" / "features", np.random.default_rng(19))
    cosines(out / "metrics" / "features", np.random.default_rng(20))
    magicbrush(out / "metrics" / "magicbrush", np.random.default_rng(21))
    magicbrush_by_its_authors(out / "metrics" / "magicbrush", sys.argv[2])
    edits(out / "metrics" / "edits", np.random.default_rng(22))


if __name__ == "__main__":
    main()
