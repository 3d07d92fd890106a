"""Golden values of the answer processors and of vqav2, gqa, vizwiz, textvqa, pope and mme, on data of our own: what the authors' scripts
say.

python3 tests/oracle/bench_vqa.py FOLDER OUT [EVALUATE [ROWS [SEED]]]

FOLDER: the authors' scripts (official.py). Writes OUT/BENCH/ (official files, answers.jsonl), OUT/BENCH/scores.txt (a key and a value a
line), and OUT/normalise.txt (text, EvalAI's, VQA's; UTF-8 as hexadecimal digits, "-" for nothing). With EVALUATE, the program's scores
and submissions are held against theirs. The fixtures tests/fixtures/bench are those of 60 rows and seed 3.
"""

import official
from bench_world import MARKS, World, answer, nasty, noise, put, put_scores

SHORT = "\nAnswer the question using a single word or phrase."
PAIRS = [
    "The Cat's, on a mat.", "1,000 - 2,000", "a/b", "U.S.A.", "2:30 p.m.", "what's up?", "wi-fi, 5ghz", "$4.50", "x.y.z 1.2.", "one, two",
    "An", "none", "isnt it", "50%", "somebody'd", "Id've", "'ow'sat", "1,,2", "a" + "." * 40 + "b", "٣,٤ - x", ".٣", "ΑΣ", "ÉCOLE",
    "a\u00a0b", "x\u200by", "don't", "the\nred\tcar", "(a)", "[ ]", "-", ", ,", "8-10"
]
WORDS = [
    "yes", "no", "red", "Blue", "two", "2", "a cat", "cat", "the cat", "unanswerable", "1,000", "wi-fi", "isnt", "isn't", "U.S.",
    "tennis racket", "Tennis Racket."
]


def normalise(world):
    """Both processors, on texts that reach all of their rules."""
    m4c, vqa = official.m4c(), official.vqa_processor()
    own = official.load("llava/llava/eval/m4c_evaluator.py").EvalAIAnswerProcessor.CONTRACTIONS
    texts = PAIRS + list(own) + [noise(world.rng, MARKS, 12) for _ in range(5 * world.rows)]
    hexed = lambda s: s.encode().hex() or "-"
    (world.out / "normalise.txt").write_text("".join(f"{hexed(s)} {hexed(m4c(s))} {hexed(vqa(s))}\n" for s in texts))


def ten(rng, i):
    """What ten people said: sometimes all the same."""
    if i % 6 == 0:
        return [rng.choice(["Yes", "yes.", " no\n", "the Cat", "two"])] * 10
    few = rng.sample(WORDS, 3)
    if i % 5 == 0:
        few += [nasty(rng, few[0]), nasty(rng, few[0])]
    return [rng.choice(few) for _ in range(10)]


def said(rng, truths):
    return rng.choice(truths + ["Red!", "the 2"]) if rng.random() < 0.5 else nasty(rng, rng.choice(truths))


def vqav2(world):
    rng, folder, questions, rows, answers = world.rng, world.out / "vqav2", [], [], []
    for i in range(world.rows):
        key, truths = 1000 + 7 * i, ten(rng, i)
        questions.append({"question_id": key, "image_id": 42 + i, "question": f"What is {i}?"})
        rows.append({
            "question_id": key,
            "image_id": 42 + i,
            "question_type": rng.choice(["what is", "is the", "how many"]),
            "answer_type": rng.choice(["yes/no", "number", "other"]),
            "multiple_choice_answer": truths[0],
            "answers": [{
                "answer": t,
                "answer_confidence": "yes",
                "answer_id": j + 1
            } for j, t in enumerate(truths)]
        })
        answers.append(answer(key, questions[-1]["question"] + SHORT, said(rng, truths)))
    put(folder, "v2_OpenEnded_mscoco_val2014_questions.json", {"info": {"year": 2017}, "questions": questions, "license": {"url": "x"}})
    put(folder, "v2_mscoco_val2014_annotations.json", {"info": {}, "annotations": rows})
    put(folder, "v2_OpenEnded_mscoco_test2015_questions.json",
        {"questions": questions + [{
            "question_id": 5,
            "image_id": 1,
            "question": "Who?"
        }]})
    rng.shuffle(answers)
    put(folder, "answers.jsonl", answers, True)
    put_scores(folder, official.vqav2(folder))
    put(folder, "submission.json", official.vqav2_submission(folder))


