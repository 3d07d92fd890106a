"""The scripts with which the authors of benchmarks score, run as they are. Called by bench_vqa.py, bench_choices.py and bench_judged.py.

They are no part of this tree: a folder holds copies of them, laid out as tests/fixtures/bench/README.md says.
"""

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import runpy
import sys
import tempfile
import types

FOLDER = None
MME_TASKS = [
    "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR", "commonsense_reasoning",
    "numerical_calculation", "text_translation", "code_reasoning"
]


def use(folder):
    """Before all else."""
    global FOLDER
    FOLDER = pathlib.Path(folder).resolve()
    sys.path[:0] = [str(FOLDER), str(FOLDER / "llava")]
    for name, members in {
            "openai": {},
            "llava": {
                "__path__": [str(FOLDER / "llava/llava")]
            },
            "datasets": {
                "load_dataset": lambda *a, **k: []
            },
            "utilities": {
                "read_json": lambda p: json.load(open(p)),
                "save_json": lambda v, p: json.dump(v, open(p, "w"))
            }
    }.items():
        stub(name, **members)


def stub(name, **members):
    """A module that a script imports and what it calls of it, where the real one would ask a network."""
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module


def load(path, name="loaded"):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unrounded(value, digits=None):
    """Stands for round() where a script rounds what it prints: to one or two digits."""
    return value if digits in (1, 2) else round(value, digits)


