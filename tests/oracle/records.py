"""The rows of a mixture: LLaVA JSON arrays and unified JSONL, normalised to one shape, numbered over the mixture."""

import json
import os
from dataclasses import dataclass, field

from run_config import load_json


@dataclass
class Record:
    number: int
    task: str
    weight: float
    turns: list            # of (is_human, text)
    inputs: list           # absolute paths, in order
    targets: list
    copies: float = 1      # how often the mixture takes it in an epoch; with a fraction: once more in some of them
    reject: str = None     # reason, when it cannot be used
    raw_turns: int = 0
    system: str = ""       # replaces the template's own
    uid: str = ""          # of a unified row
    sd: dict = field(default_factory=dict)  # what a diffusion model is told
    text: object = field(default=None, repr=False)  # conversation.Encoded, set by whoever encodes


def clean_text(text):
    """Surrogate pairs joined, lone surrogates to U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _turns(raw):
    """Drops a leading turn that is not human and a last one without an answer; None when they do not alternate."""
    turns = [(t.get("from"), t.get("value")) for t in raw]
    if turns and turns[0][0] == "system":
        turns = turns[1:]
    if any(who not in ("human", "gpt") or not isinstance(text, str) for who, text in turns):
        return None
    if turns and turns[0][0] != "human":
        turns = turns[1:]
    if turns and turns[-1][0] == "human":
        turns = turns[:-1]
    if not turns or any(who != ("human", "gpt")[i % 2] for i, (who, _) in enumerate(turns)):
        return None
    return [(who == "human", clean_text(text)) for who, text in turns]


ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".webp")


def _find(root, path):
    """The file as named, or the same stem with another image extension; what is no such extension belongs to the stem."""
    full = os.path.join(root, path)
    if os.path.exists(full):
        return full
    stem, ending = os.path.splitext(os.path.basename(full))
    stem += "" if ending.lower() in ENDINGS else ending
    folder = os.path.dirname(full)
    if os.path.isdir(folder):
        names = {n.lower(): n for n in sorted(os.listdir(folder), reverse=True)}
        for ext in ENDINGS:
            if (stem + ext).lower() in names:
                return os.path.join(folder, names[(stem + ext).lower()])
    return None


def _record(number, row, source, root):
    r = Record(number, row.get("task", source.get("task", "understand")), float(row.get("weight", 1.0)), [], [], [])
    if "turns" in row:
        raw, images = row["turns"], row.get("images") or []
    else:
        raw = row.get("conversations") or []
        image = row.get("image")
        images = [{"path": p, "role": "input"} for p in (image if isinstance(image, list) else [image] if image else [])]
        r.weight = 1.0
    r.sd = row.get("sd") or {}
    r.uid = row.get("uid", "")
    r.turns = _turns(raw)
    r.raw_turns = len(raw) - (bool(raw) and raw[0].get("from") == "system")
    r.system = clean_text(row.get("system") or (raw[0].get("value") if raw and raw[0].get("from") == "system" else ""))
    if r.turns is None:
        r.reject = "bad_turns"
        return r
    for im in images:
        full = _find(root, im["path"])
        if full is None:
            r.reject = "missing"
            return r
        {"input": r.inputs, "target": r.targets}.get(im.get("role", "input"), []).append(full)
    markers = sum(text.count("<image>") for human, text in r.turns if human)
    gens = sum(text.count("<gen>") for human, text in r.turns if not human)
    if markers != len(r.inputs) or gens != len(r.targets):
        r.reject = "marker_mismatch"
    elif all(not text for human, text in r.turns if not human):
        r.reject = "no_trained_tokens"
    return r


def prompts(record):
    """What describes each target to the diffusion model's text encoder, in order of the markers."""
    out = []
    for (_, question), (_, answer) in zip(record.turns[::2], record.turns[1::2]):
        told = [record.sd.get("prompt"), record.sd.get("instruction") if record.task == "edit" else None,
                question.replace("<image>", "").strip()]
        out += [next(text for text in told if text is not None)] * answer.count("<gen>")
    return out


def _rows(path):
    with open(path, encoding="utf-8-sig") as f:
        text = f.read()
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def load_mixture(cfg):
    """Every record of the mixture in file order, rejected ones included."""
    mixture, base = cfg["data"]["mixture"], cfg["base_dir"]
    if isinstance(mixture, str):
        base = os.path.dirname(mixture)
        mixture = load_json(mixture)
    sources = mixture["sources"] if isinstance(mixture, dict) else mixture
    out = []
    for s in sources:
        taken = 0
        s["first"] = len(out)
        for name in s["files"]:
            path = os.path.join(base, name)
            root = os.path.join(base, s["image_root"]) if s.get("image_root") else os.path.dirname(path)
            for row in _rows(path):
                if s.get("max") and taken >= s["max"]:
                    break
                taken += 1
                out.append(_record(len(out), row, s, root))
        s["last"] = len(out)
    _copies(mixture, sources, out)
    return out


def _copies(mixture, sources, records):
    weights = [float(s.get("weight", 1.0)) for s in sources]
    epoch = mixture.get("epoch", "natural") if isinstance(mixture, dict) else "natural"
    if epoch != "natural":
        usable = [sum(1 for r in records[s["first"]:s["last"]] if not r.reject) for s in sources]
        scale = epoch / sum(n * w for n, w in zip(usable, weights))
        weights = [w * scale for w in weights]
    for s, w in zip(sources, weights):
        for r in records[s["first"]:s["last"]]:
            r.copies = w
