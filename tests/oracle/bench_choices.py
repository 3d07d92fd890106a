"""Golden values of sqa, seed, mmbench, mmbench-cn, mmmu and mathvista, on data of our own.

python3 tests/oracle/bench_choices.py MMMU OUT [EVALUATE [ROWS [SEED]]]

MMMU: lmms_eval/tasks/mmmu/utils.py of the package lmms-eval 0.2.0, whose parser of open answers is the authors'; the other formulas are the
authors', written down here, with pandas, openpyxl, numpy and Levenshtein where they use these. Writes OUT/BENCH/ (official files, answers.jsonl) and
OUT/BENCH/scores.txt (a key and a value a line). With EVALUATE, the program's scores and submissions are held against them, its workbook is
opened by zipfile and openpyxl beside the one that pandas writes, and kept as submission.xlsx. The fixtures are those of 48 rows and seed 5.
"""

import ast
import importlib.util
import io
import json
import math
import pathlib
import random
import re
import string
import subprocess
import sys
import types
import zipfile

import Levenshtein
import numpy
import openpyxl
import pandas

LETTER = "\nAnswer with the option's letter from the given choices directly."
WORDS = ["cat", "Dog", "two", "a cat", "Über", "ÉTÉ", "red car", "42", "x", "none of these", "the answer", "猫", "狗 car", "A", "B", "3.5", "left"]


def load(path):
    stub = types.ModuleType("lmms_eval.tasks._task_utils.file_utils")
    stub.generate_submission_file = None
    for name in ["lmms_eval", "lmms_eval.tasks", "lmms_eval.tasks._task_utils"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[stub.__name__] = stub
    spec = importlib.util.spec_from_file_location("mmmu", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def put(folder, name, value, lines=False):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in value) if lines else json.dumps(value, ensure_ascii=False))


def share(values):
    return 100 * sum(values) / len(values) if values else 0.0


def grouped(prefix, names, values):
    found = {}
    for name, value in zip(names, values):
        found.setdefault(name, []).append(value)
    return [(f"{prefix}/{name}", share(v)) for name, v in found.items()]


def answer(key, prompt, text):
    return {"question_id": key, "prompt": prompt, "text": text, "answer_id": f"a{key}", "model_id": "m", "metadata": {}}


def finish(folder, rng, answers, pairs):
    rng.shuffle(answers)
    put(folder, "answers.jsonl", answers, True)
    (folder / "scores.txt").write_text("".join(f"{key}\t{value!r}\n" for key, value in pairs))


def noise(rng, pieces, n=6):
    return "".join(rng.choice(pieces) for _ in range(rng.randint(0, n)))


# ---------------------------------------------------------------- ScienceQA


def sqa(folder, rng, rows):
    problems, ids, answers, right, image, failed, outside = {}, [], [], [], [], 0, 0
    pieces = ["The answer is ", "A", "B", "C", "E", "F", "The answer is B.", "The answer is C", ".", " ", "\n", "A. ", "D. x", "Z", "é", "the answer is A."]
    for i in range(rows):
        pid, n = str(1000 + 7 * i), rng.randint(2, 5)
        problems[pid] = {"question": f"Which  one   is {i}?", "choices": [rng.choice(WORDS) for _ in range(n)], "answer": rng.randrange(n), "hint": rng.choice(["", " ", "Look  here.\n"]),
                         "image": rng.choice([None, "image.png"]), "lecture": "l", "solution": "s", "split": "test"}
        ids.append(pid)
        p = problems[pid]
        text = rng.choice(["ABCDE"[p["answer"]], "ABCDE"[p["answer"]] + ". so", f"The answer is {'ABCDE'[p['answer']]}.", rng.choice("ABCDE"), noise(rng, pieces), noise(rng, pieces)])
        context = p["hint"].strip() or "N/A"
        asked = f"Context: {context}\nQuestion: {p['question']}\nOptions: {' '.join(f'({a}) {c}' for a, c in zip('ABCDE', p['choices']))}\n".replace("  ", " ").strip()
        answers.append(answer(pid, "<image>\n" * (p["image"] is not None) + asked + LETTER, text))
        if text in list("ABCDE"):
            letter = text
        elif len(text) >= 3 and text[0] in "ABCDE" and text[1:3] == ". ":
            letter = text[0]
        else:
            found = re.compile(r"The answer is ([A-Z]).").findall(text)
            letter = found[0] if len(found) == 1 else "FAILED"
        failed += letter == "FAILED"
        outside += letter != "FAILED" and letter not in "ABCDE"[:n]
        right.append(letter in list("ABCDE"[:n]) and "ABCDE".index(letter) == p["answer"])
        image.append(p["image"] is not None)
    put(folder, "problems.json", {**problems, "1": {"question": "train", "choices": ["a"], "answer": 0, "hint": "", "image": None}})
    put(folder, "pid_splits.json", {"train": ["1"], "test": ids})
    finish(folder, rng, answers, [("image", share([r for r, i in zip(right, image) if i])), ("all", share(right)), ("parse/failed", failed), ("parse/out_of_range", outside)])


