"""Adapters that peft trains in every way `convert` reads: merged by `convert --to hf`, they must give peft's logits.
    python tests/oracle/adapters.py      # makes tests/fixtures/adapters anew
`make parity` calls check()."""

import json
import os
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

BASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "parity", "bases")
TOLERANCE = 2e-6
LINEARS = ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]

# Name: base, rows more, LoraConfig.
CASES = {
    "plain": ("llm-gqa", 0, {}),
    "rslora": ("llm-gqa", 0, {"use_rslora": True}),
    "patterns": ("llm-gqa", 0, {"rank_pattern": {"q_proj": 5, r"layers\.1\.mlp\.gate_proj": 2},
                                "alpha_pattern": {r"layers\.\d\.self_attn\.v_proj": 11, "down_proj": 3,
                                                  r"model\.layers\.0\..*q_proj": 1.5}}),
    "dora": ("llm-gqa", 0, {"use_dora": True}),
    "dora_rslora": ("llm-gqa", 0, {"use_dora": True, "use_rslora": True, "alpha_pattern": {"o_proj": 7}}),
    "saved": ("llm-gqa", 0, {"modules_to_save": ["lm_head", "norm"]}),
    "saved_tables": ("llm-gqa", 3, {"modules_to_save": ["lm_head", "embed_tokens"]}),
    "resized": ("llm-tied", 2, {}),
    "rows": ("llm-gqa", 2, {"trainable_token_indices": {"embed_tokens": [5, "V", "V+1"], "lm_head": [9, 4, "V", "V+1"]}}),
    "rows_and_head": ("llm-gqa", 2, {"trainable_token_indices": [5, "V", "V+1"]}),  # peft saves the resized head whole
    "rows_of_base": ("llm-gqa", 0, {"trainable_token_indices": [7, 3]}),
    "rows_tied": ("llm-tied", 2, {"trainable_token_indices": [7, "V", "V+1"]}),
    "layers": ("llm-tied", 0, {"layers_to_transform": [1]}),
}

# Small ones for tests/tools/convert/adapters.c, and which rows of what peft merges stand in expected.safetensors: NAME:FIRST.
FIXTURES = os.path.join(BASES, "..", "..", "adapters")
SMALL = {
    "dora": ("llm-gqa", 0, {"target_modules": ["k_proj"], "use_dora": True, "use_rslora": True, "rank_pattern": {r"layers\.1\..*": 2},
                            "alpha_pattern": {r"1\.self_attn\.k_proj": 7}},
             [(f"model.layers.{i}.self_attn.k_proj.weight", 8, 16) for i in range(2)]),
    "rows": ("llm-gqa", 2, {"target_modules": ["k_proj"], "layers_to_transform": [1], "modules_to_save": ["norm"],
                            "trainable_token_indices": {"embed_tokens": [7, 5, "V", "V+1"], "lm_head": [9, "V", "V+1"]}},
             [("model.embed_tokens.weight", 4, 5), ("model.embed_tokens.weight", 335, 3), ("lm_head.weight", 8, 2),
              ("lm_head.weight", 335, 3), ("model.norm.weight", 0, 48), ("model.layers.0.self_attn.k_proj.weight", 0, 2),
              ("model.layers.1.self_attn.k_proj.weight", 0, 2)]),
}


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def ids_below(n):
    return torch.randint(0, n, (2, 12), generator=torch.Generator().manual_seed(3))


def logits(model, n):
    with torch.no_grad():
        return model(ids_below(n)).logits[..., :n]


def numbers(value, v):
    """"V+1" -> that id."""
    if isinstance(value, dict):
        return {k: numbers(x, v) for k, x in value.items()}
    return [x if isinstance(x, int) else v + int(x[2:] or 0) for x in value]


def train(base, more, options, out, **saving):
    """Saves an adapter whose every weight was changed; returns how many rows it has then, and the model as peft merges it."""
    torch.manual_seed(1)
    model = load(base)
    v = model.config.vocab_size
    if more:
        model.resize_token_embeddings(v + more, mean_resizing=False)
    options = {k: numbers(x, v) if k == "trainable_token_indices" else x for k, x in options.items()}
    model = get_peft_model(model, LoraConfig(**{"r": 3, "lora_alpha": 4, "target_modules": LINEARS, "task_type": "CAUSAL_LM", **options}))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.1)
    model.save_pretrained(out, **saving)
    return v + more, model.merge_and_unload()


def differ(a, b):
    return float((a - b).abs().max() / b.abs().max())


