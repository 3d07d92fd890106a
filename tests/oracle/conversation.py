"""A conversation to token ids and trained marks: the toolkit's rule (segments with byte spans), and LLaVA's own code path
(split the finished prompt, count tokens) to hold against it wherever the latter is defined."""

from dataclasses import dataclass

import sentencepiece

IMAGE, IGNORE = -200, -100
BOS, EOS = 1, 2
SYSTEM_V1 = ("A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
             "detailed, and polite answers to the user's questions.")
SYSTEM_LLAMA_2 = ("You are a helpful language and vision assistant. You are able to understand the visual content that "
                  "the user provides, and assist the user with a variety of tasks using natural language.")
TASKS = ("understand", "generate", "edit")


class TooLong(Exception):
    pass


@dataclass
class Encoded:
    ids: list        # IMAGE at an image
    trained: list    # bool
    visual: list     # index within its run of [IMG] tokens, or None


@dataclass
class Vocabulary:
    """Where the added ids stand."""
    size: int        # V
    task: dict       # task -> text or None
    n_visual: int

    def __post_init__(self):
        set_tasks = [t for t in TASKS if (self.task or {}).get(t) is not None]
        self.task_id = {t: self.size + i for i, t in enumerate(set_tasks)}
        self.first_visual = self.size + len(set_tasks)
        self.rows = len(set_tasks) + self.n_visual


def load_tokenizer(path):
    return sentencepiece.SentencePieceProcessor(model_file=path)


def normalise_markers(text):
    """k markers of a turn go to its front, each with a newline; the rest is trimmed."""
    k = text.count("<image>")
    if not k:
        return text
    return ("<image>\n" * k + text.replace("<image>", "").strip()).strip()


# ------------------------------------------------------------------ assembly
# A prompt is a list of parts: ("text", str, in_answer), ("id", id, trained, visual index or None).

def _human(parts, text, task_id):
    if task_id is not None:
        parts.append(("id", task_id, False, None, "added"))
        parts.append(("text", " ", False))
    first, *rest = text.split("<image>")
    parts.append(("text", first, False))
    for chunk in rest:
        parts.append(("id", IMAGE, False, None, "image"))
        parts.append(("text", chunk, False))


def _answer(parts, text, vocabulary):
    first, *rest = text.split("<gen>")
    parts.append(("text", first, True))
    for chunk in rest:
        for k in range(vocabulary.n_visual):
            parts.append(("id", vocabulary.first_visual + k, True, k, "added"))
        parts.append(("text", chunk, True))


def assemble(record, template, vocabulary):
    """Rounds, each a list of parts; joined they are the whole sample without its BOS."""
    has_image = bool(record.inputs or record.targets)
    rounds = []
    for i in range(0, len(record.turns), 2):
        system = record.system
        user, answer, parts = record.turns[i][1], record.turns[i + 1][1], []
        if has_image:
            user = normalise_markers(user)
        task_id = vocabulary.task_id.get(record.task) if has_image and i == 0 else None
        if template == "plain":
            parts += [("id", IMAGE, False, None, "image")] * user.count("<image>")
            _answer(parts, answer, vocabulary)
            parts.append(("text", "\n", True))
        elif template == "v1":
            parts.append(("text", ((system or SYSTEM_V1) + " " if i == 0 else "") + "USER: ", False))
            _human(parts, user, task_id)
            parts.append(("text", " ASSISTANT:", False))
            parts.append(("text", " ", True))
            _answer(parts, answer, vocabulary)
            parts.append(("id", EOS, True, None, "control"))
        else:
            llama = template == "llava_llama_2"
            if llama and i:
                parts.append(("id", BOS, False, None, "control"))
            parts.append(("text", "[INST] ", False))
            if llama and i == 0:
                parts.append(("text", f"<<SYS>>\n{system or SYSTEM_LLAMA_2}\n<</SYS>>\n\n", False))
            elif i == 0 and system:
                parts.append(("text", system + "\n\n", False))
            _human(parts, user, task_id)
            parts.append(("text", " [/INST]", False))
            parts.append(("text", " ", True))
            _answer(parts, answer, vocabulary)
            parts.append(("text", " ", True))
            parts.append(("id", EOS, True, None, "control"))
        rounds.append(parts)
    return rounds


def _segments(parts):
    """Text parts between ids become one segment [(text, in_answer), …]; spaces beside added ids are dropped."""
    out, segment, after_added = [], [], False

    def flush(before_added):
        nonlocal segment
        chars = [(c, t) for text, t in segment for c in text]
        if after_added and chars and chars[0][0] == " ":
            chars = chars[1:]
        if before_added and chars and chars[-1][0] == " ":
            chars = chars[:-1]
        if chars:
            out.append(("".join(c for c, _ in chars), [t for _, t in chars]))
        segment = []

    for p in parts:
        if p[0] == "text":
            segment.append((p[1], p[2]))
        else:
            flush(p[4] == "added")
            after_added = p[4] == "added"
            out.append(p)
    flush(False)
    return out


