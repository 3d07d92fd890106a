"""`curate ingest` and `curate filter` written once more, for comparison: replies and requests to records, rejects and retry lines.
Called by curate_ingest_cases.py."""

import json
import math
import re

KINDS = {
    "conversation": ("understand", ["question", "answer"], {"question": [2, 60], "answer": [1, 300]}),
    "detail": ("understand", ["description"], {"description": [5, 400]}),
    "reasoning": ("understand", ["question", "answer"], {"question": [2, 60], "answer": [1, 300]}),
    "draw": ("generate", ["request", "caption"], {"request": [3, 60], "caption": [5, 200]}),
    "edit": ("edit", ["instruction", "output", "expressive"], {"instruction": [3, 60], "output": [5, 200], "expressive": [3, 120]}),
}
REFUSALS = ("i'm sorry", "i am sorry", "sorry", "i cannot", "i can't", "i can not", "i won't", "i'm unable", "i am unable", "i'm not able",
            "i am not able", "i apologize", "i'm afraid", "unable to", "as an ai")
STAGES = ("transport", "refusal", "parse", "schema", "consistency", "accepted")
RETRIED = {"join.absent", "transport.error", "transport.length", "transport.empty", "parse.bad_json"}


def loads(text):
    def refuse(word):
        raise ValueError(word)
    return json.loads(text, parse_constant=refuse)


# ---------------------------------------------------------------- one reply: (reason or None, retried, object, model)

def read_parts(parts, kind, text, refusal):
    """The text and refusal so far, with those of a list of parts."""
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict) and part.get("type") == kind and isinstance(part.get("text"), str):
            text += part["text"]
        elif isinstance(part, dict) and part.get("type") == "refusal":
            refusal = part.get("refusal")
    return text, refusal


def transport(line):
    """(reason, retried) or None, text, refusal, model."""
    if line.get("error") is not None or not isinstance(line.get("response"), dict):
        return ("transport.error", True), None, None, None
    response = line["response"]
    code = response.get("status_code")
    code = code if isinstance(code, (int, float)) and not isinstance(code, bool) else 0
    if code != 200:
        return ("transport.http", code in (0, 408, 409, 429) or code >= 500), None, None, None
    body = response.get("body")
    body = body if isinstance(body, dict) else {}
    model = body.get("model") if isinstance(body.get("model"), str) else None
    text, refusal = "", None
    if "choices" not in body and ("output" in body or "status" in body):
        why = body.get("incomplete_details")
        why = why.get("reason") if isinstance(why, dict) else None
        end = {"completed": "stop", "incomplete": {"max_output_tokens": "length", "content_filter": "content_filter"}.get(why)}
        end = end.get(body.get("status")) if isinstance(body.get("status"), str) else None
        if body.get("status") == "failed" and body.get("error") is not None:
            return ("transport.error", True), None, None, model
        for item in body["output"] if isinstance(body.get("output"), list) else []:
            if isinstance(item, dict) and item.get("type") == "message":
                text, refusal = read_parts(item.get("content"), "output_text", text, refusal)
    else:
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return ("transport.empty", True), None, None, model
        end = choices[0].get("finish_reason")
        message = choices[0].get("message")
        message = message if isinstance(message, dict) else {}
        text = message["content"] if isinstance(message.get("content"), str) else ""
        text, refusal = read_parts(message.get("content"), "text", text, message.get("refusal"))
    if end in ("length", "content_filter"):
        return (f"transport.{end}", end == "length"), None, None, model
    if end != "stop":
        return ("transport.finish", False), None, None, model
    if not text.strip() and refusal is None:
        return ("transport.empty", True), None, None, model
    return None, text, refusal, model


def refuses(text):
    if "{" in text or len(text) >= 200:
        return False
    start = text.replace("\u2019", "'").replace("\u2018", "'").lower()
    while start and (start[0].isspace() or start[0] in "\"'*\u201c\u201d"):
        start = start[1:]
    return start.startswith(REFUSALS)


def first_object(text):
    start = text.find("{")
    if start < 0:
        return None
    depth, quoted, i = 0, False, start
    while i < len(text):
        c = text[i]
        if quoted:
            if c == "\\":
                i += 1
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c == "{":
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == 0:
                return text[start:i + 1]
        i += 1
    return None


def without_commas(text):
    out, quoted, i = "", False, 0
    while i < len(text):
        c = text[i]
        if quoted and c == "\\":
            out += text[i:i + 2]
            i += 2
            continue
        if c == '"':
            quoted = not quoted
        if not (c == "," and not quoted and re.match(r"[ \t\r\n]*[}\]]", text[i + 1:])):
            out += c
        i += 1
    return out


def parse(text):
    def attempt(t):
        try:
            value = loads(t) if t is not None else None
        except ValueError:
            return None
        return value if isinstance(value, dict) else None
    found = attempt(text)
    if found is None:
        found = attempt(first_object(text))
    if found is None and "{" in text:
        repaired = text[text.find("{"):].replace("\u201c", '"').replace("\u201d", '"')
        found = attempt(first_object(without_commas(repaired)))
    return found


