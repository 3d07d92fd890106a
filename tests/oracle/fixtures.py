"""The committed parity cases: each function fills one folder under tests/fixtures/parity; together they use every option
that decides about numbers.   python tests/oracle/fixtures.py [--only NAME]"""

import argparse
import os
import shutil
import warnings


import reference
import run_config
import tiny
from case import Case, legacy, unified

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "parity")
BASES = os.path.join(ROOT, "bases")
FAST = {"lr": 3e-3, "lr_projector": 2e-3, "lr_tokens": 4e-3, "lr_vision": 1e-3}  # changes well above rounding


def bases():
    tiny.llm(f"{BASES}/llm-gqa", 11, 330, vocab_size=336, hidden_size=48, intermediate_size=80, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, head_dim=16, window=9, rms_norm_eps=1e-5)
    tiny.llm(f"{BASES}/llm-old", 12, 330, dtype="float16", shard="30KB", old_spelling=True, vocab_size=330, hidden_size=40,
             intermediate_size=56, num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=1, theta=1e6)
    tiny.llm(f"{BASES}/llm-tied", 13, 330, dtype="float32", vocab_size=331, hidden_size=32, intermediate_size=48,
             num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=8, head_dim=6, tie_word_embeddings=True,
             window=4096, drop=("sliding_window", "num_key_value_heads", "rms_norm_eps"))
    tiny.siglip(f"{BASES}/vision-only", 21, hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
                image_size=32, patch_size=14)
    tiny.siglip(f"{BASES}/vision-text", 22, dtype="float32", text_tower=True, shard="60KB", hidden_size=36, intermediate_size=40,
                num_hidden_layers=2, num_attention_heads=2, image_size=31, patch_size=10,
                prep={"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711), "resample": 2})
    tiny.siglip(f"{BASES}/vision-cut", 23, dtype="float16", head=False, prefix=True, hidden_size=24, intermediate_size=40,
                num_hidden_layers=2, num_attention_heads=3, image_size=28, patch_size=14, prep={"resample": 1},
                drop=("hidden_act", "layer_norm_eps", "num_channels"))
    llava_bases()
    diffusion_bases()


def llava_bases():
    """Llama and CLIP, small and odd: as many key/value heads as heads and fewer, quick and exact GELU, the tower alone and in a whole CLIP."""
    tiny.llm(f"{BASES}/llm-llama", 14, 330, family="llama", old_spelling=True, vocab_size=332, hidden_size=40, intermediate_size=56,
             num_hidden_layers=2, num_attention_heads=5, rms_norm_eps=1e-5, drop=("num_key_value_heads",))
    tiny.llm(f"{BASES}/llm-llama-tied", 15, 330, dtype="float32", family="llama", scaling=2.5, vocab_size=330, hidden_size=32,
             intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True)
    tiny.clip_vision(f"{BASES}/clip-only", 24, dtype="float16", prefix=True, hidden_size=36, intermediate_size=40, num_hidden_layers=3,
                     num_attention_heads=3, image_size=31, patch_size=10, drop=("hidden_act", "layer_norm_eps"))
    tiny.clip_vision(f"{BASES}/clip-text", 25, text_tower=True, shard="30KB", shorter=27, hidden_size=24, intermediate_size=56,
                     num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=7, hidden_act="gelu")


def diffusion_bases():
    tiny.text_encoder(f"{BASES}/diffusion-text", 31, hidden_size=20, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                      max_position_embeddings=9, hidden_act="quick_gelu")
    for name, seed, unet in (("diffusion-noise", 41, {"in_channels": 4, "norm_num_groups": 4, "attention_head_dim": 2}),
                             ("diffusion-edit", 51, {"in_channels": 8, "norm_num_groups": 2, "attention_head_dim": [1, 2]})):
        tiny.text_encoder(f"{BASES}/{name}", seed, hidden_size=12, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                          max_position_embeddings=5)
        tiny.painter(f"{BASES}/{name}", seed + 1, cross_attention_dim=12, block_out_channels=[8, 12], layers_per_block=1, **unet)


# ------------------------------------------------------------------ the cases

def defaults_like(folder):
    """GQA, a window shorter than the samples, pad, pictures in the first and the second turn, two in one turn, text-only
    rows, all seven linears, task tokens and [IMG] rows, clipping at work, cosine with warm-up."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-only", seed=100)
    wide, tall, square = c.picture("wide.jpg", 61, 33, quality=90), c.picture("tall.png", 24, 57), c.picture("square.jpg", 32, 32)
    c.source([
        legacy(["<image>\nWhat is in the photo?", "A red circle."], wide),
        legacy(["How many dogs are there?", "There are three."]),
        legacy(["Is it a cat?", "Which one?", "this one <image>", " The cat is asleep."], tall),
        legacy(["<image> <image>\n  Compare the pictures.  ", "One is wide, the other is tall."], wide, tall),
        legacy(["Draw\u00e9 \u65e5\u672c \U0001f999  twice", "caf\u00e9  \U0001f600\n\tdone"]),
        legacy(["Describe the house. <image>", "It is small.", "And the tree?", "It is tall."], square),
    ])
    c.write({"model": {"lora": {"r": 4, "alpha": 8}}, "train": {"epochs": 2.5, "batch": 3},
             "optim": {**FAST, "warmup": 0.3, "max_grad_norm": 0.5}})


def stretch_rslora(folder):
    """rsLoRA on two linears with odd r and alpha, stretch, a projector of one layer, no task tokens, v1 template, decay,
    no clipping, constant schedule from the first step; CMYK, grey, palette, GIF and WebP pictures, some under wrong names."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-text", seed=200)
    gif, webp = c.picture("anim.jpg", 40, 25, fmt="GIF", mode="P"), c.picture("loss.webp", 29, 44, quality=80)
    grey, cmyk = c.picture("grey.jpg", 33, 50, mode="L"), c.picture("ink.jpg", 45, 31, mode="CMYK")
    alpha = c.picture("alpha.png", 31, 31, mode="RGBA")
    c.source([
        legacy(["<image>\nWhat colour is the sky?", "Blue"], gif),
        legacy(["<image>\nIs it asleep?", "No", "Why?", "It runs in the rain."], webp),
        legacy(["Say yes.", "yes", "Say nothing.", ""]),
        legacy(["\u00a0<image>\u3000", "A grey photo"], grey),
        legacy(["one <image> two <image>", "ink and alpha", "three <image>", "grey"], cmyk, alpha, grey),
    ])
    c.write({"model": {"lora": {"r": 3, "alpha": 5, "rslora": True, "targets": ["v_proj", "down_proj"]},
                       "vision": {"aspect": "stretch"}, "projector": {"type": "linear", "spelling": "hf"},
                       "tokens": {"task": None, "image": 3}},
             "data": {"template": "v1"}, "train": {"steps": 5, "batch": 3},
             "optim": {**FAST, "warmup": 0, "schedule": "constant", "weight_decay": 0.1, "max_grad_norm": 0}})


def fp8(folder):
    """Frozen weights as operands of 8 bits, some linears with adapters and some without. One step, of few rows: where a number lies at the
    border of two codes, the rounding of f32 decides, and another code is another run."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-only", seed=2400)
    square = c.picture("square.jpg", 32, 32)
    c.source([
        legacy(["<image>\nWhat?", "A cat."], square),
        legacy(["Why?", "It is late."]),
    ])
    c.write({"model": {"llm": {"multiply": "fp8"},
                       "lora": {"r": 4, "alpha": 8, "targets": ["q_proj", "v_proj", "o_proj", "gate_proj", "up_proj"]}},
             "train": {"steps": 1, "batch": 2}, "optim": {**FAST, "warmup": 0, "schedule": "constant"}})


def full_decay(folder):
    """The whole language model trains, with decay, from an old sharded f16 folder; no added rows; linear schedule;
    three-layer projector in LLaVA's spelling; a tower of two blocks read at its last, in f16; records of other weights."""
    c = Case(folder, f"{BASES}/llm-old", f"{BASES}/vision-cut", seed=300)
    a, b = c.picture("a.jpg", 50, 20), c.picture("b.png", 20, 50)
    c.source([
        unified("u/0", "understand", ["<image>\nWhat?", "A cat."], [a], weight=2.0),
        unified("u/1", "understand", ["Who are you?", "An assistant."], weight=0.25),
        unified("u/2", "understand", ["<image>\nAnd here?", "A dog in the rain."], [b]),
        unified("u/3", "understand", ["zero", "nothing counts here"], weight=0.0),
    ])
    c.write({"model": {"llm": {"train": "full"}, "vision": {"layer": -1}, "tokens": {"task": None, "image": 0},
                       "projector": {"type": "mlp3x_gelu", "spelling": "llava"}},
             "train": {"epochs": 3, "batch": 4, "recompute": "block"},
             "optim": {**FAST, "lr": 1e-3, "warmup": 1, "schedule": "linear", "weight_decay": 0.2, "beta1": 0.8, "beta2": 0.95,
                       "eps": 1e-6, "max_grad_norm": 1.0}})


def vision_full(folder):
    """The tower trains (what is not executed stays frozen), language model and projector frozen; llava_llama_2; rows whose
    pictures are missing or empty keep their numbers."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-text", seed=400)
    a, b = c.picture("a.jpg", 50, 20), c.picture("b.jpg", 31, 62)
    open(c.path("images", "empty.jpg"), "wb").close()
    c.source([
        legacy(["<image>\nWhat?", "A cat.", "Sure?", "Yes."], a),
        legacy(["<image>", "not there"], "gone.jpg"),
        legacy(["<image>", "no bytes"], "empty.jpg"),
        legacy(["And <image>?", "A dog."], b.replace(".jpg", ".PNG")),
        legacy(["Only text", "here"]),
    ])
    c.write({"model": {"llm": {"train": "frozen"}, "vision": {"train": "full"}, "projector": {"train": "frozen",
                                                                                             "spelling": "hf_memory"},
                       "tokens": {"train": "frozen", "image": 2}},
             "data": {"template": "llava_llama_2"}, "train": {"steps": 4, "batch": 2},
             "optim": {**FAST, "warmup": 0.1, "weight_decay": 0.05}})


def tied_full(folder):
    """Tied embeddings are one tensor with one gradient; head width not hidden/heads; keys absent from config.json;
    everything trains at once; a positive feature layer."""
    c = Case(folder, f"{BASES}/llm-tied", f"{BASES}/vision-cut", seed=500)
    a = c.picture("a.jpg", 30, 28)
    c.source([
        legacy(["<image>\nWhat?", "A cat."], a),
        legacy(["Only text", "here, and more"]),
    ])
    c.write({"model": {"llm": {"train": "full"}, "vision": {"train": "full", "layer": 1},
                       "tokens": {"task": None, "image": 0}},
             "train": {"steps": 5, "batch": 2}, "optim": {**FAST, "warmup": 0, "weight_decay": 0.1}})


def plain(folder):
    """Alignment: the projector alone trains on captions, two images in a row, a row without any; layer 0 of the tower; the
    mixture scaled to an epoch of twice its rows."""
    c = Case(folder, f"{BASES}/llm-old", f"{BASES}/vision-only", seed=600)
    a, b = c.picture("a.jpg", 40, 41), c.picture("b.png", 41, 40)
    c.source([
        legacy(["<image>\nDescribe.", "\U0001f999 a caption"], a),
        legacy(["What? <image> <image>", " two of them"], a, b),
        legacy(["nothing to see", "text alone"]),
    ])
    c.mixture_extra = {"epoch": 6}  # every row twice, copies side by side
    c.write({"model": {"llm": {"train": "frozen"}, "vision": {"layer": 0}, "projector": {"spelling": "llava_lora"},
                       "tokens": {"task": None, "image": 0}},
             "data": {"template": "plain"}, "train": {"epochs": 1, "batch": 2},
             "optim": {**FAST, "warmup": 0.5}})


def visual_tokens(folder):
    """Rows that draw and edit, without a generation head: the text loss on [IMG] tokens (all), spaces beside added ids,
    text before and after the run, text that spells special tokens."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-only", seed=700)
    a, b = c.picture("a.jpg", 40, 30), c.picture("b.png", 30, 40)
    c.source([
        unified("g/0", "generate", ["Draw a cat", "<gen>"], targets=[a]),
        unified("g/1", "generate", ["  Draw a  house ", "Here it is: <gen>  and that is all."], targets=[b]),
        unified("e/0", "edit", ["<image>\nPaint", "Now. <gen>"], [a], [b]),
        unified("e/1", "edit", ["Hello", "Hi", "<image> now remove the hat", "<gen>\U0001f600"], [b], [a]),
        unified("u/0", "understand", ["Say </s> and [INST] and [IMG0] and <gen>", "</s> [/INST] <image> [I2T]<s>"]),
    ])
    c.write({"model": {"lora": {"r": 2, "alpha": 2, "targets": ["q_proj", "o_proj", "up_proj"]}, "tokens": {"image": 4}},
             "loss": {"image_tokens": "all", "text_weight": 0.5}, "train": {"steps": 5, "batch": 5, "micro_tokens": 90},
             "optim": {**FAST, "warmup": 0.2, "weight_decay": 0.01}})


