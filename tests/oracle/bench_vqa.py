"""Golden values of the answer processors and of vqav2, gqa, vizwiz, textvqa, pope and mme, on data of our own.

python3 tests/oracle/bench_vqa.py PROCESSOR tests/fixtures/bench

PROCESSOR: lmms_eval/tasks/_task_utils/vqa_eval_metric.py of the package lmms-eval, EvalAI's processor as M4C and LLaVA have it. The official
processor of VQA differs from it in its first step and in the pattern of commas; the scores are the authors' formulas, written down here.
Writes BENCH/ (official files, answers.jsonl) and BENCH/scores.txt (a key and a value a line), and normalise.txt (text, EvalAI's, VQA's; UTF-8
as hexadecimal digits, "-" for nothing).
"""

import importlib.util
import json
import pathlib
import random
import re
import sys

SHORT = "\nAnswer the question using a single word or phrase."
PAIRS = ["The Cat's, on a mat.", "1,000 - 2,000", "a/b", "U.S.A.", "2:30 p.m.", "what's up?", "wi-fi, 5ghz", "$4.50", "x.y.z 1.2.", "one, two", "An", "none", "isnt it", "50%",
         "somebody'd", "Id've", "'ow'sat", "1,,2", "a" + "." * 40 + "b", "٣,٤ - x", ".٣", "ΑΣ", "ÉCOLE", "a\u00a0b", "x\u200by", "don't", "the\nred\tcar", "(a)", "[ ]", "-", ", ,", "8-10"]
ALPHABET = list("aAbtheTHE019..,,;;//[]\"{}()=+\\_->< @`?!''ss\n\t") + [" "] * 8 + ["the", "one", "dont", "Its", "couldnt've", "É", "Ω", "Ж", "\u00a0", "٣", "🙂"]
WORDS = ["yes", "no", "red", "Blue", "two", "2", "a cat", "cat", "the cat", "unanswerable", "1,000", "wi-fi", "isnt", "isn't", "U.S.", "tennis racket", "Tennis Racket."]


def load(path):
    spec = importlib.util.spec_from_file_location("processor", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EvalAIAnswerProcessor


def official(processor):
    """VQA's own: no first step, and one comma between two digits."""

    class Official(processor):
        COMMA_STRIP = re.compile(r"(\d)(\,)(\d)")

    return Official()


def trim(s):
    return s.replace("\n", " ").replace("\t", " ").strip()


def vqa(own, s):
    return own.process_digit_article(own.process_punctuation(trim(s)))


def soft(truths, answer):
    accs = [min(1, float(len([t for j, t in enumerate(truths) if j != i and t == answer])) / 3) for i in range(len(truths))]
    return sum(accs) / len(accs)


def put(folder, name, value, lines=False):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in value) if lines else json.dumps(value, ensure_ascii=False))


def scores(folder, pairs):
    (folder / "scores.txt").write_text("".join(f"{key}\t{value!r}\n" for key, value in pairs))


def mean(values):
    return 100 * sum(values) / len(values)


def grouped(prefix, names, values):
    found = {}
    for name, value in zip(names, values):
        found.setdefault(name, []).append(value)
    return [(f"{prefix}/{name}", mean(v)) for name, v in found.items()]


def answer(key, prompt, text):
    return {"question_id": key, "prompt": prompt, "text": text, "answer_id": f"a{key}", "model_id": "m", "metadata": {}}


def ten(rng, i):
    if i % 6 == 0:
        return [rng.choice(["Yes", "yes.", " no\n"])] * 10
    few = rng.sample(WORDS, 3)
    return [rng.choice(few) for _ in range(10)]


def vqav2(folder, processor, rng):
    own, questions, rows, answers, values = official(processor), [], [], [], []
    for i in range(60):
        key, truths = 1000 + 7 * i, ten(rng, i)
        questions.append({"question_id": key, "image_id": 42 + i, "question": f"What is {i}?"})
        rows.append({"question_id": key, "image_id": 42 + i, "question_type": rng.choice(["what is", "is the", "how many"]), "answer_type": rng.choice(["yes/no", "number", "other"]),
                     "multiple_choice_answer": truths[0], "answers": [{"answer": t, "answer_confidence": "yes", "answer_id": j + 1} for j, t in enumerate(truths)]})
        text = rng.choice(truths + ["Red!", "the 2"])
        answers.append(answer(key, questions[-1]["question"] + SHORT, text))
        truths, text = [trim(t) for t in truths], trim(text)
        if len(set(truths)) > 1:
            truths, text = [vqa(own, t) for t in truths], vqa(own, text)
        values.append(soft(truths, text))
    put(folder, "v2_OpenEnded_mscoco_val2014_questions.json", {"info": {"year": 2017}, "questions": questions, "license": {"url": "x"}})
    put(folder, "v2_mscoco_val2014_annotations.json", {"info": {}, "annotations": rows})
    put(folder, "v2_OpenEnded_mscoco_test2015_questions.json", {"questions": questions + [{"question_id": 5, "image_id": 1, "question": "Who?"}]})
    rng.shuffle(answers)
    put(folder, "answers.jsonl", answers, True)
    scores(folder, [("overall", mean(values))] + grouped("answer_type", [r["answer_type"] for r in rows], values) + grouped("question_type", [r["question_type"] for r in rows], values))
    text = {a["question_id"]: processor()(a["text"]) for a in answers}
    put(folder, "submission.json", [{"question_id": q["question_id"], "answer": text.get(q["question_id"], "")} for q in questions + [{"question_id": 5}]])


