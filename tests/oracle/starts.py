"""What training starts from when no file says so: the laws the drawn weights follow, seen through the dump of a first step
whose learning rate is 0."""

import numpy as np
from safetensors.numpy import load_file

import models
import run_config
import tiny
from case import Case, dump_json, legacy


def _uniform(bad, name, x, bound):
    """x in ±bound, spread as a uniform draw is."""
    if np.abs(x).max() > bound * (1 + 1e-6):
        bad.append(f"starts: {name} reaches {np.abs(x).max():.4g}, allowed {bound:.4g}")
    elif x.size > 100 and abs(x.std() / (bound / 3 ** 0.5) - 1) > 0.2:
        bad.append(f"starts: {name} has deviation {x.std():.4g}, a uniform draw in ±{bound:.4g} has {bound / 3 ** 0.5:.4g}")


def _normal(bad, name, x, std):
    if x.size > 100 and (abs(x.std() / std - 1) > 0.2 or abs(x.mean()) > 5 * std / x.size ** 0.5):
        bad.append(f"starts: {name} has mean {x.mean():.4g} and deviation {x.std():.4g}, wanted 0 and {std:.4g}")


def _first_step(run, build, config, out):
    run([f"{build}/train", "--config", config, "--set", f"save.dir={out}", "--dump", f"{out}/dump", "--steps", "1"])
    d = load_file(f"{out}/dump/step-000000.safetensors")
    return {n.removeprefix("param/"): v.astype(np.float64) for n, v in d.items() if n.startswith("param/")}


def _case(folder, train):
    """A run without any starting point; the base models are tiny but wide enough for statistics."""
    c = Case(f"{folder}/{train}", f"{folder}/llm", f"{folder}/vision")
    a = c.picture("a.png", 20, 20)
    c.source([legacy(["<image>\nWhat?", "A cat."], a)])
    c.write({"model": {"llm": {"train": train}, "lora": {"r": 8, "alpha": 8}}, "optim": {"warmup": 1}, "train": {"steps": 2, "batch": 1}})
    path = f"{c.folder}/config.json"
    cfg = run_config.load_json(path)
    for section in ("lora", "projector", "tokens"):
        cfg["model"].get(section, {}).pop("init", None)
    if train == "full":
        cfg["model"]["llm"]["init"] = "random"
    dump_json(path, cfg)
    return path


def _clip(run, build, folder):
    """A tower of CLIP drawn as CLIPPreTrainedModel draws it, with a range and a factor of its own."""
    bad, width, layers, draw, factor = [], 128, 3, 0.03, 0.5
    tiny.clip_vision(f"{folder}/clip", 3, hidden_size=width, intermediate_size=96, num_hidden_layers=layers, num_attention_heads=2, image_size=28,
                     patch_size=14, initializer_range=draw, initializer_factor=factor)
    c = Case(f"{folder}/drawn", f"{folder}/llm", f"{folder}/clip")
    c.source([legacy(["<image>\nWhat?", "A cat."], c.picture("a.png", 20, 20))])
    c.write({"model": {"llm": {"train": "frozen"}, "vision": {"train": "full", "init": "random", "layer": -1}, "tokens": {"image": 0, "task": None}},
             "optim": {"warmup": 1}, "train": {"steps": 2, "batch": 1}})
    out, into = width ** -0.5 * factor, width ** -0.5 * (2 * layers) ** -0.5 * factor
    wanted = {"class_embedding": out, "patch_embedding": draw * factor, "position_embedding": draw * factor, "k_proj": into, "q_proj": into,
              "v_proj": into, "out_proj": out, "fc1": (2 * width) ** -0.5 * factor, "fc2": into}
    for name, x in _first_step(run, build, f"{c.folder}/config.json", f"{folder}/out-clip").items():
        if not name.startswith("vision_model."):
            continue
        part = next((p for p in wanted if p in name), None)
        if "norm" in name or name.endswith("bias"):
            bad += [] if (x == (1 if name.endswith("weight") else 0)).all() else [f"starts: {name} is not as norms and biases begin"]
        elif part:
            _normal(bad, name, x, wanted[part])
        else:
            bad.append(f"starts: nobody says how {name} begins")
    return bad


def check(run, build, folder):
    bad = []
    tiny.llm(f"{folder}/llm", 1, 330, vocab_size=330, hidden_size=48, intermediate_size=64, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, initializer_range=0.05)
    tiny.siglip(f"{folder}/vision", 2, hidden_size=36, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
                image_size=28, patch_size=14)
    p = _first_step(run, build, _case(folder, "lora"), f"{folder}/out-lora")
    for name, x in p.items():
        if "lora_A" in name:
            _uniform(bad, name, x, x.shape[1] ** -0.5)
        elif "lora_B" in name and x.any():
            bad.append(f"starts: {name} is not zero")
        elif "projector" in name:
            _uniform(bad, name, x, (36 if "linear_1" in name else 48) ** -0.5)
    base = models.read_folder(f"{folder}/llm")
    for rows, old in (("token_rows.embed_tokens", "model.embed_tokens.weight"), ("token_rows.lm_head", "lm_head.weight")):
        old = base[old].double().numpy()
        _normal(bad, f"{rows} beside the mean row", p[rows] - old.mean(0), 0.02 * np.sqrt((old ** 2).mean()))
    p = _first_step(run, build, _case(folder, "full"), f"{folder}/out-full")
    for name, x in p.items():
        if name.startswith(("model.", "lm_head.")):
            if "norm" in name:
                bad += [] if (x == 1).all() else [f"starts: {name} is not 1 everywhere"]
            else:
                _normal(bad, name, x, 0.05)
    bad += _clip(run, build, folder)
    print(f"starts: {len(bad)} draws are not what they should be")
    return bad
