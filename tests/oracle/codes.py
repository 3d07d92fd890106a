"""Matrices in the codes of bitsandbytes, and what it makes of them again: tests/fixtures/codes.safetensors, for tests/train/nn/coded.c.

    python tests/oracle/codes.py        (bitsandbytes of requirements.txt, on the CPU)

For each matrix NAME: its values, NAME.nf4, NAME.absmax, NAME.nf4_f32 and NAME.nf4_bf16 as Linear4bit has them; NAME.int8, NAME.scb and
NAME.int8_f32 as Linear8bitLt has them."""

import os

import torch
from bitsandbytes import functional
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute  # the CPU's own (0.50.2) takes blocks to begin anew with each row
from bitsandbytes.nn import Int8Params
from safetensors.torch import save_file

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "codes.safetensors")


def matrices():
    draw = torch.Generator().manual_seed(17)
    yield "normal", torch.randn(10, 160, generator=draw) * 0.02
    yield "narrow", (torch.randn(12, 64, generator=draw) * 0.02).bfloat16()
    yield "half", (torch.randn(3, 128, generator=draw)).half()
    across = torch.randn(16, 36, generator=draw)  # blocks across rows
    across[3:8] = 0
    across[9, 3] = 1000
    yield "across", across
    code = functional.get_4bit_type("nf4", device="cpu")
    middles = (code[1:] + code[:-1]) / 2
    ties = torch.zeros(4, 64)  # the middles between neighbours, and what lies beside them
    ties[:, :15], ties[:, 15] = middles, 1
    ties[1] *= 3
    ties[2, :15] = torch.nextafter(middles, torch.tensor(2.0))
    ties[3, :15] = torch.nextafter(middles, torch.tensor(-2.0))
    yield "ties", ties
    halves = torch.arange(-64, 64).float().reshape(2, 64) + 0.5  # int8: halves, which go to even
    halves[:, 0] = 127
    yield "halves", halves
    largest = torch.randn(64, 1, generator=draw).bfloat16().float()  # half of the largest, whose code depends on how 127/largest is formed
    yield "half_of_largest", torch.cat([largest, largest / 2, -largest / 2, largest / 254], 1)


def nf4(w):
    """Codes, scales and values of Linear4bit."""
    codes, state = functional.quantize_4bit(w, blocksize=64, quant_type="nf4")
    return codes, state.absmax, _dequantize_4bit_compute(codes.reshape(-1), state.absmax, state.code, 64, list(w.shape), torch.float32)


def int8(w):
    """Codes, scales and values of Linear8bitLt."""
    q = Int8Params(w, requires_grad=False)._quantize("cpu")
    return q.data, q.SCB, functional.int8_vectorwise_dequant(q.data, q.SCB)


def main():
    out = {}
    for name, w in matrices():
        codes, scales, values = nf4(w)
        out |= {name: w, f"{name}.nf4": codes.reshape(-1), f"{name}.absmax": scales, f"{name}.nf4_f32": values,
                f"{name}.nf4_bf16": values.bfloat16()}
        codes, scales, values = int8(w)
        out |= {f"{name}.int8": codes, f"{name}.scb": scales, f"{name}.int8_f32": values}
    save_file({k: v.contiguous() for k, v in out.items()}, FILE)
    print(f"{FILE}: {os.path.getsize(FILE)} bytes")


if __name__ == "__main__":
    main()
