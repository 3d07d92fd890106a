"""Tiny models, vocabularies, starting points and pictures, all drawn from one seed, in the layouts people publish."""

import io
import json
import os
import re

import numpy as np
import sentencepiece
import torch
import transformers
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import (AutoConfig, AutoModelForCausalLM, CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPVisionConfig,
                          CLIPVisionModel, SiglipConfig, SiglipModel, SiglipTextConfig,
                          SiglipVisionConfig, SiglipVisionModel)

from gen_head import SPELLINGS as GEN_HEAD_SPELLINGS, GenHead
from models import projector_depth

transformers.utils.logging.disable_progress_bar()

CORPUS = """[INST] What is in the photo? [/INST] A red circle stands on a green square. </s>
[INST] How many shapes are there? [/INST] There are three blue triangles. </s>
[INST] Is the dog asleep? [/INST] No, the dog is running in the rain. </s>
USER: Describe the picture. ASSISTANT: The picture shows a small house beside a tall tree.
A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful answers.
draw a yellow cat  with   long    whiskers; make it look like a painting, then remove the hat.
The colour of the sky is blue, the colour of the grass is green: 0123456789 (one, two, three) "yes" and 'no'!
"""


def vocabulary(path, n_pieces):
    """A BPE vocabulary with byte fallback and Mistral's normaliser settings."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines() * 4), model_writer=out, model_type="bpe", vocab_size=n_pieces,
        byte_fallback=True, character_coverage=1.0, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=True, allow_whitespace_only_pieces=True, split_digits=True, num_threads=1, minloglevel=2)
    with open(path, "wb") as f:
        f.write(out.getvalue())


class Draw:
    """Seeded weights of a size that keeps every gradient lively."""

    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)

    def normal(self, *shape, std=1.0):
        return torch.randn(shape, generator=self.g) * std

    def fill(self, model):
        with torch.no_grad():
            for name, p in model.named_parameters():
                if p.dim() < 2:
                    p.copy_(self.normal(*p.shape, std=0.2) + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
                elif "embed_tokens" in name or "position" in name or "token_embedding" in name:
                    p.copy_(self.normal(*p.shape, std=0.7))
                else:
                    p.copy_(self.normal(*p.shape, std=1.2 * p[0].numel() ** -0.5))
        return model


def _edit_json(path, change):
    with open(path, encoding="utf-8") as f:
        c = json.load(f)
    c = change(c) or c
    with open(path, "w", encoding="utf-8") as f:
        json.dump(c, f, indent=1, sort_keys=True)


def _save(model, folder, shard):
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))


def llm(folder, seed, n_pieces, dtype="bfloat16", shard=None, old_spelling=False, drop=(), family="mistral", window=None, theta=10000.0,
        scaling=None, **sizes):
    """A folder of a language model. old_spelling: rope_theta, rope_scaling and torch_dtype, no head_dim, as the first releases wrote it;
    drop: keys left out of config.json; window: of a Mistral; scaling: what positions are divided by."""
    rope = {"rope_type": "linear", "factor": scaling} if scaling else {"rope_type": "default"}
    config = AutoConfig.for_model(family, rope_parameters={**rope, "rope_theta": theta}, **sizes,
                                  **({"sliding_window": window} if family == "mistral" else {}))
    model = Draw(seed).fill(AutoModelForCausalLM.from_config(config)).to(getattr(torch, dtype))
    _save(model, folder, shard)
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)

    def change(c):
        if old_spelling:
            c["rope_theta"] = c.pop("rope_parameters")["rope_theta"]
            if scaling:
                c["rope_scaling"] = {"type": "linear", "factor": scaling}
            c["torch_dtype"] = c.pop("dtype")
            c.pop("head_dim")
        for key in drop:
            c.pop(key)
    _edit_json(os.path.join(folder, "config.json"), change)
    vocabulary(os.path.join(folder, "tokenizer.model"), n_pieces)


def preprocessor(folder, size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resample=3):
    with open(os.path.join(folder, "preprocessor_config.json"), "w", encoding="utf-8") as f:
        json.dump({"do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": mean,
                   "image_processor_type": "SiglipImageProcessor", "image_std": std, "resample": resample,
                   "rescale_factor": 1 / 255, "size": {"height": size, "width": size}}, f, indent=1)


def siglip(folder, seed, dtype="bfloat16", text_tower=False, head=True, prefix=False, drop=(), shard=None, prep=None, **sizes):
    """A SigLIP folder: the vision model alone (prefix: with names as releases before 5.6 wrote them), or the complete model
    with its text tower."""
    if text_tower:
        text = SiglipTextConfig(vocab_size=40, hidden_size=sizes["hidden_size"], intermediate_size=24, num_hidden_layers=1,
                                num_attention_heads=1, max_position_embeddings=8, bos_token_id=1, eos_token_id=2)
        model = SiglipModel(SiglipConfig(text_config=text.to_dict(), vision_config=SiglipVisionConfig(**sizes).to_dict()))
    else:
        model = SiglipVisionModel(SiglipVisionConfig(vision_use_head=head, **sizes))
    model = Draw(seed).fill(model).to(getattr(torch, dtype))
    _save(model, folder, shard)
    file = os.path.join(folder, "model.safetensors")
    if prefix and not text_tower:
        save_file({"vision_model." + k: v for k, v in load_file(file).items()}, file, metadata={"format": "pt"})

    def change(c):
        for key in drop:
            (c["vision_config"] if text_tower else c).pop(key, None)
    _edit_json(os.path.join(folder, "config.json"), change)
    preprocessor(folder, sizes["image_size"], **(prep or {}))


def clip_vision(folder, seed, dtype="bfloat16", text_tower=False, prefix=False, drop=(), shard=None, prep=None, shorter=None, **sizes):
    """A folder of CLIP's tower, as siglip(); shorter: what the shorter side is resized to before the middle is cut out."""
    if text_tower:
        text = CLIPTextConfig(vocab_size=40, hidden_size=12, intermediate_size=24, num_hidden_layers=1, num_attention_heads=1,
                              max_position_embeddings=8, bos_token_id=1, eos_token_id=2)
        model = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=CLIPVisionConfig(**sizes).to_dict(), projection_dim=10))
    else:
        model = CLIPVisionModel(CLIPVisionConfig(**sizes))
    model = Draw(seed).fill(model).to(getattr(torch, dtype))
    _save(model, folder, shard)
    file = os.path.join(folder, "model.safetensors")
    if prefix and not text_tower:
        save_file({"vision_model." + k: v for k, v in load_file(file).items()}, file, metadata={"format": "pt"})

    def change(c):
        for key in drop:
            (c["vision_config"] if text_tower else c).pop(key, None)
    _edit_json(os.path.join(folder, "config.json"), change)
    side = sizes["image_size"]
    preprocessor(folder, side, **{"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711), **(prep or {})})

    def crop(c):
        c.update({"image_processor_type": "CLIPImageProcessor", "do_center_crop": True, "size": {"shortest_edge": shorter or side},
                  "crop_size": {"height": side, "width": side}})
        if not shorter:  # as the first releases wrote it
            c.update({"feature_extractor_type": "CLIPFeatureExtractor", "size": side, "crop_size": side})
            for key in ("image_processor_type", "do_rescale", "rescale_factor", "do_convert_rgb"):
                c.pop(key)
    _edit_json(os.path.join(folder, "preprocessor_config.json"), crop)


# ------------------------------------------------------------------ drawing

def byte_characters():
    """The character that stands for each byte in CLIP's vocabulary: itself where it prints, else one beyond Latin-1."""
    prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in prints]
    return {**{b: chr(b) for b in prints}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def clip_tokenizer(folder, n_merges):
    """vocab.json and merges.txt as CLIP's tokenizer has them, merged on CORPUS; returns the number of ids."""
    of_byte, words = byte_characters(), {}
    for word in re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", CORPUS.lower()):
        pieces = [of_byte[b] for b in word.encode()]
        words[(*pieces[:-1], pieces[-1] + "</w>")] = words.get((*pieces[:-1], pieces[-1] + "</w>"), 0) + 1
    merges = []
    while len(merges) < n_merges:
        pairs = {}
        for pieces, n in words.items():
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] = pairs.get(pair, 0) + n
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {_merged(pieces, best): n for pieces, n in words.items()}
    singles = [of_byte[b] for b in sorted(of_byte, key=lambda b: ord(of_byte[b]))]
    pieces = [*singles, *(s + "</w>" for s in singles), *(a + b for a, b in merges), "<|startoftext|>", "<|endoftext|>"]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as f:
        json.dump({p: i for i, p in enumerate(pieces)}, f, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return len(pieces)


def _merged(pieces, pair):
    out = []
    for p in pieces:
        if out and (out[-1], p) == pair:
            out[-1] += p
        else:
            out.append(p)
    return tuple(out)


def text_encoder(folder, seed, n_merges=40, dtype="float32", pad="<|endoftext|>", **sizes):
    """The text encoder and tokenizer of a diffusers folder, as Stable Diffusion 1.x has them."""
    length = sizes.setdefault("max_position_embeddings", 77)
    n = clip_tokenizer(os.path.join(folder, "tokenizer"), n_merges)
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": pad, "unk_token": "<|endoftext|>"}
    for name, content in (("special_tokens_map.json", special),
                          ("tokenizer_config.json", {**special, "do_lower_case": True, "errors": "replace", "add_prefix_space": False,
                                                     "model_max_length": length, "tokenizer_class": "CLIPTokenizer"})):
        with open(os.path.join(folder, "tokenizer", name), "w", encoding="utf-8") as f:
            json.dump(content, f, indent=1)
    config = CLIPTextConfig(vocab_size=n, bos_token_id=n - 2, eos_token_id=n - 1, pad_token_id=n - 1, **sizes)
    model = Draw(seed).fill(CLIPTextModel(config)).to(getattr(torch, dtype))
    model.save_pretrained(os.path.join(folder, "text_encoder"))


def painter(folder, seed, dtype="float16", vae=None, scheduler=None, **unet):
    """UNet, VAE and scheduler of a diffusers folder; the VAE halves pictures once."""
    n = len(unet["block_out_channels"])
    nets = {"unet": UNet2DConditionModel(**{"down_block_types": ["CrossAttnDownBlock2D"] * (n - 1) + ["DownBlock2D"],
                                            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (n - 1), **unet}),
            "vae": AutoencoderKL(**{"block_out_channels": [8, 12], "down_block_types": ["DownEncoderBlock2D"] * 2,
                                    "up_block_types": ["UpDecoderBlock2D"] * 2, "layers_per_block": 1, "norm_num_groups": 4, **(vae or {})})}
    for i, (name, net) in enumerate(nets.items()):
        Draw(seed + i).fill(net).to(getattr(torch, dtype)).save_pretrained(os.path.join(folder, name))
    os.makedirs(os.path.join(folder, "scheduler"), exist_ok=True)
    with open(os.path.join(folder, "scheduler", "scheduler_config.json"), "w", encoding="utf-8") as f:
        json.dump({"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
                   "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
                   "clip_sample": False, **(scheduler or {})}, f, indent=1)


def replay(path, seed, uids, channels, side):
    """Random numbers for rows: the context and the source dropped, the context alone, the source alone, nothing, and again."""
    draw, out = Draw(seed), {}
    for i, uid in enumerate(uids):
        out[f"noise/{uid}"] = draw.normal(channels, side, side)
        out[f"posterior/{uid}"] = draw.normal(channels, side, side)
        out[f"timestep/{uid}"] = torch.tensor([(17 + 389 * i) % 1000])
        out[f"drop/{uid}"] = torch.tensor([(0.06, 0.02, 0.12, 0.4)[i % 4]])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save_file(out, path)


# ------------------------------------------------------------------ starting points

def lora_start(folder, seed, llm_folder, r, alpha, targets, rslora=False):
    """A PEFT folder as save_pretrained writes it, with B drawn too, so that A has a gradient from the first step."""
    config = AutoConfig.from_pretrained(llm_folder)
    model = get_peft_model(AutoModelForCausalLM.from_config(config), LoraConfig(
        task_type="CAUSAL_LM", r=r, lora_alpha=alpha, use_rslora=rslora, lora_dropout=0.0, target_modules=list(targets)))
    draw = Draw(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_A" in name:
                p.copy_(draw.normal(*p.shape, std=p.shape[1] ** -0.5))
            elif "lora_B" in name:
                p.copy_(draw.normal(*p.shape, std=0.5 * r ** -0.5))
    model.save_pretrained(folder)
    readme = os.path.join(folder, "README.md")
    if os.path.exists(readme):
        os.remove(readme)

    def change(c):
        c["target_modules"] = sorted(c["target_modules"])  # peft writes a set, in any order
        c["base_model_name_or_path"] = None
    _edit_json(os.path.join(folder, "adapter_config.json"), change)


SPELLINGS = {  # of spec 3.2: layer k (from 0) -> key without the parameter's name
    "hf": lambda k: f"multi_modal_projector.linear_{k + 1}.",
    "hf_memory": lambda k: f"model.multi_modal_projector.linear_{k + 1}.",
    "llava": lambda k: f"model.mm_projector.{2 * k}.",
    "llava_lora": lambda k: f"base_model.model.model.mm_projector.{2 * k}.",
}


def projector_start(path, seed, kind, width_in, width_out, spelling="hf", dtype="float32"):
    draw, out = Draw(seed), {}
    for k in range(projector_depth(kind)):
        n = width_in if k == 0 else width_out
        name = SPELLINGS[spelling](k) if kind != "linear" or spelling.startswith("hf") else SPELLINGS[spelling](0)
        out[name + "weight"] = draw.normal(width_out, n, std=1.2 * n ** -0.5).to(getattr(torch, dtype))
        out[name + "bias"] = draw.normal(width_out, std=0.2).to(getattr(torch, dtype))
    save_file(out, path, metadata={"format": "pt"})


def rows_start(path, seed, rows, width, dtype="float32"):
    draw = Draw(seed)
    save_file({"token_rows.embed_tokens": draw.normal(rows, width, std=0.7).to(getattr(torch, dtype)),
               "token_rows.lm_head": draw.normal(rows, width, std=1.2 * width ** -0.5).to(getattr(torch, dtype))},
              path, metadata={"format": "pt"})


def gen_head(seed, **sizes):
    head = Draw(seed).fill(GenHead(**sizes))
    with torch.no_grad():
        head.query_embs.copy_(Draw(seed + 1).normal(*head.query_embs.shape, std=0.8))
    return head


def gen_head_start(path, seed, spelling="plain", **sizes):
    save_file({GEN_HEAD_SPELLINGS[spelling](n): p.detach().contiguous() for n, p in gen_head(seed, **sizes).named_parameters()}, path,
              metadata={"format": "pt"})


# ------------------------------------------------------------------ pictures

def picture(path, seed, width, height, mode="RGB", fmt=None, **save):
    """A smooth gradient with two shapes and some noise: JPEG, PNG, GIF or WebP by the name or by fmt."""
    g = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    channels = [(120 + 60 * np.sin(x / (3 + 5 * g.random())) + 60 * np.cos(y / (3 + 5 * g.random()))) for _ in range(3)]
    a = np.stack(channels, -1) + g.normal(0, 6, (height, width, 3))
    a[height // 4:height // 2, width // 4:width // 2] = g.integers(0, 256, 3)
    a[(x - width * 0.7) ** 2 + (y - height * 0.6) ** 2 < (min(width, height) / 5) ** 2] = g.integers(0, 256, 3)
    im = Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))
    if mode == "RGBA":
        im.putalpha(Image.fromarray(g.integers(0, 256, (height, width), dtype=np.uint8)))
    elif mode == "P":
        im = im.quantize(16)
    elif mode != "RGB":
        im = im.convert(mode)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    im.save(path, format=fmt, **save)
