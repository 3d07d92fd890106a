"""Golden values of benchmarks that a model judges, llava-bench and mm-vet, on data of our own: what the authors' scripts ask, and the
score of replies.

python3 tests/oracle/bench_judged.py FOLDER OUT [EVALUATE [ROWS [SEED]]]

FOLDER: the authors' scripts (official.py). Writes OUT/BENCH/ (official files, answers.jsonl, replies.jsonl), OUT/BENCH/requests.jsonl,
OUT/BENCH/scores.txt (a key and a value a line) and mm-vet/submission.json. With EVALUATE, the program's scores are held against theirs.
The fixtures tests/fixtures/bench are those of 30 rows and seed 1.
"""

import json

import official
from bench_world import World, nasty, put, put_scores

WORDS = ["a red", "boat", "on the", "lake", "with", "two people", "and", "a dog", "café", "“old”", "1,5 m", "🙂", "line\nbreak"]


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(dump(r) + "\n" for r in rows))


def reply(custom_id, content, status=200, form="chat"):
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}
    if form == "responses":
        body = {
            "status": "completed",
            "output": [{
                "type": "reasoning"
            }, {
                "type": "message",
                "content": [{
                    "type": "output_text",
                    "text": content
                }]
            }]
        }
    return {"id": "r", "custom_id": custom_id, "response": {"status_code": status, "body": body}, "error": None}


def request(custom_id, asked):
    """asked: what the script told its judge. The limit has another name since."""
    body = {
        "model": asked["model"],
        "max_completion_tokens": asked["max_tokens"],
        "temperature": asked["temperature"],
        "messages": asked["messages"]
    }
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 9)))


REVIEWS = [
    "8 7", "9, 6", "8,7\nBecause.", " 8 7", "8  7", "8 7 ", "10 9.5\n", "7.5 8", "good", "", "8 7 6", "1e1 5", "8\n7", "9 8\n\nBoth.",
    "6 7", "8\t7", "8\u00a07 6", "8 7\r\nx", "8. 7.", "8 7.", "_8 7", "1_0 5", "٨ ٧", "+8 .5", "8/10 7/10", "8 seven"
]


def llava_bench(world):
    rng, folder = world.rng, world.out / "llava-bench"
    rules = {
        f"llava_bench_{c}": {
            "role": "Assistant",
            "prompt": f"Rate them ({c}).\nTwo numbers first."
        }
        for c in ("conv", "detail", "complex")
    }
    images = [f"{i:03d}.jpg" for i in range(1, 7)]
    captions = {im: text(rng) if k % 2 else [text(rng) for _ in range(3)] for k, im in enumerate(images)}
    questions, references, answers, replies = [], [], [], []
    for i in range(world.rows):
        q = {
            "question_id": i if i % 2 else f"q-{i}",
            "image": images[i % 6],
            "text": text(rng) + "?",
            "category": ("conv", "detail", "complex")[i % 3]
        }
        questions.append(q)
        references.append({"question_id": q["question_id"], "text": text(rng)})
        answers.append({
            "question_id": q["question_id"],
            "prompt": q["text"],
            "text": text(rng),
            "answer_id": str(i),
            "model_id": "m",
            "metadata": {}
        })
        replies.append(REVIEWS[i] if i < len(REVIEWS) else rng.choice(
            REVIEWS +
            [f"{rng.randint(1, 10)} {rng.randint(1, 10)}",
             nasty(rng, "8 7"), f"{rng.uniform(1, 10)!r} {rng.uniform(1, 10):.2f}"]))
    rng.shuffle(answers)
    lines(folder / "questions.jsonl", questions)
    lines(folder / "context.jsonl", [{"id": k, "image": im, "caption": captions[im]} for k, im in enumerate(images)])
    lines(folder / "answers_gpt4.jsonl", references)
    put(folder, "rule.json", rules)
    lines(folder / "answers.jsonl", answers)
    pairs, asked = official.llava_bench(folder, replies)
    put_scores(folder, pairs)
    lines(folder / "requests.jsonl", [request(f"llava-bench-{i}", a) for i, a in enumerate(asked)])
    lines(folder / "replies.jsonl",
          [reply(f"llava-bench-{i}", r, form="responses" if i % 4 == 0 else "chat") for i, r in enumerate(replies)][::-1])


# No "nan": the script lets it through and all of its means are nan then; `evaluate` takes it for no mark.
MARKS = [
    "1.0", "0.5", "0.0", "1", " 0.7", "0.3 good", "0.8\n", "1.5", "-0.1", "good", "", ".4", "1e-1", "0_1", "0.5\u00a01", "\t0.5", "inf",
    "-0", "٠", "0,5", "1.0000000000000001", "1.00001", "0.5."
]


def mark(content):
    """Whether the script takes this reply: for the count of those it does not, which it keeps to itself."""
    try:
        return 0 <= float(content.split(" ")[0].strip()) <= 1
    except ValueError:
        return False


def mm_vet(world):
    rng, folder = world.rng, world.out / "mm-vet"
    sets = [["rec"], ["ocr", "math"], ["rec", "know", "gen"], ["spat", "ocr"], ["gen", "rec", "know"]]
    data, answers, replies = {}, [], {}
    for i in range(world.rows):
        truth = text(rng) + rng.choice(["", "<AND>" + text(rng), "<OR>" + text(rng)])
        data[f"v1_{i}"] = {"imagename": f"v1_{i}.png", "question": text(rng), "answer": truth, "capability": sets[i % 5]}
        answers.append({"question_id": i if i % 3 else f"v1_{i}", "prompt": data[f"v1_{i}"]["question"], "text": text(rng)})
        drawn = (MARKS[i] if i < len(MARKS) else rng.choice(
            MARKS +
            [f"{rng.random():.1f}", repr(rng.random()), nasty(rng, f"{rng.random():.1f}")]))
        replies[f"v1_{i}"] = "good" if "nan" in drawn.lower() else drawn
    put(folder, "mm-vet.json", data)
    (folder /
     "mm-vet-prompt.txt").write_text("Compare: a | b | c | 0.5\n\nQuestion | Truth | Prediction | Correctness\n--- | --- | --- | ---")
    lines(folder / "answers.jsonl", answers[::-1])
    scores, asked, submission = official.mm_vet(folder, replies)
    (folder / "submission.json").write_text(json.dumps({k: submission[k] for k in data}, ensure_ascii=False) + "\n")
    lines(folder / "requests.jsonl", [request(f"mm-vet-{i}", a) for i, a in enumerate(asked)])
    lines(folder / "replies.jsonl",
          [reply(f"mm-vet-{i}", r) for i, r in enumerate(replies.values())] + [reply("mm-vet-0", "0.9", status=500)])
    put_scores(folder, {**scores, "parse/unparsable": sum(not mark(r) for r in replies.values())})


def main():
    world = World(30, 1)
    for make, bench in [(llava_bench, "llava-bench"), (mm_vet, "mm-vet")]:
        make(world)
        if world.program:
            world.check(bench, "scores.txt", "judge", "--replies", world.out / bench / "replies.jsonl")


main()