def nf4(folder):
    """A language model in 4 bits, without pictures, so that nothing else is in the loss."""
    c = Case(folder, f"{BASES}/llm-gqa", seed=750)
    c.source([legacy(["Say a word", "A word.", "And another", "Another one it is."]), legacy(["Count to five", "1 2 3 4 5"], id="five")])
    c.write({"model": {"llm": {"store": "nf4"}, "lora": {"r": 2, "alpha": 4}, "tokens": {"task": None, "image": 0}},
             "train": {"steps": 5, "batch": 2}, "optim": {**FAST, "warmup": 0.2}})


def int8(folder):
    """The same in 8 bits, adapters on some linears."""
    c = Case(folder, f"{BASES}/llm-gqa", seed=760)
    c.source([legacy(["Say a word", "A word.", "And another", "Another one it is."]), legacy(["Count to five", "1 2 3 4 5"], id="five")])
    c.write({"model": {"llm": {"store": "int8"}, "lora": {"r": 2, "alpha": 4, "targets": ["v_proj", "down_proj"]},
                       "tokens": {"task": None, "image": 0}},
             "train": {"steps": 4, "batch": 2}, "optim": {**FAST, "warmup": 0.2}})


def first_visual(folder):
    """As the default has it only [IMG0] is a label; a task token missing in the middle; v1; two runs in one answer; sources
    listed in the config itself."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-only", seed=800)
    a, b = c.picture("a.jpg", 40, 30), c.picture("b.png", 30, 40)
    c.source([
        unified("g/0", "generate", ["Draw two", "<gen> <gen>"], targets=[a, b]),
        unified("e/0", "edit", ["<image>\nRemove it", "ok <gen>"], [a], [b]),
        unified("u/0", "understand", ["<image>", "A cat."], [a]),
    ])
    c.inline = True
    c.write({"model": {"lora": {"r": 2, "alpha": 4, "targets": ["gate_proj", "k_proj"]},
                       "tokens": {"image": 2, "task": {"understand": "[SEE]", "generate": None, "edit": "[I2I]"}}},
             "data": {"template": "v1"}, "train": {"steps": 4, "batch": 3}, "optim": {**FAST, "warmup": 0.2}})


def skipped(folder):
    """Steps of text alone between steps with pictures: projector and embedding rows stand still then, without decay, and
    their own step counts too; accumulation over passes of one or two samples; a last step that is short."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-only", seed=900)
    a, b = c.picture("a.jpg", 40, 30), c.picture("b.png", 30, 40)
    text = [legacy([f"question {i}?", f"answer {i}, twice {i}"]) for i in range(4)]
    seen = [legacy(["<image>\nWhat?", "A cat."], a), legacy(["<image>\nWhere?", "In the rain."], b)]
    c.source([seen[0], text[0], text[1], text[2], seen[1], seen[0], text[3]])
    c.write({"model": {"lora": {"r": 2, "alpha": 3, "targets": ["q_proj", "v_proj"]}, "tokens": {"image": 1}},
             "train": {"epochs": 2, "batch": 2, "micro_tokens": 40},
             "optim": {**FAST, "warmup": 0, "weight_decay": 0.3, "schedule": "linear"}})