def gqa(folder, rng):
    rows, answers, values = {}, [], []
    for i in range(50):
        types = {"structural": rng.choice(["query", "verify", "logical", "choose", "compare"]), "semantic": rng.choice(["rel", "attr", "obj"]), "detailed": "x"}
        rows[f"2{i:07}"] = {"question": f"What is {i}?", "imageId": f"n{i % 9}", "answer": rng.choice(["yes", "no", "red", "left"]), "isBalanced": i % 8 != 0, "types": types}
    for key, row in rows.items():
        right = row["answer"]
        text = rng.choice([right, right.title(), right + ".", right.upper() + "..", right + " .", right + ".\n", "é", "no"])
        answers.append(answer(key, row["question"] + SHORT, text))
        if row["isBalanced"]:
            values.append((row["types"], float(text.rstrip(".").lower() == right)))
    scored = [v for _, v in values]
    query = [t["structural"] == "query" for t, _ in values]
    put(folder, "testdev_balanced_questions.json", rows)
    put(folder, "submission.json", [{"questionId": a["question_id"], "prediction": a["text"].rstrip(".").lower()} for a in answers])
    rng.shuffle(answers)
    put(folder, "answers.jsonl", answers, True)
    scores(folder, [("accuracy", mean(scored)), ("binary", mean([v for v, q in zip(scored, query) if not q])), ("open", mean([v for v, q in zip(scored, query) if q]))]
           + grouped("structural", [t["structural"] for t, _ in values], scored) + grouped("semantic", [t["semantic"] for t, _ in values], scored))


def vizwiz(folder, processor, rng):
    m4c, rows, answers, values = processor(), [], [], []
    for i in range(40):
        truths = ten(rng, i)
        rows.append({"image": f"VizWiz_val_{i:08}.jpg", "question": "What is this?", "answers": [{"answer": t, "answer_confidence": "maybe"} for t in truths],
                     "answer_type": rng.choice(["other", "unanswerable", "yes/no"]), "answerable": 1})
        text = rng.choice(truths + ["Unanswerable"])
        answers.append(answer(rows[-1]["image"], "What is this?", text))
        values.append(soft([m4c(t) for t in truths], m4c(text)))
    put(folder, "val.json", rows)
    put(folder, "answers.jsonl", answers, True)
    scores(folder, [("overall", mean(values))] + grouped("answer_type", [r["answer_type"] for r in rows], values))
    put(folder, "submission.json", [{"image": a["question_id"], "answer": m4c(a["text"])} for a in answers])


def textvqa(folder, processor, rng):
    m4c, rows, answers, ocr = processor(), [], [], []
    for i in range(40):
        image = f"{i // 2:016x}"
        question = "what does it SAY?" if i in (6, 7) else f"What is Number {i}?"
        rows.append({"image_id": image, "question_id": i, "question": question, "answers": ten(rng, i), "set_name": "val"})
        if i % 2 == 0 and i < 36:
            ocr.append({"image_id": image, "ocr_tokens": rng.sample(WORDS, i % 4), "ocr_info": []})
        tokens = next((o["ocr_tokens"] for o in ocr if o["image_id"] == image), [])
        line = "Reference OCR token: " + ", ".join(tokens)
        form = [question + "\n" + line + SHORT, line + "\n" + question.upper() + SHORT, question + SHORT, f"OCR tokens: a. Question: {question} Short answer:"][i % 4]
        answers.append(answer(image, form, rng.choice(rows[-1]["answers"] + ["nothing"])))
    known = {(r["image_id"], r["question"].lower()): r for r in rows}
    said = {(a["question_id"], rows[i]["question"].lower()): a["text"] for i, a in enumerate(answers)}
    values = [soft([m4c(t) for t in known[k]["answers"]], m4c(said[k])) for k in ((r["image_id"], r["question"].lower()) for r in rows)]
    put(folder, "TextVQA_0.5.1_val.json", {"dataset_name": "TextVQA", "data": rows})
    put(folder, "TextVQA_Rosetta_OCR_v0.2_val.json", {"data": ocr})
    put(folder, "answers.jsonl", answers, True)
    scores(folder, [("overall", mean(values))])