def encode_parts(parts, tokenizer):
    ids, trained, visual = [BOS], [False], [None]
    for s in _segments(parts):
        if s[0] == "id":
            ids.append(s[1])
            trained.append(s[2])
            visual.append(s[3])
            continue
        text, marks = s
        marks = [t for c, t in zip(text, marks) for _ in c.encode()]
        for piece in tokenizer.encode(text, return_type="proto").pieces:
            ids.append(piece.id)
            # A token is trained when its span ends inside an answer; a prefix or byte piece without width at the very
            # start of a segment goes with what follows.
            trained.append(marks[max(piece.end - 1, 0)])
            visual.append(None)
    return Encoded(ids, trained, visual)


def expanded_length(ids, patches):
    return len(ids) + sum(i == IMAGE for i in ids) * (patches - 1)


def _cut(e, max_tokens, patches):
    """A plain cut of the expanded sample; images and runs of visual tokens stay whole."""
    used, keep = 0, 0
    for i in e.ids:
        used += patches if i == IMAGE else 1
        if used > max_tokens:
            break
        keep += 1
    if keep < len(e.ids) and (e.ids[keep] == IMAGE or e.visual[keep] is not None):
        raise TooLong
    if any(i == IMAGE or v is not None for i, v in zip(e.ids[keep:], e.visual[keep:])):
        raise TooLong
    return Encoded(e.ids[:keep], e.trained[:keep], e.visual[:keep])


def encode(record, template, vocabulary, tokenizer, max_tokens, patches):
    """Encoded, or None with record.reject set."""
    if template == "plain" and (record.raw_turns != 2 or record.system):
        record.reject = "bad_turns"
        return None
    rounds = assemble(record, template, vocabulary)
    whole = encode_parts(sum(rounds, []), tokenizer)
    while expanded_length(whole.ids, patches) > max_tokens and len(rounds) > 1:
        rounds.pop()
        whole = encode_parts(sum(rounds, []), tokenizer)
    if expanded_length(whole.ids, patches) > max_tokens:
        try:
            whole = _cut(whole, max_tokens, patches)
        except TooLong:
            record.reject = "too_long"
            return None
    if not any(whole.trained):
        record.reject = "no_trained_tokens"
        return None
    return whole


def labels(e, image_tokens):
    """The label of every position (IGNORE where none), before the shift."""
    out = []
    for i, t, v in zip(e.ids, e.trained, e.visual):
        if v is not None:
            t = image_tokens == "all" or (image_tokens == "first" and v == 0)
        out.append(i if t else IGNORE)
    return out


# ------------------------------------------------------------------ LLaVA's way

def _legacy_ids(tokenizer, text):
    """LlamaTokenizer with legacy=true: <s> and </s> cut out first, every other stretch gets the dummy prefix; BOS in front."""
    ids = [BOS]
    while text:
        cuts = [(text.find(s), s, i) for s, i in (("<s>", BOS), ("</s>", EOS)) if s in text]
        at, special, special_id = min(cuts) if cuts else (len(text), "", None)
        ids += tokenizer.encode(text[:at])
        if special_id is not None:
            ids.append(special_id)
        text = text[at + len(special):]
    return ids


def _image_ids(tokenizer, prompt):
    chunks = [_legacy_ids(tokenizer, c) for c in prompt.split("<image>")]
    ids = chunks[0]
    for c in chunks[1:]:
        ids = ids + [IMAGE] + c[1:]
    return ids


def llava_reference(record, template, tokenizer):
    """(ids, labels) by LLaVA's preprocess functions; None when they would give the sample up. Not for rows with added ids, nor for a system
    text that spells more than text, or has no place there."""
    if record.system and (template == "mistral_instruct" or any(s in record.system for s in ("<image>", "</s>", "<s>", "[/INST]", "ASSISTANT:"))):
        return None
    pairs = [(normalise_markers(record.turns[i][1]) if record.inputs else record.turns[i][1], record.turns[i + 1][1])
             for i in range(0, len(record.turns), 2)]
    if template == "plain":
        prompt = "<image>" * pairs[0][0].count("<image>") + pairs[0][1] + "\n"
        ids = _image_ids(tokenizer, prompt)
        masked = len(_image_ids(tokenizer, "<image>" * pairs[0][0].count("<image>")))
        return ids, [IGNORE] * masked + ids[masked:]
    if template == "v1":
        prompt, marker, sep2 = (record.system or SYSTEM_V1) + " ", " ASSISTANT: ", "</s>"
        for q, a in pairs:
            prompt += f"USER: {q} ASSISTANT: {a}</s>"
    else:
        marker, sep2, sep = "[/INST] ", "</s>", "<s>" if template == "llava_llama_2" else ""
        prompt = ""
        for i, (q, a) in enumerate(pairs):
            if sep and i == 0:
                q = f"<<SYS>>\n{record.system or SYSTEM_LLAMA_2}\n<</SYS>>\n\n{q}"
            prompt += f"{sep}[INST] {q} [/INST] {a} </s>"
        prompt = prompt.lstrip(sep) if sep else prompt
    ids = _image_ids(tokenizer, prompt)
    out, cursor = list(ids), 1
    out[0] = IGNORE
    for r in prompt.split(sep2):
        if not r:
            break
        halves = r.split(marker)
        if len(halves) != 2:
            return None
        n_round = len(_image_ids(tokenizer, r))
        n_masked = len(_image_ids(tokenizer, halves[0] + marker)) - 2
        out[cursor:cursor + n_masked] = [IGNORE] * n_masked
        cursor += n_round
    return (ids, out) if cursor == len(ids) else None