def micro_mean(folder):
    """The mean inside every pass, then over the passes; micro_tokens leaves room for one sample only."""
    c = Case(folder, f"{BASES}/llm-old", seed=1000)
    c.source([
        unified("m/0", "understand", ["one two three four five", "six"]),
        unified("m/1", "understand", ["one two three four", "five, six seven"], weight=3.0),
        unified("m/2", "understand", ["one, two, three, four", "five six"]),
    ])
    c.write({"model": {"lora": {"r": 4, "alpha": 4}, "tokens": {"task": None, "image": 0}}, "loss": {"normalise": "micro"},
             "train": {"steps": 4, "batch": 3, "micro_tokens": 50}, "optim": {**FAST, "warmup": 2}})


def mixture(folder):
    """Two sources, one taken twice, one up to its row limit; bad rows keep their numbers; samples cut to max_tokens (a
    trailing round, then a plain cut); a text-only model with added rows that nothing reaches."""
    c = Case(folder, f"{BASES}/llm-old", seed=1100)
    c.source([
        legacy(["Who?", "Me.", "Really?", "Yes, really, " + "and again and " * 8 + "so on."]),
        legacy(["<image>\nNo picture comes with this", "bad"]),
        legacy(["Tell a story", "Once upon a time " + "there was a dog, " * 9 + "the end."]),
        legacy(["What?", ""]),
        legacy(["fine", "fine too"]),
    ], name="first", weight=2)
    c.source([
        {"id": 7, "source": "unknown keys are fine", "conversations": [
            {"from": "gpt", "value": "a leading answer is dropped"}, {"from": "human", "value": "So?"},
            {"from": "gpt", "value": "So."}, {"from": "human", "value": "a last question is dropped"}]},
        legacy(["a lone \ud800 surrogate, a pair \ud83d\ude00", "tabs\tand\nlines\r\n\u2028"]),
        legacy(["beyond", "the limit"]),
    ], name="second", max=2)
    c.write({"model": {"lora": {"r": 2, "alpha": 4, "targets": ["q_proj"]}, "tokens": {"image": 2}},
             "data": {"max_tokens": 60}, "train": {"epochs": 1, "batch": 3},
             "optim": {**FAST, "warmup": 0.25, "weight_decay": 0.1}})


