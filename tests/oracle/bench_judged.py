"""Golden values of benchmarks that a model judges, llava-bench and mm-vet, on data of our own: requests to the letter, and the score of replies.

python3 tests/oracle/bench_judged.py tests/fixtures/bench

The authors' formulas, written down here. Writes BENCH/ (official files, answers.jsonl, replies.jsonl), BENCH/requests.jsonl, BENCH/scores.txt (a
key and a value a line) and mm-vet/submission.json.
"""

import json
import pathlib
import random
import sys

import numpy as np

WORDS = ["a red", "boat", "on the", "lake", "with", "two people", "and", "a dog", "café", "“old”", "1,5 m", "🙂", "line\nbreak"]


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(dump(r) + "\n" for r in rows))


def reply(custom_id, content, status=200, form="chat"):
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}
    if form == "responses":
        body = {"status": "completed", "output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": content}]}]}
    return {"id": "r", "custom_id": custom_id, "response": {"status_code": status, "body": body}, "error": None}


def request(custom_id, model, tokens, temperature, system, user):
    messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": user}]
    body = {"model": model, "max_completion_tokens": tokens, "temperature": temperature, "messages": messages}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def put_scores(folder, pairs):
    (folder / "scores.txt").write_text("".join(f"{k}\t{v!r}\n" for k, v in pairs))


def text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 9)))


def read_review(review):
    try:
        pair = review.split("\n")[0].replace(",", " ").split(" ")
        if len(pair) == 2:
            return [float(pair[0]), float(pair[1])]
    except ValueError:
        pass
    return [-1, -1]


REVIEWS = ["8 7", "9, 6", "8,7\nBecause.", " 8 7", "8  7", "8 7 ", "10 9.5\n", "7.5 8", "good", "", "8 7 6", "1e1 5", "8\n7", "9 8\n\nBoth.", "6 7"]


def llava_bench(folder, rng):
    rules = {f"llava_bench_{c}": {"role": "Assistant", "prompt": f"Rate them ({c}).\nTwo numbers first."} for c in ("conv", "detail", "complex")}
    images = [f"{i:03d}.jpg" for i in range(1, 7)]
    captions = {im: text(rng) if k % 2 else [text(rng) for _ in range(3)] for k, im in enumerate(images)}
    questions, references, answers, requests, replies = [], [], [], [], []
    system = "You are a helpful and precise assistant for checking the quality of the answer."
    for i in range(30):
        q = {"question_id": i if i % 2 else f"q-{i}", "image": images[i % 6], "text": text(rng) + "?", "category": ("conv", "detail", "complex")[i % 3]}
        questions.append(q)
        references.append({"question_id": q["question_id"], "text": text(rng)})
        answers.append({"question_id": q["question_id"], "prompt": q["text"], "text": text(rng), "answer_id": str(i), "model_id": "m", "metadata": {}})
        caption = captions[q["image"]]
        caption = caption if isinstance(caption, str) else "\n".join(caption)
        user = (f"[Context]\n{caption}\n\n[Question]\n{q['text']}\n\n[Assistant 1]\n{references[-1]['text']}\n\n[End of Assistant 1]\n\n"
                f"[Assistant 2]\n{answers[-1]['text']}\n\n[End of Assistant 2]\n\n[System]\n{rules['llava_bench_' + q['category']]['prompt']}\n\n")
        requests.append(request(f"llava-bench-{i}", "gpt-4-0314", 1024, 0.2, system, user))
        replies.append(REVIEWS[i % len(REVIEWS)])
    rng.shuffle(answers)
    lines(folder / "questions.jsonl", questions)
    lines(folder / "context.jsonl", [{"id": k, "image": im, "caption": captions[im]} for k, im in enumerate(images)])
    lines(folder / "answers_gpt4.jsonl", references)
    (folder / "rule.json").write_text(json.dumps(rules))
    lines(folder / "answers.jsonl", answers)
    lines(folder / "requests.jsonl", requests)
    lines(folder / "replies.jsonl", [reply(f"llava-bench-{i}", r, form="responses" if i % 4 == 0 else "chat") for i, r in enumerate(replies)][::-1])
    scored = {"all": [read_review(r) for r in replies]}
    for i, r in enumerate(replies):
        scored.setdefault(questions[i]["category"], []).append(read_review(r))
    pairs = []
    for k, v in scored.items():
        one, two = [round(x, 3) for x in np.asarray(v).mean(0).tolist()]
        pairs += [(k, two / one * 100), (k + "/reference", one * 10), (k + "/model", two * 10)]
    put_scores(folder, pairs + [("parse/malformed", sum(read_review(r) == [-1, -1] for r in replies))])


MARKS = ["1.0", "0.5", "0.0", "1", " 0.7", "0.3 good", "0.8\n", "nan", "1.5", "-0.1", "good", "", ".4", "1e-1", "0_1"]


def mark(content):
    try:
        value = float(content.split(" ")[0].strip())
        return value if 0 <= value <= 1 else None
    except ValueError:
        return None


def mm_vet(folder, rng):
    sets = [["rec"], ["ocr", "math"], ["rec", "know", "gen"], ["spat", "ocr"], ["gen", "rec", "know"]]
    data, answers, requests, replies, prompt = {}, [], [], [], "Compare: a | b | c | 0.5\n\nQuestion | Truth | Prediction | Correctness\n--- | --- | --- | ---"
    for i in range(30):
        truth = text(rng) + rng.choice(["", "<AND>" + text(rng), "<OR>" + text(rng)])
        data[f"v1_{i}"] = {"imagename": f"v1_{i}.png", "question": text(rng), "answer": truth, "capability": sets[i % 5]}
        answers.append({"question_id": i if i % 3 else f"v1_{i}", "prompt": data[f"v1_{i}"]["question"], "text": text(rng)})
        truth = truth.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
        user = prompt + "\n" + data[f"v1_{i}"]["question"] + " | " + truth + " | " + answers[-1]["text"] + " | "
        requests.append(request(f"mm-vet-{i}", "gpt-4-0613", 3, 0.0, None, user))
        replies.append(MARKS[i % len(MARKS)])
    (folder).mkdir(parents=True, exist_ok=True)
    (folder / "mm-vet.json").write_text(json.dumps(data))
    (folder / "mm-vet-prompt.txt").write_text(prompt)
    (folder / "submission.json").write_text(json.dumps({f"v1_{i}": a["text"] for i, a in enumerate(answers)}, ensure_ascii=False) + "\n")
    lines(folder / "answers.jsonl", answers[::-1])
    lines(folder / "requests.jsonl", requests)
    lines(folder / "replies.jsonl", [reply(f"mm-vet-{i}", r) for i, r in enumerate(replies)] + [reply("mm-vet-0", "0.9", status=500)])
    marks = [mark(r) for r in replies]
    capability, groups = {}, {}
    for m, q in zip(marks, data.values()):
        for c in q["capability"]:
            capability.setdefault(c, []).append(m or 0)
        groups.setdefault("_".join(sorted(q["capability"])), []).append(m or 0)
    mean = lambda v: 100 * sum(v) / len(v)
    pairs = [("total", mean([m or 0 for m in marks]))] + [(f"capability/{k}", mean(v)) for k, v in capability.items()] + [(f"set/{k}", mean(v)) for k, v in groups.items()]
    put_scores(folder, pairs + [("parse/unparsable", sum(m is None for m in marks))])


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    llava_bench(out / "llava-bench", random.Random(1))
    mm_vet(out / "mm-vet", random.Random(2))
