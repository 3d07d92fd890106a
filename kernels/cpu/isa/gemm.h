/* gemm.h: the packed matrix product under matmul and attention.
 *
 * The unit is a tile of C: up to MR rows by NV vectors, held in registers over a whole stretch of k. B is packed into panels of NR = NV·VL
 * columns, [steps][NR] each (the last one as many whole vectors as it needs, zeros behind the last column). A is read where it
 * lies: row r, step p at a[r·rs + p·cs]; transposed or BF16 A is copied first into a form with such strides.
 * A step is one k in f32. With `pairs` (BF16 times BF16 on processors that multiply it) a step is two: a float then holds the
 * elements 2p and 2p+1 of k, and an odd k ends with a zero. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_GEMM_H
#define GENLLAVA_KERNELS_CPU_ISA_GEMM_H

#include "kernels/cpu/isa/isa.h"

#if defined(ISA_avx2)
enum { NV = 2, MR_1 = 12, MR_2 = 6 }; /* 12 accumulators of 16 registers */
#else
enum { NV = 4, MR_1 = 12, MR_2 = 12, MR_3 = 8, MR_4 = 6 }; /* at most 24 of 32 */
#endif
enum { NR = NV * VL, MR_MOST = 12 };

/* A piece of memory that is needed soon: tiles fetch it line by line while they multiply. */
typedef struct Ahead {
    const char *line, *end; /* of the present row */
    int64_t stride, n_bytes, rows;
} Ahead;

/* Where a tile goes: c = alpha·sum (+ bias) (+ from, which may be c). The sum may go on over a second pair of operands: steps2 more, of A
 * at a2[row·rs2 + step], of B at b2[step·bs2]. */
typedef struct Tile {
    void *c;
    const void *bias; /* of the tile's first column; NULL: none */
    int64_t ldc, cols;
    DType c_type, bias_type;
    const void *from; /* as c; NULL: nothing is added */
    float alpha;
    int64_t steps2, rs2, bs2;
    const float *a2, *b2;
    Ahead *ahead; /* NULL: nothing */
} Tile;

/* Rows of the tallest tile with nv vectors. */
static inline int64_t tile_rows(int64_t nv)
{
#if defined(ISA_avx2)
    return nv == 1 ? MR_1 : MR_2;
#else
    return nv == 1 ? MR_1 : nv == 2 ? MR_2 : nv == 3 ? MR_3 : MR_4;
#endif
}

#if defined(ISA_avx512bf16)
#define HAS_PAIRS true
#else
#define HAS_PAIRS false
#endif

/* One tile: rows <= tile_rows(⌈cols/VL⌉). Step p of B at b[p·bs], whole vectors. */
void NAME(gemm_tile)(bool pairs, int64_t rows, int64_t steps, const float *a, int64_t rs, int64_t cs, const float *b, int64_t bs,
                     const Tile *t);
/* A range of steps, rows, columns: begin … end-1. */
typedef struct Range {
    int64_t begin, end;
} Range;

/* A packed B of so many steps and columns. */
typedef struct Packed {
    float *data;
    int64_t steps, cols;
} Packed;

/* Packs k × n of B: column j, step p is b[p·ldb + j], or b[j·ldb + p] when trans. */
void NAME(gemm_pack)(float *dst, bool pairs, const void *b, DType type, bool trans, int64_t ldb, int64_t k, int64_t n);
/* F32 A in place times some steps and columns of B (cols.begin a multiple of NR). a is A's column steps.begin, t->c is C's column
 * cols.begin; C gets whole vectors, t->cols is not asked. */
void NAME(gemm_block)(int64_t rows, const float *a, int64_t rs, int64_t cs, const Packed *b, Range steps, Range cols, const Tile *t);

/* Columns i … of step p of a matrix [k, …] with row stride ld: one row, or two rows interleaved. */
ALWAYS vf load_step(bool pairs, const void *x, DType type, int64_t ld, int64_t k, int64_t p, int64_t i, Part part)
{
#if HAS_PAIRS
    if (pairs) {
        const bf16 *row = (const bf16 *)x + 2 * p * ld + i;
        __m512i even = _mm512_castps_si512(part_load(row, BF16, 0, part)), odd = _mm512_setzero_si512();
        if (2 * p + 1 < k)
            odd = _mm512_castps_si512(part_load(row, BF16, ld, part));
        return _mm512_castsi512_ps(_mm512_or_si512(_mm512_srli_epi32(even, 16), odd));
    }
#endif
    (void)pairs;
    (void)k;
    return part_load(x, type, p * ld + i, part);
}
#endif
