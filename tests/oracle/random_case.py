"""A parity case drawn from a seed: shapes, options, rows and pictures that nobody chose by hand."""

import os
import random

import conversation
import records
import reference
import run_config
import tiny
from case import Case, dump_json, legacy, unified

WORDS = """the a red blue cat dog house tree is are what why how many small large circle [INST] </s> caf\u00e9 \u65e5\u672c \U0001f999
 and, or; (yes) no. "quoted" it's 42 3.14 USER: \u00a0 tab\there line\nbreak two  spaces [I2T] \u200b \u0301""".split(" ")
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TEMPLATES = ["mistral_instruct", "v1", "llava_llama_2", "plain"]


def text(r, low, high):
    return " ".join(r.choice(WORDS) for _ in range(r.randint(low, high)))


def draw_llm(folder, r, large):
    heads, kv = r.choice([(1, 1), (2, 1), (2, 2), (3, 3), (4, 2), (4, 1), (6, 3), (6, 2)])
    head_dim, old = 2 * r.randint(2, 12), r.random() < 0.4
    if large:
        head_dim = r.choice([48, 64, 80, 96, 128, 130])
    hidden = heads * head_dim if old or r.random() < 0.3 else r.randint(12, 70) * (5 if large else 1)
    pieces = r.choice([330, 345])
    other = random.Random(f"family {hidden} {pieces} {head_dim}")  # beside r, whose draws stay as they were
    family = other.choice([{}, {"family": "llama"}, {"family": "llama", "scaling": other.choice([1.0, 2.0, 2.5, 4.0])}, {"scaling": 2.0}])
    hidden += -hidden % heads if "family" in family else 0  # transformers' Llama wants a multiple
    tiny.llm(folder, r.randrange(10 ** 6), pieces, dtype=r.choice(["bfloat16", "float16", "float32"]),
             shard=r.choice([None, "20KB"]), old_spelling=old, window=r.choice([None, 4096, r.randint(1, 20) * (20 if large else 1)]),
             theta=r.choice([1e4, 1e6, 5e5]), vocab_size=pieces + (r.randint(300, 1500) if large else r.choice([0, 0, 1, 17])), hidden_size=hidden,
             intermediate_size=r.randint(8, 130) * (6 if large else 1), num_hidden_layers=r.randint(1, 3), num_attention_heads=heads,
             num_key_value_heads=kv, head_dim=head_dim, rms_norm_eps=r.choice([1e-5, 1e-6]),
             tie_word_embeddings=r.random() < 0.3, **family)


def draw_vision(folder, r, large):
    heads, head_dim = r.randint(1, 4), r.choice([64, 72, 80] if large else [3, 8, 12, 18, 24])
    patch, blocks = r.randint(3, 14), r.randint(1, 4)
    side = r.randint(9, 27) if large else r.randint(1, 5)
    seed = r.randrange(10 ** 6)
    other = random.Random(f"tower {heads} {head_dim} {patch} {side}")  # beside r, whose draws stay as they were
    clip = {"shorter": patch * (side + 1) + other.randint(0, 9) if other.random() < 0.6 else None,
            "hidden_act": other.choice(["quick_gelu", "gelu"])} if other.random() < 0.5 else None
    drawn = {"dtype": r.choice(["bfloat16", "float16", "float32"]), "text_tower": r.random() < 0.3, "head": r.random() < 0.5,
             "prefix": r.random() < 0.5, "hidden_size": heads * head_dim, "num_attention_heads": heads,
             "intermediate_size": r.randint(8, 90) * (5 if large else 1), "num_hidden_layers": blocks, "patch_size": patch,
             "image_size": patch * side + r.randrange(patch), "layer_norm_eps": r.choice([1e-6, 1e-5]),
             "prep": {"mean": [r.choice([0.5, r.random()]) for _ in range(3)], "std": [r.uniform(0.2, 0.6) for _ in range(3)],
                      "resample": r.randrange(4)}}
    if clip:
        drawn.pop("head")
        tiny.clip_vision(folder, seed, **drawn, **clip)
    else:
        tiny.siglip(folder, seed, **drawn)
    return blocks


def draw_text_encoder(folder, r, large):
    heads, head_dim = r.randint(1, 4), r.choice([32, 64]) if large else r.randint(2, 9)
    other = random.Random(f"text encoder {heads} {head_dim}")  # beside r, whose draws stay as they were
    tiny.text_encoder(folder, r.randrange(10 ** 6), n_merges=r.randint(0, 60), dtype=r.choice(["float32", "float16", "bfloat16"]),
                      hidden_size=heads * head_dim, num_attention_heads=heads, intermediate_size=r.randint(5, 60),
                      num_hidden_layers=r.randint(1, 3), max_position_embeddings=r.choice([77] if large else [3, 5, 8, 13]),
                      hidden_act=other.choice(["quick_gelu", "quick_gelu", "gelu", "gelu_pytorch_tanh"]),
                      layer_norm_eps=other.choice([1e-5, 1e-6]))


