/* fp8.h: matrices in floats of 8 bits with a scale for every row, and their products.
 *
 * The format is E4M3 of Micikevicius et al. 2022, FP8 Formats for Deep Learning (arXiv 2209.05433): a sign, four bits of exponent with bias
 * 7, three of fraction; 448 is the largest number, there is no infinity, 0x7f and 0xff are NaN. A row's scale is its largest magnitude /
 * 448, so that the row fills the format; the product of two such matrices is scaled on its way out.
 *
 * quantize_rows   scale[i] = max_j |x[i,j]| / 448,  code[i,j] = fp8(x[i,j] · (448 / max_j |x[i,j]|))
 *      In f32: x is rounded to it first, and every quotient and product once, so equal inputs give equal codes and scales on every backend.
 *      A row without a magnitude of at least FP8_LEAST_ROW is zero: scale and codes 0. A row with a NaN or an infinity has a NaN for its
 *      scale, and codes 0: every product of it is NaN.
 *      x is stored [rows, cols], or [cols, rows] with `transposed`; ldx: elements between stored rows.
 * matmul_fp8      C[i,j] = a_scale[i] · b_scale[j] · Σ_l a[i,l] · b[j,l]  (+ C or D)
 *      Products are exact and summed in f32, of which a tensor core may keep as few as 13 bits. C [m,n] with row stride ldc is F32 or BF16
 *      (F64 on ref). `accumulate` and `add` as in matmul.h. */
#ifndef GENLLAVA_KERNELS_OPS_FP8_H
#define GENLLAVA_KERNELS_OPS_FP8_H

#include "kernels/ops/common.h"

#if defined(__CUDACC__)
#define FP8_FN static __host__ __device__ inline
#else
#define FP8_FN static inline
#endif

#define FP8_MOST 448.0f
#define FP8_LEAST_ROW 0x1p-100f /* far above where quotients, and subnormal numbers taken for zero, would lose digits */
enum { FP8_NAN = 0x7f };

/* Round to nearest, ties to even; beyond 448 the largest; NaN stays a NaN. */
FP8_FN uint8_t f32_to_fp8(float f)
{
    uint32_t bits, small;
    memcpy(&bits, &f, sizeof bits);
    const uint32_t sign = bits >> 24 & 0x80u, magnitude = bits & 0x7fffffffu;
    float sum;
    memcpy(&sum, &magnitude, sizeof sum);
    sum += 0x1p14f; /* whose last place is the unit of subnormals, 2^-9 */
    memcpy(&small, &sum, sizeof small);
    small -= 0x46800000u;
    uint32_t code = magnitude < 0x3c800000u /* 2^-6 */ ? small : ((magnitude + 0x7ffffu + (magnitude >> 20 & 1u)) >> 20) - (120u << 3);
    code = magnitude > 0x43e00000u /* 448 */ ? 0x7eu : code;
    code = magnitude > 0x7f800000u ? (uint32_t)FP8_NAN : code;
    return (uint8_t)(sign | code);
}

/* Exact. */
FP8_FN float fp8_to_f32(uint8_t code)
{
    const uint32_t sign = (uint32_t)(code & 0x80u) << 24, magnitude = code & 0x7fu;
    const float subnormal = (float)magnitude * 0x1p-9f;
    uint32_t bits;
    memcpy(&bits, &subnormal, sizeof bits);
    bits = magnitude < 8 ? bits : (magnitude << 20) + (120u << 23);
    bits = (magnitude == (uint32_t)FP8_NAN ? 0x7fc00000u : bits) | sign;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

typedef struct QuantizeRows {
    int64_t rows, cols, ldx; /* of code, which is contiguous; ldx of x as it is stored */
    DType x_type;
    bool transposed;
    const void *x;
    uint8_t *code; /* [rows, cols] */
    float *scale;  /* [rows] */
} QuantizeRows;

typedef struct MatmulFp8 {
    int64_t m, n, k, ldc;
    DType c_type;
    bool accumulate;
    const uint8_t *a, *b;           /* [m,k], [n,k] */
    const float *a_scale, *b_scale; /* [m], [n] */
    const void *add;                /* as C; may be NULL */
    void *c;
} MatmulFp8;

/* What a row's scale is, and what its numbers are multiplied with, from its largest magnitude: an infinity where some number is not
 * finite. */
FP8_FN float fp8_row_scale(float largest)
{
    const uint32_t nan = 0x7fc00000u;
    float scale;
    memcpy(&scale, &nan, sizeof scale);
    return largest > 3.4028235e38f ? scale : largest < FP8_LEAST_ROW ? 0.0f : largest / FP8_MOST;
}
FP8_FN float fp8_row_factor(float largest) { return largest > 3.4028235e38f || largest < FP8_LEAST_ROW ? 0.0f : FP8_MOST / largest; }
#endif