def gqa(world):
    rng, folder, rows, answers = world.rng, world.out / "gqa", {}, []
    for i in range(world.rows * 5 // 6):
        types_of = {
            "structural": rng.choice(["query", "verify", "logical", "choose", "compare"]),
            "semantic": rng.choice(["rel", "attr", "obj"]),
            "detailed": "x"
        }
        rows[f"2{i:07}"] = {
            "question": f"What is {i}?",
            "imageId": f"n{i % 9}",
            "answer": rng.choice(["yes", "no", "red", "left"]),
            "isBalanced": i % 8 != 0,
            "types": types_of,
            "semantic": [],
            "groups": {
                "global": "g"
            }
        }
    for key, row in rows.items():
        right = row["answer"]
        text = rng.choice(
            [right,
             right.title(), right + ".",
             right.upper() + "..", right + " .", right + ".\n", "é", "no", "ÉS",
             nasty(rng, right)])
        answers.append(answer(key, row["question"] + SHORT, text))
    put(folder, "testdev_balanced_questions.json", rows)
    put(folder, "answers.jsonl", answers, True)
    pairs, submission = official.gqa(folder)
    put_scores(folder, pairs)
    put(folder, "submission.json", submission)
    rng.shuffle(answers)
    put(folder, "answers.jsonl", answers, True)


def vizwiz(world):
    rng, folder, rows, answers = world.rng, world.out / "vizwiz", [], []
    for i in range(world.rows):
        truths = ten(rng, i)
        rows.append({
            "image": f"VizWiz_val_{i:08}.jpg",
            "question": "What is this?",
            "answers": [{
                "answer": t,
                "answer_confidence": "maybe"
            } for t in truths],
            "answer_type": rng.choice(["other", "unanswerable", "yes/no"]),
            "answerable": 1
        })
        answers.append(answer(rows[-1]["image"], "What is this?", said(rng, truths + ["Unanswerable"])))
    put(folder, "val.json", rows)
    put(folder, "answers.jsonl", answers, True)
    put_scores(folder, official.vizwiz(folder))
    put(folder, "submission.json", official.vizwiz_submission(folder))


def textvqa(world):
    rng, folder, rows, answers, ocr = world.rng, world.out / "textvqa", [], [], []
    for i in range(world.rows):
        image = f"{i // 2:016x}"
        question = "what does it SAY?" if i in (6, 7) else f"What is Number {i}?"
        rows.append({"image_id": image, "question_id": i, "question": question, "answers": ten(rng, i), "set_name": "val"})
        if i % 2 == 0 and i < world.rows - 4:
            ocr.append({"image_id": image, "ocr_tokens": rng.sample(WORDS, i % 4), "ocr_info": []})
        tokens = ocr[i // 2]["ocr_tokens"] if i // 2 < len(ocr) else []
        line = "Reference OCR token: " + ", ".join(tokens)
        form = [
            question + "\n" + line + SHORT, line + "\n" + question.upper() + SHORT, question + SHORT,
            f"OCR tokens: a. Question: {question} Short answer:"
        ][i % 4]
        answers.append(answer(image, form, said(rng, rows[-1]["answers"] + ["nothing"])))
    answers[6]["text"] = answers[7]["text"]  # one key twice: the script counts a line each, `evaluate` the last line for both
    put(folder, "TextVQA_0.5.1_val.json", {"dataset_name": "TextVQA", "data": rows})
    put(folder, "TextVQA_Rosetta_OCR_v0.2_val.json", {"data": ocr})
    put(folder, "answers.jsonl", answers, True)
    put_scores(folder, official.textvqa(folder))


def pope(world):
    rng, folder, number, merged, answers = world.rng, world.out / "pope", 0, [], []
    replies = [
        "Yes", "No", "No, there is not.", "NO", "Yes. No", "no", "There is not one", "", "No\n", "\u00a0No", "I see no, none", "yes",
        "No.", "Not", "no,not", ". No", "It is not", "yes\tno"
    ]
    n = world.rows // 2
    for category in ["adversarial", "popular", "random"]:
        rows = []
        for i in range(n):
            number += 1
            rows.append({
                "question_id": i + 1,
                "image": f"COCO_val2014_{i:012}.jpg",
                "text": f"Is there a {rng.choice(['cat', 'car'])} in the image?",
                "label": rng.choice(["yes", "no"])
            })
            text = rng.choice(replies) if rng.random() < 0.6 else nasty(rng, rows[-1]["label"].title())
            merged.append({"question_id": 3 * number, "image": rows[-1]["image"], "text": rows[-1]["text"] + SHORT, "category": category})
            answers.append(answer(3 * number, rows[-1]["text"] + SHORT, text))
        put(folder, f"coco/coco_pope_{category}.json", rows, True)
    put(folder, "llava_pope_test.jsonl", merged[2 * n:] + merged[:2 * n], True)
    rng.shuffle(answers)
    put(folder, "answers.jsonl", answers, True)
    put_scores(folder, official.pope(folder))


def mme(world):
    rng, folder, answers = world.rng, world.out / "mme", []
    replies = [
        "Yes", "No", "yes", "no.", "know", "eyes", "   no", "Yes, it is", "maybe", "Y\tes", "", "İno", "The answer is no", "ye\rs",
        "a\u2028no", "ßno"
    ]
    for n, task in enumerate(official.MME_TASKS):
        for i in range(max(4, world.rows // 15)):
            below = f"{task}/questions_answers_YN" if n % 2 else task
            blank = "  " if i % 2 else " "
            asked = [f"Is this {task} {k}?" for k in "ab"]
            labels = ["Yes", "No"] if i % 3 else ["No", "Yes"]
            end = "\r\n" if n == 3 else "\n"
            path = folder / below / f"{i:04}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(("\ufeff" * (n == 4) + end.join(f"{q}{blank}Please answer yes or no.\t{a}"
                                                             for q, a in zip(asked, labels)) + end * (i % 2)).encode())
            for q, label in zip(asked, labels):
                answers.append(
                    answer(f"{task}/{i:04}.png", q + SHORT, rng.choice(replies + [label] * 20 + [nasty(rng, label) for _ in range(4)])))
    rng.shuffle(answers)
    put(folder, "answers.jsonl", answers, True)
    put_scores(folder, official.mme(folder))


def main():
    world = World(60, 3)
    world.out.mkdir(parents=True, exist_ok=True)
    normalise(world)
    for make in [vqav2, vizwiz, textvqa, pope, mme, gqa]:
        make(world)
        if world.program:
            world.check(make.__name__)
    if world.program:
        world.check_submission("vqav2", "submission.json", "--split", "test2015", "--allow-missing")
        world.check_submission("vizwiz", "submission.json")
        world.check_submission("gqa", "submission.json")


main()
