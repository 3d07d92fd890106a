#!/usr/bin/env python3
"""Times Pillow for tools/bench/bench.sh: bench_picture.py FILE SIDE prints the median milliseconds of decoding and bicubic resizing to a square;
bench_picture.py FILE progressive OUT saves the picture as a progressive JPEG."""
import io
import statistics
import sys
import time

from PIL import Image


def main():
    path, side = sys.argv[1:3]
    if side == "progressive":
        Image.open(path).save(sys.argv[3], quality=90, progressive=True)
        return
    with open(path, "rb") as f:
        data = f.read()
    milliseconds = []
    for run in range(44):
        start = time.perf_counter()
        Image.open(io.BytesIO(data)).convert("RGB").resize((int(side), int(side)), Image.Resampling.BICUBIC)
        if run >= 3:
            milliseconds.append(1e3 * (time.perf_counter() - start))
    print(statistics.median(milliseconds))


main()
