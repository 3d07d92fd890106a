"""The committed fixtures of tests/train/models/gen_head.c: a head's weights, its input, its output and every gradient.
python tests/oracle/gen_head_fixtures.py"""

import os

from safetensors.torch import save_file
from torch import nn

import tiny

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "gen_head")


def fixture(name, seed, items, tokens, spelling, **sizes):
    """NAME.safetensors: weights as a head's file spells them. NAME.expected.safetensors: states and rows [items·N,D], the context, and
    d Σ gelu(context) / d everything, from double."""
    draw = tiny.Draw(seed + 2)
    os.makedirs(ROOT, exist_ok=True)
    tiny.gen_head_start(os.path.join(ROOT, f"{name}.safetensors"), seed, spelling, **sizes)
    head = tiny.gen_head(seed, **sizes).double()
    states = draw.normal(items * tokens, sizes["width_in"]).double().requires_grad_()
    rows = draw.normal(items * tokens, sizes["width_in"], std=0.7).double().requires_grad_()
    context = head((states + rows).view(items, tokens, -1))
    nn.functional.gelu(context).sum().backward()
    null = head(rows.view(items, tokens, -1))  # the states are zero
    out = {"states": states, "rows": rows, "context": context.flatten(0, 1), "null": null.flatten(0, 1), "grad/states": states.grad,
           "grad/rows": rows.grad, **{f"grad/gen_head.{n}": p.grad for n, p in head.named_parameters()}}
    save_file({n: v.detach().float().contiguous() for n, v in out.items()}, os.path.join(ROOT, f"{name}.expected.safetensors"))


def main():
    fixture("small", 31, items=2, tokens=3, spelling="gill", width_in=10, context=7, width=12, heads=3, ff=14, encoder_layers=1,
            decoder_layers=2, queries=5)
    fixture("one_token", 32, items=3, tokens=1, spelling="mgie", width_in=9, context=8, width=10, heads=1, ff=7, encoder_layers=2,
            decoder_layers=1, queries=4)


if __name__ == "__main__":
    main()
