"""Folders of requests and files of replies drawn with every oddity, through `curate ingest` and through curate_ingest.py. Called by
parity.py (--only curate) and curate_ingest_fixtures.py."""

import hashlib
import hmac
import json
import os
import random
import re
import subprocess

import h5py
import numpy

from curate_ingest import KINDS, STRICTER, Gate, ingest, loads


# ---------------------------------------------------------------- drawing

def custom_id(template, uid):
    return hmac.new(template.encode(), uid.encode(), hashlib.sha256).hexdigest()[:32]


def draw_requests(rng, folder, kind, n, api, most_picture=40000):
    """A folder as `curate request` makes it."""
    os.makedirs(folder, exist_ok=True)
    system, user = "You reply in JSON.", 'Say "what" you see\\.\nAs JSON: {caption}'
    template = hashlib.sha256((system + "\0" + user).encode()).hexdigest()
    recipe = {"schema": "genllava.recipe/1", "name": kind + "-x", "kind": kind, "system": system, "user": user, "model": "m",
              "max_tokens": rng.choice([1, 400, 700]), "images": "all", "words": KINDS[kind][2]}
    if kind == "detail":
        recipe["question"] = "What is there?"
    json.dump({**recipe, "template_sha256": template}, open(f"{folder}/recipe.json", "w"))
    roles = {"understand": ["input"], "generate": ["target"], "edit": ["input", "target", "mask"]}[KINDS[kind][0]]
    file, offset, out, records = 0, 0, open(f"{folder}/requests-00000.jsonl", "wb"), []
    for i in range(n):
        uid = rng.choice([f"a/{i}", f"\u00fc\u3042-{i}", f"x \"{i}\" \\"])
        images = [{"path": f"p{rng.randrange(3)}/{i % 7}.png", "role": r} for r in roles]
        if roles == ["input"] and rng.random() < 0.2:
            images.append({"path": "second.jpg", "role": "input"})
        cid = custom_id(template, uid)
        parts = [{"type": "text", "text": user.replace("{caption}", f"thing {i}")},
                 {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * rng.randrange(most_picture), "detail": "low"}}]
        if api == "chat":
            body = {"model": "m", "temperature": 0.5, "max_completion_tokens": recipe["max_tokens"],
                    "response_format": {"type": "json_object"},
                    "messages": [{"role": "system", "content": system}, {"role": "user", "content": parts}]}
        else:
            parts[0]["type"] = "input_text"
            parts[1] = {"type": "input_image", "image_url": parts[1]["image_url"]["url"], "detail": "low"}
            body = {"model": "m", "max_output_tokens": recipe["max_tokens"], "text": {"format": {"type": "json_object"}},
                    "instructions": system, "input": [{"role": "user", "content": parts}]}
        line = {"custom_id": cid, "method": "POST", "url": "/v1/x", "body": body}
        line = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()
        if i and rng.random() < 0.1:
            out.close()
            file, offset = file + 1, 0
            out = open(f"{folder}/requests-{file:05d}.jsonl", "wb")
        records.append({"custom_id": cid, "uid": uid, "source": rng.choice([None, "set"]), "split": rng.choice([None, "train"]),
                        "license": rng.choice([None, "cc0"]), "images": images,
                        "src_prompt": rng.choice([None, "A quiet street by day.", f"thing {i}"]) if kind == "edit" else None,
                        "file": file, "offset": offset, "bytes": len(line)})
        out.write(line + b"\n")
        offset += len(line) + 1
    out.close()
    with open(f"{folder}/records.jsonl", "w", encoding="utf-8") as f:
        for r in records:
            f.write(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n")
    return recipe, records


WORDS = ["a", "red", "street", "\u00c9t\u00e9", "sky", "dog,", "\u201cstop\u201d", "sees", "}", "the", "na\u00efve", "{x}", "blue.",
         "back\\slash", "\"quoted\"", "\U0001f600", "it's", "1", "two\tthree", "line\nbreak", ",]"]


def draw_text(rng, kind):
    roll = rng.random()
    if roll < 0.75:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(5, 12)))
    return rng.choice(["", " ", "Two words", "w " * 500, "\u2003 a b c d e f \u00a0", "<image> a b c d e f", "there is <gen> in a b c",
                       "one [IMG0] c d e f",
                       "<s> a b c d e f", "say </s> b c d e", "an [INST] b c d e", "x [/INST] b c d", "the CAPTION says a b c",
                       "a Bounding Box of c d",
                       "as the description provided says", "a b c \ufffd d e", "a b c \ud800 d e",
                       "\u8857\u9053 a \u8857\u9053\u8857\u9053 x y \u8857",
                       "\u043f\u0440\u0438\u0432\u0435\u0442 a b c d e", "abcd abcd abcd abcd abcd \u8857\u8857\u8857\u8857\u8857",
                       "abcd abcd abcd abcd \u8857\u8857\u8857\u8857 e",
                       "abcd abcd abcd abcd \u8857\u8857\u8857\u8857\u8857", "A quiet street by day",
                       " a QUIET street by day!?", "!thing 3 a b c d.", "a b c d e."])


