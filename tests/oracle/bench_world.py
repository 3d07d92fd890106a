"""What bench_vqa.py, bench_choices.py and bench_judged.py share: files of a little benchmark, replies as models give them and worse, and
the program `evaluate` held against the authors' own scripts (official.py)."""

import json
import math
import pathlib
import random
import subprocess
import sys

import official

MARKS = list("aAbtheTHE019..,,;;//[]\"{}()=+\\_->< @`?!''ss\n\t") + [" "] * 8
MARKS += ["the", "one", "dont", "Its", "couldnt've", "É", "Ω", "Ж", "\u00a0", "٣", "🙂"]
MARKS += ["\u200b", "\u2028", "İ", "ﬁ", "no", "yes", "not"]


def noise(rng, pieces, n=6):
    return "".join(rng.choice(pieces) for _ in range(rng.randint(0, n)))


def nasty(rng, right):
    """The right reply, written in some way of its own, or none at all."""
    forms = [
        right.upper(), right.title(), right.lower(), right + ".", right + "..", right + " .", right + ".\n",
        " " + right, right + " ", right + "\n", "\t" + right,
        f"({right})", f"[{right}]", f"({right}) ", f'"{right}"', f"'{right}'", f"the {right}", f"A {right}", f"an {right}",
        f"{right}, {right}", f"{right}/{right}", f"{right} or not", f"It is {right}", f"It's {right}.", f"The answer is {right}.",
        f"The answer is {right}", f"Answer: {right}", f"**{right}**", f"No, {right}", f"no. {right}", "I don't know", "I dont know.",
        "Unanswerable", "", " ", ".", "\u00a0" + right, right + "\u200b",
        right.replace(" ", "-"), f"{right}!?", right * 2, f"{right}\nbecause", f"{right}.5", "1,000", "1.0", "none", "None", "null", "nan"
    ]
    return rng.choice(forms) if rng.random() < 0.7 else noise(rng, MARKS, 9)


def answer(key, prompt, text):
    return {"question_id": key, "prompt": prompt, "text": text, "answer_id": f"a{key}", "model_id": "m", "metadata": {}}


def put(folder, name, value, lines=False):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in value) if lines else json.dumps(value, ensure_ascii=False))


def put_scores(folder, pairs, name="scores.txt"):
    (folder / name).write_text("".join(f"{k}\t{v!r}\n"
                                       for k, v in ((k, v if isinstance(v, int) else float(v)) for k, v in pairs.items())))


class World:
    """python3 SCRIPT FOLDER OUT [EVALUATE [ROWS [SEED]]]"""

    def __init__(self, rows, seed):
        official.use(sys.argv[1])
        more = sys.argv[3:]
        self.out = pathlib.Path(sys.argv[2]).resolve()
        self.program = str(pathlib.Path(more[0]).resolve()) if more else None
        self.rows = int(more[1]) if len(more) > 1 else rows
        self.rng = random.Random(int(more[2]) if len(more) > 2 else seed)

    def run(self, bench, step, *more):
        folder = self.out / bench
        out = subprocess.run([self.program, bench, step, "--data", folder, "--answers", folder / "answers.jsonl", *more],
                             capture_output=True,
                             text=True)
        assert out.returncode == 0, out.stderr
        return out.stdout

    def check(self, bench, wanted="scores.txt", step="score", *more):
        """The program's numbers against the authors', all of them."""
        found = json.loads(self.run(bench, step, "--format", "json", *more))
        ours = {**found["scores"], **{f"parse/{k}": v for k, v in found["parse"].items()}}
        theirs = {k: float(v) for k, v in (line.split("\t") for line in (self.out / bench / wanted).read_text().splitlines())}
        bad = {
            k: (ours.get(k), theirs.get(k))
            for k in set(ours) | set(theirs)
            if not (k in ours and k in theirs and math.isclose(ours[k], theirs[k], rel_tol=1e-12, abs_tol=1e-12))
        }
        assert not bad, (bench, bad)
        print(f"{bench} {step}: {found['n']} replies, {len(theirs)} numbers agree")

    def check_submission(self, bench, wanted, *more):
        read = lambda path: [
            json.loads(text) for text in (path.read_text().rstrip("\n").split("\n") if wanted.endswith("l") else [path.read_text()])
        ]
        written = self.out / bench / "written"
        self.run(bench, "submit", "--out", written, *more)
        ours, theirs = read(written), read(self.out / bench / wanted)
        written.unlink()
        assert ours == theirs, (bench, ours, theirs)
