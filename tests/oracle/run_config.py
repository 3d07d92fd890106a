"""A run's config as the oracle sees it: the keys that decide about numbers, their defaults, absolute paths."""

import copy
import json
import os

DEFAULTS = {
    "name": None,
    "seed": 42,
    "model": {
        "llm": {"path": None, "train": "lora", "init": "weights", "store": "default", "multiply": "compute"},
        "vision": {"path": None, "train": "frozen", "layer": -2, "aspect": "pad", "init": "weights"},
        "projector": {"type": "mlp2x_gelu", "train": "full", "init": "default"},
        "lora": {"r": 128, "alpha": 256, "dropout": 0.05, "rslora": False, "init": "default",
                 "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]},
        "tokens": {"image": 8, "task": {"understand": "[I2T]", "generate": "[T2I]", "edit": "[I2I]"}, "train": "rows",
                   "init": "default", "renorm": False},
        "gen_head": {"width": 512, "heads": 4, "ff": 2048, "encoder_layers": 4, "decoder_layers": 4, "queries": 77, "train": "full",
                     "init": "default"},
        "diffusion": {"path": None, "unet": "frozen", "edit": "llm_only", "size": 512},
    },
    "loss": {"generate": "l2norm", "edit": "noise", "text_weight": 1, "generate_weight": 1, "edit_weight": 0.5, "image_tokens": "first",
             "image_align": "at", "condition_dropout": 0.05, "normalise": "step"},
    "data": {"mixture": None, "template": "mistral_instruct", "max_tokens": 2048, "shuffle": True},
    "train": {"steps": None, "epochs": None, "batch": 128, "micro_tokens": 16384},
    "optim": {"lr": 2e-4, "lr_projector": 2e-5, "lr_gen_head": 1e-4, "lr_tokens": 1e-4, "lr_vision": 2e-6, "lr_unet": 1e-5, "beta1": 0.9, "beta2": 0.999,
              "eps": 1e-8, "weight_decay": 0, "max_grad_norm": 1.0, "schedule": "cosine", "warmup": 0.03},
    "save": {"dir": "runs"},
    "debug": {"replay": None},
}
PATHS = ["model.llm.path", "model.vision.path", "model.projector.init", "model.lora.init", "model.tokens.init",
         "model.gen_head.init", "model.diffusion.path", "data.mixture", "save.dir", "debug.replay"]


def strip_comments(node):
    """Keys that begin with // and "$schema" mean nothing, at any depth."""
    if isinstance(node, dict):
        return {k: strip_comments(v) for k, v in node.items() if not k.startswith("//") and k != "$schema"}
    if isinstance(node, list):
        return [strip_comments(v) for v in node]
    return node


def _merge(into, new):
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict) and key != "task":
            _merge(into[key], value)
        else:
            into[key] = value


def load_json(path):
    with open(path, encoding="utf-8-sig") as f:
        return strip_comments(json.load(f))


def load(path, overrides=()):
    """The config of `path` with ("section.key", value) overrides; paths of the file are relative to the file."""
    cfg = copy.deepcopy(DEFAULTS)
    _merge(cfg, load_json(path))
    base = os.path.dirname(os.path.abspath(path))
    cfg["name"] = cfg["name"] or os.path.splitext(os.path.basename(path))[0]
    for dotted in PATHS:
        *sections, key = dotted.split(".")
        node = cfg
        for s in sections:
            node = node[s]
        if isinstance(node[key], str) and node[key] != "default":
            node[key] = os.path.normpath(os.path.join(base, node[key]))
    for dotted, value in overrides:
        *sections, key = dotted.split(".")
        node = cfg
        for s in sections:
            node = node[s]
        node[key] = value
    cfg["base_dir"] = base
    return cfg
