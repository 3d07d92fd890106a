"""What eval/bench asks to be drawn, and scores of drawings by features of networks: NumPy, pytorch-fid (FID) and xxhash (which captions of COCO).
Features are random numbers. Needs numpy, pytorch-fid, h5py, xxhash: python tests/oracle/bench_drawings.py tests/fixtures"""
import json, pathlib, sys
import h5py
import numpy as np
import xxhash
from pytorch_fid.fid_score import calculate_frechet_distance


def h5(path, features, names):
    with h5py.File(path, "w") as f:
        f["feat"] = np.asarray(features, dtype=np.float32)
        f["name"] = np.array([n.encode() for n in names], dtype="S24")


def npy(path, features, names):
    np.save(path.with_suffix(".npy"), np.asarray(features, dtype=np.float32))
    path.with_suffix(".txt").write_text("".join(f"{n}\n" for n in names))


def rows(rng, names, width, near=None):
    """A row a name; with `near` not far from those rows, so that cosines are neither 0 nor 1."""
    return {n: (rng.normal(0, 1, width) + (near[n] if near else 0)).astype(np.float32) for n in names}


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def mean(values):
    return float(np.mean(values))


def save(write, path, table, rng):
    """In another order than the drawings."""
    names = [list(table)[i] for i in rng.permutation(len(table))]
    write(path, [table[n] for n in names], names)


def put_scores(path, scores):
    path.write_text("".join(f"{k} {v!r}\n" for k, v in scores))


def fid(x, y):
    (m1, s1), (m2, s2) = ((z.mean(0), np.cov(z, rowvar=False)) for z in (x.astype(np.float64), y.astype(np.float64)))
    return float(calculate_frechet_distance(m1, s1, m2, s2))


def seeded(number):
    return xxhash.xxh3_64_intdigest(number.to_bytes(8, "little"), seed=42)


def coco(folder, rng):
    """Seven pictures with one to five captions; blanks around, letters beyond ASCII."""
    (folder / "features").mkdir(parents=True)
    annotations, images = [], [391895, 9, 522418, 25, 184613, 30, 574769]
    for turn in range(5):
        for k, image in enumerate(images):
            if k >= turn:
                number = int(rng.integers(10, 900000))
                text = f"{number} things, caf\u00e9 {turn}." + (" \n" if k % 2 else "")
                annotations.append({"image_id": image, "id": number, "caption": text})
    (folder / "captions_val2014.json").write_text(json.dumps({"info": {"year": 2014}, "images": [{"id": i} for i in images],
                                                              "annotations": annotations}))
    chosen = []
    for image in sorted(images, key=seeded):
        chosen.append(min((a for a in annotations if a["image_id"] == image), key=lambda a: seeded(a["id"])))
    (folder / "asked.txt").write_text("".join(f"{a['id']}|{a['image_id']}.png|{a['caption'].strip()}|val2014/COCO_val2014_{a['image_id']:012}.jpg\n"
                                              for a in chosen), encoding="utf-8")
    names = [str(a["image_id"]) for a in chosen]
    drawn = [n for n in names if n != "30"]
    text = rows(rng, names, 6)
    made = rows(rng, drawn, 6, text)
    made[drawn[0]] = -text[drawn[0]]  # below 0
    save(h5, folder / "features" / "clip-made.h5", made, rng)
    save(npy, folder / "features" / "clip-text", text, rng)
    x, y = rng.normal(0, 1, (len(drawn), 3)).astype(np.float32), rng.normal(0.3, 1.2, (40, 3))
    np.save(folder / "features" / "inception-made.npy", x)
    np.savez(folder / "features" / "inception-goal.npz", mu=y.mean(0), sigma=np.cov(y, rowvar=False))
    np.save(folder / "reference.npy", y + 1)
    score = 100 * mean([max(cosine(made[n], text[n]), 0) for n in drawn])
    put_scores(folder / "scores.txt", [("fid", fid(x, y)), ("clip-score", score)])
    put_scores(folder / "scores_reference.txt", [("fid", fid(x, y + 1)), ("clip-score", score)])


