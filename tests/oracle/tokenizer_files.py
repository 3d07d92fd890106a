"""The tokenizer files of an exported model: what `convert` has to write, made here from the vocabulary alone, and whether transformers then
gives SentencePiece's ids, and for conversations those of training.

    python tests/oracle/tokenizer_files.py      # makes tests/fixtures/tokenizer_files anew, but for the chat templates

The chat templates there are what tools/convert/chat_template.c wrote once `check` had found them right; `make test` sees that they stay."""

import json
import os
import random
import shutil

import mistral_common
import sentencepiece
import transformers

import answers
import conversation
import tiny
from case import Case, legacy

FIXTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures")
FILES = f"{FIXTURES}/tokenizer_files"
MISTRAL = os.path.join(os.path.dirname(mistral_common.__file__), "data", "tokenizer.model.v1")
TASKS = {"understand": "[I2T]", "generate": "[T2I]", "edit": "[I2I]"}
LINE_BREAK = "\ufdd0"
MAX_LENGTH = 2048

# Folder: vocabulary of tests/fixtures/vocabulary, V, model type, added tokens, image token, padding token.
CASES = {
    "mistral": ("tokenizer.model", 425, "llava", [*TASKS.values(), "[IMG0]", "[IMG1]"], "<image>", "<pad>"),
    "llama": ("tokenizer.model", 420, "llama", [], None, None),
    "no-prefix": ("kinds.model", 333, "mistral", ["[I2T]"], None, None),  # no space before texts
}
# Template files: data.template, task token, image token. A name that ends with -gguf: for llama.cpp.
TEMPLATES = {
    "mistral_instruct": ("mistral_instruct", "[I2T]", "<image>"),
    "mistral_instruct-gguf": ("mistral_instruct", "[I2T]", None),
    "v1": ("v1", None, "<image>"),
    "v1-task": ("v1", "[I2T]", "<image>"),
    "llava_llama_2": ("llava_llama_2", "[I2T]", "<image>"),
    "plain": ("plain", "[I2T]", "<image>"),
}


def vocabulary_bytes(name):
    """A user-defined piece, which cannot be exported, becomes a control piece."""
    with open(f"{FIXTURES}/vocabulary/{name}", "rb") as f:
        return f.read().replace(b"<sep>\x15\0\0\0\0\x18\x04", b"<sep>\x15\0\0\0\0\x18\x03")


# ------------------------------------------------------------------ what is to be written

def find_merges(sp, pieces):
    """Every cut of a normal piece into two, by score; of equal scores the longer left part first."""
    normal = {p: i for i, p in enumerate(pieces) if not (sp.is_control(i) or sp.is_unknown(i) or sp.is_byte(i))}
    merges = [(-sp.get_score(i), -len(p[:k].encode()), normal[p[:k]], normal[p[k:]], f"{p[:k]} {p[k:]}")
              for p, i in normal.items() for k in range(1, len(p)) if p[:k] in normal and p[k:] in normal]
    return [m[-1] for m in sorted(merges)]


def fill_in(i, taken):
    text = f"<unused{i}>"
    while text in taken:
        text += "_"
    return text


