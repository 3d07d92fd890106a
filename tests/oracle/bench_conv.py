#!/usr/bin/env python3
"""Times PyTorch's 3x3 convolution for tools/bench/bench.sh: bench_conv.py forward|backward IMAGES SIDE IN OUT

f32, stride 1, channels last, which is the faster layout; backward: the input's gradient alone. Prints the median milliseconds."""
import statistics
import sys
import time

import torch


def main():
    images, side, channels, out = map(int, sys.argv[2:])
    last = {"memory_format": torch.channels_last}
    x = torch.rand(images, channels, side, side).contiguous(**last)
    w = torch.rand(out, channels, 3, 3).contiguous(**last)
    dy = torch.rand(images, out, side, side).contiguous(**last)

    def forward():
        torch.nn.functional.conv2d(x, w, padding=1)

    def backward():
        torch.ops.aten.convolution_backward(dy, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, False, False])

    once = {"forward": forward, "backward": backward}[sys.argv[1]]
    milliseconds = []
    with torch.no_grad():
        for run in range(24):
            start = time.perf_counter()
            once()
            if run >= 3:
                milliseconds.append(1e3 * (time.perf_counter() - start))
    print(statistics.median(milliseconds))


if __name__ == "__main__":
    main()