# ---------------------------------------------------------------- SEED-Bench


def seed(folder, rng, rows):
    names = ["Scene Understanding", "Instance Identity", "Text Recognition", "Action Recognition"]
    kinds, questions, answers, right = dict(zip(names, [1, 2, 9, 10])), [], [], []
    for i in range(rows):
        name = rng.choice(names)
        video = kinds[name] > 9
        key = f"v{i}" if video and i % 2 else str(101 + 3 * i)
        questions.append({"answer": rng.choice("ABCD"), "choice_a": "one", "choice_b": "two", "choice_c": "three", "choice_d": "four", "data_id": f"{i}_d", "data_type": "video" if video else "image",
                          "question": f"What is {i}?", "question_id": key, "question_type_id": kinds[name]})
        text = rng.choice([questions[-1]["answer"]] * 4 + list("ABCD") + ["", questions[-1]["answer"].lower(), questions[-1]["answer"] + ".", " " + questions[-1]["answer"]])
        answers.append(answer(int(key) if key.isdigit() else key, f"What is {i}?\nA. one\nB. two\nC. three\nD. four" + LETTER, text))
        right.append(text == questions[-1]["answer"])
    put(folder, "SEED-Bench.json", {"question_type": kinds, "questions": questions})
    put(folder, "submission.jsonl", [{"question_id": q["question_id"], "prediction": a["text"]} for q, a in zip(questions, answers)], True)
    of = {k: [r for r, q in zip(right, questions) if q["data_type"] == k] for k in ["image", "video"]}
    by_id = {v: k for k, v in kinds.items()}
    finish(folder, rng, answers, [("total", share(right)), ("image", share(of["image"])), ("video", share(of["video"]))] + grouped("type", [by_id[q["question_type_id"]] for q in questions], right))


# ---------------------------------------------------------------- MMBench


def by_letter(text, choices):
    if "Failed to obtain answer via API" in text:
        return False
    for sentence in ["Sorry, I can't help with images of people yet.", "I can't process this file.", "I'm sorry, but without the image provided", "Cannot determine the answer"]:
        if sentence in text:
            return "Z"
    plain = text
    for c in ".()[],:;!*#{}":
        plain = plain.replace(c, " ")
    tokens = plain.split()
    there = [c for c in choices if c in tokens]
    if len(there) == 1 and tokens.index(there[0]) > len(tokens) - 5:
        return there[0]
    if not there and "Z" in tokens:
        return "Z"
    found = re.search(r"(?i)(?:correct\s+)?answer\s+is\s+\**([ABCD])", text)
    return found.group(1).upper() if found and found.group(1).upper() in choices else False


def by_text(text, choices):
    text = text.lower()
    if len(text) > 2 * sum(len(str(v)) for v in choices.values()):
        return False
    found = [k for k, v in choices.items() if str(v).lower() in text]
    return found[0] if len(found) == 1 else False