def one(run, build, folder, name):
    base, more, options = CASES[name]
    rows, merged = train(f"{BASES}/{base}", more, options, f"{folder}/{name}")
    run([f"{build}/convert", "--from", f"{folder}/{name}", "--base", f"{BASES}/{base}", "--to", "hf", "--type", "f32", "--out",
         f"{folder}/{name}-hf", "--quiet"])
    e = differ(logits(load(f"{folder}/{name}-hf"), rows), logits(merged, rows))
    print(f"adapter {name}: logits differ by {e:.1e} of {TOLERANCE:.0e}")
    return [] if e <= TOLERANCE else [f"adapter {name}: logits differ by {e:.1e}"]


def ours(run, build, folder, base):
    """parts -> peft: peft over the base gives the logits of parts -> hf."""
    end = f"{folder}/ours-{base}"
    v = load(f"{BASES}/{base}").config.vocab_size
    parts = {"name": "r", "device": "cpu", "model": {"llm": {"path": f"{BASES}/{base}"}, "vision": {"path": f"{BASES}/vision-only"},
             "lora": {"r": 2, "alpha": 4}, "tokens": {"image": 2}},
             "data": {"mixture": [{"name": "rows", "files": [f"{BASES}/../visual_tokens/rows.jsonl"],
                                   "image_root": f"{BASES}/../visual_tokens/images"}], "shards": f"{end}/shards"},
             "train": {"steps": 4, "batch": 3, "compute": "f32"}, "optim": {"lr": 1e-2, "lr_tokens": 1e-2, "warmup": 0},
             "save": {"dir": f"{end}/runs"}, "log": {"tensorboard": False}}
    os.makedirs(end)
    with open(f"{end}/run.json", "w", encoding="utf-8") as f:
        json.dump(parts, f)
    run([f"{build}/train", "--config", f"{end}/run.json"])
    for to in ("peft", "hf"):
        run([f"{build}/convert", "--from", f"{end}/runs/r", "--to", to, "--type", "f32", "--out", f"{end}/{to}", "--quiet"])
    with open(f"{end}/peft/added_tokens.json", encoding="utf-8") as f:
        rows = v + len(json.load(f))
    whole = load(f"{end}/hf")
    model = load(f"{BASES}/{base}")
    model.resize_token_embeddings(rows, mean_resizing=False)
    if model.config.tie_word_embeddings:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
    model = PeftModel.from_pretrained(model, f"{end}/peft")
    wanted = logits(whole, rows)
    errors = [differ(logits(model, rows), wanted), differ(logits(model.merge_and_unload(), rows), wanted)]
    print(f"--to peft over {base}: logits differ by {errors[0]:.1e}, merged {errors[1]:.1e}")
    return [f"--to peft over {base}: logits differ by {e:.1e}" for e in errors if not e <= TOLERANCE]


def refused(run, build, folder):
    """A plain list over a base with a head of its own, which is not saved: the head's new rows would be random."""
    train(f"{BASES}/llm-gqa", 2, {"trainable_token_indices": ["V", "V+1"]}, f"{folder}/list", save_embedding_layers=False)
    try:
        run([f"{build}/convert", "--from", f"{folder}/list", "--base", f"{BASES}/llm-gqa", "--to", "hf", "--out", f"{folder}/list-hf"])
    except RuntimeError as e:
        return [] if "exit 65" in str(e) and "would be random" in str(e) else [str(e)]
    return ["adapter list: random rows of the head were not refused"]


def check(run, build, folder):
    bad = refused(run, build, folder)
    for name in CASES:
        try:
            bad += one(run, build, folder, name)
        except RuntimeError as e:
            bad.append(f"adapter {name}: {e}")
    for base in ("llm-gqa", "llm-tied"):
        bad += ours(run, build, folder, base)
    return bad


def write_fixtures():
    for name, (base, more, options, parts) in SMALL.items():
        folder = f"{FIXTURES}/{name}"
        shutil.rmtree(folder, ignore_errors=True)
        _, merged = train(f"{BASES}/{base}", more, options, folder)
        os.remove(f"{folder}/README.md")
        with open(f"{folder}/adapter_config.json", encoding="utf-8") as f:
            config = json.load(f)
        config["base_model_name_or_path"] = None
        config["target_modules"].sort()
        with open(f"{folder}/adapter_config.json", "w", encoding="utf-8") as f:
            json.dump(config, f, indent=1, sort_keys=True)
        held = load_file(f"{folder}/adapter_model.safetensors")  # without whole matrices that mean nothing
        save_file({k: t for k, t in held.items() if t.numel() < 4096}, f"{folder}/adapter_model.safetensors")
        weights = merged.state_dict()
        save_file({f"{n}:{first}": weights[n][first:first + rows].contiguous() for n, first, rows in parts},
                  f"{folder}/expected.safetensors")


if __name__ == "__main__":
    write_fixtures()
