"""Freshly drawn cases through `train` and through PyTorch, side by side; then what `train` wrote through peft and transformers;
then token ids and pictures against mistral-common and Pillow.
    python tests/oracle/parity.py --build build [--cases N] [--seed S] [--keep]
        [--only cases|large|exports|tokens|pictures|answers|starts|keys|containers|tokenizers|adapters|llava|converted|requests|curate]"""

import argparse
import glob
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings

import adapters
import answers
import checks
import compare
import config_keys
import containers
import converted
import curate_ingest_cases
import curate_requests
import llava_export
import models
import random_case
import reference
import run_config
import starts
import tokenizer_files

NEIGHBOURS = 5


def train(build, config, out, *extra, env=None):
    checks.run([f"{build}/train", "--config", config, "--set", f"save.dir={out}", "--dump", f"{out}/dump", *extra],
        env={**os.environ, **(env or {})})
    return f"{out}/dump"


def one_case(build, seed, folder, exports, large):
    """None when it was skipped (nothing usable was drawn), else complaints and worst errors. exports: of the checkpoint that
    the run leaves, instead of the dump."""
    config = random_case.build(folder, seed, large)
    cfg = run_config.load(config)
    dump = None

    def run():
        nonlocal dump
        dump = dump or train(build, config, f"{folder}/out", env={"GENLLAVA_ISA": "avx2"} if seed % 3 == 0 else None)
        return dump
    try:
        reference.train(cfg, f"{folder}/expected", order_of=run)
    except reference.NothingToDo:
        return None
    run()
    if exports:
        last = sorted(glob.glob(f"{dump}/step-*"))[-1]
        checkpoint = sorted(glob.glob(f"{folder}/out/{cfg['name']}/checkpoint-*"))[-1]
        return checks.exports(cfg, checkpoint, last), {}
    bad, worst = compare.compare(f"{folder}/expected", dump)
    return (bad and beside_f32(folder, config, dump)), worst


def beside_f32(folder, config, dump):
    """What remains to complain about when PyTorch in f32 does no better."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference.py")
    pairs = []
    for nudge in range(NEIGHBOURS):
        pairs.append((f"{folder}/truth-{nudge}", f"{folder}/f32-{nudge}"))
        for out, *precision in ((pairs[-1][0],), (pairs[-1][1], "--f32")):
            checks.run([sys.executable, script, "--config", config, "--dump", out, "--order", dump, "--nudge", str(nudge), *precision])
    return compare.compare_beside(f"{folder}/expected", dump, pairs)


def cases(build, first, n, keep, exports=False, large=False):
    failed, done, worst = 0, 0, {k: (0.0, -1, "", 0) for k in compare.TOLERANCE}
    start = time.time()
    for seed in range(first, first + n):
        folder = tempfile.mkdtemp(prefix=f"genllava-parity-{seed}-")
        try:
            result = one_case(build, seed, folder, exports, large)
            if result is None:
                continue
            bad, w = result
        except Exception as e:  # a case that cannot run is a finding like any other
            bad, w = [str(e) if isinstance(e, RuntimeError) else traceback.format_exc()], {}
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
        done += 1
        for k, v in w.items():
            if not v[0] <= worst[k][0]:
                worst[k] = (*v, seed)
        if bad:
            failed += 1
            print(f"seed {seed}:{' ' + folder if keep else ''}\n  " + "\n  ".join(b[:1500] for b in bad[:6]), flush=True)
    for k, (e, step, name, seed) in worst.items() if not exports else ():
        print(f"{k}: worst {e:.1e} of {compare.TOLERANCE[k]:.0e}, seed {seed} step {step} {name}")
    print(f"{done} cases in {time.time() - start:.0f} s, {failed} failed")
    return failed


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build")
    p.add_argument("--cases", type=int, default=40)
    p.add_argument("--seed", type=int, default=int(time.time()) % 10 ** 6)
    p.add_argument("--only", choices=["cases", "large", "exports", "tokens", "pictures", "answers", "starts", "keys", "containers",
                                      "tokenizers", "adapters", "llava", "converted", "requests", "curate"])
    p.add_argument("--keep", action="store_true", help="leave the folders of the cases")
    a = p.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    models.use_double_precision()
    failed = 0
    if a.only in (None, "cases"):
        print(f"cases from seed {a.seed}:")
        failed += cases(a.build, a.seed, a.cases, a.keep)
    if a.only in (None, "large"):
        print("larger shapes:")
        failed += cases(a.build, a.seed, max(1, a.cases // 4), a.keep, large=True)
    if a.only in (None, "exports"):
        print("checkpoints through peft and transformers:")
        failed += cases(a.build, a.seed, max(1, a.cases // 4), a.keep, exports=True)
    for name, check in (("tokens", checks.tokens), ("pictures", checks.pictures),
                        ("answers", lambda build, folder, seed: answers.check(checks.run, build, folder, seed)),
                        ("starts", lambda build, folder, _: starts.check(checks.run, build, folder)),
                        ("keys", lambda *_: config_keys.check()),
                        ("containers", lambda build, folder, _: containers.check(folder)),
                        ("tokenizers", lambda build, folder, seed: tokenizer_files.check(checks.run, build, folder, seed)),
                        ("adapters", lambda build, folder, _: adapters.check(checks.run, build, folder)),
                        ("llava", lambda build, folder, _: llava_export.check(checks.run, build, folder)),
                        ("converted", lambda build, folder, _: converted.check(checks.run, build, folder)),
                        ("requests", lambda build, _, seed: curate_requests.check(build, 50, seed)),
                        ("curate", curate_ingest_cases.check)):
        if a.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="genllava-parity-") as folder:
                bad = check(a.build, folder, a.seed)
            print("\n".join(b[:3000] for b in bad[:5]))
            failed += len(bad)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
