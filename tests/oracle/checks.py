"""What the programs write, held against the libraries it is meant for: checkpoints against peft and transformers, token ids
against Mistral's own vocabulary in two implementations, pictures against Pillow."""

import glob
import json
import os
import random
import shutil
import subprocess
from itertools import product

import h5py
import mistral_common
import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, CLIPImageProcessorPil, CLIPVisionModel, LlamaTokenizer, SiglipVisionModel

import conversation
import gen_head
import random_case
import records
import run_config
import tiny
from case import Case, dump_json, legacy
from pictures import Preprocessor


def run(command, **kw):
    p = subprocess.run(command, capture_output=True, text=True, errors="replace", **kw)
    if p.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {p.returncode}\n{p.stderr[-3000:]}")
    return p.stdout


# ------------------------------------------------------------------ checkpoints

def _differences(what, found, wanted):
    """found, wanted: name -> array; bit for bit."""
    bad = [f"{what}: {n} is missing" for n in wanted if n not in found]
    bad += [f"{what}: {n} is not what trained" for n in found if n not in wanted]
    return bad + [f"{what}: {n} differs from the dump" for n in wanted
                  if n in found and not np.array_equal(np.asarray(found[n], np.float32), wanted[n])]


def exports(cfg, checkpoint, last_dump):
    """The newest checkpoint's folders, loaded by their own libraries, hold what the last dump says."""
    params = {n.removeprefix("param/"): v for n, v in load_file(last_dump).items() if n.startswith("param/")}
    m, bad = cfg["model"], []

    def part(prefix):
        return {n: v for n, v in params.items() if n.startswith(prefix)}

    if m["llm"]["train"] == "lora":
        base = AutoModelForCausalLM.from_pretrained(m["llm"]["path"], dtype=torch.float32)
        peft = PeftModel.from_pretrained(base, checkpoint)
        found = {n.replace(".default.weight", ".weight"): p.detach().numpy() for n, p in peft.named_parameters() if "lora_" in n}
        bad += _differences("adapter", found, part("base_model."))
        c = peft.peft_config["default"]
        if (c.r, c.lora_alpha, c.use_rslora, set(c.target_modules)) != (
                m["lora"]["r"], m["lora"]["alpha"], m["lora"]["rslora"], set(m["lora"]["targets"])):
            bad.append(f"adapter_config.json: {c}")
    elif m["llm"]["train"] == "full":
        llm, info = AutoModelForCausalLM.from_pretrained(f"{checkpoint}/llm", dtype=torch.float32, output_loading_info=True)
        bad += [f"llm/: {k} {v}" for k, v in info.items() if v]
        found = {n: p.detach().numpy() for n, p in llm.named_parameters()}
        bad += _differences("llm/", found, {**part("model."), **part("lm_head.")})
        if not os.path.exists(f"{checkpoint}/llm/tokenizer.model"):
            bad.append("llm/: no tokenizer.model")
    if m["vision"]["path"] and m["vision"]["train"] == "full":
        clip = run_config.load_json(f"{m['vision']['path']}/config.json")["model_type"].startswith("clip")
        tower, info = (CLIPVisionModel if clip else SiglipVisionModel).from_pretrained(f"{checkpoint}/vision", dtype=torch.float32, output_loading_info=True)
        bad += [f"vision/: {k} {v}" for k, v in info.items() if v and k != "unexpected_keys"]
        found = {f"vision_model.{n}": p.detach().numpy() for n, p in tower.named_parameters()}
        wanted = part("vision_model.")
        bad += _differences("vision/", {n: v for n, v in found.items() if n in wanted}, wanted)
    if part("multi_modal_projector."):
        bad += _differences("projector", load_file(f"{checkpoint}/projector.safetensors"), part("multi_modal_projector."))
    if part("token_rows."):
        bad += _differences("token rows", load_file(f"{checkpoint}/token_rows.safetensors"), part("token_rows."))
        bad += _row_names(cfg, f"{checkpoint}/token_rows.json")
    if part("gen_head."):
        bad += _head(f"{checkpoint}/gen_head.safetensors", f"{checkpoint}/gen_head_config.json", part("gen_head."))
    return bad


def _head(weights, config, wanted):
    """torch's head of the sizes that gen_head_config.json names takes the file as it is."""
    with open(config, encoding="utf-8") as f:
        c = json.load(f)
    head = gen_head.GenHead(c["input"], c["context"], **{k: c[k] for k in ("width", "heads", "ff", "encoder_layers", "decoder_layers", "queries")})
    head.load_state_dict({n: torch.from_numpy(v) for n, v in load_file(weights).items()})
    return _differences("head", {f"gen_head.{n}": p.detach().numpy() for n, p in head.named_parameters()}, wanted)


