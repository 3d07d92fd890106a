/* overlay.c: what the CPU backend has of its own, family by family, for one instruction set. cpu.c lays it over the table of ref, so an
 * operator that no family writes runs as the specification has it. */
#include "kernels/cpu/isa/isa.h"

void NAME(overlay)(KernelTable *t)
{
    NAME(act)(t);
    NAME(adapter)(t);
    NAME(attention)(t);
    NAME(attention_bwd)(t);
    NAME(conv)(t);
    NAME(dequantize)(t);
    NAME(dropout)(t);
    NAME(fp8)(t);
    NAME(groupnorm)(t);
    NAME(loss)(t);
    NAME(matmul)(t);
    NAME(norm)(t);
    NAME(optim)(t);
    NAME(pool)(t);
    NAME(rope)(t);
    NAME(rows)(t);
}
