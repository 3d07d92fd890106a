"""Small tokenizer folders of CLIP's kind and the ids that transformers' CLIPTokenizer has for texts.

python3 tests/oracle/clip_tokenizer.py        writes tests/fixtures/clip_tokenizer

One vocabulary, trained on a few captions, in three folders: `padded_with_end` as Stable Diffusion 1 has it, `padded_with_mark` as
Stable Diffusion 2 (padding "!", which is then found in texts too), `one_file` as transformers 5 writes it, with two words added.
"""

import json
import os
import random
import shutil

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "clip_tokenizer")
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH, MERGES = 16, 90
CORPUS = ["a photo of a cat", "a photo of the small house beside a tall tree", "a painting of a red circle on a green square",
          "the photograph of two dogs that don't run", "make it look like a painting, it's raining", "a drawing of three blue triangles"]
TEXTS = [
    "", " ", "a photo of a cat", "A PHOTO  of\n\ta\u3000Cat ", "don't DON'T it's I'LL we've 'S''s !'s", "0123 4th x2", "a,b;c!? ...!!",
    "naïve Façade",
    "e\u0301 E\u0301 \u212b \u1e9b\u0323 q\u0307\u0323 q\u0323\u0307", "ΑΣ ς İstanbul ẞ ﬁ Ǆ", "½ ² Ⅷ ① १२",
    "漢字かな 각 \u1100\u1161\u11a8", "😀 👩‍👩‍👧 🇫🇷",
    "\u200b\ufeff\u00ad\x01\x7f\x1c", "\u0085\u00a0\u1680\u2028\u202f", "x<|endoftext|>y",
    "<|EndOfText|>|> x <|STARTOFTEXT|>y", "|<|endoftext|> <|startoftext|", "!",
    "hello ! a!b", "<cat-Toy> <CAT-toy> xT2y t2", "a photo of the small house beside a tall tree and two dogs that don't run, raining",
    "photophotophotophotophoto",
    "\ufffd \U000e0001 \U0001d15e \u0340 \u0344",
]


def train():
    """Its alphabet is every byte, but for two of them: their pieces are unknown."""
    t = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Lowercase()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(CORPUS * 4, trainers.BpeTrainer(vocab_size=10**4, end_of_word_suffix="</w>", initial_alphabet=alphabet,
                                                          show_progress=False))
    merges = json.loads(t.to_str())["model"]["merges"][:MERGES]
    pieces = [c for c in alphabet if c != "~"] + [c + "</w>" for c in alphabet if c != "^"] + ["".join(m) for m in merges] + [START, END]
    return {p: i for i, p in enumerate(dict.fromkeys(pieces))}, [m for m in merges if all("~" not in x and "^" not in x for x in m)]


def write(name, files):
    folder = os.path.join(ROOT, name)
    os.makedirs(folder)
    for file, content in files.items():
        with open(os.path.join(folder, file), "w", encoding="utf-8", newline="") as f:
            f.write(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
    return folder


def special(content):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}


def folders():
    vocab, merges = train()
    lines = "#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in merges)
    for name, pad in ("padded_with_end", END), ("padded_with_mark", "!"):
        typed = {k: {"__type": "AddedToken", **special(v)} for k, v in (("bos_token", START), ("eos_token", END), ("unk_token", END))}
        yield write(name, {
            "vocab.json": vocab, "merges.txt": lines,
            "special_tokens_map.json": {"bos_token": special(START), "eos_token": special(END), "pad_token": pad,
                                        "unk_token": special(END)},
            "tokenizer_config.json": {"add_prefix_space": False, **typed, "do_lower_case": True, "errors": "replace",
                                      "model_max_length": LENGTH, "pad_token": END, "tokenizer_class": "CLIPTokenizer"}})
    t = CLIPTokenizer.from_pretrained(os.path.join(ROOT, "padded_with_end"))
    t.add_tokens(["<cat-Toy>", "T2"])
    t.save_pretrained(os.path.join(ROOT, "one_file"))
    yield os.path.join(ROOT, "one_file")


def main():
    rng = random.Random(4)
    shutil.rmtree(ROOT, ignore_errors=True)
    singles = [chr(c) for c in rng.sample([c for c in range(1, 0x3000) if not 0xD800 <= c < 0xE000], 40)]
    texts = TEXTS + ["".join(rng.choice(singles + list("ab '!")) for _ in range(rng.randint(2, 12))) for _ in range(40)]
    cases = []
    for folder in folders():
        t = CLIPTokenizer.from_pretrained(folder)
        ids = t(texts, padding="max_length", max_length=LENGTH, truncation=True)["input_ids"]
        cases.append({"folder": os.path.basename(folder), "n_ids": len(t), "start": t.bos_token_id, "end": t.eos_token_id,
                      "pad": t.pad_token_id, "length": LENGTH, "ids": ids})
    with open(os.path.join(ROOT, "encodings.json"), "w", encoding="utf-8") as f:
        json.dump({"texts": texts, "cases": cases}, f, separators=(",", ":"))


main()
