"""Two dump folders side by side, by the rules of tests/train/parity.c: relative L2 a tensor."""

import glob
import os

import numpy as np
from safetensors.numpy import load_file

TOLERANCE = {"scalar": 1e-5, "logits": 1e-5, "grad": 5e-5, "change": 3e-4}
NEGLIGIBLE = 1e-6  # of the whole gradient: rounding (SigLIP's k_proj.bias has gradient 0)
ULP = 2.0 ** -24


def norm(x):
    return float(np.linalg.norm(np.asarray(x, np.float64).ravel()))


def each_step(expected, found):
    """For every step: (complaints, worst by kind: (error, step, name))."""
    initial = load_file(os.path.join(expected, "initial.safetensors"))
    steps = sorted(os.path.basename(p) for p in glob.glob(os.path.join(expected, "step-*")))
    theirs = sorted(os.path.basename(p) for p in glob.glob(os.path.join(found, "step-*")))
    if steps != theirs:
        yield [f"steps: wanted {steps}, found {theirs}"], {}
    for k, name in enumerate(s for s in steps if s in theirs):
        bad, worst = [], {kind: (0.0, -1, "") for kind in TOLERANCE}
        want, have = load_file(os.path.join(expected, name)), load_file(os.path.join(found, name))
        compare_step(k, want, have, initial, bad, worst)
        yield bad, worst


def beyond(worst, allowed):
    return [f"{k}: off by {e:.3g} at step {s} ({n}), allowed {allowed[k]:.0e}" for k, (e, s, n) in worst.items()
            if not e <= allowed[k]]


def compare(expected, found):
    """(complaints, worst by kind) of the whole run."""
    bad, total = [], {k: (0.0, -1, "") for k in TOLERANCE}
    for complaints, worst in each_step(expected, found):
        bad += complaints + beyond(worst, TOLERANCE)
        for k, w in worst.items():
            note(total, k, *w)
    return bad, total


def compare_beside(expected, found, neighbours):
    """Complaints about a run so sharp that f32 itself is off. neighbours: (truth, f32) dumps of PyTorch, of this run and of runs that
    start a hair beside it: one rounding that a sharp softmax magnifies makes a single error a matter of luck, the worst of several
    says what f32 costs here. Twice that is allowed, and only as long as it is within the tolerance itself: afterwards two roundings
    need not stay together."""
    bad = []
    for (complaints, worst), *others in zip(each_step(expected, found), *(each_step(truth, f32) for truth, f32 in neighbours)):
        theirs = {k: max(w[k][0] for _, w in others) for k in TOLERANCE}
        bad += complaints + beyond(worst, {k: max(t, 2 * theirs[k]) for k, t in TOLERANCE.items()})
        if any(beyond(w, TOLERANCE) for _, w in others):
            break
    return bad


def compare_step(k, want, have, initial, bad, worst):
    size = float(want["grad_norm"])
    for n in sorted(set(have) - set(want)):
        if not (n.startswith("grad/") and "param/" + n[5:] in initial and not have[n].any()):
            bad.append(f"step {k}: {n} should not be in the dump")
    for n, w in want.items():
        kind = n.split("/")[0]
        if n not in have:
            if kind != "grad" or norm(w) > NEGLIGIBLE * size:
                bad.append(f"step {k}: {n} is not in the dump")
            continue
        h = have[n]
        if h.shape != w.shape or h.dtype != w.dtype:
            bad.append(f"step {k}: {n}: {h.dtype}{list(h.shape)}, wanted {w.dtype}{list(w.shape)}")
            continue
        if w.dtype == np.int32:
            if not np.array_equal(w, h):
                bad.append(f"step {k}: {n} differs:\n{h.tolist()}\nwanted\n{w.tolist()}")
            continue
        w64 = w.astype(np.float64)
        difference = norm(h - w64)
        if kind == "grad" and norm(w) <= NEGLIGIBLE * size:
            if norm(h) > 10 * NEGLIGIBLE * size:
                bad.append(f"step {k}: {n} should vanish, its norm is {norm(h)} of {size}")
        elif kind == "param":
            change = norm(w64 - initial[n])
            if n.startswith("param/vision_model.") and n.endswith("k_proj.bias"):
                continue  # AdamW makes steps of full length out of rounding
            if change == 0:
                if difference:
                    bad.append(f"step {k}: {n} should stand still, moved by {difference}")
                continue
            # The masters are f32: every update rounds.
            rounding = ULP * norm(w) * (k + 1)
            note(worst, "change", max(difference - rounding, 0) / change, k, n)
        else:
            kind = {"grad": "grad", "logits": "logits"}.get(kind, "scalar")
            scale = norm(w) or 1.0
            note(worst, kind, difference / scale, k, n)


def note(worst, kind, error, step, name):
    if not error <= worst[kind][0]:
        worst[kind] = (error, step, name)