def run(path, *arguments, watch=None, **replaced):
    """Runs a script as a program. Returns its variables, what it printed and the locals of each call of the function `watch` at its end."""
    printed, ends, before = io.StringIO(), [], sys.argv

    def note(frame, event, _):
        if event == "return" and frame.f_code.co_name == watch:
            ends.append(dict(frame.f_locals))

    sys.argv = [path, *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            sys.setprofile(note if watch else None)
            try:
                variables = runpy.run_path(str(FOLDER / path), init_globals=replaced, run_name="__main__")
            finally:
                sys.setprofile(None)
    finally:
        sys.argv = before
    return variables, printed.getvalue(), ends


@contextlib.contextmanager
def scratch():
    """A folder to work in, which is the current one meanwhile."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield pathlib.Path(folder)
        finally:
            os.chdir(before)


# ---------------------------------------------------------------- one function a benchmark: "key: value" pairs as `evaluate` names them


def m4c():
    """EvalAI's processor of answers, as M4C and LLaVA have it."""
    return load("llava/llava/eval/m4c_evaluator.py").EvalAIAnswerProcessor()


def vqa_processor():
    """VQA's, as its loop over questions calls it."""
    own = load("vqaEval.py").VQAEval(types.SimpleNamespace(getQuesIds=list), None)
    return lambda text: own.processDigitArticle(own.processPunctuation(text.replace("\n", " ").replace("\t", " ").strip()))


def vqav2(folder):
    vqa, evaluation = load("vqa.py").VQA, load("vqaEval.py").VQAEval
    answers = {a["question_id"]: {"answer": a["text"]} for a in lines(folder / "answers.jsonl")}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = vqa(folder / "v2_mscoco_val2014_annotations.json", folder / "v2_OpenEnded_mscoco_val2014_questions.json")
        scored = evaluation(truth, types.SimpleNamespace(qa=answers), n=30)
        scored.evaluate()
    found = scored.accuracy
    return {
        "overall": found["overall"],
        **{
            f"answer_type/{k}": v
            for k, v in found["perAnswerType"].items()
        },
        **{
            f"question_type/{k}": v
            for k, v in found["perQuestionType"].items()
        }
    }


def vqav2_submission(folder):
    with scratch() as here:
        (here / "answers/test/m").mkdir(parents=True)
        (here / "answers/test/m/merge.jsonl").write_bytes((folder / "answers.jsonl").read_bytes())
        questions = json.loads((folder / "v2_OpenEnded_mscoco_test2015_questions.json").read_text())["questions"]
        (here / "llava_vqav2_mscoco_test2015.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
        run("convert_vqav2_for_submission.py", "--dir", here, "--ckpt", "m", "--split", "test")
        return json.loads((here / "answers_upload/test/m.json").read_text())


def vizwiz(folder):
    stub("lmms_eval.tasks._task_utils.file_utils", generate_submission_file=None)
    sys.modules["lmms_eval.tasks._task_utils.vqa_eval_metric"] = load("lmms/lmms_eval/tasks/_task_utils/vqa_eval_metric.py")
    process = load("lmms/lmms_eval/tasks/vizwiz_vqa/utils.py").vizwiz_vqa_process_results
    answers, by_type = {a["question_id"]: a["text"] for a in lines(folder / "answers.jsonl")}, {}
    for row in json.loads((folder / "val.json").read_text()):
        doc = {"answers": [a["answer"] for a in row["answers"]], "question_id": row["image"]}
        value = process(doc, [answers[row["image"]]])["exact_match"]
        for key in ["overall", f"answer_type/{row['answer_type']}"]:
            by_type.setdefault(key, []).append(value)
    return {k: 100 * sum(v) / len(v) for k, v in by_type.items()}


def vizwiz_submission(folder):
    with scratch() as here:
        rows = json.loads((folder / "val.json").read_text())
        (here / "questions.jsonl").write_text("".join(json.dumps({"question_id": r["image"], "image": r["image"]}) + "\n" for r in rows))
        run("convert_vizwiz_for_submission.py", "--annotation-file", "questions.jsonl", "--result-file", folder / "answers.jsonl",
            "--result-upload-file", here / "out.json")
        return json.loads((here / "out.json").read_text())


def textvqa(folder):
    _, _, ends = run("llava/llava/eval/eval_textvqa.py",
                     "--annotation-file",
                     folder / "TextVQA_0.5.1_val.json",
                     "--result-file",
                     folder / "answers.jsonl",
                     watch="eval_pred_list")
    return {"overall": 100 * ends[0]["accuracy"]}


def gqa(folder):
    """Scores and the submission."""
    with scratch() as here:
        run("convert_gqa_for_eval.py", "--src", folder / "answers.jsonl", "--dst", "up.json")
        found, _, _ = run("gqa_eval.py", "--tier", "testdev_balanced", "--questions", folder / "testdev_balanced_questions.json",
                          "--predictions", "up.json")
        submission = json.loads((here / "up.json").read_text())
    s = found["scores"]
    return {
        "accuracy": s["accuracy"],
        "binary": s["binary"],
        "open": s["open"],
        **{
            f"structural/{k}": v[0]
            for k, v in s["accuracyPerStructuralType"].items()
        },
        **{
            f"semantic/{k}": v[0]
            for k, v in s["accuracyPerSemanticType"].items()
        }
    }, submission


def pope(folder):
    """The script joins by order: it gets the answers in the order of the questions."""
    given, pairs = {a["question_id"]: a for a in lines(folder / "answers.jsonl")}, {}
    with scratch() as here:
        (here / "answers.jsonl").write_text("".join(
            json.dumps(given[q["question_id"]]) + "\n" for q in lines(folder / "llava_pope_test.jsonl")))
        _, printed, ends = run("llava/llava/eval/eval_pope.py",
                               "--annotation-dir",
                               folder / "coco",
                               "--question-file",
                               folder / "llava_pope_test.jsonl",
                               "--result-file",
                               "answers.jsonl",
                               watch="eval_pope")
    categories = [line.split()[1].rstrip(",") for line in printed.splitlines() if line.startswith("Category")]
    for category, end in sorted(zip(categories, ends)):
        for key, name in [("accuracy", "acc"), ("precision", "precision"), ("recall", "recall"), ("f1", "f1"),
                          ("yes_ratio", "yes_ratio")]:
            pairs[f"{category}/{key}"] = 100 * end[name]
    return {"f1": sum(pairs[f"{c}/f1"] for c in categories) / 3, **pairs}


def mme(folder):
    """The tool wants the lines of a picture together: it gets the answers in the order of the questions."""
    given = sorted(lines(folder / "answers.jsonl"), key=lambda a: (a["question_id"], a["prompt"]))
    with scratch() as here:
        (here / "answers").mkdir()
        (here / "answers/m.jsonl").write_text("".join(
            json.dumps({
                **a, "text": a["text"].replace("\t", " ").replace("\n", " ").replace("\r", " ")
            }) + "\n" for a in given))
        for task in MME_TASKS:
            inside = folder / task / "questions_answers_YN"
            target = here / "MME_Benchmark_release_version" / task
            target.mkdir(parents=True)
            if inside.is_dir():
                (target / "images").mkdir()
                target = target / "questions_answers_YN"
                target.mkdir()
            for file in (inside if inside.is_dir() else folder / task).glob("*.txt"):
                (target / file.name).write_text(file.read_text(encoding="utf-8-sig"))
        run("convert_answer_to_mme.py", "--experiment", "m")
        _, _, ends = run("mme_calculation.py", "--results_dir", here / "eval_tool/answers/m", watch="process_result")
        _, printed, others = run("mme_calculation.py", "--results_dir", here / "eval_tool/answers/m", watch="compute_metric")
    totals = [float(line.split()[2]) for line in printed.splitlines() if line.startswith("total")]
    points = {line.split()[0]: float(line.split()[-1]) for line in printed.splitlines() if line.startswith("\t")}
    return {"perception": totals[0], "cognition": totals[1], **points, "parse/other": sum(e["other_num"] for e in others)}


def sqa(folder):
    with scratch():
        found, _, _ = run("llava/llava/eval/eval_science_qa.py", "--base-dir", folder, "--result-file", folder / "answers.jsonl",
                          "--output-file", "o.json", "--output-result", "r.json")
    every = found["results"]["correct"] + found["results"]["incorrect"]
    problems = found["problems"]
    outside = [
        a for a in every if a["parsed_ans"] != "FAILED" and a["parsed_ans"] not in "ABCDE"[:len(problems[a["question_id"]]["choices"])]
    ]
    return {
        "image": 100 * found["multimodal_correct"] / found["multimodal_total"],
        "all": found["sqa_results"]["acc"],
        "parse/failed": sum(a["parsed_ans"] == "FAILED" for a in every),
        "parse/out_of_range": len(outside)
    }


def seed(folder):
    """Scores and the submission."""
    with scratch() as here:
        found, _, ends = run("convert_seed_for_submission.py",
                             "--annotation-file",
                             folder / "SEED-Bench.json",
                             "--result-file",
                             folder / "answers.jsonl",
                             "--result-upload-file",
                             "up.jsonl",
                             watch="eval_single")
        submission = lines(here / "up.jsonl")
    types_of, all_of = found["ques_type_id_to_name"], ends[0]
    shares = {f"type/{types_of[k]}": 100 * all_of["correct_counts"][k] / n for k, n in all_of["type_counts"].items()}
    return {
        "total": ends[0]["total_accuracy"],
        "image": ends[1]["total_accuracy"],
        "video": ends[2]["total_accuracy"],
        **shares
    }, submission


def mmbench_module():
    kept = {}
    stub("vlmeval.smp.log", get_logger=lambda *a: types.SimpleNamespace(info=print, warning=lambda *a: None))
    stub("vlmeval.smp",
         dump=lambda v, p: kept.__setitem__(p, v),
         load=lambda p: kept[p],
         get_pred_file_format=lambda: "xlsx",
         timestr=lambda: "now",
         cn_string=None,
         d2df=None,
         istype=lambda v, t: True,
         get_logger=sys.modules["vlmeval.smp.log"].get_logger)
    stub("vlmeval.smp.vlm", build_option_str=None)
    matching = load("vlmeval/vlmeval/utils/matching_util.py")
    stub("vlmeval.utils", can_infer=matching.can_infer, can_infer_lego=None, track_progress_rich=None)
    return load("vlmeval/vlmeval/dataset/utils/multiple_choice.py")


def mmbench(table, texts):
    """table: as pandas reads it. texts: replies by index. Exact matching, as without a judge."""
    import pandas

    kit = mmbench_module()
    data = table.drop(columns=["image"])
    data["prediction"] = [str(texts[i]) for i in data["index"]]
    decided = [kit.prefetch_answer(row) for _, row in data.iterrows()]
    hits = kit.mcq_circular_eval(None, data.copy(), table.copy(), 1, "nowhere")
    scored = kit.report_acc(hits)
    vanilla = [d == a for d, a, i in zip(decided, data["answer"], data["index"]) if i < 10**6]
    names = {v: k for k, v in kit.MMB_abbrs.items()}
    groups = {
        f"{kind}/{name}": 100 * scored[name if name not in names else name][0]
        for kind in ["category", "l2-category"]
        for name in dict.fromkeys(hits[kind])
    }
    assert isinstance(scored, pandas.DataFrame)
    return {
        "circular": 100 * scored["Overall"][0],
        "vanilla": 100 * sum(vanilla) / len(vanilla),
        **groups, "parse/undecided": sum(not d for d in decided),
        "parse/base": len(hits)
    }


def mmbench_submission(table_file, folder):
    """The rows of the workbook that LLaVA's script writes."""
    import openpyxl

    with scratch() as here:
        run("convert_mmbench_for_submission.py", "--annotation-file", table_file, "--result-dir", folder, "--upload-dir", here,
            "--experiment", "answers")
        return [list(row) for row in openpyxl.load_workbook(here / "answers.xlsx").active.iter_rows(values_only=True)]


def mmmu(rows, texts):
    """rows: of the data set, with options and answer read; texts: by id. Where the parser draws a letter it gets none, as in `evaluate`."""
    parser = load("eval_utils.py")
    parser.random = types.SimpleNamespace(choice=lambda letters: "")
    samples, submission = [], {}
    for row in rows:
        text = texts[row["id"]]
        sample = {"id": row["id"], "question_type": row["question_type"], "answer": row["answer"]}
        if row["question_type"] == "multiple-choice":
            letters = [chr(ord("A") + i) for i in range(len(row["options"]))]
            sample["parsed_pred"] = submission[row["id"]] = parser.parse_multi_choice_response(text, letters,
                                                                                               dict(zip(letters, row["options"])))
        else:
            sample["parsed_pred"], submission[row["id"]] = parser.parse_open_response(text), text
        samples.append(sample)
    judged, _ = parser.evaluate(samples)
    fallback = sum(s["question_type"] == "multiple-choice" and not s["parsed_pred"] for s in samples)
    return {k: v == "Correct" for k, v in judged.items()}, submission, fallback


def mathvista_extraction(text, problem, judged=None):
    """Returns what the script extracts and whether it did so without its judge, who says `judged`."""
    asked = []

    def reply(prompt, _):
        asked.append(prompt)
        return judged

    script = load("mathvista_extract.py")
    script.__dict__.update(demo_prompt="", get_chat_response=reply, openai=types.SimpleNamespace(api_key=""), pid=problem["pid"])
    return script.extract_answer(text, problem), not asked


def mathvista_normal(extraction, p):
    """One problem's extraction as the script compares it with the answer."""
    with contextlib.redirect_stdout(io.StringIO()):
        return load("calculate_score.py").normalize_extracted_answer(extraction, p["choices"], p["question_type"], p["answer_type"],
                                                                     p["precision"])


def mathvista(problems, extractions):
    with scratch() as here:
        (here / "out.json").write_text(json.dumps({pid: {**p, "extraction": extractions[pid]} for pid, p in problems.items()}))
        run("calculate_score.py", "--output_dir", here, "--output_file", "out.json", "--score_file", "scores.json")
        scores = json.loads((here / "scores.json").read_text())
    return {
        "average": 100 * scores["average"]["accuracy"],
        **{
            f"{k}/{name}": 100 * v["accuracy"]
            for k, of in scores.items() if k != "average" for name, v in of.items()
        }
    }


def llava_bench(folder, replies):
    """replies: of the judge, in the order of the questions. Returns the scores and what the judge was asked."""
    asked, tuples = [], []

    class ChatCompletion:

        @staticmethod
        def create(**request):
            asked.append(request)
            return {"choices": [{"message": {"content": replies[len(asked) - 1]}}]}

    stub("openai", ChatCompletion=ChatCompletion)
    with scratch() as here:
        given = {a["question_id"]: a for a in lines(folder / "answers.jsonl")}
        (here / "ours.jsonl").write_text("".join(json.dumps(given[q["question_id"]]) + "\n" for q in lines(folder / "questions.jsonl")))
        run("llava/llava/eval/eval_gpt_review_bench.py", "-q", folder / "questions.jsonl", "-c", folder / "context.jsonl", "-a",
            folder / "answers_gpt4.jsonl", "ours.jsonl", "-r", folder / "rule.json", "-o", "reviews.jsonl")
        tuples = [r["tuple"] for r in lines(here / "reviews.jsonl")]
        _, printed, _ = run("llava/llava/eval/summarize_gpt_review.py", "-f", "reviews.jsonl", round=unrounded)
    scores = {}
    for line in sorted(printed.splitlines(), key=lambda line: not line.startswith("all")):
        if len(line.split()) == 4:
            name, ratio, one, two = line.split()
            name = name.removeprefix("llava_bench_")
            scores.update({name: float(ratio), f"{name}/reference": float(one), f"{name}/model": float(two)})
    return {**scores, "parse/malformed": sum(t == [-1, -1] for t in tuples)}, asked


def mm_vet(folder, replies):
    """replies: of the judge, by id; the same again when it is asked again. Returns the scores and what the judge was asked at first."""
    data, asked = json.loads((folder / "mm-vet.json").read_text()), []
    prompt = (folder / "mm-vet-prompt.txt").read_text()

    class Client:

        def __init__(self, api_key=None):
            self.chat = types.SimpleNamespace(completions=self)
            self.ids = iter(data)

        def create(self, **request):
            if not request["messages"][0]["content"].endswith("(digit): "):
                asked.append(request)
                self.id = next(self.ids)
            message = types.SimpleNamespace(message=types.SimpleNamespace(content=replies[self.id]))
            return types.SimpleNamespace(choices=[message], model="m")

    stub("openai", OpenAI=Client)
    stub("openai._exceptions", RateLimitError=RuntimeError)
    with scratch() as here:
        answers = [{**a, "question_id": str(a["question_id"]).removeprefix("v1_")} for a in lines(folder / "answers.jsonl")]
        (here / "answers.jsonl").write_text("".join(json.dumps(a) + "\n" for a in answers))
        run("convert_mmvet_for_eval.py", "--src", "answers.jsonl", "--dst", "m.json")
        submission = json.loads((here / "m.json").read_text())
        found, _, _ = run("mm_vet_evaluator.py",
                          "--mmvet_path",
                          folder,
                          "--result_file",
                          "m.json",
                          "--result_path",
                          here,
                          "--prompt",
                          prompt,
                          round=unrounded)
    alone, together = found["df"].iloc[0].to_dict(), found["df2"].iloc[0].to_dict()
    scores = {
        "total": alone["total"],
        **{
            f"capability/{k}": v
            for k, v in alone.items() if k not in ("total", "std", "runs")
        },
        **{
            f"set/{'_'.join(sorted(k.split('_')))}": v
            for k, v in together.items() if k not in ("total", "std", "runs")
        }
    }
    return scores, asked, submission


def lines(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]
