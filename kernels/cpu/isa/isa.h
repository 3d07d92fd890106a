/* isa.h: the files of this folder are compiled once per instruction set (avx2, avx512, avx512bf16), told apart by ISA.
 *
 * NAME(f) is f with the set's name behind it, so that the copies live side by side in one program; cpu.c picks one overlay. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_ISA_H
#define GENLLAVA_KERNELS_CPU_ISA_ISA_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa/simd.h"

#define ISA_JOIN2(name, isa) cpu_##name##_##isa
#define ISA_JOIN(name, isa) ISA_JOIN2(name, isa)
#define NAME(name) ISA_JOIN(name, ISA)

/* The families, each at the end of its file: it writes its operators over what stood in the table (overlay.c). */
void NAME(act)(KernelTable *t);
void NAME(adapter)(KernelTable *t);
void NAME(attention)(KernelTable *t);
void NAME(attention_bwd)(KernelTable *t);
void NAME(conv)(KernelTable *t);
void NAME(dequantize)(KernelTable *t);
void NAME(dropout)(KernelTable *t);
void NAME(fp8)(KernelTable *t);
void NAME(groupnorm)(KernelTable *t);
void NAME(loss)(KernelTable *t);
void NAME(matmul)(KernelTable *t);
void NAME(norm)(KernelTable *t);
void NAME(optim)(KernelTable *t);
void NAME(pool)(KernelTable *t);
void NAME(rope)(KernelTable *t);
void NAME(rows)(KernelTable *t);
void NAME(overlay)(KernelTable *t); /* all of them */

/* F64 is for the ref backend. */
static inline Status expect_single(const char *op, DType t)
{
    if (t != F32 && t != BF16)
        return fail(ERR_INTERNAL, "%s: %s arrays are for the ref backend, expected F32 or BF16", op, dtype_name(t));
    return OK;
}
#endif
