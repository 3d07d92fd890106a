"""What the public layouts of a mixture's sources mean, read by the book: json, csv and dictionaries, no code of ours.

    python3 tests/oracle/sources.py [FOLDER]    (pip install xxhash)

FOLDER (tests/fixtures/sources) holds mixture.json and its files. Writes expected.jsonl there, the unified rows in order, and rejected.jsonl,
the rows that cannot be used. Whether pictures are there is not looked at.
"""

import csv
import json
import os
import sys

import xxhash

BUILT_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../configs/requests.json")
SPEAKERS = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt", "system": "system"}


class Bad(Exception):
    """A row that cannot be used: its reason."""


def clean(value):
    """Lone surrogates to U+FFFD, everywhere."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [clean(v) for v in value]
    return {clean(k): clean(v) for k, v in value.items()} if isinstance(value, dict) else value


def text_of(path):
    with open(path, encoding="utf-8-sig", newline="") as f:
        return f.read()


def json_rows(path):
    """Rows of an array or of lines; Bad in place of one that is no JSON object."""
    text = text_of(path)
    if text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        rows = []
        for line in text.split("\n"):
            try:
                rows += [json.loads(line)] if line.strip() else []
            except ValueError:
                rows.append(None)
    return [clean(r) if isinstance(r, dict) else Bad("bad_json") for r in rows]


def id_of(value):
    return value if isinstance(value, str) and value else str(value) if type(value) is int else None


def is_address(name):
    return "://" in name or name.startswith("data:")


def conversation(row):
    """(system, [(speaker, text)], pictures) of a row in anybody's spelling; Bad for turns that are not people's."""
    pictures = row.get("image") or row.get("images") or []
    beside = [p["path"] if isinstance(p, dict) else p for p in (pictures if isinstance(pictures, list) else [pictures])]
    system, turns, names, marked = row.get("system") or "", [], [], False
    for i, turn in enumerate(row.get("conversations") or row.get("messages") or []):
        who = SPEAKERS.get(turn.get("from") or turn.get("role"))
        content = turn.get("value") if turn.get("value") is not None else turn.get("content")
        if who is None or (who == "system" and i) or turn.get("tool_calls") or not isinstance(content, (str, list)):
            raise Bad("bad_turns")
        text = ""
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "text":
                text += part["text"]
                for _ in range(part["text"].count("<image>") if who == "human" else 0):
                    marked = True
                    names += [beside.pop(0)] if beside else []
                continue
            name = part.get("image") or part.get("image_url") or part.get("path") or part.get("url")
            name = (name.get("url") or name.get("path")) if isinstance(name, dict) else name
            if name and is_address(name):
                raise Bad("missing")
            names += [name] if name else [beside.pop(0)] if beside else []
            text += "<image>\n"
            marked = True
        if who == "system":
            system = text
        else:
            turns.append((who, text))
    names += beside
    if "messages" in row and names and not marked:
        first = next(i for i, (who, _) in enumerate(turns) if who == "human")
        turns[first] = ("human", "<image>\n" * len(names) + turns[first][1])
    return system, turns, names


# ---- layouts: each yields (row number in its file, id, scores, reason or None, what it says)

def chat(path, source):
    for n, row in enumerate(json_rows(path)):
        try:
            if isinstance(row, Bad):
                raise row
            yield n, id_of(row.get("id")), {}, None, conversation(row)
        except Bad as why:
            yield n, None if isinstance(row, Bad) else id_of(row.get("id")), {}, str(why), None


def reversed_rows(path, source):
    for n, row in enumerate(json_rows(path)):
        if isinstance(row, Bad):
            yield n, None, {}, str(row), None
            continue
        try:
            system, turns, names = conversation(row)
            good = not system and [who for who, _ in turns] == ["human", "gpt"] and len(names) == 1
            why = None if good else "bad_turns"
        except Bad as bad:
            why = str(bad)
        yield n, id_of(row.get("id")), row.get("scores", {}), why, why or (turns[1][1], names[0])


def coco(path, source):
    whole = clean(json.loads(text_of(path)))
    names = {id_of(i["id"]): i["file_name"] for i in whole["images"] if "file_name" in i}
    for n, a in enumerate(whole["annotations"]):
        why = None
        if "image_id" not in a or not isinstance(a["caption"], str):
            why = "bad_json"
        elif id_of(a["image_id"]) not in names:
            why = "missing"
        yield n, id_of(a.get("id")), {}, why, why or (a["caption"], names[id_of(a["image_id"])])


def table(path, source):
    lines = [line for line in text_of(path).split("\n") if "\t" in line or line.strip()]
    rows = [[f.strip() for f in row] for row in csv.reader((line.replace("\r", " ") for line in lines), delimiter="\t",
                                                           quoting=csv.QUOTE_NONE)]
    at = (0, 1)
    if "caption" in rows[0] and "image" in rows[0]:
        at = rows[0].index("caption"), rows[0].index("image")
        rows = rows[1:]
    for n, row in enumerate(rows):
        caption, name = (row[i] if i < len(row) else "" for i in at)
        yield n, None, {}, "missing" if not name or is_address(name) else None, (caption, name)


def caption_rows(id_key):
    def read(path, source):
        for n, row in enumerate(json_rows(path)):
            if isinstance(row, Bad):
                yield n, None, {}, str(row), None
                continue
            caption, name, why = row.get("caption"), row.get("file"), None
            if not isinstance(caption, (str, type(None))):
                why = "bad_json"
            elif not name or is_address(name):
                why = "missing"
            scores = {k: v for k, v in row.get("scores", {}).items() if isinstance(v, (int, float))}
            yield n, id_of(row.get(id_key)), scores, why, (caption or "", name)
    return read


def reader_of(source, path):
    layout = source.get("format")
    if layout == "captions":
        return {".json": coco, ".tsv": table, ".jsonl": caption_rows("id")}[os.path.splitext(path)[1]]
    if layout == "laion-gpt4v":
        return caption_rows("message_id")
    return reversed_rows if layout == "llava-reversed" or source.get("as") == "generate" else chat


# ---- records

def filtered(scores, source):
    for name, (least, most) in source.get("filter", {}).items():
        if name not in scores or (least is not None and scores[name] < least) or (most is not None and scores[name] > most):
            return True
    return False


def captioned(source, task, uid, caption, name):
    with open(source["requests"] if "requests" in source else BUILT_IN, encoding="utf-8") as f:
        templates = json.load(f)[task]
    template = templates[xxhash.xxh3_64_intdigest(uid.encode()) % len(templates)]
    if task == "generate":
        return {"images": [{"path": name, "role": "target"}],
                "turns": [{"from": "human", "value": template.replace("{caption}", caption)}, {"from": "gpt", "value": "<gen>"}],
                "sd": {"prompt": caption}}
    return {"images": [{"path": name, "role": "input"}],
            "turns": [{"from": "human", "value": "<image>\n" + template}, {"from": "gpt", "value": caption}]}


def as_told(system, turns, names):
    return {"images": [{"path": name, "role": "input"} for name in names], **({"system": system} if system else {}),
            "turns": [{"from": who, "value": text} for who, text in turns]}


class Mixture:
    def __init__(self):
        self.used, self.rows, self.rejected = set(), [], []

    def new_uid(self, wanted):
        uid, k = wanted, 0
        while uid in self.used:
            k += 1
            uid = f"{wanted}#{k}"
        self.used.add(uid)
        return uid

    def read(self, source):
        layout = source.get("format")
        task = source.get("as") or {"captions": "generate", "laion-gpt4v": "generate", "llava-reversed": "generate"}.get(layout, "understand")
        files = source["files"] if isinstance(source["files"], list) else [source["files"]]
        taken, kept = 0, {}
        for path in files:
            reader = reader_of(source, path)
            for n, ident, scores, why, said in reader(path, source):
                if source.get("max") and taken >= source["max"]:
                    return
                if why != "bad_json" and filtered(scores, source):
                    why = "filtered"
                if not why and reader is not chat and not said[0].strip():
                    why = "no_prompt" if task == "generate" else "no_trained_tokens"
                if not why and source.get("each"):
                    kept[said[1]] = kept.get(said[1], 0) + 1
                    if kept[said[1]] > source["each"]:
                        continue
                if why:
                    known = ident or (None if why == "bad_json" else str(n))
                    if known:
                        self.new_uid(f"{source['name']}/{known}")
                    shown = (ident if reader is chat else known) or ""
                    self.rejected.append({"source": source["name"], "file": path, "row": n, "id": shown, "reason": why})
                    continue
                uid = self.new_uid(f"{source['name']}/{ident or n}")
                taken += 1
                record = as_told(*said) if reader is chat else captioned(source, task, uid, said[0].strip(), said[1])
                head = {"schema": "genllava.sample/1", "uid": uid, "source": source["name"], "task": task}
                self.rows.append({**head, **record, **({"scores": scores} if scores else {}),
                                  **({"prov": {"license": source["license"]}} if "license" in source else {})})


def main():
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/sources"))
    with open("mixture.json", encoding="utf-8") as f:
        sources = json.load(f)
    mixture = Mixture()
    for source in sources:
        mixture.read(source)
    for name, rows in (("expected.jsonl", mixture.rows), ("rejected.jsonl", mixture.rejected)):
        with open(name, "w", encoding="utf-8", newline="\n") as f:
            f.writelines(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
        print(f"{name}: {len(rows)} rows")


if __name__ == "__main__":
    main()