def draw_l2norm(folder):
    """Rows of all three tasks in one step, in several passes: every kind of prompt, two pictures in one answer, weights, a step that has
    nothing to draw, another that has nothing to edit. A head with GILL's names, of one encoder layer."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-only", f"{BASES}/diffusion-text", seed=1200)
    a, b = c.picture("a.jpg", 40, 30), c.picture("b.png", 30, 40)
    c.source([
        unified("g/0", "generate", ["Draw a cat", "<gen>"], targets=[a], sd={"prompt": "A yellow cat, asleep."}),
        unified("u/0", "understand", ["<image>\nWhat is it?", "A small house."], [b]),
        unified("e/0", "edit", ["<image>\nPaint it", "Now. <gen>"], [a], [b], weight=2.5, sd={"instruction": "make it a painting"}),
        unified("g/1", "generate", ["Draw two: a dog, and rain", "One <gen> and another <gen>", "And a tree", "Here: <gen>"],
                targets=[b, a, b], weight=0.5, sd={"prompt": "It's raining: 2 dogs"}),
        unified("g/2", "generate", ["No prompt to compare with", "<gen>"], targets=[a]),
        unified("u/1", "understand", ["How many dogs are there?", "Three."]),
        unified("e/1", "edit", ["Hello", "Hi", " <image> remove the hat ", "<gen>"], [b], [a]),
        unified("u/2", "understand", ["Is it a dog? <image>", "No."], [a]),
    ])
    c.write({"model": {"lora": {"r": 2, "alpha": 4, "targets": ["q_proj", "v_proj", "down_proj"]}, "tokens": {"image": 3},
                       "gen_head": {"width": 24, "heads": 3, "ff": 20, "encoder_layers": 1, "decoder_layers": 2, "spelling": "gill"}},
             "loss": {"generate": "l2norm", "edit": "l2norm", "edit_weight": 0.5, "generate_weight": 1.5},
             "train": {"steps": 5, "batch": 3, "micro_tokens": 90}, "optim": {**FAST, "lr_gen_head": 1e-3, "warmup": 0.2, "weight_decay": 0.1}})


def draw_mse(folder):
    """Mean squared error, states that predict the tokens, one visual token, the whole language model trained, a head of one decoder layer
    with MGIE's names; the mean inside every pass, then over the passes; text of a weight of its own."""
    c = Case(folder, f"{BASES}/llm-tied", f"{BASES}/vision-cut", f"{BASES}/diffusion-text", seed=1300)
    a, b = c.picture("a.jpg", 40, 30), c.picture("b.png", 30, 40)
    c.source([
        unified("g/0", "generate", ["Draw a house", "<gen>"], targets=[a], sd={"prompt": "a house by a tall tree"}),
        unified("e/0", "edit", ["<image>\nMake it blue", "<gen> Done."], [a], [b], sd={"prompt": "a blue house", "instruction": "blue"}),
        unified("u/0", "understand", ["Say yes.", "yes"]),
        unified("g/1", "generate", ["Draw the sky", "<gen>"], targets=[b], weight=0.25, sd={"prompt": "the sky is blue"}),
    ])
    c.write({"model": {"llm": {"train": "full"}, "tokens": {"image": 1},
                       "gen_head": {"width": 16, "heads": 2, "ff": 24, "encoder_layers": 2, "decoder_layers": 1, "spelling": "mgie"}},
             "loss": {"generate": "mse", "edit": "mse", "image_align": "before", "text_weight": 0.3, "edit_weight": 2, "normalise": "micro"},
             "train": {"steps": 5, "batch": 4, "micro_tokens": 110}, "optim": {**FAST, "lr_gen_head": 1e-3, "warmup": 0, "max_grad_norm": 0}})


