"""Greedy answers of `generate` beside transformers without a cache, from the starting point of random cases."""

import json
import os
import random
import re

import torch

import conversation
import models
import random_case
import reference
import run_config
from pictures import Preprocessor
from records import Record

MAX_NEW = 24


def prompt_ids(cfg, vocabulary, tokenizer, turns, n_images, system=None):
    """The ids up to where the answer to the last turn starts."""
    r = Record(0, "understand", 1.0, [*turns, (False, "\x00")], ["x"] * n_images, [], raw_turns=len(turns) + 1, system=system)
    *before, last = conversation.assemble(r, cfg["data"]["template"], vocabulary)
    answer = next(i for i, p in enumerate(last) if p[2])
    return conversation.encode_parts([p for parts in before for p in parts] + last[:answer], tokenizer).ids


def question_row(r, images):
    """A row of a question alone, and what is asked: (turns, pictures)."""
    text, names = random_case.text(r, 1, 6), r.choices(images, k=r.randint(0, 2)) if images else []
    return {"ask": text, **({"image": names} if names else {})}, [([(True, "<image>" * len(names) + text)], names)]


def record_row(r, images):
    """A record of several questions, pictures anywhere among them, and what is asked one after the other."""
    turns, names, asked = [], [], []
    for _ in range(r.randint(1, 3)):
        new = r.choices(images, k=r.randint(0, 1)) if images else []
        names = names + new
        turns = [*turns, (True, random_case.text(r, 1, 4).strip() + " <image>" * len(new))]
        asked.append((turns, names))
        turns = [*turns, (False, random_case.text(r, 1, 4))]
    conversations = [{"from": "human" if human else "gpt", "value": text} for human, text in turns]
    return {"conversations": conversations, **({"image": names} if names else {})}, asked


def answer(model, ids, pictures, eos):
    """New ids and the smallest lead of a chosen id over the next best. Of the visual tokens a model that draws chooses the first alone; the
    others follow it."""
    ids, new, lead = list(ids), [], float("inf")
    n_rows = model.vocab_size + (0 if model.rows_embed is None else len(model.rows_embed))
    first = n_rows - model.n_visual if model.gen_head else n_rows
    while len(new) < MAX_NEW:
        length = conversation.expanded_length(ids, model.patches)
        with torch.no_grad():
            best = model(ids, pictures, [length - 1])[0][:first + 1].topk(2)
        lead = min(lead, float(best.values[0] - best.values[1]))
        chosen = int(best.indices[0])
        if chosen == eos:
            break
        more = [chosen + i for i in range(model.n_visual)] if chosen == first else [chosen]
        new, ids = new + more, ids + more
    return new, lead


def told(model, tokenizer, ids):
    """The text of an answer: <gen> where a picture is drawn."""
    if not model.gen_head:
        return text_of(tokenizer, ids)
    first, out, at = model.vocab_size + len(model.rows_embed) - model.n_visual, "", 0
    for i in (k for k, token in enumerate(ids) if token == first):
        out, at = out + text_of(tokenizer, ids[at:i]) + " <gen> ", i + model.n_visual
    return " ".join((out + text_of(tokenizer, ids[at:])).split())


def text_of(tokenizer, ids):
    """Pieces joined; control, added and padding ids are silent; bytes that are no UTF-8 become U+FFFD."""
    data = b""
    for i in ids:
        if i < tokenizer.get_piece_size() and not tokenizer.is_control(i) and not tokenizer.is_unknown(i):
            data += bytes([int(tokenizer.id_to_piece(i)[3:5], 16)]) if tokenizer.is_byte(i) else \
                tokenizer.id_to_piece(i).replace("\u2581", " ").encode()
    return data.decode("utf-8", "replace").strip()


def _compare(build, run, folder, seed):
    r = random.Random(seed)
    config = random_case.build(folder, seed)
    cfg = run_config.load(config)
    if cfg["data"]["template"] == "plain":
        return 0, []
    case = os.path.dirname(config)
    images = [f"images/{n}" for n in os.listdir(f"{case}/images")] if os.path.isdir(f"{case}/images") else []
    rows = [make(r, images) for make in [question_row] * 4 + [record_row] * 2]
    questions = [q for _, asked in rows for q in asked]
    with open(f"{case}/ask.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps(row) + "\n" for row, _ in rows)
    run([f"{build}/generate", "--config", config, "--set", f"save.dir={folder}/none", "--set", "train.compute=f32", "--batch",
         f"{case}/ask.jsonl", "--out", f"{folder}/answers", "--max-new-tokens", str(MAX_NEW), "--quiet"])
    with open(f"{folder}/answers/answers.jsonl", encoding="utf-8") as f:
        found = [json.loads(line)["answer"] for line in f]
    tokenizer, vocabulary = reference.open_vocabulary(cfg)
    model = models.Model(cfg, vocabulary.rows).double()
    prep = Preprocessor(cfg["model"]["vision"]["path"], cfg["model"]["vision"]["aspect"]) if model.vision else None
    bad, sure = [], 0
    for (turns, names), got in zip(questions, found, strict=True):
        ids = prompt_ids(cfg, vocabulary, tokenizer, turns, len(names))
        new, lead = answer(model, ids, [torch.from_numpy(prep.tensor(f"{case}/{n}")) for n in names], conversation.EOS)
        sure += lead > 1e-3
        wanted, got = told(model, tokenizer, new), " ".join(got.split()) if model.gen_head else got
        # Runs of U+FFFD: how many stand for a broken sequence is a matter of the decoder.
        if lead > 1e-3 and re.sub("\ufffd+", "\ufffd", got) != re.sub("\ufffd+", "\ufffd", wanted):
            bad.append(f"answers, seed {seed}: {turns} prompt {ids}\n  {got!r}, wanted\n  {wanted!r} {new}")
    return sure, bad


def check(run, build, folder, seed, n=12):
    bad, sure = [], 0
    for k in range(n):
        one, complaints = _compare(build, run, f"{folder}/{k}", seed + k)
        sure += one
        bad += complaints
    print(f"answers: {sure} compared, {len(bad)} differ")
    return bad
