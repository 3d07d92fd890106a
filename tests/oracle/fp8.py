"""Frozen linears whose operands have 8 bits (kernels/ops/fp8.h), in PyTorch: torch.float8_e4m3fn with a scale a row, as
model.llm.multiply = fp8 has it."""

import torch

GROUPS = (("self_attn", ("k_proj", "q_proj", "v_proj")), ("self_attn", ("o_proj",)), ("mlp", ("gate_proj", "up_proj")),
          ("mlp", ("down_proj",)))
MOST, LEAST_ROW = 448.0, 2.0 ** -100


def quantized(x):
    """The codes' values and the scales of the rows of x [rows, n], in x's type; quotients are f32."""
    wide, x = x.dtype, x.detach().float()
    largest = x.abs().amax(-1, keepdim=True)
    zero = largest < LEAST_ROW
    # a number / a tensor is the tensor's reciprocal, rounded, times the number
    factor = torch.where(zero, 0.0, torch.div(torch.tensor(MOST), torch.where(zero, 1.0, largest)))
    scale = torch.where(zero, 0.0, largest / MOST)
    return (x * factor).to(torch.float8_e4m3fn).to(wide), scale.to(wide)


def product(a, b):
    """a bᵀ of two matrices by their codes."""
    (a, a_scale), (b, b_scale) = quantized(a), quantized(b)
    return a @ b.T * a_scale * b_scale.T


class Multiply(torch.autograd.Function):
    """Several linears of the same input at once: their gradients share a row's scale."""

    @staticmethod
    def forward(ctx, x, weight, sizes):
        ctx.save_for_backward(weight)
        ctx.shape = x.shape
        y = product(x.reshape(-1, x.shape[-1]), weight)
        return tuple(part.reshape(*x.shape[:-1], -1) for part in y.split(sizes, -1))

    @staticmethod
    def backward(ctx, *dy):
        weight, = ctx.saved_tensors
        dy = torch.cat([d.reshape(-1, d.shape[-1]) for d in dy], -1)
        return product(dy, weight.T.contiguous()).reshape(ctx.shape), None, None


class Group:
    """Calls the linears together when the first of them is asked for an input."""

    def __init__(self, linears):
        self.linears, self.seen, self.given = linears, None, None

    def of(self, i):
        def forward(x):
            if self.seen is not x:
                weight = torch.cat([linear.weight for linear in self.linears]).detach()
                self.seen, self.given = x, Multiply.apply(x, weight, [linear.out_features for linear in self.linears])
            return self.given[i]
        return forward


def replace(layers):
    """Of every layer of the language model, below its adapters."""
    for layer in layers:
        for part, names in GROUPS:
            linears = [getattr(getattr(layer, part), name) for name in names]
            linears = [getattr(linear, "base_layer", linear) for linear in linears]
            group = Group(linears)
            for i, linear in enumerate(linears):
                linear.forward = group.of(i)