def vist(folder, rng):
    """Four stories: the second lacks its third photo (the test makes the others), the first and the last end with the same one."""
    (folder / "features").mkdir(parents=True)
    annotations = []
    for story in range(4):
        for k in range(5):
            photo = "900" if story in (0, 3) and k == 4 else str(100 * story + k)
            annotations.append([{"original_text": "x", "story_id": str(4500 + story), "text": f"story {story} , scene {k} .",
                                 "photo_flickr_id": photo, "worker_arranged_photo_order": k}])
    (folder / "val.story-in-sequence.json").write_text(json.dumps({"images": [], "annotations": annotations}))
    names = ["4500", "4502", "4503"]
    goal = rows(rng, names, 6)
    made, lpips = rows(rng, names, 6, goal), {n: np.array([rng.uniform(0.3, 0.9)], dtype=np.float32) for n in names}
    save(h5, folder / "features" / "clip-goal.h5", goal, rng)
    save(npy, folder / "features" / "clip-made", made, rng)
    save(h5, folder / "features" / "lpips.h5", lpips, rng)
    put_scores(folder / "scores.txt", [("clip-similarity", mean([cosine(made[n], goal[n]) for n in names])),
                                       ("lpips", mean([float(lpips[n][0]) for n in names]))])


def networks(folder, rng, names, with_text):
    """Features of drawings, goals and, of some, captions. Returns tables by the kind of file."""
    folder.mkdir(parents=True)
    goal, dino_goal = rows(rng, names, 6), rows(rng, names, 4)
    t = {"clip-goal": goal, "clip-made": rows(rng, names, 6, goal), "clip-text": rows(rng, with_text, 6, goal),
         "dino-goal": dino_goal, "dino-made": rows(rng, names, 4, dino_goal)}
    for i, (kind, table) in enumerate(t.items()):
        save(npy if i % 2 else h5, folder / (kind + ("" if i % 2 else ".h5")), table, rng)
    return t


def cosines(t, names, a, b):
    return [cosine(t[a][n], t[b][n]) for n in names if n in t[a] and n in t[b]]


def read_scores(path):
    return [(k, float(v)) for k, v in (line.split() for line in path.read_text().splitlines())]


def magicbrush(folder, pictures, rng):
    """Of the pictures of tests/fixtures/metrics/magicbrush, whose pixels bench_pictures.py has scored."""
    names = sorted(f"{p.parent.name}/{p.stem}" for p in pictures.glob("edits/*/*.png"))
    single = [n for n in names if "iter_" not in n]
    final = ["99/99_iter_2", "327701/327701_iter_12", "500010/500010_1"]
    t = networks(folder / "features", rng, names, [n for n in names if n != "99/99_1"])
    pixels, scores = read_scores(pictures / "scores.txt"), []
    for of, used in (("all_turn", single), ("final_turn", final)):
        scores += [(k, v) for k, v in pixels if k.startswith(of)]
        scores += [(f"{of}/clip-i", mean(cosines(t, used, "clip-made", "clip-goal"))), (f"{of}/dino", mean(cosines(t, used, "dino-made", "dino-goal"))),
                   (f"{of}/clip-t", mean(cosines(t, used, "clip-made", "clip-text"))),
                   (f"{of}/clip-t-oracle", mean(cosines(t, used, "clip-goal", "clip-text")))]
    put_scores(folder / "scores.txt", scores)


def edits(folder, pictures, rng):
    """Of the pictures of tests/fixtures/metrics/edits."""
    names = ["a", "7", "b-c", "d"]
    t = networks(folder / "features", rng, names, names[:3])
    lpips = {n: np.array([rng.uniform(0, 1)], dtype=np.float32) for n in names}
    save(h5, folder / "features" / "lpips.h5", lpips, rng)
    scores = read_scores(pictures / "scores.txt")
    scores += [("dino", 100 * mean(cosines(t, names, "dino-made", "dino-goal"))), ("cvs", 100 * mean(cosines(t, names, "clip-made", "clip-goal"))),
               ("cts", 100 * mean(cosines(t, names, "clip-made", "clip-text"))), ("lpips", mean([float(lpips[n][0]) for n in names]))]
    put_scores(folder / "scores.txt", scores)


if __name__ == "__main__":
    fixtures = pathlib.Path(sys.argv[1])
    root, seed = fixtures / "drawings", np.random.default_rng(20261130)
    coco(root / "coco", seed)
    vist(root / "vist", seed)
    magicbrush(root / "magicbrush", fixtures / "metrics" / "magicbrush", seed)
    edits(root / "edits", fixtures / "metrics" / "edits", seed)
