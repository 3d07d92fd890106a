#!/usr/bin/env python3
"""What PyTorch's kernels reach of this GPU, beside which tools/bench/gpu_check.sh puts ours: gpu_ceilings.py [--tiny]

Products of bf16 (the largest; shared dimensions of 4096, 4112 and 4160; rows of logits of 64,022 and of 64,128 bytes) and attention by flash and by cuDNN,
forwards and backwards. Exit 77 without PyTorch or a GPU. --tiny runs everything on the CPU, small: it shows that the script works and measures nothing."""
import argparse
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch.nn.attention import SDPBackend, sdpa_kernel
except ImportError as e:
    print(f"no PyTorch here: {e}")
    sys.exit(77)

BATCHES, BATCH_SECONDS = 5, 0.02


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(device, work):
    """Of one call: the median of batches, after two calls that choose algorithms."""

    def batch(n):
        if device != "cuda":
            start = time.perf_counter()
            for _ in range(n):
                work()
            return (time.perf_counter() - start) / n
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(n):
            work()
        end.record()
        wait(device)
        return start.elapsed_time(end) * 1e-3 / n

    batch(1)
    n = max(1, min(1000, int(BATCH_SECONDS / max(batch(1), 1e-7))))
    return statistics.median(batch(n) for _ in range(BATCHES))


def random(device, *shape):
    return torch.randn(*shape, device=device, dtype=torch.bfloat16)


def line(what, flops, seconds):
    print(f"     torch: {what:<62} {1e6 * seconds:9.1f} us {1e-12 * flops / seconds:7.1f} TFLOP/s", flush=True)


def product(device, what, m, n, k):
    x, w, y = random(device, m, k), random(device, n, k), torch.empty(m, n, device=device, dtype=torch.bfloat16)
    line(f"{what}: {m} x {n} x {k}", 2 * m * n * k, seconds_of(device, lambda: torch.mm(x, w.t(), out=y)))


def logits(device, rows, vocab, stride, width):
    """The head's product into rows of `stride` columns, and the gradient of its input out of them."""
    x, head = random(device, rows, width), random(device, vocab, width)
    z, dx = random(device, rows, stride)[:, :vocab], torch.empty(rows, width, device=device, dtype=torch.bfloat16)
    flops = 2 * rows * vocab * width
    line(f"logits, rows of {2 * stride} bytes, forwards", flops, seconds_of(device, lambda: torch.mm(x, head.t(), out=z)))
    line(f"logits, rows of {2 * stride} bytes, backwards", flops, seconds_of(device, lambda: torch.mm(z, head, out=dx)))


def attention(device, name, backend, tokens, length, heads, kv_heads, width):
    segments = tokens // length
    q, k, v = (random(device, segments, n, length, width).requires_grad_() for n in (heads, kv_heads, kv_heads))
    d_o = random(device, segments, heads, length, width)
    pairs = segments * heads * length * (length + 1) / 2 * width

    def forward():
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    with sdpa_kernel(backend):
        out = forward()
        ahead = seconds_of(device, forward)
        back = seconds_of(device, lambda: torch.autograd.grad(out, (q, k, v), d_o, retain_graph=True))
    line(f"attention by {name}, T {length}, forwards", 4 * pairs, ahead)
    line(f"attention by {name}, T {length}, backwards", 10 * pairs, back)
    line(f"attention by {name}, T {length}, both", 14 * pairs, ahead + back)


def attempt(what, work, *args):
    """A shape or a kernel that this release does not take is a line, not the end."""
    try:
        work(*args)
    except (RuntimeError, TypeError) as e:
        print(f"     torch: {what}: not measured: {str(e).splitlines()[0][:160]}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    tiny = parser.parse_args().tiny
    device = "cpu" if tiny else "cuda"
    if not tiny and not torch.cuda.is_available():
        print("PyTorch sees no GPU")
        return 77
    torch.manual_seed(0)
    print(f"     torch: {torch.__version__} on {torch.cuda.get_device_name() if not tiny else 'the CPU; --tiny: no figure means anything'}")
    rows, width, side = (16, 32, 32) if tiny else (16384, 4096, 8192)
    attempt("the largest product", product, device, "the largest product", side, side, side)
    for extra in (0, 16, 64):
        attempt("a product", product, device, "a product", rows, width, width + extra)
    for stride in (32011, 32064) if not tiny else (35, 64):
        attempt("logits", logits, device, 3200 if not tiny else 8, 32011 if not tiny else 35, stride, width)
    kernels = [("math", SDPBackend.MATH)] if tiny else [("flash", SDPBackend.FLASH_ATTENTION), ("cuDNN", SDPBackend.CUDNN_ATTENTION)]
    for name, backend in kernels:
        for length in (16, 32) if tiny else (1024, 2048):
            shape = (64, length, 4, 2, 16) if tiny else (16384, length, 32, 8, 128)
            attempt(f"attention by {name}, T {length}", attention, device, name, backend, *shape)
    return 0


if __name__ == "__main__":
    sys.exit(main())
