/* attention.h: what the forward and backward passes of attention share.
 *
 * A pass walks a block of rows against blocks of columns of S (or of Sᵀ): scores of a block by the packed matrix product into a
 * buffer that stays in cache, an elementwise step, and further products from there. S itself never exists. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_ATTENTION_H
#define GENLLAVA_KERNELS_CPU_ISA_ATTENTION_H

#include "kernels/cpu/isa/gemm.h"

/* Rows and columns of a block of scores; the most columns of a head, in whole vectors; floats between rows of scores. */
enum { ROWS = 192, COLS = 128, WIDE = ATTENTION_MAX_HEAD_DIM, SCORE_LD = COLS + VL };

ALWAYS int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
ALWAYS int64_t larger_of(int64_t a, int64_t b) { return a > b ? a : b; }
ALWAYS int64_t whole_vectors(int64_t n) { return (n + VL - 1) / VL * VL; }

/* A range of keys or queries, begin … end-1. */
typedef struct Range {
    int64_t begin, end;
} Range;

/* Blocks of at most `rows` rows that all segments make together. */
static inline int64_t count_blocks(const int32_t *cu, int64_t n_segments, int64_t rows)
{
    int64_t n = 0;
    for (int64_t s = 0; s < n_segments; s++)
        n += (cu[s + 1] - cu[s] + rows - 1) / rows;
    return n;
}

/* The index-th of these blocks: rows begin … end-1, and its segment's rows. */
static inline Range find_block(const int32_t *cu, int64_t rows, int64_t index, Range *segment)
{
    int64_t s = 0, blocks;
    for (; index >= (blocks = (cu[s + 1] - cu[s] + rows - 1) / rows); s++)
        index -= blocks;
    *segment = (Range){cu[s], cu[s + 1]};
    return (Range){cu[s] + index * rows, smaller(cu[s] + (index + 1) * rows, cu[s + 1])};
}

/* n rows of a head in f32: in place, or widened into the buffer. */
typedef struct HeadRows {
    const float *data;
    int64_t ld;
} HeadRows;

static inline HeadRows head_rows(const void *x, DType t, int64_t ld, int64_t n, int64_t head_dim, float *buffer)
{
    if (t == F32)
        return (HeadRows){x, ld};
    for (int64_t r = 0; r < n; r++)
        EACH_VECTOR(0, head_dim, part_store(buffer + r * WIDE, F32, i, part, part_load(x, BF16, r * ld + i, part)));
    return (HeadRows){buffer, WIDE};
}

/* c [rows, cols] (+)= alpha · a [rows, k] b, in whole vectors of columns; b is packed. */
static inline void multiply(int64_t rows, int64_t cols, int64_t k, const float *a, int64_t lda, const float *b, float *c, int64_t ldc,
                            float alpha, bool add)
{
    Tile t = {.c = c, .ldc = ldc, .cols = whole_vectors(cols), .c_type = F32, .alpha = alpha, .add = add};
    NAME(gemm_block)(rows, k, a, lda, 1, b, &t);
}

/* A finished block of a head: out = x·scale, or x/divisor[row]. */
ALWAYS void store_head_vector(void *out, DType t, int64_t to, const float *x, int64_t i, Part part, vf scale)
{
    part_store(out, t, to + i, part, v_mul(part_load(x, F32, i, part), scale));
}
#endif