def _row_names(cfg, path):
    tokens = cfg["model"]["tokens"]
    first = run_config.load_json(os.path.join(cfg["model"]["llm"]["path"], "config.json"))["vocab_size"]
    texts = [t for t in map((tokens["task"] or {}).get, conversation.TASKS) if t] + [f"[IMG{k}]" for k in range(tokens["image"])]
    wanted = {t: first + i for i, t in enumerate(texts)}
    with open(path, encoding="utf-8") as f:
        found = json.load(f)
    return [] if found == wanted else [f"token_rows.json: {found}, wanted {wanted}"]


# ------------------------------------------------------------------ token ids

EXAMPLE = ["<image>\nWhat is in the photo?\nAnswer the question using a single word or phrase.", "Dog", "Is it asleep?", "No"]
V1_IDS = [1, 330, 10706, 1444, 264, 13903, 2188, 304, 396, 18278, 10895, 13892, 28723, 415, 13892, 5212, 10865, 28725, 10537, 28725,
          304, 27057, 11194, 298, 272, 2188, 28742, 28713, 4224, 28723, 2223, 725, 28747, 28705, -200, 28705, 13, 3195, 349, 297, 272,
          8428, 28804, 13, 2820, 16981, 272, 2996, 1413, 264, 2692, 1707, 442, 14804, 28723, 8602, 8048, 12738, 28747, 13311, 2, 2223,
          725, 28747, 1691, 378, 15231, 28804, 8602, 8048, 12738, 28747, 1770, 2]
INSTRUCT_IDS = [1, 733, 16289, 28793, 28705, -200, 28705, 13, 3195, 349, 297, 272, 8428, 28804, 13, 2820, 16981, 272, 2996, 1413, 264,
                2692, 1707, 442, 14804, 28723, 733, 28748, 16289, 28793, 13311, 28705, 2, 733, 16289, 28793, 1691, 378, 15231, 28804,
                733, 28748, 16289, 28793, 1770, 28705, 2]
KNOWN = {"v1": (V1_IDS, [59, 60, 72, 73]), "mistral_instruct": (INSTRUCT_IDS, [30, 31, 32, 44, 45, 46])}


class HuggingFace:
    """LlamaTokenizer of transformers as conversation.llava_reference wants it: the tokenizers library's BPE. Not for runs of
    spaces: the merges that transformers derives from the vocabulary join those first, SentencePiece (and LLaVA) last; and
    it adds no prefix to a stretch that begins with a space."""

    def __init__(self, folder):
        self.t = LlamaTokenizer.from_pretrained(folder, legacy=True)

    def encode(self, text):
        return self.t.encode(text, add_special_tokens=False)


def read_samples(folder):
    """(ids, trained) of every sample of prepared shards, in order."""
    out = []
    for path in sorted(glob.glob(f"{folder}/*.h5")):
        with h5py.File(path) as f:
            off, ids, mask = f["/sample/tok_off"][:], f["/tok/id"][:], f["/tok/mask"][:]
            out += [(ids[a:b].tolist(), (mask[a:b] & 1).astype(bool).tolist()) for a, b in zip(off[:-1], off[1:])]
    return out