def draw_value(rng, kind, shared):
    text = shared if rng.random() < 0.3 else draw_text(rng, kind)
    return rng.choice([None, 5, ["a"], {"a": text}]) if rng.random() < 0.04 else text


def draw_object(rng, kind):
    keys = KINDS[kind][1]
    shared = rng.choice(["make the street quiet now", "A quiet street by day.", "make  the STREET quiet now!"])
    def one():
        return {k: draw_value(rng, kind, shared) for k in keys if rng.random() > (0.5 if k == "expressive" else 0.03)}
    if kind != "conversation":
        return {**one(), **({"more": 1} if rng.random() < 0.1 else {})}
    if rng.random() < 0.06:
        return {"turns": rng.choice([None, [], "x", {}])}
    return {"turns": [one() if rng.random() > 0.02 else 7 for _ in range(rng.randint(1, 4))]}


def draw_content(rng, kind):
    text = json.dumps(draw_object(rng, kind), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 2]))
    roll = rng.random()
    if roll < 0.55:
        return text
    if roll < 0.60:
        return f"```json\n{text}\n```"
    if roll < 0.65:
        return f"Here \"it\" is: {text}\nHope it's {{fine}}."
    if roll < 0.70:
        return re.sub(r'(["\]}])(\s*)([}\]])', r"\1,\2\3", text)
    if roll < 0.73:
        return text.replace('"', "\u201c", 1).replace('"', "\u201d", 1)
    if roll < 0.76:
        return text.replace('": "', "\u201d: \u201c").replace('", "', "\u201d, \u201c")
    if roll < 0.79:
        return text[:rng.randrange(len(text) + 1)]
    if roll < 0.82:
        return f"[{text}]"
    if roll < 0.85 and kind != "conversation":
        key = KINDS[kind][1][0]
        return text.rstrip("}") + f', "{key}": "the last of two equal keys counts"}}'
    return rng.choice([
        "", "  \n", "I'm sorry, but I can't.", "**Sorry**, no.", "\u201cI\u2019m sorry\u201d", "  \"I CANNOT do it",
        "As an AI model I see " + "x" * 170,
        "As an AI model I see " + "x" * 200, "I see nothing.", "Unable to see {it}.", "i apologize", "null", "[]",
        "\"{}\"", "{}", "{\"a\":NaN}", "{" * 70 + "}" * 70,
        "I\u2018m afraid not", "'*\u201d i won't", "Well, sorry"])


def draw_chat(rng, kind):
    message = {"role": "assistant", "content": draw_content(rng, kind), "refusal": None}
    if rng.random() < 0.05:
        message["refusal"] = rng.choice(["No.", "", {"a": 1}])
        message["content"] = rng.choice([None, message["content"]])
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    roll = rng.random()
    if roll < 0.12:
        choice["finish_reason"] = rng.choice(["length", "content_filter", "tool_calls", None, 5, "STOP"])
    elif roll < 0.15:
        choice["message"] = rng.choice([None, "x", {}, {"content": None}, {"content": [{"type": "text", "text": "{}"}]}])
    body = {"id": "c", "object": "chat.completion", "model": "m-1", "choices": [choice], "usage": {"total_tokens": 3}}
    roll = rng.random()
    if roll < 0.04:
        body["choices"] = rng.choice([[], None, "x", [None], [5]])
    elif roll < 0.06:
        del body["choices"]
    elif roll < 0.08:
        body["model"] = rng.choice([None, 4])
    return body


def draw_responses(rng, kind):
    text = draw_content(rng, kind)
    cut = rng.randrange(len(text) + 1)
    parts = [{"type": "output_text", "text": t} for t in ([text] if rng.random() < 0.7 else [text[:cut], text[cut:]])]
    if rng.random() < 0.05:
        parts = [{"type": "refusal", "refusal": rng.choice(["No.", None])}]
    body = {"object": "response", "status": "completed", "incomplete_details": None, "model": "m-2",
            "output": [{"type": "reasoning", "content": [{"type": "output_text", "text": "{no"}]}, {"type": "message", "content": parts}]}
    roll = rng.random()
    if roll < 0.12:
        body["status"] = rng.choice(["incomplete", "incomplete", "failed", "in_progress", None])
        body["incomplete_details"] = rng.choice([None, {"reason": "max_output_tokens"}, {"reason": "content_filter"}, {"reason": "x"}, "x"])
        if body["status"] == "failed" and body["incomplete_details"] != "x":
            body["error"] = {"code": "server_error", "message": "m"} if body["incomplete_details"] else None
    elif roll < 0.15:
        body["output"] = rng.choice([[], None, "x", [{"type": "message", "content": "x"}], [5]])
    elif roll < 0.17:
        del body["output"]
    return body


