/* isa.h: the files of this folder are compiled once per instruction set (avx2, avx512, avx512bf16), told apart by ISA.
 *
 * NAME(f) is f with the set's name behind it, so that the copies live side by side in one program; cpu.c picks a table. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_ISA_H
#define GENLLAVA_KERNELS_CPU_ISA_ISA_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa/simd.h"

#define ISA_JOIN2(name, isa) cpu_##name##_##isa
#define ISA_JOIN(name, isa) ISA_JOIN2(name, isa)
#define NAME(name) ISA_JOIN(name, ISA)

#define ISA_DECLARE(name, Args) Status NAME(name)(KernelCtx *ctx, const Args *a);
KERNEL_LIST(ISA_DECLARE)
#undef ISA_DECLARE

/* F64 is for the ref backend. */
static inline Status expect_single(const char *op, DType t)
{
    if (t != F32 && t != BF16)
        return fail(ERR_INTERNAL, "%s: %s arrays are for the ref backend, expected F32 or BF16", op, dtype_name(t));
    return OK;
}
#endif