def mmbench(folder, rng, rows, chinese):
    pieces = ["A", "B", "C", "D", "E", "Z", " ", " ", " ", ".", "(", ")", "\n", "answer is ", "correct answer  is **b", "The answer is", " the ", "猫", "it", "cat", "Dog", "none of these", "\u00a0", "\u2003c ",
              "Sorry, I can't help with images of people yet.", "Failed to obtain answer via API", "Cannot determine the answer", "Answer\u3000IS *d", "éTÉ"]
    missing = ["", "nan", "NaN", "None", "null", "NULL", "NA", "N/A", "n/a", "<NA>", "#N/A"]
    columns = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "source", "l2-category", "comment", "split"]
    records, answers = [], []
    for i in range(rows // 3):
        n = rng.randint(2, 4)
        options = rng.sample(WORDS[:13], n)
        gold, base, hint = rng.randrange(n), 11 + i, rng.choice(missing + ["Look\there", 'He said "so"', "two\nlines", '"quoted"'])
        kind = rng.choice(["logic", "finegrained", "coarse"])
        for turn in range(n):
            row = dict(zip("ABCD", options + [rng.choice(missing) for _ in range(4 - n)]))
            row.update(index=base + 1000000 * turn, question=rng.choice([f"What is {i}?", f"What,\t\"{i}\"\n?"]), hint=hint, answer="ABCD"[gold], category=kind, image="/9j/" + "Ab+/" * 20 + "AAA=", source="s",
                       comment=rng.choice(missing), split="dev")
            row["l2-category"] = kind[:3]
            records.append(row)
            options, gold = options[1:] + options[:1], (gold - 1) % n
    quote = lambda s: '"' + s.replace('"', '""') + '"' if any(c in s for c in '\t\n"') else s
    name = "mmbench_dev_cn_20231003.tsv" if chinese else "mmbench_dev_20230712.tsv"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w", newline="") as out:
        out.write("".join("\t".join(quote(str(v)) for v in line) + "\n" for line in [columns] + [[r[c] for c in columns] for r in records]))
    table = pandas.read_table(folder / name)
    assert len(table) == len(records)
    groups, vanilla, undecided, texts = {}, [], 0, {}
    for i, row in table.iterrows():
        choices = {k: row[k] for k in string.ascii_uppercase if k in row and not pandas.isna(row[k])}
        text = rng.choice([row["answer"]] * 8 + [f"({row['answer']}) so", f"The answer is {row['answer']}", str(choices[row["answer"]]), noise(rng, pieces, 8), noise(rng, pieces, 8)])
        texts[row["index"]] = text
        answers.append({**answer(int(row["index"]), "q", text), "round_id": 0})
        said = by_letter(text, choices) or by_text(text, choices)
        undecided += not said
        hit = said == row["answer"]
        if row["index"] < 10**6:
            vanilla.append(hit)
        groups.setdefault(row["index"] % 10**6, []).append((hit, row["category"], row["l2-category"]))
    hits = [all(h for h, _, _ in g) for g in groups.values()]
    finish(folder, rng, answers, [("circular", share(hits)), ("vanilla", share(vanilla))] + grouped("category", [g[0][1] for g in groups.values()], hits)
           + grouped("l2-category", [g[0][2] for g in groups.values()], hits) + [("parse/undecided", undecided), ("parse/base", len(hits))])
    table = table.drop(columns=["hint", "category", "source", "image", "comment", "l2-category"])
    table.insert(6, "prediction", [texts[i] for i in table["index"]])
    return table


def sheet(source):
    return [list(row) for row in openpyxl.load_workbook(source).active.iter_rows(values_only=True)]


def check_workbook(path, table):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None and len(archive.namelist()) == 5
    theirs = io.BytesIO()
    table.to_excel(theirs, index=False, engine="openpyxl")
    ours, wanted = sheet(path), [[None if v == "" else v for v in row] for row in sheet(theirs)]
    assert ours == wanted, next((a, b) for a, b in zip(ours, wanted) if a != b)


# ---------------------------------------------------------------- MMMU

DOMAINS = {"Art and Design": ["Art", "Art_Theory"], "Science": ["Math"], "Business": ["Manage"], "Tech and Engineering": ["Energy_and_Power"]}


def letter_of(text, options):
    for c in [",", ".", "!", "?", ";", ":", "'"]:
        text = text.strip(c)
    text = " " + text + " "
    letters = [chr(ord("A") + i) for i in range(len(options))]
    found, where = [c for c in letters if f"({c})" in text], lambda c: text.rfind(f"({c})")
    if not found:
        found, where = [c for c in letters if f" {c} " in text], lambda c: text.rfind(f" {c} ")
    if not found and len(text.split()) > 5:
        lower = dict(zip(letters, [o.lower() for o in options]))
        found, where = [c for c in letters if lower[c] in text.lower()], lambda c: text.lower().rfind(lower[c])
    return found[numpy.argmax([where(c) for c in found])] if found else ""


def mmmu(folder, rng, rows, authors):
    pieces = ["A", "B", "(C)", "(A)", " B ", " C ", "'", ".", ",", " ", "the ", "cat", "DOG", "two ", "red car ", "so it is left", "\n", "!?", "É", "1.5", "a b c d e f "]
    numbers = ["36", "1,234.5", "1e-3", "-.5", "3.14,", "1,2345", "12,345,678", "2E+5", "0.126", "5%", "1_0", "nan", "inf", "-7", "1.2.3", "x2", "2x", "1,23", "99e", "4e+", "--3", "٣", "1٣,٤", "100,000,", "²3", "3²", "1,234,", "7_"]
    glue = [" ", " ", "is ", "so ", "= ", "=", "answer ", "final ", "thus ", "therefore ", "could be ", "result ", ".", ". ", "\n", " watts", "The ", "It ", ":", "-", ",", "a", "É", "E", "\u00a0"]
    subjects = [(s, d) for d, all_of in DOMAINS.items() for s in all_of]
    lines, answers, right, fallback, submission = [], [], [], 0, {}
    for i in range(rows):
        subject, domain = subjects[i % len(subjects)]
        key = f"validation_{subject}_{i + 1}"
        row = {"id": key, "question": f"<image 1> What is {i}?", "options": "[]", "image_1": f"images/{i}.png" if i % 9 else None, "image_2": None}
        if i % 2:
            options = rng.sample(WORDS, rng.randint(2, 7)) if i % 5 else ["it's", 'say "x"', "back\\slash", "é\tu"]
            row.update(options=repr(options), question_type="multiple-choice", answer=rng.choice("ABCDEFG"[:len(options)]))
            if i % 13 == 0:
                row["answer"] = repr([row["answer"], "B"])
            gold = ast.literal_eval(row["answer"]) if row["answer"][0] == "[" else [row["answer"]]
            text = rng.choice([gold[0], f"({gold[0]})", f"{gold[0]}.", noise(rng, pieces, 9), noise(rng, pieces, 9)])
            submission[key] = letter_of(text, options)
            fallback += not submission[key]
            right.append(submission[key] in gold)
        else:
            gold = rng.choice([rng.choice(numbers[:9]), rng.choice(WORDS), [rng.choice(numbers), rng.choice(WORDS)]])
            row.update(question_type="open" if i % 4 else "short-answer", answer=str(gold))
            said = gold[0] if isinstance(gold, list) else gold
            text = rng.choice([said, f"It is {said}.", f"so x = {said} watts", noise(rng, glue + numbers, 9), noise(rng, glue + numbers + [said] * 9, 9), noise(rng, glue + numbers, 9)])
            submission[key] = text
            right.append(authors.eval_open(gold, authors.parse_open_response(text)))
        lines.append(row)
        answers.append(answer(key, row["question"], text))
    put(folder, "validation.jsonl", lines, True)
    put(folder, "submission.json", submission)
    names = [r["id"].split("_", 1)[1].rsplit("_", 1)[0] for r in lines]
    finish(folder, rng, answers, [("overall", share(right))] + grouped("subject", names, right) + grouped("domain", [dict(subjects)[n] for n in names], right) + [("parse/fallback", fallback)])


# ---------------------------------------------------------------- MathVista


def direct(text, p):
    if text == "" or (p["question_type"] == "multi_choice" and text in p["choices"]):
        return text
    for kind, read in [("integer", int), ("float", float)]:
        if p["answer_type"] == kind:
            try:
                return str(read(text))
            except ValueError:
                pass
    return None


def by_rules(text, p):
    """Ours, not the authors'."""
    if p["question_type"] == "multi_choice":
        letters = [chr(65 + i) for i in range(len(p["choices"]))]
        found = [c for c in re.findall(r"\(([a-zA-Z])\)", text) if c.upper() in letters]
        found = found or [text[i] for i in range(len(text)) if text[i] in letters and not text[i - 1:i].isalnum() and not text[i + 1:i + 2].isalnum()]
        if found:
            return f"({found[-1]})"
        held = [c for c in p["choices"] if c and c.lower() in text.lower()]
        return max(held, key=len) if held else text
    if p["answer_type"] in ("integer", "float"):
        found = [m.group(0) for m in re.finditer(r"-?([0-9][0-9,]*(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?", text)]
        return found[-1].replace(",", "") if found else ""
    found = re.findall(r"\[[^\[\]]*\]", text)
    return found[-1] if found else ""


def normal(extraction, p):
    if p["question_type"] == "multi_choice":
        extraction = extraction.strip()
        found = re.findall(r"\(([a-zA-Z])\)", extraction)
        extraction = found[0].upper() if found else extraction
        letters = [chr(65 + i) for i in range(len(p["choices"]))]
        if extraction in letters:
            return p["choices"][letters.index(extraction)]
        distances = [Levenshtein.distance(extraction, c) for c in p["choices"]]
        return p["choices"][distances.index(min(distances))]
    try:
        if p["answer_type"] == "integer":
            return str(int(float(extraction)))
        if p["answer_type"] == "float":
            return str(round(float(extraction), int(p["precision"])))
    except (ValueError, OverflowError):
        return None
    return extraction


def mathvista(folder, rng, rows):
    pieces = ["(a)", "(B)", "(z)", "A", "B", "C", " ", " ", "cat", "Dog ", "red car", "so ", "Äpfel", "é", "D.", "I ", "x", "[1, 2]", "[", "]", "[3]", "12", "-3", "1,234", ".5", "2.675", "1e3", "-", "e", "7.", "1e400", "2.5e-1", "０"]
    exact = ["14", " 14 ", "+7", "1_4", "14.0", "-0", "-0.4", "nan", "inf", "1e400", "2.675", "0.30", "1.005", "2.5", "1e16", "1e22", "123456789012345678901", ".5", "1E-5", "0x10", "", "1__0", "-inf", "1_0.2_5", "5.", "0.00001234"]
    problems, queries, answers, labels, extracted, replies, n_direct = {}, {}, [], [], [], [], 0
    for i in range(rows):
        pid, kind = str(i + 1), ["choice", "integer", "float", "list"][i % 4 if i % 8 else 0]
        p = {"question": f"How many {i}?", "image": f"images/{pid}.jpg", "choices": None, "unit": rng.choice([None, "", "cm"]), "precision": None, "question_type": "free_form", "answer_type": kind, "pid": pid,
             "metadata": {"language": "english", "source": rng.choice(["FigureQA", "IQTest"]), "category": "general-vqa", "task": "figure question answering", "context": "bar chart", "grade": "daily life",
                          "skills": rng.sample(["numeric commonsense", "statistical reasoning", "logical reasoning"], rng.randint(1, 3)), "split": "testmini"}}
        if kind == "choice":
            p.update(choices=rng.sample(WORDS, rng.randint(2, 6)), question_type="multi_choice", answer_type="text")
        if kind == "float":
            p["precision"] = rng.choice([1, 2, 2.0, 1.0])
        text = rng.choice(exact) if i % 3 == 0 else noise(rng, pieces, 9)
        if p["choices"] and i % 3 == 0:
            text = rng.choice(p["choices"] + ["(B", "b", "(b) it", "Dogs", "catt"])
        asis = direct(text, p)
        n_direct += bool(asis)
        said = normal(by_rules(text, p) if asis is None else asis, p)
        p["answer"] = said if said is not None and said != "" and rng.random() < 0.5 else rng.choice(p["choices"] or ["14", "0", "2.0", "0.3", "2.67", "[1, 2]", "[3]", "1.0", "-0.4"])
        if i % 5:
            queries[pid] = f"Hint: do.\nQuestion: {p['question']}"
        problems[pid] = p
        answers.append(answer(pid, queries.get(pid, ""), text))
        labels.append(said == p["answer"])
        judged = rng.choice([" (B) ", "14", "2.67\n", "[3]", p["answer"], ""])
        extracted.append(normal(judged.strip() if asis is None else asis, p) == p["answer"])
        if asis is None:
            replies.append({"custom_id": pid, "response": {"status_code": 200, "body": {"choices": [{"message": {"role": "assistant", "content": judged}}]}}})
    put(folder, "testmini.json", problems)
    put(folder, "query.json", queries)
    (folder / "ext_ans.txt").write_text("\nPlease extract.\n\n1.\nExtracted answer: 2\n\n")
    put(folder, "replies.jsonl", replies, True)
    values = list(problems.values())
    keys = [("question_type", None), ("answer_type", None)] + [(k, "metadata") for k in ["language", "source", "category", "task", "context", "grade"]]

    def pairs(right):
        out = [("average", share(right))]
        for key, inside in keys:
            out += grouped(key, [(v["metadata"] if inside else v)[key] for v in values], right)
        skills = [(s, r) for v, r in zip(values, right) for s in v["metadata"]["skills"]]
        return out + grouped("skills", [s for s, _ in skills], [r for _, r in skills]) + [("parse/direct", n_direct)]

    (folder / "judged.txt").write_text("".join(f"{k}\t{v!r}\n" for k, v in pairs(extracted)))
    finish(folder, rng, answers, pairs(labels))


# ---------------------------------------------------------------- the program beside them


def run(program, bench, step, folder, *more):
    out = subprocess.run([program, bench, step, "--data", folder, "--answers", folder / "answers.jsonl", *more], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return out.stdout


def check_scores(program, bench, folder, wanted, step, *more):
    found = json.loads(run(program, bench, step, folder, "--format", "json", *more))
    for line in (folder / wanted).read_text().splitlines():
        key, value = line.split("\t")
        ours = found["parse"][key[6:]] if key.startswith("parse/") else found["scores"][key]
        assert math.isclose(ours, float(value), rel_tol=1e-12, abs_tol=1e-12), (bench, key, ours, value)
    assert len(found["scores"]) + len(found["parse"]) == len((folder / wanted).read_text().splitlines())


def main():
    authors, out, program = load(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None
    rows, rng = int(sys.argv[4]) if len(sys.argv) > 4 else 48, random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 5)
    sqa(out / "sqa", rng, rows)
    seed(out / "seed", rng, rows)
    tables = {"mmbench": mmbench(out / "mmbench", rng, rows, False), "mmbench-cn": mmbench(out / "mmbench-cn", rng, rows, True)}
    mmmu(out / "mmmu", rng, rows, authors)
    mathvista(out / "mathvista", rng, rows)
    for bench in ["sqa", "seed", "mmbench", "mmbench-cn", "mmmu", "mathvista"] if program else []:
        check_scores(program, bench, out / bench, "scores.txt", "score")
    if not program:
        return
    check_scores(program, "mathvista", out / "mathvista", "judged.txt", "judge", "--replies", out / "mathvista/replies.jsonl")
    for bench, table in tables.items():
        run(program, bench, "submit", out / bench, "--out", out / bench / "submission.xlsx")
        check_workbook(out / bench / "submission.xlsx", table)


main()