def foreign(text):
    other = latin = 0
    for c in map(ord, text):
        if c > 0x24F:
            other += not (0x2000 <= c <= 0x2BFF or 0xFE00 <= c <= 0xFE0F or 0x1F000 <= c <= 0x1FAFF)
        else:
            latin += chr(c).isascii() and chr(c).isalpha() or c >= 0xC0
    return other > 0.2 * (other + latin) and other * 5 > other + latin


def schema(recipe, reply):
    """(reason or None, list of dicts of texts)"""
    kind = recipe["kind"]
    _, keys, _ = KINDS[kind]
    turns = [reply]
    if kind == "conversation":
        turns = reply.get("turns")
        if not isinstance(turns, list) or not turns:
            return "schema.keys", None
    texts = []
    for turn in turns:
        if not isinstance(turn, dict):
            return "schema.keys", None
        found = {}
        for key in keys:
            if key == "expressive" and turn.get(key) is None:
                continue
            if not isinstance(turn.get(key), str):
                return "schema.keys", None
            found[key] = re.sub("[\ud800-\udfff]", "\ufffd", turn[key]).strip()
        texts.append(found)
    every = [(key, text) for found in texts for key, text in found.items()]
    words = recipe["words"]
    checks = [("too_short", lambda k, t: len(t.split()) < words[k][0]), ("too_long", lambda k, t: len(t.split()) > words[k][1]),
              ("marker", lambda k, t: any(m in t for m in ("<image>", "<gen>", "[IMG", "<s>", "</s>", "[INST]", "[/INST]"))),
              ("mentions", lambda k, t: any(m in t.lower() for m in ("caption", "bounding box", "description provided"))),
              ("encoding", lambda k, t: "\ufffd" in t or "\0" in t), ("language", lambda k, t: foreign(t))]
    for name, bad in checks:
        if any(bad(k, t) for k, t in every):
            return f"schema.{name}", None
    return None, texts


def as_caption(text):
    return text.strip().strip(".!?").lower()


def judge(recipe, record, line):
    """(reason or None, retried, texts, model, how far)"""
    found, text, refusal, model = transport(line)
    if found:
        return *found, None, model, 0
    if refusal is not None or refuses(text):
        return "refusal.refusal", False, None, model, 1
    reply = parse(text)
    if reply is None:
        return "parse.bad_json", True, None, model, 2
    reason, texts = schema(recipe, reply)
    if reason:
        return reason, False, None, model, 3
    if recipe["kind"] == "edit":
        output, instruction = as_caption(texts[0]["output"]), as_caption(texts[0]["instruction"])
        source = None if record["src_prompt"] is None else as_caption(record["src_prompt"])
        if output == source:
            return "consistency.same_as_source", False, None, model, 4
        if instruction in (output, source):
            return "consistency.instruction_is_caption", False, None, model, 4
    return None, False, texts, model, 5


# ---------------------------------------------------------------- the whole

def normalised(text):
    text = "".join(c.lower() if c.isascii() else c for c in text.replace("<image>", ""))
    return " ".join(text.split()).rstrip(".!?")


def make(recipe, record, texts, model):
    task = KINDS[recipe["kind"]][0]
    marks = "<image>\n" * sum(i["role"] == "input" for i in record["images"])
    first, turns, sd = texts[0], [], None
    if recipe["kind"] in ("conversation", "reasoning"):
        for t in texts:
            turns += [t["question"], t["answer"]]
    elif recipe["kind"] == "detail":
        turns = [recipe["question"], first["description"]]
    elif recipe["kind"] == "draw":
        turns, sd = [first["request"], "<gen>"], {"prompt": first["caption"]}
    else:
        said = first["expressive"] + " " if "expressive" in first else ""
        turns = [first["instruction"], said + "<gen>"]
        sd = {"prompt": first["output"], "src_prompt": record["src_prompt"], "instruction": first["instruction"]}
    if task != "generate":
        turns[0] = marks + turns[0]
    out = {"schema": "genllava.sample/1", "uid": f"{recipe['name']}/{record['uid']}", "source": record["source"] or "curate", "task": task}
    if record["split"] is not None:
        out["split"] = record["split"]
    out["images"] = record["images"]
    out["turns"] = [{"from": "gpt" if i % 2 else "human", "value": t} for i, t in enumerate(turns)]
    if sd:
        out["sd"] = {k: v for k, v in sd.items() if v is not None}
    prov = {"license": record["license"], "curator": recipe["name"], "model": model, "template": recipe["template_sha256"],
            "request": record["custom_id"]}
    out["prov"] = {k: v for k, v in prov.items() if v is not None}
    return out


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def unit(v):
    n = math.sqrt(dot(v, v))
    return [x / n if n else math.nan for x in v]