def recipe(model, V, model_type, added, image, pad, prefix=True):
    """File name -> JSON."""
    sp = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [sp.id_to_piece(i) for i in range(sp.get_piece_size())]
    tokens = [*added, *(t for t in (image, pad) if t)]
    facts = {i: {"content": pieces[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i in range(3)}
    facts |= {V + k: {"content": t, "single_word": False, "lstrip": t in added, "rstrip": t in added, "normalized": False, "special": True}
              for k, t in enumerate(tokens)}
    vocab = {p: i for i, p in enumerate(pieces)}
    vocab |= {fill_in(i, {*pieces, *tokens}): i for i in range(len(pieces), V)}
    replace = [{"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]
    bos = [{"SpecialToken": {"id": "<s>", "type_id": i}} for i in (0, 1)]
    text = [{"Sequence": {"id": "AB"[i], "type_id": i}} for i in (0, 1)]
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": pad or "<unk>"}
    roles |= {"image_token": image} if image else {}
    return {
        "tokenizer.json": {
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, **f} for i, f in facts.items()],
            "normalizer": {"type": "Sequence", "normalizers":
                           [{"type": "Prepend", "prepend": "\u2581"}] * prefix + replace
                           + [{"type": "Replace", "pattern": {"String": LINE_BREAK}, "content": "\n"}] * bool(added)},
            "pre_tokenizer": None,
            "post_processor": {"type": "TemplateProcessing", "single": [bos[0], text[0]], "pair": [bos[0], text[0], bos[1], text[1]],
                               "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders":
                        [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
                        + [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] * prefix},
            "model": {"type": "BPE", "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "unk_token": "<unk>",
                      "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": find_merges(sp, pieces)}},
        "added_tokens.json": {t: V + k for k, t in enumerate(tokens)},
        "special_tokens_map.json": roles,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast" if model_type == "llama" else "LlamaTokenizer", "legacy": True,
            "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "model_max_length": MAX_LENGTH,
            "model_input_names": ["input_ids", "attention_mask"], **roles,
            "added_tokens_decoder": {str(i): f for i, f in facts.items()}}}


def write(folder, files):
    os.makedirs(folder, exist_ok=True)
    for file, tree in files.items():
        with open(f"{folder}/{file}", "w", encoding="utf-8") as f:
            f.write(json.dumps(tree, ensure_ascii=False, indent=2) + "\n")


def make_fixtures():
    for name, (model, V, model_type, added, image, pad) in CASES.items():
        write(f"{FILES}/{name}", recipe(vocabulary_bytes(model), V, model_type, added, image, pad, prefix=name != "no-prefix"))


# ------------------------------------------------------------------ what transformers makes of it

WORDS = ["Hello", "world", "the", "a", "[INST]", "[/INST]", "red", "circle", "picture.", "\u2581", "\u2581\u2581", "\u00e4\u00f6\u00fc",
         "\u732b", "\U0001F408", "na\u00efve", "\t", "\n\n", "12", "345", "<0x0A>", "<unk", "</ s>", "\u00a0", "e\u0301", "\u200d"]


def random_text(r):
    kind = r.randrange(4)
    if kind == 0:
        return "".join(chr(r.choice([r.randrange(32, 127), r.randrange(32, 0x3000), r.randrange(0x10000, 0x1ffff)]))
                       for _ in range(r.randint(1, 40)))
    if kind == 1:
        return "".join(r.choice(WORDS) + " " * r.randrange(4) for _ in range(r.randint(1, 12)))
    if kind == 2:
        return "".join(r.choice(" ab\n") for _ in range(r.randint(1, 60)))
    return " " * r.randrange(40) + " ".join(r.choice(WORDS) for _ in range(r.randint(0, 5))) + " " * r.randrange(20)


def compare_texts(name, hf, sp, r, n):
    """Texts with added and control tokens among them, and blanks beside the tokens that take these."""
    bad, tokens = [], {str(t): (i, t.lstrip) for i, t in hf.added_tokens_decoder.items()}
    for _ in range(n):
        text, ids, open_end = "", [], False
        for _ in range(r.randint(1, 3)):
            piece, token = random_text(r), r.choice([None, *tokens])
            i, strips = tokens.get(token, (None, False))
            piece = piece.lstrip() if open_end else piece
            piece = piece.rstrip() if strips else piece
            text += " " * r.randrange(3) * open_end + piece
            ids += sp.encode(piece) if piece else []
            if token:
                text += " " * r.randrange(3) * strips + token
                ids.append(i)
            open_end = strips
            if not token:
                break
        for bos in (False, True):
            found = hf.encode(text, add_special_tokens=bos)
            if found != [1] * bos + ids:
                bad.append(f"tokenizer files, {name}: {text!r}\n{found}\nwanted\n{ids}")
    return bad


def random_conversation(r, most=2):
    """Turns as generate takes them, the same for a chat template, the number of pictures, a system text or None. most: pictures a turn."""
    turns, messages, pictures = [], [], 0
    for k in range(r.randint(1, 3)):
        shown, text = min(most, r.choice([0, 0, 1, 2])), random_text(r)
        if not k and not shown:  # white space directly behind the task token, which is there when pictures come later, is lost
            text = text.lstrip() or "x"
        pictures += shown
        turns.append((True, "<image>" * shown + text))
        if shown and r.random() < 0.6:
            parts = [{"type": "image"}] * shown + [{"type": "text", "text": text}]
            r.shuffle(parts)
            messages.append({"role": "user", "content": parts})
        else:
            messages.append({"role": "user", "content": text[:3] + "<image>" * shown + text[3:]})
            turns[-1] = (True, messages[-1]["content"])
        answer = random_text(r)
        turns.append((False, answer.strip()))
        messages.append({"role": "assistant", "content": answer})
    system = random_text(r).strip() if r.random() < 0.4 else None
    turns, messages = turns[:-1], messages[:-1]
    return turns, [{"role": "system", "content": system}] * bool(system) + messages, pictures, system


def compare_prompts(name, hf, sp, vocabulary, template, image_id, r, n):
    """image_id None: the tokenizer has none, and no pictures are shown."""
    bad = []
    for _ in range(n):
        turns, messages, pictures, system = random_conversation(r, 0 if image_id is None else 2)
        if any(s in text for _, text in [*turns, (None, system or "")] for s in ("<s>", "</s>", "<unk>", "[I2T]")):
            continue
        if template == "plain" and (len(turns) > 1 or system):
            continue
        cfg = {"data": {"template": template}}
        ids = answers.prompt_ids(cfg, vocabulary, sp, turns, pictures, system)
        wanted = [image_id if i == conversation.IMAGE else i for i in ids]
        found = hf.apply_chat_template(messages, tokenize=True, return_dict=False, add_generation_prompt=r.random() < 0.5)
        if found != wanted:
            bad.append(f"chat template, {name}: {messages}\n{found}\nwanted\n{wanted}")
    return bad


def open_tokenizer(folder, files, model_type, template=None):
    """The AutoTokenizer of a folder with these tokenizer files."""
    shutil.copytree(files, folder)
    with open(f"{folder}/config.json", "w", encoding="utf-8") as f:
        json.dump({"model_type": model_type}, f)
    if template:
        shutil.copy(f"{FILES}/{template}.jinja", f"{folder}/chat_template.jinja")
    return transformers.AutoTokenizer.from_pretrained(folder)


def check_recipes(folder, r, n):
    """What this file says is to be written, of small vocabularies and of Mistral's."""
    bad, texts, prompts = [], 0, 0
    recipes = {name: (vocabulary_bytes(c[0]), *c[1:]) for name, c in CASES.items()}
    with open(MISTRAL, "rb") as f:
        model = f.read()
    recipes["Mistral's"] = (model, 32000, "mistral", [*TASKS.values(), "[IMG0]"], "<image>", "<pad>")
    recipes["Mistral's, as a llama"] = (model, 32000, "llama", [*TASKS.values(), "[IMG0]"], "<image>", "<pad>")
    for name, (model, V, model_type, added, image, pad) in recipes.items():
        sp = sentencepiece.SentencePieceProcessor(model_proto=model)
        files = f"{folder}/{name}"
        if name in CASES:
            shutil.copytree(f"{FILES}/{name}", files)
        else:
            write(files, recipe(model, V, model_type, added, image, pad))
        bad += compare_texts(name, open_tokenizer(f"{folder}/{name}-texts", files, model_type), sp, r, n)
        texts += n
        for template, (format, task, _) in TEMPLATES.items():
            if not image or template.endswith("-gguf"):
                continue
            hf = open_tokenizer(f"{folder}/{name}-{template}", files, model_type, template)
            vocabulary = conversation.Vocabulary(V, TASKS if task else {}, 2)
            bad += compare_prompts(f"{name}, {template}", hf, sp, vocabulary, format, V + len(added), r, n // 10)
            prompts += n // 10
    return bad, texts, prompts


def check_converted(run, build, folder, r, n):
    """What `convert` writes for runs on Mistral's own vocabulary."""
    bad, prompts = [], 0
    sp = sentencepiece.SentencePieceProcessor(model_file=MISTRAL)
    for template, family in (("v1", "llama"), ("mistral_instruct", "mistral"), ("llava_llama_2", "mistral")):
        c = Case(f"{folder}/{template}", f"{folder}/{template}/llm")
        tiny.llm(c.llm, 1, 330, family=family, vocab_size=32000, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                 num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=MAX_LENGTH)
        shutil.copy(MISTRAL, f"{c.llm}/tokenizer.model")
        c.source([legacy(["Hello there", "Hi! How can I help?"])])
        c.write({"data": {"template": template}, "train": {"steps": 1, "batch": 1},
                 "model": {"tokens": {"image": 2}, "lora": {"r": 2, "alpha": 4}}})
        config = f"{c.folder}/config.json"
        run([f"{build}/train", "--config", config, "--set", f"save.dir={c.folder}/runs", "--quiet"])
        run([f"{build}/convert", "--from", f"{c.folder}/runs/config", "--to", "hf", "--out", f"{c.folder}/hf"])
        hf = transformers.AutoTokenizer.from_pretrained(f"{c.folder}/hf")
        with open(MISTRAL, "rb") as f:
            wanted = recipe(f.read(), 32000, family, [*TASKS.values(), "[IMG0]", "[IMG1]"], None, None)
        for name, tree in wanted.items():
            with open(f"{c.folder}/hf/{name}", encoding="utf-8") as f:
                if json.load(f) != tree:
                    bad.append(f"tokenizer files, {template}: convert writes another {name}")
        bad += compare_prompts(f"converted, {template}", hf, sp, conversation.Vocabulary(32000, TASKS, 2), template, None, r, n)
        prompts += n
    return bad, prompts


def check(run, build, folder, seed, n=2000):
    r = random.Random(seed)
    bad, texts, prompts = check_recipes(f"{folder}/recipes", r, n)
    more, converted = check_converted(run, build, f"{folder}/converted", r, n // 10)
    bad += more
    print(f"tokenizer files: {texts} texts have SentencePiece's ids, {prompts} conversations those of training, {converted} more after convert; "
          f"{len(bad)} differ")
    return bad


if __name__ == "__main__":
    make_fixtures()
