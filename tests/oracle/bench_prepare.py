#!/usr/bin/env python3
"""What `prepare` reads, as a Python pipeline reads it, for tools/bench/bench.sh: bench_prepare.py ROWS.json FOLDER TOKENIZER takes LLaVA's rows,
checks each picture once with Pillow, and makes ids and labels of each row by SentencePiece, by the template mistral_instruct. It prints how
many tokens these are. Each text is encoded once, where LLaVA's own code counts the tokens of every round again; nothing is written."""
import json
import os
import sys

import sentencepiece
from PIL import Image

IMAGE, IGNORE, BOS, EOS = -200, -100, 1, 2


def is_good(path):
    try:
        Image.open(path).convert("RGB").load()
        return True
    except OSError:
        return False


def encode(row, tokenizer):
    ids, labels = [BOS], [IGNORE]
    turns = row["conversations"]
    for question, answer in zip(turns[::2], turns[1::2]):
        first, *rest = f"[INST] {question['value']} [/INST]".split("<image>")
        ids += tokenizer.encode(first)
        for chunk in rest:
            ids.append(IMAGE)
            ids += tokenizer.encode(chunk)
        labels += [IGNORE] * (len(ids) - len(labels))
        answered = tokenizer.encode(answer["value"] + " ") + [EOS]  # the space before it is the prefix that SentencePiece puts there
        ids += answered
        labels += answered
    return ids, labels


def main():
    rows_file, folder, vocabulary = sys.argv[1:4]
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=vocabulary)
    with open(rows_file, encoding="utf-8") as f:
        rows = json.load(f)
    good, samples = {}, []
    for row in rows:
        path = row.get("image")
        if path and path not in good:
            good[path] = is_good(os.path.join(folder, path))
        if not path or good[path]:
            samples.append(encode(row, tokenizer))
    print(sum(len(ids) for ids, _ in samples), "tokens")


main()
