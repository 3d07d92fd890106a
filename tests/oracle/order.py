"""Which records stand in which step. Without shuffling and with whole weights that follows from the config; otherwise the permutation
and the membership of fractional weights are the toolkit's own: the steps are read from a dump, and what every permutation must keep is
checked."""

import glob
import math
import os
from collections import Counter

from safetensors.numpy import load_file


def is_own(cfg, items):
    """The order cannot be known from the config alone."""
    return cfg["data"]["shuffle"] or any(it.record.copies != int(it.record.copies) for it in items)


def plan(cfg, items):
    """The items of every optimiser step, without shuffling."""
    t, epoch = cfg["train"], [it for it in items for _ in range(int(it.record.copies))]
    n_items = count(cfg, len(epoch))
    endless = [epoch[i % len(epoch)] for i in range(n_items)]
    return [endless[at:at + t["batch"]] for at in range(0, n_items, t["batch"])]


def count(cfg, n_epoch):
    """Items of the whole run; a part of an epoch is rounded to the nearest item."""
    t = cfg["train"]
    if t["steps"]:
        return t["steps"] * t["batch"]
    return max(1, math.floor(n_epoch * (1 if t["epochs"] is None else t["epochs"]) + 0.5))


def read(cfg, items, dump):
    """The items of every step of a dump, in file order within a step."""
    by_record, steps = {it.record.number: it for it in items}, []
    for path in sorted(glob.glob(os.path.join(dump, "step-*"))):
        copies = Counter(map(tuple, load_file(path)["logits.row"].tolist()))
        record = {number: n for (number, _), n in copies.items()}
        for (number, position), n in copies.items():
            if n != record[number]:
                raise AssertionError(f"{path}: record {number} has {record[number]} copies, but {n} at position {position}")
        steps.append([by_record[number] for number in sorted(record) for _ in range(record[number])])
    _check(cfg, items, steps)
    return steps


def _check(cfg, items, steps):
    """Every item as often as its weight says, full steps but for the last."""
    batch, sizes = cfg["train"]["batch"], [len(s) for s in steps]
    if any(n != batch for n in sizes[:-1]) or not 1 <= sizes[-1] <= batch:
        raise AssertionError(f"steps of {sizes} items, wanted {batch}")
    one = {it.record.number: it.record.copies for it in items}
    whole = all(c == int(c) for c in one.values())
    if whole and sum(sizes) != count(cfg, int(sum(one.values()))):
        raise AssertionError(f"{sum(sizes)} items, wanted {count(cfg, int(sum(one.values())))}")
    seen, total = Counter(it.record.number for s in steps for it in s), sum(sizes)
    least, most = sum(map(math.floor, one.values())), sum(map(math.ceil, one.values()))  # of an epoch
    for number, c in one.items():
        low = math.floor(c) * (total // most)
        high = math.ceil(c) * (-(-total // least) if least else total)
        if not low <= seen[number] <= high:
            raise AssertionError(f"record {number} stands in the steps {seen[number]} times, wanted {low} to {high}")


def passes(items, length, micro_tokens):
    """How a rank packs a step: the longest first, each into the first pass with room."""
    out = []
    for it in sorted(items, key=lambda it: -length(it)):
        for p in out:
            if sum(map(length, p)) + length(it) <= micro_tokens:
                p.append(it)
                break
        else:
            out.append([it])
    return out
