"""What `curate request` writes, by a second implementation of the README's section on it, with Python's json, base64 and hmac.
    python tests/oracle/curate_requests.py fixtures               makes tests/fixtures/curate/requests anew
    python tests/oracle/curate_requests.py check BUILD [N] [SEED]  compares N random cases with what the program writes
`make parity PARITY="--only requests"` calls check."""

import base64
import hashlib
import hmac
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

from PIL import Image

IMAGES = "tests/fixtures/images"
FIXTURES = "tests/fixtures/curate/requests"
KIND_TASKS = {"conversation": "understand", "detail": "understand", "reasoning": "understand", "draw": "generate", "edit": "edit"}
ROLES = {"understand": ["input"], "generate": ["target"], "edit": ["input", "target", "mask"]}
MAGIC = [(b"\xff\xd8\xff", "jpeg"), (b"\x89PNG", "png"), (b"GIF8", "gif"), (b"RIFF", "webp")]


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def template_of(recipe):
    return hashlib.sha256((recipe.get("system") or "").encode() + b"\0" + recipe["user"].encode()).hexdigest()


def custom_id(template, uid):
    return hmac.new(template.encode(), uid.encode(), hashlib.sha256).hexdigest()[:32]


def pictures_of(record, task):
    """[(path, role)] of a record, unified or plain."""
    if "images" in record or "schema" in record:
        return [(i["path"], i.get("role", "input")) for i in record.get("images", [])]
    paths = record.get("image", [])
    paths = [paths] if isinstance(paths, str) else paths
    return [(p, "target" if task == "generate" or (task == "edit" and k) else "input") for k, p in enumerate(paths)]


def field_of(record, name):
    if ("images" in record or "schema" in record) and record.get("task") in ("generate", "edit"):
        caption = "src_prompt" if record["task"] == "edit" else "prompt"
        inside = {"caption": caption, "instruction": "instruction", "output": "prompt"}.get(name)
        if inside:
            return record.get("sd", {}).get(inside)
    return record.get(name)


def text_of(value):
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def prompt_of(recipe, record):
    return re.sub(r"\{([a-z_]+)\}", lambda m: text_of(field_of(record, m.group(1))), recipe["user"])


def data_url(root, path, max_side):
    """None: cut down, so that only its size is foreseen."""
    with open(os.path.join(root, path), "rb") as f:
        data = f.read()
    if max(Image.open(io.BytesIO(data)).size) > max_side:
        return None
    kind = next(name for magic, name in MAGIC if data.startswith(magic))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def request(recipe, record, root, api, detail, max_side):
    """The request and its line of records.jsonl but for the place."""
    task = KIND_TASKS[recipe["kind"]]
    pictures = pictures_of(record, task)
    which = recipe.get("images") or "all"
    sent = [p for role in ("input", "target") for p, its in pictures if its == role and which in ("all", role)]
    urls = [data_url(root, p, max_side) for p in sent]
    chat, text = api == "chat", prompt_of(recipe, record)
    body = {"model": recipe["model"]}
    if recipe.get("temperature") is not None:
        body["temperature"] = recipe["temperature"]
    json_mode = {"type": "json_object"}
    body["max_completion_tokens" if chat else "max_output_tokens"] = recipe.get("max_tokens", 700)
    body["response_format" if chat else "text"] = json_mode if chat else {"format": json_mode}
    body.update(recipe.get("body") or {})
    system = recipe.get("system")
    if chat:
        content = [{"type": "text", "text": text}]
        content += [{"type": "image_url", "image_url": {"url": u, "detail": detail}} for u in urls]
        body["messages"] = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": content}]
    else:
        content = [{"type": "input_text", "text": text}]
        content += [{"type": "input_image", "image_url": u, "detail": detail} for u in urls]
        if system:
            body["instructions"] = system
        body["input"] = [{"role": "user", "content": content}]
    name = custom_id(template_of(recipe), record["uid"])
    line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions" if chat else "/v1/responses", "body": body}
    caption = field_of(record, "caption") if task == "edit" else None
    about = {"custom_id": name, "uid": record["uid"], "source": record.get("source"), "split": record.get("split"),
        "license": record.get("prov", {}).get("license") or record.get("license"),
        "images": [{"path": p, "role": role} for p, role in pictures if role in ROLES[task]],
        "src_prompt": caption if isinstance(caption, str) and caption else None}
    return line, about


def write(requests, out, max_lines, max_bytes):
    """Fills files in order up to both limits."""
    os.makedirs(out)
    files, about = [[]], []
    for line, record in requests:
        data = dumps(line).encode()
        size = sum(len(d) + 1 for d in files[-1])
        if len(files[-1]) == max_lines or (files[-1] and size + len(data) + 1 > max_bytes):
            files.append([])
            size = 0
        files[-1].append(data)
        about.append(dumps({**record, "file": len(files) - 1, "offset": size, "bytes": len(data)}).encode())
    for k, lines in enumerate(files):
        with open(f"{out}/requests-{k:05d}.jsonl", "wb") as f:
            f.write(b"".join(d + b"\n" for d in lines))
    with open(f"{out}/records.jsonl", "wb") as f:
        f.write(b"".join(d + b"\n" for d in about))


WORDS = ["a cat", "two dogs", "\"quoted\"", "back\\slash", "tab\there", "line\nbreak", "{user}", "{not a field}", "naïve", "猫", "🙂", "</s>", ""]
PICTURES = ["rgb.jpg", "rgb.png", "alpha.webp", "grey.gif", "gif_named.jpg", "progressive.jpg", "palette4.png"]