def _real_vocabulary_case(folder, template, rows):
    """A run on Mistral's own vocabulary: only config.json and tokenizer are read of a model that starts at random."""
    llm, vision = f"{folder}/llm", f"{folder}/vision"
    os.makedirs(llm, exist_ok=True)
    source = os.path.join(os.path.dirname(mistral_common.__file__), "data", "tokenizer.model.v1")
    shutil.copy(source, f"{llm}/tokenizer.model")
    dump_json(f"{llm}/config.json", {"model_type": "mistral", "vocab_size": 32000, "hidden_size": 8, "intermediate_size": 8,
                                     "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1})
    if not os.path.exists(vision):
        tiny.siglip(vision, 1, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=1, image_size=28,
                    patch_size=14)
    c = Case(f"{folder}/{template}", llm, vision)
    c.picture("a.png", 20, 30)
    c.source(rows)
    c.write({"model": {"llm": {"train": "frozen", "init": "random"}, "tokens": {"task": None, "image": 0}},
             "data": {"template": template}})
    return f"{c.folder}/config.json"


def tokens(build, folder, seed, n_rows=200):
    r, bad, compared = random.Random(seed), [], 0
    rows = [legacy(EXAMPLE, "a.png"), legacy(["Hello there", "Hi! How can I help?"])]
    for i in range(n_rows):
        turns = []
        for _ in range(r.randint(1, 3)):
            turns += [random_case.text(r, 1, 8), random_case.text(r, 1, 12)]
        if r.random() < 0.5:
            turns[0] = random_case.mark(r, turns[0], 1)
        rows.append(legacy(turns, *(["a.png"] if "<image>" in turns[0] else [])))
    for template in ("v1", "mistral_instruct", "llava_llama_2"):
        config = _real_vocabulary_case(folder, template, rows)
        run([f"{build}/prepare", "--config", config, "--out", f"{folder}/{template}/shards"])
        found, cfg = read_samples(f"{folder}/{template}/shards"), run_config.load(config)
        sp = conversation.load_tokenizer(f"{folder}/llm/tokenizer.model")
        hf = HuggingFace(f"{folder}/llm")
        v = conversation.Vocabulary(32000, None, 0)
        wanted = records.load_mixture(cfg)
        if len(found) != len(wanted):
            return [f"tokens, {template}: {len(found)} samples, wanted {len(wanted)}"]
        if template in KNOWN:
            ids, marked = KNOWN[template]
            if found[0] != (ids, [i in marked for i in range(len(ids))]):
                bad.append(f"tokens, {template}: the worked example gives {found[0]}")
        for rec, (ids, trained) in zip(wanted, found):
            e = conversation.encode(rec, template, v, sp, 2048, 4)
            if (e.ids, e.trained) != (ids, trained):
                bad.append(f"tokens, {template}: {rec.turns}\n{ids}\nwanted\n{e.ids}\ntrained {trained}\nwanted {e.trained}")
            prompt = "".join(p[1] if p[0] == "text" else "|" for parts in conversation.assemble(rec, template, v)
                             for p in parts)
            plain = "  " not in prompt and "| " not in prompt and all(s not in t for _, t in rec.turns
                                               for s in ("</s>", "<s>", "<unk>", "[/INST]", "ASSISTANT:"))
            theirs = conversation.llava_reference(rec, template, hf) if plain else None
            if theirs:
                compared += 1
                labels = [i if t else conversation.IGNORE for i, t in zip(ids, trained)]
                if theirs != (ids, labels):
                    bad.append(f"tokens, {template}: LLaVA with LlamaTokenizer differs: {rec.turns}\n{ids}\n{theirs[0]}")
    print(f"tokens: {3 * len(rows)} rows equal SentencePiece's, {compared} of them LLaVA's with LlamaTokenizer; {len(bad)} differ")
    return bad


# ------------------------------------------------------------------ pictures

def _tower(folder, kind, r, resample):
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 1, "image_size": r.randint(14, 90),
             "patch_size": 7, "prep": {"mean": [r.random() for _ in range(3)], "resample": resample}}
    if kind == "siglip":
        tiny.siglip(folder, 1, **sizes)
    else:
        tiny.clip_vision(folder, 1, shorter=sizes["image_size"] + r.randint(0, 9) if kind == "clip" else None, **sizes)


def _by_transformers(folder, truth, path):
    """What is wrong with pixels and tensor of a picture beside transformers' own processor of CLIP."""
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    with Image.open(path) as im:
        im = im.convert("RGB")
    pixels = processor(im, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    same = np.array_equal(pixels, truth.pixels(path)) and np.array_equal(processor(im, return_tensors="np")["pixel_values"][0],
                                                                         truth.tensor(path))
    return [] if same else [f"pictures: {path} is not what CLIPImageProcessor makes of it"]


def pictures(build, folder, seed, n=60):
    """Every picture after decoding, padding and resizing, as `inspect --pixels` writes it."""
    r, bad = random.Random(seed), []
    tiny.llm(f"{folder}/llm", 1, 330, vocab_size=330, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
             num_key_value_heads=1)
    for kind in ("siglip", "clip", "old clip"):
        for aspect, resample in product(("pad", "stretch"), range(4)):
            name = f"{kind}-{aspect}-{resample}"
            _tower(f"{folder}/vision-{name}", kind, r, resample)
            c = Case(f"{folder}/{name}", f"{folder}/llm", f"{folder}/vision-{name}", seed=r.randrange(10 ** 6))
            files = [p for _ in range(max(1, n // 32)) for p in random_case.draw_pictures(c, r, prefix=str(_))]
            c.source([legacy(["<image>", "x"], p) for p in files])
            c.write({"model": {"llm": {"train": "frozen"}, "vision": {"aspect": aspect}, "tokens": {"task": None, "image": 0}}})
            config = f"{c.folder}/config.json"
            run([f"{build}/prepare", "--config", config, "--out", f"{c.folder}/shards"])
            shard, = glob.glob(f"{c.folder}/shards/*.h5")
            truth = Preprocessor(f"{folder}/vision-{name}", aspect)
            for i, p in enumerate(files):
                ppm = f"{c.folder}/{i}.ppm"
                run([f"{build}/inspect", shard, "--sample", str(i), "--image", "0", "--pixels", ppm, "--config", config])
                found, wanted = np.asarray(Image.open(ppm)), truth.pixels(c.path("images", p))
                if not np.array_equal(found, wanted):
                    bad.append(f"pictures: {name} {p} {Image.open(c.path('images', p)).mode} "
                               f"{Image.open(c.path('images', p)).format}: {(found != wanted).sum()} of {wanted.size} values differ")
                if kind != "siglip" and aspect == "stretch":
                    bad += _by_transformers(f"{folder}/vision-{name}", truth, c.path("images", p))
    print(f"pictures: {len(bad)} differ from Pillow's")
    return bad
