/* real.h: what the files of the specification share. Internal to kernels/ref.
 *
 * Every file is compiled twice: `real` is double (ref_NAME, the truth) or, with REF_FLOAT, float (ref_float_NAME: what honest
 * rounding costs). Functions of <tgmath.h> follow the type. Arrays are F64, F32 or BF16 in both. */
#ifndef GENLLAVA_KERNELS_REF_REAL_H
#define GENLLAVA_KERNELS_REF_REAL_H

#include <tgmath.h>

#include "kernels/ops/check.h"

#ifdef REF_FLOAT
typedef float real;
#define REF_NAME(name) ref_float_##name
#else
typedef double real;
#define REF_NAME(name) ref_##name
#endif

#define REF_DECLARE(name, Args) Status REF_NAME(name)(KernelCtx *ctx, const Args *a);
KERNEL_LIST(REF_DECLARE)
#undef REF_DECLARE

/* x[i] of an array of type t. */
static inline real get(const void *x, DType t, int64_t i)
{
    switch (t) {
    case F64: return (real)((const double *)x)[i];
    case F32: return ((const float *)x)[i];
    default: return bf16_to_f32(((const bf16 *)x)[i]);
    }
}

/* x[i] = value, rounded to t. */
static inline void put(void *x, DType t, int64_t i, real value)
{
    switch (t) {
    case F64: ((double *)x)[i] = value; break;
    case F32: ((float *)x)[i] = (float)value; break;
    default: ((bf16 *)x)[i] = f32_to_bf16((float)value);
    }
}

/* x[i] = value, or x[i] += value. */
static inline void put_or_add(void *x, DType t, int64_t i, real value, bool accumulate)
{
    put(x, t, i, accumulate ? get(x, t, i) + value : value);
}

static inline real rounded(DType t, real value)
{
    switch (t) {
    case F64: return value;
    case F32: return (float)value;
    default: return bf16_to_f32(f32_to_bf16((float)value));
    }
}

/* Dropout of column c, kernels/ops/act.h. */
static inline bool keeps(uint64_t key, double p, int64_t c, int32_t pos, int32_t item)
{
    Philox4 words = philox4x32(key, (uint32_t)(c / 8), (uint32_t)pos, (uint32_t)item, 0);
    return philox_half(&words, (int)(c % 8)) >= dropout_threshold(p);
}

/* Statistics (mean, rstd, lse, weights and losses of rows) are F32, F64 beside F64 activations. */
static inline DType stat_type(DType act) { return act == F64 ? F64 : F32; }
#endif