class Gate:
    """features: {uid: (image0, image1, text0, text1)} or None."""

    def __init__(self, features=None, min_clip=0.2, min_clip_image=0.7, min_clip_dir=0.2, max_same=200):
        self.features, self.least, self.max_same = features, (min_clip, min_clip, min_clip_dir, min_clip_image), max_same
        self.texts, self.times = set(), {}

    def judge(self, record):
        """reason or None, and scores"""
        scores = {}
        if self.features is not None and record["task"] != "understand":
            if record["uid"] not in self.features:
                return "scores.no_features", None
            i0, i1, t0, t1 = map(unit, self.features[record["uid"]])
            if record["task"] == "edit":
                scores["clip_sim_0"] = dot(i0, t0)
            scores["clip_sim_1"] = dot(i1, t1)
            if record["task"] == "edit":
                d, e = [b - a for a, b in zip(i0, i1)], [b - a for a, b in zip(t0, t1)]
                n = math.sqrt(dot(d, d)) * math.sqrt(dot(e, e))
                scores["clip_sim_dir"] = dot(d, e) / n if n else math.nan
                scores["clip_sim_image"] = dot(i0, i1)
            least = dict(zip(("clip_sim_0", "clip_sim_1", "clip_sim_dir", "clip_sim_image"), self.least))
            if not all(v >= least[k] for k, v in scores.items()):
                return "scores.clip", None
        key = (record["task"], tuple(i["path"] for i in record["images"]), tuple(normalised(t["value"]) for t in record["turns"]))
        if key in self.texts:
            return "dedupe.same_text", None
        self.texts.add(key)
        if record["task"] != "understand":
            first = normalised(next(t["value"] for t in record["turns"] if t["from"] == "human"))
            self.times[first] = self.times.get(first, 0) + 1
            if self.max_same and self.times[first] > self.max_same:
                return "dedupe.too_frequent", None
        return None, scores


def again(line, reason):
    if reason == "transport.length":
        return re.sub(rb'"(max_completion_tokens|max_output_tokens)":(\d+)', lambda m: b'"%s":%d' % (m[1], 2 * int(m[2])), line, count=1)
    return line


def ingest(folder, files, gate, max_lines=45000, max_bytes=190000000):
    """{"records", "rejects" (without messages), "retry": lists of files of (line, whether the text asks more strictly), "counts"}"""
    recipe = loads(open(f"{folder}/recipe.json", encoding="utf-8").read())
    records = [loads(line) for line in open(f"{folder}/records.jsonl", encoding="utf-8")]
    by_id = {r["custom_id"]: r for r in records}
    counts = {"requests": len(records), "lines": 0, "accepted": 0, "retry": 0, "rejected": {}, "unknown_id": 0, "bad_line": 0,
              "duplicate": 0}
    best = {}
    for path in files:
        data = open(path, "rb").read().removeprefix(b"\xef\xbb\xbf")
        for raw in data.split(b"\n"):
            raw = raw.strip(b" \t\r")
            if not raw:
                continue
            counts["lines"] += 1
            try:
                line = loads(raw.decode()) if len(raw) <= 16 << 20 else None
                custom_id = line["custom_id"] if isinstance(line, dict) else None
            except (ValueError, KeyError):
                custom_id = None
            if not isinstance(custom_id, str):
                counts["bad_line"] += 1
            elif custom_id not in by_id:
                counts["unknown_id"] += 1
            else:
                counts["duplicate"] += custom_id in best
                judged = judge(recipe, by_id[custom_id], line)
                if custom_id not in best or (judged[4], ) > (best[custom_id][0][4], ) or \
                        (judged[4] == best[custom_id][0][4] and raw < best[custom_id][1]):
                    best[custom_id] = judged, raw
    out = {"records": [], "rejects": [], "retry": [], "counts": counts}
    lines = size = 0
    for r in records:
        reason, retried, texts, model, _ = best[r["custom_id"]][0] if r["custom_id"] in best else ("join.absent", True, None, None, 0)
        if not reason:
            made = make(recipe, r, texts, model)
            reason, scores = gate.judge(made)
        if not reason:
            if scores:
                prov = made.pop("prov")
                made = {**made, "scores": scores, "prov": prov}
            out["records"].append(made)
            counts["accepted"] += 1
            continue
        stage, name = reason.split(".")
        out["rejects"].append({"custom_id": r["custom_id"], "uid": r["uid"], "stage": stage, "reason": name, "retry": retried})
        counts["rejected"][reason] = counts["rejected"].get(reason, 0) + 1
        if retried:
            with open(f"{folder}/requests-{r['file']:05d}.jsonl", "rb") as f:
                f.seek(r["offset"])
                line = again(f.read(r["bytes"]), reason)
            counts["retry"] += 1
            n = len(line) + 1 + (len(STRICTER) if reason == "parse.bad_json" else 0)
            if not out["retry"] or lines == max_lines or size + n > max_bytes:
                out["retry"].append([])
                lines = size = 0
            lines, size = lines + 1, size + n
            out["retry"][-1].append((line, reason == "parse.bad_json"))
    return out


# What a request says more after a reply that was no JSON; only its place and length matter here.
STRICTER = re.search(r'STRICTER\[\] = (.*?);\n', open("data/curate/again.c").read(), re.S)[1]
STRICTER = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', STRICTER)).replace("\\\\n", "\\n").encode()