def phrase(draw):
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 4)))


def random_recipe(draw, kind):
    system = draw.choice([None, "Answer in json. " + phrase(draw)])
    fields = draw.sample(["{caption}", "{notes}", "{uid}", "{score}", "{", "}", "{A}", "{}", "{two words}"], draw.randint(0, 5))
    recipe = {"schema": "genllava.recipe/1", "name": "random", "kind": kind, "user": "Reply in JSON: " + " ".join(fields), "model": "m-1"}
    if system:
        recipe["system"] = system
    if kind == "detail":
        recipe["question"] = "What?"
    if draw.random() < 0.5:
        recipe["max_tokens"] = draw.randint(1, 4000)
    if draw.random() < 0.5:
        recipe["temperature"] = draw.choice([0.0, 0.7, 1.5, None])
    if draw.random() < 0.5:
        recipe["images"] = draw.choice(["all", "none", "target" if kind == "draw" else "input"])
    if draw.random() < 0.5:
        recipe["body"] = {"seed": 7, "metadata": {"x": [1, 0.5, "é"], "y": None}, "store": False}
    return recipe


def random_record(draw, k, task):
    uid = f"r/{k}" + draw.choice(["", "é", " b", "\"c\""])
    inputs, target = draw.sample(PICTURES, draw.randint(1, 2)), draw.choice(PICTURES)
    fields = {"uid": uid, "notes": [phrase(draw) for _ in range(draw.randint(0, 3))], "score": draw.choice([1, -5, 0.25, [1, 2]])}
    if draw.random() < 0.5:
        paths = {"understand": inputs, "generate": [target], "edit": [inputs[0], target]}[task]
        record = {**fields, "image": paths[0] if len(paths) == 1 and draw.random() < 0.5 else paths, "caption": phrase(draw) + "."}
        return {**record, **draw.choice([{}, {"source": "mine", "license": "cc0-1.0", "split": "val"}])}
    images = [(p, "input") for p in inputs] if task != "generate" else []
    images += [(target, "target")] if task != "understand" or draw.random() < 0.3 else []
    images += [("rgb.png", "mask")] if draw.random() < 0.3 else []
    draw.shuffle(images)
    sd = {"prompt": phrase(draw) + ".", "src_prompt": phrase(draw) + ".", "instruction": "change it"}
    record = {"schema": "genllava.sample/1", **fields, "task": task, "images": [{"path": p, "role": r} for p, r in images], "sd": sd}
    if task == "understand":
        record["caption"] = phrase(draw)
    if draw.random() < 0.5:
        record.update(source="set", split="train", prov={"license": "cc-by-4.0", "curator": None})
    return record


def random_case(seed, folder):
    """A recipe, records, options, and what is wanted."""
    draw = random.Random(seed)
    kind = draw.choice(list(KIND_TASKS))
    recipe = random_recipe(draw, kind)
    records = [random_record(draw, k, KIND_TASKS[kind]) for k in range(draw.randint(1, 12))]
    options = {"api": draw.choice(["chat", "responses"]), "detail": draw.choice(["low", "high", "auto"]), "max_side": 768}
    limits = {"max_lines": draw.randint(1, 8), "max_bytes": draw.choice([190000000, 12000])}
    with open(f"{folder}/recipe.json", "w") as f:
        json.dump(recipe, f)
    with open(f"{folder}/records.jsonl", "w") as f:
        f.writelines(json.dumps(r, ensure_ascii=draw.random() < 0.5) + "\n" for r in records)
    write([request(recipe, r, IMAGES, **options) for r in records], f"{folder}/wanted", **limits)
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in {**options, **limits}.items()]
    return [f"--recipe={folder}/recipe.json", f"--records={folder}/records.jsonl", f"--image-root={IMAGES}", *flags]


def compare(build, seed, folder):
    """None, or what differs."""
    arguments = random_case(seed, folder)
    done = subprocess.run([f"{build}/curate", "request", *arguments, f"--out={folder}/found"], capture_output=True, text=True)
    if done.returncode:
        return f"exit {done.returncode}: {done.stderr}"
    wanted = sorted(os.listdir(f"{folder}/wanted"))
    if sorted(os.listdir(f"{folder}/found")) != sorted(wanted + ["recipe.json"]):
        return f"other files: {sorted(os.listdir(f'{folder}/found'))}, wanted {wanted}"
    for name in wanted:
        with open(f"{folder}/found/{name}", "rb") as a, open(f"{folder}/wanted/{name}", "rb") as b:
            if a.read() != b.read():
                return f"{name} differs"
    return None


def check(build, n, seed):
    """Complaints of n random cases."""
    complaints = []
    for k in range(seed, seed + n):
        folder = tempfile.mkdtemp()
        why = compare(build, k, folder)
        if why:
            complaints.append(f"seed {k} in {folder}: {why}")
        else:
            shutil.rmtree(folder)
    return complaints


def fixtures():
    """Cases of every kind, with the command's options in a file beside them."""
    shutil.rmtree(FIXTURES, ignore_errors=True)
    for seed in (6, 22, 25, 28, 35, 44):
        folder = f"{FIXTURES}/{seed}"
        os.makedirs(folder)
        arguments = random_case(seed, folder)
        with open(f"{folder}/options", "w") as f:
            f.writelines(a + "\n" for a in arguments)


if __name__ == "__main__":
    if sys.argv[1] == "fixtures":
        fixtures()
    else:
        found = check(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 50, int(sys.argv[4]) if len(sys.argv) > 4 else 0)
        print("\n".join(found) or "requests: the same bytes")
        sys.exit(bool(found))