def pope(folder, rng):
    said = ["Yes", "No", "No, there is not.", "NO", "Yes. No", "no", "There is not one", "", "No\n", "\u00a0No", "I see no, none", "yes"]
    number, merged, answers, pairs, f1s = 0, [], [], [], []
    for category in ["adversarial", "popular", "random"]:
        rows, tables = [], [0, 0, 0, 0]
        for i in range(30):
            number += 1
            rows.append({"question_id": i + 1, "image": f"COCO_val2014_{i:012}.jpg", "text": f"Is there a {rng.choice(['cat', 'car'])} in the image?", "label": rng.choice(["yes", "no"])})
            text = rng.choice(said)
            merged.append({"question_id": 3 * number, "image": rows[-1]["image"], "text": rows[-1]["text"] + SHORT, "category": category})
            answers.append(answer(3 * number, rows[-1]["text"] + SHORT, text))
            words = text.split(".")[0].replace(",", "").split(" ")
            yes, so = not ("No" in words or "not" in words or "no" in words), rows[-1]["label"] == "yes"
            tables[2 * so + yes] += 1
        put(folder, f"coco/coco_pope_{category}.json", rows, True)
        tn, fp, fn, tp = tables
        precision, recall = tp / (tp + fp), tp / (tp + fn)
        f1s.append(2 * precision * recall / (precision + recall))
        pairs += [(f"{category}/{k}", 100 * v) for k, v in [("accuracy", (tp + tn) / 30), ("precision", precision), ("recall", recall), ("f1", f1s[-1]), ("yes_ratio", (tp + fp) / 30)]]
    put(folder, "llava_pope_test.jsonl", merged[60:] + merged[:60], True)
    rng.shuffle(answers)
    put(folder, "answers.jsonl", answers, True)
    scores(folder, [("f1", 100 * sum(f1s) / 3)] + pairs)


PERCEPTION = ["existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR"]
COGNITION = ["commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"]


def mme(folder, rng):
    said = ["Yes", "No", "yes", "no.", "know", "eyes", "   no", "Yes, it is", "maybe", "Y\tes", "", "İno", "The answer is no"]
    answers, points, other = [], {}, 0
    for n, task in enumerate(PERCEPTION + COGNITION):
        right, both = [], []
        for i in range(4):
            below = f"{task}/questions_answers_YN" if n % 2 else task
            blank = "  " if i % 2 else " "
            asked = [f"Is this {task} {k}?" for k in "ab"]
            labels = ["Yes", "No"] if i % 3 else ["No", "Yes"]
            end = "\r\n" if n == 3 else "\n"
            path = folder / below / f"{i:04}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(("\ufeff" * (n == 4) + end.join(f"{q}{blank}Please answer yes or no.\t{a}" for q, a in zip(asked, labels)) + end * (i % 2)).encode())
            hits = []
            for q, label in zip(asked, labels):
                text = rng.choice(said + [label] * 20)
                answers.append(answer(f"{task}/{i:04}.png", q + SHORT, text))
                lower = text.lower()
                what = lower if lower in ("yes", "no") else "yes" if "yes" in lower[:4] else "no" if "no" in lower[:4] else "other"
                other += what == "other"
                hits.append(what == label.lower())
            right += hits
            both.append(all(hits))
        points[task] = 100 * (sum(right) / len(right)) + 100 * (sum(both) / len(both))
    rng.shuffle(answers)
    put(folder, "answers.jsonl", answers, True)
    scores(folder, [("perception", sum(points[t] for t in PERCEPTION)), ("cognition", sum(points[t] for t in COGNITION))] + list(points.items()) + [("parse/other", other)])


def main():
    processor, out, rng = load(sys.argv[1]), pathlib.Path(sys.argv[2]), random.Random(3)
    texts = PAIRS + list(processor.CONTRACTIONS) + ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 12))) for _ in range(300)]
    own, hexed = official(processor), lambda s: s.encode().hex() or "-"
    (out / "normalise.txt").write_text("".join(f"{hexed(s)} {hexed(processor()(s))} {hexed(vqa(own, s))}\n" for s in texts))
    vqav2(out / "vqav2", processor, rng)
    vizwiz(out / "vizwiz", processor, rng)
    textvqa(out / "textvqa", processor, rng)
    pope(out / "pope", rng)
    mme(out / "mme", rng)
    gqa(out / "gqa", rng)


main()
