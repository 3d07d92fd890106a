"""Makes features and replies of tests/fixtures/curate: files as h5py writes them, good and odd; for every kind of recipe a folder of
requests, replies, and what curate_ingest.py makes of them. From the root of the tree: python tests/oracle/curate_ingest_fixtures.py"""

import json
import os
import random
import shutil

import h5py
import numpy

import curate_ingest
import curate_ingest_cases

FOLDER = "tests/fixtures/curate"
ARRAYS = ("image0", "image1", "text0", "text1")
UIDS = ["r/1", "r/\u00fc", "r/3"]


def features(name, change=None, **options):
    """A good file, then changed."""
    rows = numpy.random.default_rng(7).standard_normal((4, 3, 4)).astype(numpy.float32)
    rows[0, 2] = 0
    with h5py.File(f"{FOLDER}/features/{name}.h5", "w", libver=("v108", "v110")) as f:
        f.create_dataset("uid", data=[u.encode() for u in UIDS], dtype=h5py.string_dtype("utf-8", 9))
        for array, values in zip(ARRAYS, rows):
            f.create_dataset(array, data=values, **options)
        if change:
            change(f)


def replace(array, data, **options):
    def change(f):
        del f[array]
        f.create_dataset(array, data=data, **options)
    return change


def link(array, target):
    def change(f):
        del f[array]
        f[array] = target
    return change


def virtual(f):
    del f["text1"]
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource("variable.h5", "text1", (3, 4))
    f.create_virtual_dataset("text1", layout)


def all_features():
    os.makedirs(f"{FOLDER}/features")
    four = numpy.zeros((3, 4), numpy.float32)
    features("variable", replace("uid", UIDS, dtype=h5py.string_dtype()), chunks=(2, 4), compression="gzip", shuffle=True)
    features("fixed")
    features("big_endian", replace("text0", four + 1, dtype=">f4"))
    features("missing", lambda f: f.__delitem__("text0"))
    features("group", link("text0", h5py.SoftLink("/")))
    features("elsewhere", link("image0", h5py.ExternalLink("variable.h5", "/image0")))
    features("real_group", lambda f: (f.__delitem__("image1"), f.create_group("image1")))
    features("external", replace("image0", None, shape=(3, 4), dtype="f4", external=[("image0.raw", 0, h5py.h5f.UNLIMITED)]))
    features("virtual", virtual)
    features("f64", replace("image1", four.astype(float)))
    features("integers", replace("image1", four.astype("i4")))
    features("flat", replace("text1", four.ravel()))
    features("rows", replace("text1", four[:2]))
    features("columns", replace("text1", four[:, :3]))
    features("numbers", replace("uid", [1, 2, 3]))
    features("twice", replace("uid", [b"r/1", b"r/2", b"r/1"]))
    with open(f"{FOLDER}/features/text.h5", "w") as f:
        f.write("uid,image0\n")


def replies():
    """curate_ingest.py has the last word; `make test` compares without Python."""
    for seed, kind in enumerate(sorted(curate_ingest.KINDS)):
        rng = random.Random(seed)
        folder = f"{FOLDER}/replies/{kind}"
        api = "responses" if seed % 2 else "chat"
        curate_ingest_cases.draw_requests(rng, f"{folder}/dir", kind, 16, api, most_picture=40)
        records = [json.loads(line) for line in open(f"{folder}/dir/records.jsonl", encoding="utf-8")]
        paths = curate_ingest_cases.draw_replies(rng, folder, kind, api, records)
        wanted = curate_ingest.ingest(f"{folder}/dir", paths, curate_ingest.Gate(max_same=2), max_lines=7)
        with open(f"{folder}/wanted.jsonl", "w", encoding="utf-8") as f:
            for line in wanted["records"]:
                f.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        with open(f"{folder}/wanted.rejects.jsonl", "w", encoding="utf-8") as f:
            for line in wanted["rejects"]:
                f.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        with open(f"{folder}/wanted.retry.jsonl", "wb") as f: # all of them, one after the other
            for line, stricter in (pair for file in wanted["retry"] for pair in file):
                f.write((curate_ingest_cases.asked_stricter(line) if stricter else line) + b"\n")
        with open(f"{folder}/wanted.json", "w") as f:
            json.dump(wanted["counts"], f, separators=(",", ":"))
            f.write("\n")


if __name__ == "__main__":
    for part in ("features", "replies"):
        shutil.rmtree(f"{FOLDER}/{part}", ignore_errors=True)
    all_features()
    replies()
