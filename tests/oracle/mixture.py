"""What a mixture holds, read and counted in Python: tests/fixtures/mixture, with what `prepare --export` and `prepare --stats` must say.

    python3 tests/oracle/mixture.py          # needs sentencepiece and Pillow

Rows are read by records.py and encoded by conversation.py; all pairs of pictures are compared. Paths in the results start with @ROOT@.
"""

import hashlib
import json
import os
import random
import re

from PIL import Image

import conversation
import records

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "fixtures", "mixture")
IMAGES = os.path.normpath(os.path.join(HERE, "..", "fixtures", "images"))
MODEL = os.path.join(HERE, "..", "fixtures", "parity", "bases", "llm-gqa")
PATCHES = 4         # of vision-only
MAX_TOKENS = 90
NEAR = 4
PERCENTILES = (50, 75, 90, 95, 99)


# ------------------------------------------------------------------ the mixture

def write_rows():
    rng = random.Random(7)
    talk, drawn, again = [], [], []
    yes = ["Yes", "Yes ", "no", "A picture.", "It is grün \U0001f600."]
    for i in range(24):
        row = {"id": i % 20 if i % 3 else str(i), "conversations": []}
        if i % 2:
            row["image"] = rng.choice(["rgb.jpg", "palette1.png", "alpha.webp", "cmyk.png", "gone.jpg", "./plain.gif"])
        for k in range(rng.choice([1, 1, 2, 6])):
            marker = "<image>\n" if i % 2 and not k else ""
            row["conversations"] += [{"from": "human", "value": f"{marker}Question {i} {k}?"}, {"from": "gpt", "value": rng.choice(yes)}]
        talk.append(row)
    talk.append({"id": "long", "conversations": [{"from": "human", "value": "Tell"}, {"from": "gpt", "value": "a long story " * 40}]})
    talk.append({"id": "first", "conversations": [{"from": "gpt", "value": "Hi"}, {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A\0B"}]})
    for i in range(12):
        target = rng.choice(["rgba.png", "rgb.png", "ycck.jpg", "la.png", "offset.gif"])
        row = {"uid": f"drawn/{i}", "task": "generate" if i % 3 else "edit", "images": [{"path": target, "role": "target"}],
               "turns": [{"from": "human", "value": f"Draw {i % 4}"}, {"from": "gpt", "value": "<gen>"}],
               "sd": {"prompt": f"thing {i % 4}"}, "scores": {"clip": round(rng.random(), 3), "n": i}, "weight": i / 4}
        if i % 3 == 0:
            row["images"] = [{"path": "grey2.png", "role": "input"}, {"path": target, "role": "target"}, {"path": "rgb.jpg", "role": "mask"}]
            row["turns"][0]["value"] = "<image>\n" + row["turns"][0]["value"]
            row["sd"].update(src_prompt="before", instruction="Do it")
            row["prov"] = {"file": "f.json", "index": i, "license": "cc0", "curator": None, "model": "m", "template": "t", "request": "q"}
            row["split"] = "val"
        if i == 5:
            row["system"] = "You draw."
        drawn.append(row)
    for i in range(10):
        old = talk[i + 3]
        turns = [dict(t) for t in old["conversations"]]
        if i % 2:
            turns[0]["value"] = turns[0]["value"].upper().replace("<IMAGE>", "<image>").replace("QUESTION", "question  ").replace("?", " !")
        again.append({**{k: v for k, v in old.items() if k == "image"}, "conversations": turns})
    for name in ("sub0.jpg", "animated.gif", "palette8.png", "rgba16.png", "interlaced_palette.png", "grey16.png", "palette1.png"):
        again.append({"image": name, "conversations": [{"from": "human", "value": "<image>\nWhat is new?"}, {"from": "gpt", "value": "Yes"}]})
    write("talk.json", json.dumps(talk, ensure_ascii=False, indent=1))
    write("drawn.jsonl", "".join(json.dumps(r) + "\n" for r in drawn))
    write("again.json", json.dumps(again))


def write(name, text):
    with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as f:
        f.write(text)


EXCLUDED = ["la.png", "animated"]


def mixture(near):
    lists = {"exclude_image_ids": "excluded.txt"} if near == "drop" else {}
    return {"epoch": 60, "near_duplicates": near, **lists, "sources": [
        {"name": "talk", "files": ["talk.json"], "image_root": "../images", "license": "cc-by-4.0", "weight": 1},
        {"name": "drawn", "files": ["drawn.jsonl"], "image_root": "../images", "weight": 2.5, "filter": {"clip": [0.2, None]}},
        {"name": "again", "files": ["again.json"], "image_root": "../images", "weight": 0.5},
    ]}


# ------------------------------------------------------------------ reading

def dhash(path):
    p = Image.open(path).convert("RGB").convert("L").resize((9, 8), Image.BILINEAR).tobytes()
    return sum((p[9 * y + x + 1] > p[9 * y + x]) << (63 - 8 * y - x) for y in range(8) for x in range(8))


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def images_of(row):
    if "turns" in row:
        return [(i["path"], i.get("role", "input")) for i in row["images"]] if "images" in row else []
    return [(row["image"], "input")] if "image" in row else []


def found_name(path):
    """The name that a picture is found under: its own, or the one with another ending."""
    found = None if os.path.exists(os.path.join(IMAGES, path)) else records._find(IMAGES, path)
    return os.path.relpath(found, IMAGES) if found else path


def export_line(row, source, uid, record):
    raw = row.get("turns") or row["conversations"]
    images = [{"path": "@ROOT@/" + found_name(path), "role": role} for path, role in images_of(row)]
    prov = {k: v for k, v in row.get("prov", {}).items() if v is not None}
    if "license" not in prov and "license" in source:
        prov["license"] = source["license"]
    line = {"schema": "genllava.sample/1", "uid": uid, "source": row.get("source", source["name"]) if "turns" in row else source["name"], "task": record.task}
    if "split" in row:
        line["split"] = row["split"]
    line["images"] = images
    if "system" in row:
        line["system"] = row["system"]
    line["turns"] = [{"from": t["from"], "value": t["value"]} for t in raw]
    for key, keys in (("sd", ("prompt", "src_prompt", "instruction")), ("scores", None)):
        if key in row:
            line[key] = {k: row[key][k] if keys else float(row[key][k]) for k in keys or row[key] if k in row[key]}
    if prov:
        line["prov"] = {k: prov[k] for k in ("file", "index", "license", "curator", "model", "template", "request") if k in prov}
    if record.weight != 1:
        line["weight"] = record.weight
    return line


def normalise(text):
    return " ".join(re.sub("[A-Z]", lambda m: m.group().lower(), text.replace("<image>", "")).split()).rstrip(" .!?")


class Row:
    pass


def read(m):
    """All rows; .bad, or .left_out, or neither."""
    with open(os.path.join(MODEL, "config.json"), encoding="utf-8") as f:
        vocabulary = conversation.Vocabulary(json.load(f)["vocab_size"], {"understand": "[I2T]", "generate": "[T2I]", "edit": "[I2I]"}, 8)
    tokenizer = conversation.load_tokenizer(os.path.join(MODEL, "tokenizer.model"))
    used, out = set(), []
    for number, source in enumerate(m["sources"]):
        for k, raw in enumerate(records._rows(os.path.join(FOLDER, source["files"][0]))):
            r = Row()
            out.append(r)
            uid = raw.get("uid")
            wanted = f"{source['name']}/{raw.get('id', k)}"
            for n in range(len(used) + 1):
                if uid is not None and uid not in used:
                    break
                uid = wanted + (f"#{n}" if n else "")
            used.add(uid)
            r.source, r.uid, r.raw, r.left_out = number, uid, raw, None
            r.record = records._record(0, raw, source, IMAGES)
            r.bad, r.task = r.record.reject, r.record.task
            for score, (least, most) in source.get("filter", {}).items():
                if not (least is None or raw["scores"][score] >= least) or not (most is None or raw["scores"][score] <= most):
                    r.left_out = "filtered"
            r.images = images_of(raw)
            listed = any(os.path.basename(p) in EXCLUDED or os.path.splitext(os.path.basename(p))[0] in EXCLUDED for p, _ in r.images)
            if "exclude_image_ids" in m and listed and not r.left_out:
                r.left_out = "excluded"
            r.line = export_line(raw, source, uid, r.record)
            if r.bad or r.left_out:
                continue
            whole = conversation.encode(r.record, "mistral_instruct", vocabulary, tokenizer, 10 ** 9, PATCHES)
            cut = conversation.encode(r.record, "mistral_instruct", vocabulary, tokenizer, MAX_TOKENS, PATCHES)
            r.whole, r.tokens = (conversation.expanded_length(e.ids, PATCHES) for e in (whole, cut))
            r.trained, r.cut = sum(cut.trained), sum(whole.trained) - sum(cut.trained)
    return out


def find_near(rows, drop):
    """Sets .near of rows: (their picture, the earlier row's source and picture, bits)."""
    kept = []  # (hash, number of its name by first mention, path, source) of rows that stay
    names = []
    for r in rows:
        r.near = None
        if r.left_out:
            continue
        names += [path for path, _ in r.images if path not in names]
        if r.bad:
            continue
        shown = [(dhash(records._find(IMAGES, path)), path) for path, role in r.images if role != "mask"]
        for h, path in shown:
            best = min(((bin(h ^ other).count("1"), k) for k, (other, _, source) in enumerate(kept) if source < r.source), default=(65, 0))
            if best[0] <= NEAR:
                # of equal distance the first of those with the same hash, by when their names were first met
                ties = [c for c in kept if c[2] < r.source and bin(h ^ c[0]).count("1") == best[0]]
                r.near = (path, *ties[0][1:], best[0])
                break
        if r.near:
            r.left_out = "duplicate" if drop else None
            continue
        kept += [(h, path, r.source) for h, path in shown if path not in [c[1] for c in kept]]
    return names


# ------------------------------------------------------------------ counting

def lengths(rows):
    n = sorted(r.whole for r in rows)
    rank = {f"p{p}": n[-(-len(n) * p // 100) - 1] for p in PERCENTILES}
    return {"least": n[0], **rank, "most": n[-1], "mean": sum(n) / len(n)}


def counts(rows):
    bad = {}
    for why in ("missing", "bad_turns"):
        n = sum(not r.left_out and r.bad == why for r in rows)
        if n:
            bad[why] = n
    return {"bad": bad, "left_out": {w: sum(r.left_out == w for r in rows) for w in ("filtered", "duplicate", "excluded")}}


def pairs(found, names):
    """(source, earlier) of each row."""
    n = {}
    for pair in found:
        n[pair] = n.get(pair, 0) + 1
    return [{"source": names[a], "earlier": names[b], "rows": k} for (a, b), k in sorted(n.items(), key=lambda i: (-i[1], i[0]))]


def count(m):
    rows = read(m)
    named = find_near(rows, m["near_duplicates"] == "drop")
    good = [r for r in rows if not r.bad and not r.left_out]
    names = [s["name"] for s in m["sources"]]
    usable = [sum(r.source == i for r in good) for i in range(len(names))]
    scale = m["epoch"] / sum(s["weight"] * n for s, n in zip(m["sources"], usable))
    out = {"schema": "genllava.stats/1", "rows": len(good), **counts(rows), "sources": []}
    for i, s in enumerate(m["sources"]):
        mine = [r for r in good if r.source == i]
        copies = s["weight"] * scale
        out["sources"].append({
            "name": s["name"], "rows": len(mine), "tasks": {t: sum(r.task == t for r in mine) for t in conversation.TASKS},
            **counts([r for r in rows if r.source == i]), "pictures": len({p for r in mine for p, _ in r.images}),
            "tokens": sum(r.tokens for r in mine), "trained_tokens": sum(r.trained for r in mine),
            "cut_rows": sum(r.cut > 0 for r in mine), "lengths": lengths(mine),
            "near_rows": sum(r.near is not None for r in rows if r.source == i), "weight": float(s["weight"]), "epoch_rows": copies * len(mine),
            "share_of_rows": copies * len(mine), "share_of_tokens": copies * sum(r.tokens for r in mine)})
    for key in ("share_of_rows", "share_of_tokens"):
        whole = sum(s[key] for s in out["sources"])
        for s in out["sources"]:
            s[key] /= whole
    out.update(epoch_rows=sum(s["epoch_rows"] for s in out["sources"]), lengths=lengths(good), max_tokens=MAX_TOKENS,
               cut_rows=sum(r.cut > 0 for r in good), cut_trained_tokens=sum(r.cut for r in good))
    found = {p: records._find(IMAGES, p) for p in named}
    files = {sha256(p): os.path.getsize(p) for p in found.values() if p}
    missing = sum(p is None for p in found.values())
    out["pictures"] = {"names": len(named), "files": len(files), "bytes": sum(files.values()),
                       "renamed": sum(p is not None and not os.path.exists(os.path.join(IMAGES, name)) for name, p in found.items()),
                       "bad": {"missing": missing} if missing else {}}
    said = {}
    for r in good:
        for human, text in ((t["from"] == "human", t["value"]) for t in r.line["turns"]):
            if not human and text.strip() not in ("", "<gen>"):
                said[text.strip()] = said.get(text.strip(), 0) + 1
    often = sorted(((n, text) for text, n in said.items() if n > 1), key=lambda i: -i[0])[:20]  # stable: equal ones as they are met
    out["answers"] = [{"text": text, "n": n} for n, text in often]
    first, equal = {}, []
    for r in good:
        key = (r.task, tuple((t["from"], normalise(t["value"])) for t in r.line["turns"]),
               tuple((role, sha256(records._find(IMAGES, p))) for p, role in r.images))
        if key in first:
            equal.append((r, first[key]))
        first.setdefault(key, r)
    across = [(a, b) for a, b in equal if a.source != b.source]
    out["equal_rows"] = {"rows": len(equal), "across_sources": len(across), "sources": pairs([(a.source, b.source) for a, b in across], names),
                         "examples": [{"uid": a.uid, "earlier": b.uid} for a, b in across[:5]]}
    near = [r for r in rows if r.near]
    told = []
    for r in near:
        if r.near[0] not in [t.near[0] for t in told]:
            told.append(r)
    same = sum(sha256(found[r.near[0]]) == sha256(found[r.near[1]]) for r in near)
    out["near_pictures"] = {"near_duplicates": m["near_duplicates"], "rows": len(near), "same_file": same,
                            "sources": pairs([(r.source, r.near[2]) for r in near], names),
                            "examples": [{"picture": r.near[0], "source": names[r.source], "earlier": r.near[1],
                                          "earlier_source": names[r.near[2]], "bits": r.near[3]} for r in told[:5]]}
    return out, [r.line for r in good]


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def main():
    write_rows()
    write("excluded.txt", "# pictures to test with\n" + "".join(f" {name}\n" for name in EXCLUDED))
    for near in ("keep", "drop"):
        write(f"{near}.json", json.dumps(mixture(near), indent=1) + "\n")
        stats, lines = count(mixture(near))
        write(f"{near}-stats.json", dump(stats))
        write(f"{near}-export.jsonl", "".join(map(dump, lines)))


if __name__ == "__main__":
    main()