def draw_head(r, large):
    heads = r.randint(1, 4)
    return {"width": heads * (r.choice([64, 80, 128]) if large else r.randint(2, 12)), "heads": heads, "ff": r.randint(4, 40),
            "encoder_layers": r.randint(1, 3), "decoder_layers": r.randint(1, 3), "spelling": r.choice(["plain", "gill", "mgie"]),
            "train": r.choice(["full", "full", "full", "frozen"])}


def draw_image_losses(r):
    return {task: r.choice(["l2norm", "mse", "noise", "noise"]) for task in ("generate", "edit")}


def draw_painter(folder, r, context, large):
    """What draws, for a run under a noise loss; returns model.diffusion. Groups of norms have several channels, and latents are never less
    than 2x2: of a group of one or two numbers hardly anything is left, and its gradient is rounding."""
    groups, levels, halvings = r.choice([16, 32]) if large else r.randint(1, 4), r.randint(1, 3), r.randint(0, 2)
    heads = [r.randint(1, 3) for _ in range(levels)]
    channels = [groups * h * r.randint(2, 3 if large else 5) for h in heads]
    edit, unet = r.choice([("llm_only", None), ("sdedit", None), ("ip2p", None), ("train_conv_in", "conv_in"), ("train_conv_in", "full")])
    vae_groups = r.randint(1, 4)
    widths = [vae_groups * r.randint(1, 5) for _ in range(halvings + 1)]
    other = random.Random(f"painter {channels} {heads} {widths}")  # beside r, whose draws stay as they were
    unusual = {}
    if other.random() < 0.5:
        unusual = {"down_block_types": other.choices(["CrossAttnDownBlock2D", "DownBlock2D"], k=levels),
                   "up_block_types": other.choices(["CrossAttnUpBlock2D", "UpBlock2D"], k=levels),
                   "downsample_padding": other.choice([0, 1])}
    tiny.painter(folder, r.randrange(10 ** 6), dtype=r.choice(["float32", "float16", "bfloat16"]),
                 vae={"block_out_channels": widths, "down_block_types": ["DownEncoderBlock2D"] * len(widths),
                      "up_block_types": ["UpDecoderBlock2D"] * len(widths), "layers_per_block": r.randint(1, 2),
                      "norm_num_groups": vae_groups, "scaling_factor": r.choice([0.18215, 0.5])},
                 scheduler={"beta_schedule": r.choice(["scaled_linear", "linear"]), "beta_end": r.choice([0.012, 0.02])},
                 in_channels=8 if edit == "ip2p" else 4, block_out_channels=channels, attention_head_dim=heads, norm_num_groups=groups,
                 layers_per_block=r.randint(1, 2), cross_attention_dim=context, use_linear_projection=r.random() < 0.4,
                 norm_eps=r.choice([1e-5, 1e-6]), flip_sin_to_cos=r.random() < 0.6, freq_shift=r.choice([0, 1]) if channels[0] > 3 else 0,
                 **unusual)
    return {"edit": edit, "unet": unet or r.choice(["frozen", "frozen", "conv_in", "full"]),
            "size": 2 ** halvings * r.randint(8, 20 if large else 11)}


def with_prompts(r, row):
    """Some rows tell the diffusion model what to draw."""
    sd = {k: text(r, 1, 9) for k in ("prompt", "instruction", "src_prompt") if r.random() < 0.4}
    return {**row, "sd": sd} if sd or r.random() < 0.2 else row


def draw_pictures(c, r, prefix="p"):
    out = []
    for i in range(r.randint(1, 4)):
        kind, kw = r.choice([("JPEG", {"mode": "L"}), ("JPEG", {"mode": "CMYK"}), ("JPEG", {"quality": 85}), ("JPEG", {
            "progressive": True}), ("PNG", {}), ("PNG", {"mode": "RGBA"}), ("PNG", {"mode": "P"}), ("PNG", {"mode": "LA"}), ("PNG", {
                "mode": "1"}), ("GIF", {"mode": "P"}), ("WEBP", {"lossless": True}), ("WEBP", {"quality": 70, "mode": "RGBA"})])
        name = f"{prefix}{i}." + r.choice(["jpg", "png", kind.lower().replace("jpeg", "jpg")])
        out.append(c.picture(name, r.randint(1, 90), r.randint(1, 90), seed=r.randrange(10 ** 6), fmt=kind, **kw))
    return out


