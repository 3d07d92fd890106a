"""A parity case on disk: config.json, mixture.json, rows, pictures, starting points; models may be shared between cases."""

import json
import os

import tiny
from conversation import Vocabulary


def dump_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    text = json.dumps(value, indent=1, ensure_ascii=False)
    if any(0xD800 <= ord(c) < 0xE000 for c in text):  # lone surrogates can only be written as escapes
        text = json.dumps(value, indent=1)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "\n")


def legacy(turns, *images, id=None):
    """A LLaVA row: turns are question, answer, question, …"""
    row = {"id": id or "row", "conversations": [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(turns)]}
    if images:
        row["image"] = images[0] if len(images) == 1 else list(images)
    return row


def unified(uid, task, turns, inputs=(), targets=(), weight=None, sd=None):
    row = {"schema": "genllava.sample/1", "uid": uid, "task": task,
           "images": [{"path": p, "role": "input"} for p in inputs] + [{"path": p, "role": "target"} for p in targets],
           "turns": [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(turns)]}
    if weight is not None:
        row["weight"] = weight
    if sd is not None:
        row["sd"] = sd
    return row


class Case:
    def __init__(self, folder, llm, vision=None, diffusion=None, seed=1):
        """llm, vision, diffusion: folders of base models."""
        self.folder, self.llm, self.vision, self.diffusion, self.seed = folder, llm, vision, diffusion, seed
        self.sources, self.mixture_extra = [], {}
        self.rows = []
        self.inline = False  # the list of sources stands in the config
        os.makedirs(folder, exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def relative(self, path):
        return os.path.relpath(path, self.folder)

    def picture(self, name, width, height, seed=None, **kw):
        tiny.picture(self.path("images", name), seed if seed is not None else self.seed + len(name) + width, width, height, **kw)
        return name

    def source(self, rows, name="rows", **extra):
        """Rows in the unified schema go to a JSONL file, others to a LLaVA array."""
        jsonl = "turns" in rows[0]
        self.rows += rows
        file = f"{name}.jsonl" if jsonl else f"{name}.json"
        if jsonl:
            with open(self.path(file), "w", encoding="utf-8") as f:
                for r in rows:
                    f.write(json.dumps(r, ensure_ascii=False) + "\n")
        else:
            dump_json(self.path(file), rows)
        root = {"image_root": "images"} if os.path.isdir(self.path("images")) else {}
        self.sources.append({"name": name, "files": [file], **root, **extra})

    def write(self, config):
        """Writes the mixture, the starting points that the config needs, and config.json."""
        if not self.inline:
            dump_json(self.path("mixture.json"), {"schema": "genllava.mixture/1", "sources": self.sources, **self.mixture_extra})
        with open(os.path.join(self.llm, "config.json"), encoding="utf-8") as f:
            c = json.load(f)
        model = config.setdefault("model", {})
        model.setdefault("llm", {})["path"] = self.relative(self.llm)
        if self.vision:
            model.setdefault("vision", {})["path"] = self.relative(self.vision)
            self._projector(model, c["hidden_size"])
        if model["llm"].get("train", "lora") == "lora":
            lora = model.setdefault("lora", {})
            lora["dropout"], lora["init"] = 0, "start/lora"
            tiny.lora_start(self.path("start", "lora"), self.seed + 1, self.llm, lora["r"], lora["alpha"],
                            lora.get("targets", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
                            lora.get("rslora", False))
        self._rows(model, c)
        if self.diffusion:
            model.setdefault("diffusion", {})["path"] = self.relative(self.diffusion)
            self._gen_head(model, c["hidden_size"])
            self._replay(config)
        data = config.setdefault("data", {})
        data["mixture"] = self.sources if self.inline else "mixture.json"
        data.setdefault("shuffle", False)
        config.setdefault("train", {})["compute"] = "f32"
        if self.diffusion:
            config["train"]["winograd"] = False
        dump_json(self.path("config.json"), {"//": "made by tests/oracle", "device": "cpu", **config})

    def _projector(self, model, width):
        with open(os.path.join(self.vision, "config.json"), encoding="utf-8") as f:
            v = json.load(f)
        p = model.setdefault("projector", {})
        spelling = p.pop("spelling", "hf")
        p["init"] = "start/projector.safetensors"
        os.makedirs(self.path("start"), exist_ok=True)
        tiny.projector_start(self.path(p["init"]), self.seed + 2, p.get("type", "mlp2x_gelu"),
                             v.get("vision_config", v)["hidden_size"], width, spelling)

    def _replay(self, config):
        """The numbers of every row that is drawn: all that dropout can do, one after the other."""
        tasks = [t for t in ("generate", "edit") if config.get("loss", {}).get(t) == "noise"]
        rows = [r for r in self.rows if r.get("task") in tasks]
        if not rows:
            return
        with open(os.path.join(self.diffusion, "vae", "config.json"), encoding="utf-8") as f:
            vae = json.load(f)
        side = config["model"]["diffusion"]["size"] // 2 ** (len(vae["block_out_channels"]) - 1)
        tiny.replay(self.path("start", "replay.safetensors"), self.seed + 5, [r["uid"] for r in rows], vae["latent_channels"], side)
        config["debug"] = {"replay": "start/replay.safetensors"}

    def _gen_head(self, model, width):
        with open(os.path.join(self.diffusion, "text_encoder", "config.json"), encoding="utf-8") as f:
            text = json.load(f)
        head = model.setdefault("gen_head", {})
        spelling, head["init"] = head.pop("spelling", "plain"), "start/gen_head.safetensors"
        head["queries"] = text["max_position_embeddings"]
        os.makedirs(self.path("start"), exist_ok=True)
        tiny.gen_head_start(self.path(head["init"]), self.seed + 4, spelling, width_in=width, context=text["hidden_size"],
                            **{k: head[k] for k in ("width", "heads", "ff", "encoder_layers", "decoder_layers", "queries")})

    def _rows(self, model, c):
        tokens = model.setdefault("tokens", {})
        task = tokens.get("task", {"understand": "[I2T]", "generate": "[T2I]", "edit": "[I2I]"})
        rows = Vocabulary(c["vocab_size"], task, tokens.get("image", 8)).rows
        if rows:
            tokens["init"] = "start/token_rows.safetensors"
            os.makedirs(self.path("start"), exist_ok=True)
            tiny.rows_start(self.path(tokens["init"]), self.seed + 3, rows, c["hidden_size"])