def draw_line(rng, kind, api, cid):
    body = (draw_chat if (api == "chat") == (rng.random() < 0.9) else draw_responses)(rng, kind)
    line = {"id": "b", "custom_id": cid, "response": {"status_code": 200, "request_id": "r", "body": body}, "error": None}
    roll = rng.random()
    if roll < 0.03:
        line["response"] = rng.choice([None, "x", {"status_code": 200}, {"status_code": 200, "body": None}])
    elif roll < 0.06:
        line["error"] = rng.choice([{"code": "batch_expired", "message": "late"}, {}, "x", 0])
    elif roll < 0.10:
        line["response"]["status_code"] = rng.choice([0, 400, 401, 408, 409, 429, 499, 500, 503, None, "200", 200.0, True])
        line["response"]["body"] = rng.choice([None, {"error": {"message": "bad"}}, body])
    elif roll < 0.12:
        del line["error"]
    elif roll < 0.13:
        line["custom_id"] = rng.choice([None, 5, cid + "0", cid[:-1], cid.upper(), "", "unknown", cid + "\0"])
    text = json.dumps(line, ensure_ascii=rng.random() < 0.5, separators=rng.choice([(",", ":"), (", ", ": ")]))
    data = text.encode("utf-8", "surrogatepass") if rng.random() < 0.5 else re.sub("[\ud800-\udfff]", "\ufffd", text).encode()
    roll = rng.random()
    if roll < 0.02:
        data = data[:rng.randrange(len(data))]
    elif roll < 0.03:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([rng.choice([0, 0xFF, 0x80, 0x22])]) + data[at + 1:]
    elif roll < 0.04:
        data = rng.choice([b"[]", b"null", b"x", b"{}", b'{"custom_id":7}', b'{"custom_id":"%s","custom_id":"a"}' % cid.encode()])
    return data.replace(b"\n", b" ")


