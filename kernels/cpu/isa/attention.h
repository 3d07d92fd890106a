/* attention.h: what the forward and backward passes of attention share.
 *
 * A pass walks a block of rows against blocks of columns of S (or of Sᵀ): scores of a block by the packed matrix product into a
 * buffer that stays in cache, an elementwise step, and further products from there. S itself never exists. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_ATTENTION_H
#define GENLLAVA_KERNELS_CPU_ISA_ATTENTION_H

#include "kernels/cpu/isa/gemm.h"

/* Rows and columns of a block of scores; rows that are worked on at a time (a multiple of the heights of tiles), so that what a causal
 * mask hides of a block is mostly not computed; the most columns of a head; floats between rows of scores. */
enum { ROWS = 192, COLS = 128, STRIP = 24, WIDE = ATTENTION_MAX_HEAD_DIM, SCORE_LD = COLS + VL };
enum { BLOCK_SCORES = STRIP * SCORE_LD };

ALWAYS int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
ALWAYS int64_t larger_of(int64_t a, int64_t b) { return a > b ? a : b; }
ALWAYS int64_t whole_vectors(int64_t n) { return (n + VL - 1) / VL * VL; }

/* The next n floats of a workspace. What a head does not need is not touched: rows are as many whole vectors as the head is wide, not as
 * the widest. */
ALWAYS float *take(float **workspace, int64_t n)
{
    float *p = *workspace;
    *workspace += n;
    return p;
}

/* Blocks of at most `rows` rows that all segments of one side make together. */
static inline int64_t count_blocks(const int32_t *cu, int64_t n_segments, int64_t rows)
{
    int64_t n = 0;
    for (int64_t s = 0; s < n_segments; s++)
        n += (cu[s + 1] - cu[s] + rows - 1) / rows;
    return n;
}

/* The index-th of these blocks: its segment, and its rows begin … end-1 within that. */
static inline Range find_block(const int32_t *cu, int64_t rows, int64_t index, int64_t *segment)
{
    int64_t s = 0, blocks;
    for (; index >= (blocks = (cu[s + 1] - cu[s] + rows - 1) / rows); s++)
        index -= blocks;
    *segment = s;
    return (Range){index * rows, smaller((index + 1) * rows, cu[s + 1] - cu[s])};
}

/* n rows of a head in f32: in place, or widened into the buffer. */
typedef struct HeadRows {
    const float *data;
    int64_t ld;
} HeadRows;

static inline HeadRows head_rows(const void *x, DType t, int64_t ld, int64_t n, int64_t head_dim, float *buffer)
{
    if (t == F32)
        return (HeadRows){(const float *)x, ld};
    int64_t wide = whole_vectors(head_dim);
    for (int64_t r = 0; r < n; r++)
        EACH_VECTOR(0, head_dim, part_store(buffer + r * wide, F32, i, part, part_load(x, BF16, r * ld + i, part)));
    return (HeadRows){buffer, wide};
}

/* Packs the rows r.begin … of a head as right operand: as they are ([rows, head_dim]), or transposed. */
static inline void pack_head(Packed *dst, const void *x, DType t, int64_t ld, bool trans, Range r, int64_t head_dim)
{
    int64_t n = r.end - r.begin;
    dst->steps = trans ? head_dim : n;
    dst->cols = trans ? n : head_dim;
    NAME(gemm_pack)(dst->data, false, at(x, t, r.begin * ld), t, trans, ld, dst->steps, dst->cols);
}

/* c [rows, cols] (+)= alpha · a [rows, steps] · b [steps, cols], in whole vectors of columns. */
static inline void multiply(int64_t rows, const float *a, int64_t lda, const Packed *b, Range steps, Range cols, float *c, int64_t ldc,
                            float alpha, bool add)
{
    Tile t = {.c = c, .bias = NULL, .ldc = ldc, .cols = 0, .c_type = F32, .bias_type = F32, .from = add ? c : NULL, .alpha = alpha,
              .steps2 = 0, .rs2 = 0, .bs2 = 0,
              .a2 = NULL, .b2 = NULL, .ahead = NULL};
    NAME(gemm_block)(rows, a, lda, 1, b, steps, cols, &t);
}

/* A finished row of a head. */
ALWAYS void store_head_vector(void *out, DType t, int64_t to, const float *x, int64_t i, Part part, vf scale)
{
    part_store(out, t, to + i, part, v_mul(part_load(x, F32, i, part), scale));
}
#endif