def mark(r, question, n):
    """The question with n markers at its edges or between its words."""
    words = question.split(" ")
    for _ in range(n):
        words.insert(r.randint(0, len(words)), r.choice(["<image>", "<image>\n", "\n<image>"]))
    return " ".join(words)


def draw_row(r, i, pictures, template, generate):
    rounds = 1 if template == "plain" else r.choice([1, 1, 2, 3])
    turns, inputs, targets = [], [], []
    for _ in range(rounds):
        n = r.choice([0, 0, 1, 1, 2]) if pictures else 0
        inputs += [r.choice(pictures) for _ in range(n)]
        turns += [mark(r, text(r, 1, 6), n), text(r, 1, 8)]
    task = "understand"
    if generate and pictures and r.random() < 0.5:
        task = "edit" if inputs else "generate"
        targets = [r.choice(pictures)]
        turns[-1] = r.choice(["<gen>", turns[-1] + " <gen>", "<gen> " + turns[-1], turns[-1] + "<gen>" + text(r, 1, 2)])
    return unified(f"row/{i}", task, turns, inputs, targets, r.choice([None, None, 1.0, 0.5, 3.25, 0]))


def with_more_targets(r, row, pictures):
    """Some rows that draw do so in an earlier answer, too."""
    if len(row["turns"]) > 2 and row["task"] != "understand" and r.random() < 0.6:
        first = row["turns"][1]
        first["value"] = r.choice(["<gen>", "<gen> " + first["value"], first["value"] + " <gen>", "<gen><gen>"])
        row["images"] += [{"path": r.choice(pictures), "role": "target"} for _ in range(first["value"].count("<gen>"))]
    return row


def with_system(r, row):
    """Some rows get a system text, in one of the two places for it."""
    place = r.choice(["beside", "turn", None, None, None])
    if place == "beside":
        row["system"] = text(r, 1, 4)
    elif place == "turn":
        (row.get("turns") or row["conversations"]).insert(0, {"from": "system", "value": r.choice([text(r, 1, 4), "<image>", ""])})
    return row


def draw_model(r, blocks, has_rows):
    """Which parts train, with at least one that every row reaches or most do."""
    llm = r.choice(["lora", "lora", "lora", "full", "frozen"])
    m = {"llm": {"train": llm}}
    if llm != "full":
        m["llm"]["store"] = r.choice(["default"] * 5 + ["bf16", "int8", "nf4"])
    if llm == "lora":
        m["lora"] = {"r": r.randint(1, 9), "alpha": r.choice([1, 4, 7, 16]), "rslora": r.random() < 0.4,
                     "targets": sorted(r.sample(LINEARS, r.randint(1, 7)))}
    if blocks is not None:
        m["vision"] = {"train": r.choice(["frozen", "frozen", "full"]), "aspect": r.choice(["pad", "stretch"]),
                       "layer": r.randint(-(blocks + 1), blocks)}
        kind = r.choice(["linear", "mlp2x_gelu", "mlp2x_gelu", "mlp3x_gelu", "mlp1x_gelu"])
        m["projector"] = {"type": kind, "train": r.choice(["full", "full", "frozen"]), "spelling": r.choice(list(tiny.SPELLINGS))}
    m["tokens"] = {"renorm": r.random() < 0.2, "image": r.choice([0, 1, 3, 8]) if has_rows else 0, "train": r.choice(["rows", "rows", "frozen"]),
                   "task": r.choice([None, {"understand": "[I2T]", "generate": "[T2I]", "edit": "[I2I]"},
                                     {"understand": None, "generate": "[MAKE]", "edit": None}]) if has_rows else None}
    return m