def draw_replies(rng, folder, kind, api, records):
    """Some files; each id is replied to by none, one or several lines."""
    lines = [draw_line(rng, kind, api, r["custom_id"]) for r in records for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 3]))]
    lines += rng.sample(lines, min(len(lines), 3))
    rng.shuffle(lines)
    paths = []
    for k in range(rng.randint(1, 3)):
        part, lines = (lines, []) if k == 2 else (lines[:len(lines) // 2], lines[len(lines) // 2:])
        ending = rng.choice([b"\n", b"\r\n", b"\n\n", b" \n\t\n"])
        paths.append(f"{folder}/replies-{k}.jsonl")
        with open(paths[-1], "wb") as f:
            f.write((b"\xef\xbb\xbf" if rng.random() < 0.2 else b"") + ending.join(part) + (ending if rng.random() < 0.8 else b""))
    with open(paths[-1], "ab") as f:
        f.write(b"\n" + b"\n".join(lines))
    return paths


def draw_features(rng, uids, width):
    def vector(near=None):
        v = [rng.gauss(0, 1) for _ in range(width)]
        return [0.0] * width if rng.random() < 0.02 else v if near is None else [a + 0.4 * b for a, b in zip(near, v)]
    features = {}
    for uid in uids:
        i0 = vector()
        i1 = vector(i0)
        features[uid] = [i0, i1, vector(i0), vector(i1)]
    return features


def write_features(path, features, width, variable):
    uids = list(features)
    with h5py.File(path, "w") as f:
        if variable:
            f.create_dataset("uid", data=uids, dtype=h5py.string_dtype())
        else:
            longest = max((len(u.encode()) for u in uids), default=1)
            f.create_dataset("uid", data=[u.encode() for u in uids], dtype=h5py.string_dtype("utf-8", longest))
        for k, name in enumerate(("image0", "image1", "text0", "text1")):
            rows = numpy.array([features[u][k] for u in uids], numpy.float32).reshape(len(uids), width)
            f.create_dataset(name, data=rows, **({"chunks": True, "compression": "gzip"} if variable and len(uids) else {}))
    return {u: [numpy.float32(v).astype(float).tolist() for v in features[u]] for u in uids}


# ---------------------------------------------------------------- comparing

def read_lines(path):
    data = open(path, "rb").read()
    assert not data or data.endswith(b"\n"), path
    return data.split(b"\n")[:-1]


def asked_stricter(line):
    """The request with STRICTER behind its user's text."""
    body = loads(line.decode())["body"]
    text = (body["messages"] if "messages" in body else body["input"])[-1]["content"][0]["text"]
    quoted = json.dumps(text, ensure_ascii=False).encode()
    at = line.rindex(b'"text":' + quoted) + len(b'"text":' + quoted) - 1
    return line[:at] + STRICTER + line[at:]


def same(ours, wanted):
    if isinstance(wanted, float):
        return abs(ours - wanted) <= 1e-12
    if isinstance(wanted, dict):
        return isinstance(ours, dict) and list(ours) == list(wanted) and all(same(ours[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return isinstance(ours, list) and len(ours) == len(wanted) and all(map(same, ours, wanted))
    return ours == wanted


def compare(base, wanted, counts):
    """What ingest wrote beside base.jsonl and to stdout; complaints."""
    bad = []
    def lists(name, ours, want):
        if len(ours) != len(want):
            bad.append(f"{base}{name}: {len(ours)} lines, wanted {len(want)}")
        for i, (a, b) in enumerate(zip(ours, want)):
            if not same(a, b):
                bad.append(f"{base}{name}:{i + 1}:\n    {a}\n    {b}")
    lists(".jsonl", [loads(line) for line in read_lines(f"{base}.jsonl")], wanted["records"])
    rejects = [loads(line) for line in read_lines(f"{base}.rejects.jsonl")]
    bad += [f"{base}: a reject without a message: {r}" for r in rejects if not r.pop("message")]
    lists(".rejects.jsonl", rejects, wanted["rejects"])
    for k, file in enumerate(wanted["retry"]):
        ours = read_lines(f"{base}.retry-{k:05d}.jsonl")
        lists(f".retry-{k:05d}.jsonl", ours, [asked_stricter(line) if stricter else line for line, stricter in file])
    if os.path.exists(f"{base}.retry-{len(wanted['retry']):05d}.jsonl"):
        bad.append(f"{base}: more retry files than {len(wanted['retry'])}")
    if list(counts) != list(wanted["counts"]) or counts != wanted["counts"]:
        bad.append(f"counts\n    {counts}\n    {wanted['counts']}")
    return bad


def one_case(run, build, folder, seed):
    rng = random.Random(seed)
    kind, api = rng.choice(sorted(KINDS)), rng.choice(["chat", "responses"])
    recipe, records = draw_requests(rng, f"{folder}/dir", kind, rng.choice([0, 1, 30, 200]), api)
    paths = draw_replies(rng, folder, kind, api, records)
    options, gate = [], {}
    if rng.random() < 0.5:
        gate["max_same"] = rng.choice([0, 1, 3])
        options += ["--max-same", str(gate["max_same"])]
    if rng.random() < 0.5:
        width, uids = rng.choice([1, 3, 16]), [f"{recipe['name']}/{r['uid']}" for r in records if rng.random() < 0.9]
        rng.shuffle(uids)
        gate["features"] = write_features(f"{folder}/f.h5", draw_features(rng, uids, width), width, rng.random() < 0.5)
        options += ["--features", f"{folder}/f.h5"]
        for key, flag in (("min_clip", "--min-clip"), ("min_clip_image", "--min-clip-image"), ("min_clip_dir", "--min-clip-dir")):
            if rng.random() < 0.4:
                gate[key] = round(rng.uniform(-0.5, 0.8), 2)
                options += [flag, str(gate[key])]
    limits = {}
    if rng.random() < 0.5:
        limits = {"max_lines": rng.choice([1, 7]), "max_bytes": rng.choice([60000, 190000000])}
        options += ["--max-lines", str(limits["max_lines"]), "--max-bytes", str(limits["max_bytes"])]
    wanted = ingest(f"{folder}/dir", paths, Gate(**gate), **limits)
    base, bad = f"{folder}/out", []
    for round_ in range(2):
        code, text = run([f"{build}/curate", "ingest", "--quiet", "--format", "json", "--requests", f"{folder}/dir", "--out",
                          f"{base}.jsonl", "--replies", *paths, *options])
        if code != (0 if wanted["records"] else 65):
            return [f"seed {seed}: exit {code}"]
        bad += [f"seed {seed} ({kind}, {api}): {b}" for b in compare(base, wanted, json.loads(text))]
        rng.shuffle(paths)
    return bad


def check(build, folder, seed, cases=60):
    def run(command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stdout
    bad = []
    for s in range(seed, seed + cases):
        os.makedirs(f"{folder}/{s}")
        bad += one_case(run, build, f"{folder}/{s}", s)
    return bad
