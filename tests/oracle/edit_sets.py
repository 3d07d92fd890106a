"""Small folders in the published layouts of InstructPix2Pix and MagicBrush, with what is odd about the real ones, and the unified rows that a
reading of them from the papers' repositories gives. `make test` compares data/records with these rows.

    python tests/oracle/edit_sets.py      # makes tests/fixtures/edit_sets anew"""

import json
import os
import random
import shutil

from PIL import Image

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "edit_sets")
DRAW = random.Random(16)


def write(path, text):
    path = os.path.join(HERE, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)


def picture(path):
    path = os.path.join(HERE, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    colour = tuple(DRAW.randrange(256) for _ in range(3))
    Image.new("RGB", (8, 8), colour).save(path, **({"quality": 100} if path.endswith("jpg") else {}))


# ---------------------------------------------------------------- InstructPix2Pix


def metadata(seed, direction, **more):
    return {"seed": seed, "p2p_threshold": round(DRAW.random(), 4), "cfg_scale": round(5 + 5 * DRAW.random(), 4),
            "clip_sim_0": round(0.2 + 0.1 * DRAW.random(), 4), "clip_sim_1": round(0.2 + 0.1 * DRAW.random(), 4),
            "clip_sim_dir": direction, "clip_sim_image": round(0.7 + 0.2 * DRAW.random(), 4), **more}


def prompt(i, **more):
    return {"input": f"a photo of thing {i}", "edit": f"make it number {i}", "output": f"a photo of number {i}", **more}


def make_instructpix2pix():
    """Twenty folders with pictures, one without, and an entry of seeds.json that leads out."""
    pairs = {i: [str(DRAW.randrange(1, 2**32))] for i in range(20)}
    pairs[1] = ["9", "10", "1234567890", "55", "1"]
    pairs[4] = ["41", "42"]
    pairs[8] = ["81", "82"]
    prompts = {i: prompt(i) for i in pairs}
    prompts[2] = {"caption": "  ein Bild \u201eim Regen\u201c\n", "edit": "\tsetz ihm einen \"Hut\" auf \ud83e\udd99".encode("utf-16", "surrogatepass")
                  .decode("utf-16") + " ", "output": "Bild mit Hut \u3000", "url": "http://example.org/2"}
    prompts[3] = {"edit": "paint it red"}
    prompts[7] = {"input": None, "caption": "not this", "edit": "turn it", "output": ""}
    lines = {i: [metadata(int(s), round(0.1 + 0.3 * DRAW.random(), 4)) for s in seeds] for i, seeds in pairs.items()}
    first = int(pairs[0][0])
    lines[0] = [metadata(first, 0.11), metadata(777, 0.9), metadata(first, 0.31, note="again", clip_sim_1=1)]
    lines[1] = [metadata(9, 0.2), metadata(10, 0.35), metadata(1234567890, 0.1999), metadata(55, 0.35)]  # "1" has no line
    for i, seeds in pairs.items():
        folder = f"instructpix2pix/{i:07}"
        for seed in seeds:
            picture(f"{folder}/{seed}_0.jpg")
            if i != 6:
                picture(f"{folder}/{seed}_1.jpg")
        write(f"{folder}/prompt.json", json.dumps(prompts[i], ensure_ascii=i % 2 == 0))
        write(f"{folder}/metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines[i]))
    os.remove(f"{HERE}/instructpix2pix/0000005/prompt.json")
    os.remove(f"{HERE}/instructpix2pix/0000007/metadata.jsonl")
    write("instructpix2pix/0000004/prompt.json", '{"edit": "make it new", "output": "a new')
    torn = json.dumps(metadata(81, 0.3)) + "\n" + json.dumps(metadata(82, 0.3))[:40]
    write("instructpix2pix/0000008/metadata.jsonl", torn)
    write("instructpix2pix/0000099/prompt.json", json.dumps(prompt(99)))
    listed = [[f"{i:07}", seeds] for i, seeds in pairs.items()]
    listed.insert(10, ["../outside", ["5"]])
    write("instructpix2pix/seeds.json", json.dumps(listed))


def listing(root, listed):
    if listed:
        with open(f"{root}/seeds.json", encoding="utf-8") as f:
            return json.load(f)
    found = []
    for name in sorted(os.listdir(root)):
        folder = f"{root}/{name}"
        names = sorted(n for n in os.listdir(folder) if n.endswith("_0.jpg")) if os.path.isdir(folder) else []
        if names:
            found.append([name, [n[:-len("_0.jpg")] for n in names]])
    return found


def scores_of(folder):
    scores = {}
    if os.path.exists(f"{folder}/metadata.jsonl"):
        with open(f"{folder}/metadata.jsonl", encoding="utf-8") as f:
            for line in f:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                numbers = {k: float(v) for k, v in row.items() if k != "seed" and isinstance(v, (int, float))}
                scores[str(row["seed"])] = numbers
    return scores


def present(items):
    return {k: v for k, v in items if v is not None and v != "" and v != []}


def row(name, uid, split, images, instruction, sd, scores, prov):
    question = "".join("<image>\n" for _, role in images if role == "input") + instruction
    return present([("schema", "genllava.sample/1"), ("uid", f"{name}/{uid}"), ("source", name), ("task", "edit"), ("split", split),
                    ("images", [{"path": path, "role": role} for path, role in images]),
                    ("turns", [{"from": "human", "value": question}, {"from": "gpt", "value": "<gen>"}]), ("sd", present(sd)),
                    ("scores", scores or None), ("prov", prov)])


def instructpix2pix(split, listed=True, least=None, each=0, license=None):
    root, rows = f"{HERE}/instructpix2pix", []
    folders = listing(root, listed)
    n = len(folders)
    bounds = {"train": (0, int(0.9 * n)), "val": (int(0.9 * n), int(0.95 * n))}[split]
    for name, seeds in folders[slice(*bounds)]:
        folder = os.path.normpath(f"{root}/{name}")
        bad = None
        if os.path.dirname(folder) != root:
            bad = "outside_root"
        elif not os.path.exists(f"{folder}/prompt.json"):
            bad = "missing"
        else:
            try:
                with open(f"{folder}/prompt.json", encoding="utf-8") as f:
                    said = json.load(f)
            except ValueError:
                bad = "bad_json"
        if bad:
            rows += [{"bad": bad, "uid": f"ip2p/{name}/{seed}"} for seed in seeds]
            continue
        scores = scores_of(folder)
        passed = [s for s in seeds if least is None or scores.get(s, {}).get("clip_sim_dir", float("-inf")) >= least]
        best = sorted(passed, key=lambda s: -scores.get(s, {}).get("clip_sim_dir", float("-inf")))[:each or None]
        source = said.get("input") if "input" in said else said.get("caption")
        for seed in seeds:
            if seed not in passed:
                rows.append({"bad": "filtered", "uid": f"ip2p/{name}/{seed}"})
            elif seed in best:
                edit = said["edit"].strip()
                rows.append(row("ip2p", f"{name}/{seed}", split, [(f"{name}/{seed}_0.jpg", "input"), (f"{name}/{seed}_1.jpg", "target")], edit,
                                [("prompt", (said.get("output") or "").strip()), ("src_prompt", (source or "").strip()), ("instruction", edit)],
                                scores.get(seed), present([("file", "prompt.json"), ("index", int(name)), ("license", license)])))
    return rows


# ---------------------------------------------------------------- MagicBrush


def make_magicbrush():
    sessions = {
        "139": [{"input": "139-input.png", "mask": "139-mask1.png", "output": "139-output1.png", "instruction": "add a cat"},
                {"input": "139-output1.png", "mask": "139-mask2.png", "output": "139-output2.png", "instruction": "make the cat \u201ered\u201c "},
                {"input": "139-output2.png", "mask": "139-mask3.png", "output": "139-output3.png", "instruction": "remove the table"}],
        "33471": [{"instruction": "let it snow"}, {"input": None, "output": "", "instruction": "more snow"}],
        "7": [{"output": "7-final.png", "instruction": "a first step"}, {"instruction": "a second step"}],
        "8": [{"input": "8-input.png", "output": "8-output1.png"}, {"instruction": "the turn before says nothing"}],
        "9": [5, {"instruction": "the turn before is none"}],
        "10": [{"input": "../../../dev/images/20/20-input.png", "instruction": "from another split"}],
        "11": [{"instruction": "  its caption is empty  "}, {"instruction": 11}, {"output": 12, "instruction": "its output is no name"}],
        "12": [],
    }
    captions = {"139": {"139-input.png": "a room", "139-output1.png": "a room with a cat", "139-output2.png": " a room with a red cat\n"},
                "11": {"11-output1.png": " "}, "33471": {"33471-output2.png": None}}
    for name in ("139-input", "139-mask1", "139-mask2", "139-mask3", "139-output1", "139-output2", "139-output3", "33471-input", "33471-mask1",
                 "33471-output1", "33471-output2", "7-input", "7-final", "7-output2", "7-mask2", "8-input", "8-output1", "8-output2", "9-output1",
                 "9-output2", "11-input", "11-output1", "10-output1"):
        picture(f"magicbrush/train/images/{name.split('-')[0]}/{name}.png")
    write("magicbrush/train/edit_sessions.json", json.dumps(sessions, indent=4))
    write("magicbrush/train/global_captions.json", json.dumps(captions))
    write("magicbrush/train/local_captions.json", json.dumps({"139-output3.png": "these are not read"}))
    for name in ("20-input", "20-output1", "20-output2"):
        picture(f"magicbrush/dev/images/20/{name}.png")
    write("magicbrush/dev/edit_sessions.json", json.dumps({"20": [{"instruction": "first"}, {"instruction": "second"}]}))
    write("magicbrush/dev/local_descriptions.json", json.dumps({"20-output1.png": "these are not read"}))
    write("magicbrush/dev/local_captions.json", json.dumps({"20-output2.png": "what the second shows"}))


CAPTIONS = ("global_descriptions", "global_description", "global_captions", "local_captions", "local_descriptions")


def magicbrush(split, below):
    """below: of the folder of the split, from the root."""
    folder, rows, captions = f"{HERE}/magicbrush/{'train' if split == 'train' else 'dev'}", [], {}
    for name in CAPTIONS:
        if os.path.exists(f"{folder}/{name}.json"):
            with open(f"{folder}/{name}.json", encoding="utf-8") as f:
                captions = json.load(f)
            break
    with open(f"{folder}/edit_sessions.json", encoding="utf-8") as f:
        sessions = json.load(f)
    for key, turns in sessions.items():
        last = None
        for k, turn in enumerate(turns, 1):
            uid = f"magic/{key}/{k}"
            given = turn if isinstance(turn, dict) else {}
            output = given.get("output") or f"{key}-output{k}.png"
            source = given.get("input") or (f"{key}-input.png" if k == 1 else last)
            mask = given.get("mask") or f"{key}-mask{k}.png"
            last = output if isinstance(output, str) else f"{key}-output{k}.png"
            images = [(source, "input"), (output, "target")]
            if given.get("mask") or os.path.exists(f"{folder}/images/{key}/{mask}"):
                images.append((mask, "mask"))
            if not given or not isinstance(given.get("instruction", ""), str) or not all(isinstance(name, str) for name, _ in images):
                rows.append({"bad": "bad_json", "uid": uid})
                continue
            if any(name.startswith("../../..") for name, _ in images):
                rows.append({"bad": "outside_root", "uid": uid})
                continue
            instruction = given.get("instruction", "").strip()
            if not instruction:
                rows.append({"bad": "bad_turns", "uid": uid})
                continue
            of_session = captions.get(key)
            caption = (of_session.get(output) if isinstance(of_session, dict) else captions.get(output)) or ""
            rows.append(row("magic", f"{key}/{k}", split, [(f"{below}images/{key}/{name}", role) for name, role in images], instruction,
                            [("prompt", caption.strip() or instruction), ("instruction", instruction)], None,
                            {"file": "edit_sessions.json", "license": "cc-by-4.0"}))
    return rows


def which(rows):
    """Only which rows there are."""
    return [{"uid": r["uid"], **({"bad": r["bad"]} if "bad" in r else {})} for r in rows]


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    make_instructpix2pix()
    make_magicbrush()
    expected = {
        "ip2p-train": instructpix2pix("train"),
        "ip2p-val": instructpix2pix("val", license="mit"),
        "ip2p-best": which(instructpix2pix("train", least=0.2, each=1)),
        "ip2p-two": which(instructpix2pix("train", each=2)),
        "ip2p-rebuilt": which(instructpix2pix("train", listed=False)),
        "ip2p-rebuilt-val": which(instructpix2pix("val", listed=False)),
        "magic-train": magicbrush("train", "train/"),
        "magic-val": magicbrush("val", "dev/"),
        "magic-dev": magicbrush("val", ""),
    }
    for name, rows in expected.items():
        write(f"{name}.jsonl", "".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in rows))
        print(f"{name}: {len(rows)} rows, {sum('bad' in r for r in rows)} of them bad or filtered")


if __name__ == "__main__":
    main()
