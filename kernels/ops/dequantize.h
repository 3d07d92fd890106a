/* dequantize.h: rows of a matrix that is held in codes of 4 or 8 bits, as the operand of a product.
 *
 * y[i,j] = value(code of element (first + i)·cols + j) · scale, rounded to f32 and then to y's type.
 * codes and scales are those of the whole matrix [*, cols], in row-major order; y [rows, cols] in y_type (F32, BF16; F64 on ref), row
 * stride ldy.
 *
 * CODES_NF4   two elements a byte, the first in the upper half; value(c) = NF4_VALUE[c]; scales: the largest magnitude of each NF4_BLOCK
 *             elements, counted through the whole matrix. Dettmers et al. 2023 (QLoRA), appendix E; bitsandbytes' Linear4bit.
 * CODES_INT8  a signed byte an element; value(c) = c and scale = s[row]/127, formed as (c·s)·INT8_UNIT in f32. Dettmers et al. 2022
 *             (LLM.int8) without outliers; bitsandbytes' Linear8bitLt.
 * Products are of two f32 numbers: every backend gives the same bits, but for subnormal results. */
#ifndef GENLLAVA_KERNELS_OPS_DEQUANTIZE_H
#define GENLLAVA_KERNELS_OPS_DEQUANTIZE_H

#include "kernels/ops/common.h"

typedef enum CodeFormat { CODES_NONE, CODES_INT8, CODES_NF4 } CodeFormat;

enum { NF4_CODES = 16, NF4_BLOCK = 64 };
#define NF4_VALUES                                                                                                                  \
    -1.0f, -0.696192801f, -0.525073051f, -0.394917488f, -0.284441382f, -0.18477343f, -0.0910500363f, 0.0f, 0.0795802996f,           \
        0.160930201f, 0.246112302f, 0.337915242f, 0.440709829f, 0.562617004f, 0.722956836f, 1.0f
#define INT8_UNIT 7.874015718698502e-3f /* 1/127 */

typedef struct Dequantize {
    int64_t rows, cols, first, ldy;
    CodeFormat format;
    DType y_type;
    const uint8_t *codes;
    const float *scales;
    void *y;
} Dequantize;

/* Bytes of the codes, and number of scales, of a matrix [rows, cols]. */
static inline int64_t codes_bytes(CodeFormat f, int64_t rows, int64_t cols) { return f == CODES_NF4 ? (rows * cols + 1) / 2 : rows * cols; }
static inline int64_t codes_scales(CodeFormat f, int64_t rows, int64_t cols)
{
    return f == CODES_NF4 ? (rows * cols + NF4_BLOCK - 1) / NF4_BLOCK : rows;
}

/* Element i of a matrix with rows of cols. */
static inline float codes_value(CodeFormat f, const uint8_t *codes, const float *scales, int64_t cols, int64_t i)
{
    static const float NF4_VALUE[NF4_CODES] = {NF4_VALUES};
    if (f == CODES_NF4)
        return NF4_VALUE[i % 2 ? codes[i / 2] & 15 : codes[i / 2] >> 4] * scales[i / NF4_BLOCK];
    const float by_row = (float)(int8_t)codes[i] * scales[i / cols];
    return by_row * INT8_UNIT;
}
#endif