def build(folder, seed, large=False):
    """Draws the case of `seed` into `folder`; returns its config path. large: widths and lengths past the blocks of fast kernels."""
    r = random.Random(seed)
    llm, vision = os.path.join(folder, "llm"), os.path.join(folder, "vision") if r.random() < 0.85 else None
    draw_llm(llm, r, large)
    blocks = draw_vision(vision, r, large) if vision else None
    c = Case(os.path.join(folder, "case"), llm, vision, seed=r.randrange(10 ** 6))
    pictures = draw_pictures(c, r) if vision else []
    model = draw_model(r, blocks, r.random() < 0.7)
    drawing = random.Random(f"drawing {seed}")  # beside r, whose draws stay as they were
    if model["tokens"]["image"] and drawing.random() < 0.7:
        c.diffusion, model["gen_head"] = os.path.join(folder, "diffusion"), draw_head(drawing, large)
        draw_text_encoder(c.diffusion, drawing, large)
    template = r.choice(TEMPLATES)
    generate = model["tokens"]["image"] > 0
    systems = random.Random(f"system {seed}")  # beside r, whose draws stay as they were
    more = random.Random(f"more {seed}")  # beside r, whose draws stay as they were
    n_rows, batch = r.randint(2, 7), r.randint(1, 5)
    if r.random() < 0.5:
        rows = [draw_row(r, i, pictures, template, generate) for i in range(n_rows)]
        rows = [with_more_targets(more, row, pictures) for row in rows]
        c.source([with_prompts(drawing, with_system(systems, row)) for row in rows], weight=r.choice([1, 1, 2, 0.5, 1.5]))
    else:
        rows = [draw_row(r, i, pictures, template, False) for i in range(n_rows)]
        c.source([with_system(systems, legacy([t["value"] for t in row["turns"]], *[im["path"] for im in row["images"]], id=str(i)))
                  for i, row in enumerate(rows)])
    if more.random() < 0.4:
        rows = [draw_row(more, i, pictures, template, False) for i in range(more.randint(1, 4))]
        c.source([legacy([t["value"] for t in row["turns"]], *[im["path"] for im in row["images"]]) for row in rows], name="more",
                 weight=more.choice([1, 0.5, 3]), max=more.choice([0, 0, 2]))
        c.mixture_extra = more.choice([{}, {"seed": 7}])
    train = {"batch": batch, "recompute": r.choice(["none", "selective", "block"])}
    painting = random.Random(f"painting {seed}")  # beside the others, whose draws stay as they were
    image_loss = draw_image_losses(painting)
    if c.diffusion and "noise" in image_loss.values():
        context = run_config.load_json(os.path.join(c.diffusion, "text_encoder", "config.json"))["hidden_size"]
        model["diffusion"] = draw_painter(c.diffusion, painting, context, large)
        train["micro_images"] = painting.randint(1, 4)
    train.update(r.choice([{"steps": r.randint(2, 3 if large else 5)}, {"epochs": r.choice([1, 2, 0.5, 1.5])}]))
    config = {
        "model": model,
        "loss": {"image_tokens": r.choice(["first", "all", "none"]), "text_weight": r.choice([1, 1, 0.3]),
                 "normalise": r.choice(["step", "rank", "micro"]), "image_align": drawing.choice(["at", "before"]),
                 "condition_dropout": painting.choice([0, 0.05, 0.1]), **image_loss,
                 **{f"{task}_weight": drawing.choice([0, 0.5, 1, 3]) for task in ("generate", "edit")}},
        "data": {"template": template, "shuffle": r.random() < 0.5, "max_tokens": r.choice([2048, 2048, 120, 60]), "max_bad": 1,
                 "shard_samples": painting.choice([4096, 1, 2, 3]), "workers": painting.choice(["auto", 0, 1, 2]),
                 "cache": sorted(painting.sample(["latents", "clip_text"], painting.randint(0, 2)))},
        "train": train,
        "optim": {"lr": r.uniform(1e-3, 5e-3), "lr_projector": r.uniform(1e-3, 5e-3), "lr_tokens": r.uniform(1e-3, 5e-3),
                  "lr_vision": r.uniform(5e-4, 2e-3), "lr_gen_head": drawing.uniform(5e-4, 3e-3),
                  "lr_unet": painting.uniform(1e-4, 1e-3), "beta1": r.choice([0.9, 0.8]), "beta2": r.choice([0.999, 0.95]),
                  "eps": r.choice([1e-8, 1e-6]), "weight_decay": r.choice([0, 0.1, 0.01]),
                  "max_grad_norm": r.choice([1.0, 0, 0.1, 100]), "schedule": r.choice(["cosine", "linear", "constant"]),
                  "warmup": r.choice([0, 0.03, 0.5, 1, 2])},
    }
    if config["loss"]["normalise"] == "micro":
        config["data"]["shuffle"] = False  # samples of equal length go by their order in the step, which no dump shows
    c.write(config)
    return set_micro_tokens(os.path.join(c.folder, "config.json"), r)


def set_micro_tokens(path, r):
    """A budget between the longest sample and the whole step."""
    cfg = run_config.load(path)
    tokenizer, v = reference.open_vocabulary(cfg)
    patches = 0
    if cfg["model"]["vision"]["path"]:
        c = run_config.load_json(os.path.join(cfg["model"]["vision"]["path"], "config.json"))
        c = c.get("vision_config", c)
        patches = (c["image_size"] // c["patch_size"]) ** 2
    longest = 1
    for rec in records.load_mixture(cfg):
        e = None if rec.reject else conversation.encode(rec, cfg["data"]["template"], v, tokenizer, cfg["data"]["max_tokens"], patches)
        longest = max(longest, conversation.expanded_length(e.ids, patches) if e else 0)
    raw = run_config.load_json(path)
    raw["train"]["micro_tokens"] = r.randint(longest, 4 * longest)
    dump_json(path, raw)
    return path