def llava(folder):
    """As LLaVA 1.5 is tuned: Llama with adapters, CLIP frozen and padded, template v1, no added rows."""
    c = Case(folder, f"{BASES}/llm-llama", f"{BASES}/clip-only", seed=1700)
    a, b = c.picture("a.jpg", 50, 20), c.picture("b.png", 20, 57)
    c.source([
        legacy(["<image>\nWhat is it?", "A small house.", "Is it red?", "No."], a),
        legacy(["Who are you?", "An assistant."]),
        legacy(["<image> <image>\nCompare.", "One is wide."], a, b),
    ])
    c.write({"model": {"lora": {"r": 4, "alpha": 8}, "projector": {"spelling": "llava"}, "tokens": {"task": None, "image": 0}},
             "data": {"template": "v1"}, "train": {"steps": 2, "batch": 2}, "optim": {**FAST, "warmup": 0.03}})


def llava_full(folder):
    """Llama, tied and with linear scaling, and CLIP trained whole; the picture's middle instead of padding."""
    c = Case(folder, f"{BASES}/llm-llama-tied", f"{BASES}/clip-text", seed=1800)
    a, b, small = c.picture("a.jpg", 50, 31), c.picture("b.png", 30, 47), c.picture("c.png", 9, 8)
    c.source([
        legacy(["<image>\nWhat?", "A cat.", "Sure?", "Yes."], a),
        legacy(["And <image>?", "A dog in the rain."], b),
        legacy(["Only text", "here"]),
        legacy(["<image>\nHow small?", "Very."], small),
    ])
    c.write({"model": {"llm": {"train": "full"}, "vision": {"train": "full", "aspect": "stretch"},
                       "tokens": {"task": None, "image": 0}},
             "train": {"steps": 3, "batch": 4, "recompute": "block"},
             "optim": {**FAST, "warmup": 0, "weight_decay": 0.1}})


HEAD = {"width": 16, "heads": 2, "ff": 20, "encoder_layers": 1, "decoder_layers": 1}


def noise_frozen(folder):
    """Noise for both tasks through a frozen UNet of four channels, a picture at a time or two; whatever dropout can do; two pictures in one
    answer, an edit without its picture's latents, sizes that are cut and scaled."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-only", f"{BASES}/diffusion-noise", seed=1400)
    a, b = c.picture("a.jpg", 40, 29), c.picture("b.png", 13, 22)
    c.source([
        unified("g/0", "generate", ["Draw a cat", "<gen>"], targets=[a]),
        unified("g/1", "generate", ["Draw two: a dog, and rain", "One <gen> and another <gen>"], targets=[b, a], weight=0.5),
        unified("e/0", "edit", ["<image>\nPaint it", "Now. <gen>"], [a], [b], weight=2.5),
        unified("u/0", "understand", ["<image>\nWhat is it?", "A small house."], [b]),
        unified("e/1", "edit", ["<image> remove the hat", "<gen>"], [b], [a]),
    ])
    c.write({"model": {"lora": {"r": 2, "alpha": 4, "targets": ["q_proj", "v_proj"]}, "tokens": {"image": 2}, "gen_head": dict(HEAD),
                       "diffusion": {"edit": "sdedit", "size": 20}},
             "loss": {"generate": "noise", "edit": "noise", "condition_dropout": 0.05},
             "train": {"steps": 4, "batch": 5, "micro_images": 2}, "optim": {**FAST, "lr_gen_head": 1e-3, "warmup": 0}})


def noise_edit(folder):
    """InstructPix2Pix's eight channels, trained whole; pictures to draw go by their prompts' states; the mean over passes."""
    c = Case(folder, f"{BASES}/llm-gqa", f"{BASES}/vision-only", f"{BASES}/diffusion-edit", seed=1500)
    a, b = c.picture("a.jpg", 40, 30), c.picture("b.png", 30, 40)
    c.source([
        unified("e/0", "edit", ["<image>\nPaint it", "Now. <gen>"], [a], [b], weight=2.5),
        unified("e/1", "edit", ["<image> remove the hat", "<gen>"], [b], [a]),
        unified("g/0", "generate", ["Draw a cat", "<gen>"], targets=[a], sd={"prompt": "a cat"}),
        unified("e/2", "edit", ["<image> and <image> make it blue", "<gen>"], [b, a], [a]),
        unified("e/3", "edit", ["<image> at night", "<gen>"], [a], [b]),
    ])
    c.write({"model": {"llm": {"train": "frozen"}, "tokens": {"image": 1}, "gen_head": dict(HEAD),
                       "diffusion": {"edit": "ip2p", "unet": "full", "size": 16}},
             "loss": {"edit": "noise", "normalise": "micro"}, "train": {"steps": 3, "batch": 3, "micro_tokens": 80, "micro_images": 1},
             "optim": {**FAST, "lr_gen_head": 1e-3, "lr_unet": 2e-4, "warmup": 0, "weight_decay": 0.1, "eps": 1e-5}})


def noise_conv_in(folder):
    """Four channels widened to eight, of which the first convolution learns to see; pictures to draw go through it too."""
    c = Case(folder, f"{BASES}/llm-old", None, f"{BASES}/diffusion-noise", seed=1600)
    a, b = c.picture("a.jpg", 40, 30), c.picture("b.png", 30, 40)
    c.source([
        unified("g/0", "generate", ["Draw a cat", "<gen>"], targets=[b]),
        unified("g/1", "generate", ["Draw a dog", "<gen>"], targets=[a]),
    ])
    c.write({"model": {"llm": {"train": "frozen"}, "tokens": {"image": 2}, "gen_head": {**HEAD, "train": "frozen"},
                       "diffusion": {"edit": "train_conv_in", "unet": "conv_in", "size": 24}},
             "loss": {"generate": "noise", "edit": "mse", "condition_dropout": 0}, "train": {"steps": 4, "batch": 2, "recompute": "block"},
             "optim": {**FAST, "lr_unet": 1e-3, "warmup": 0, "weight_decay": 0.1}})


CASES = [defaults_like, stretch_rslora, fp8, full_decay, vision_full, tied_full, plain, visual_tokens, nf4, int8, first_visual, skipped,
         micro_mean, mixture, draw_l2norm, draw_mse, llava, llava_full,
         noise_frozen, noise_edit, noise_conv_in]
KEEP_ALL = {"skipped"}  # every step's parameters: what stood still shows only there


def want(name):
    def kept(step, n_steps):
        out = set()
        if step == 0 or name == "skipped":
            out |= {"grad"}
        if step == 0:
            out |= {"logits"}
        if step == n_steps - 1 or name in KEEP_ALL:
            out |= {"param", "grad"}
        return out
    return kept


def build(case):
    folder = os.path.join(ROOT, case.__name__)
    shutil.rmtree(folder, ignore_errors=True)
    case(folder)
    expected = os.path.join(folder, "expected")
    print(case.__name__, reference.train(run_config.load(os.path.join(folder, "config.json")), expected, want=want(case.__name__)))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--only", action="append", help="build these cases (bases are left as they are), or \"diffusion_bases\", \"llava_bases\"")
    a = p.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    if not a.only:
        shutil.rmtree(ROOT, ignore_errors=True)
        bases()
    for build_bases in (llava_bases, diffusion_bases):
        if build_bases.__name__ in (a.only or ()):
            build_bases()
    for case in CASES:
        if not a.only or case.__name__ in a.only:
            build(case)


if __name__ == "__main__":
    main()
