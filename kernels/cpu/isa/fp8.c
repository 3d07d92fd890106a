/* fp8.c: matrices of 8-bit floats (ops/fp8.h), compiled once for each instruction set. Processors multiply no such numbers: codes are
 * widened to bf16, which holds them exactly, a block at a time, and multiplied by the matmul; the scales come in on the way out. So this
 * shows what a run in fp8 learns, and is slower than one without. */
#include <stddef.h>
#include <string.h>

#include "kernels/cpu/isa/isa.h"

/* Of C: rows and columns of a block; of k: what is widened at a time. STRIPE: rows of a transposed result that are made together. */
enum { BLOCK_M = 256, BLOCK_N = 256, BLOCK_K = 1024, STRIPE = 64, TILE = 64 };
/* Nanoseconds an element, for parallel_for. */
static const double QUANTIZE_NS = 0.5, WIDEN_NS = 0.2, SCALE_NS = 0.3;

typedef struct Block {
    bf16 a[BLOCK_M * BLOCK_K], b[BLOCK_N * BLOCK_K];
    float c[BLOCK_M * BLOCK_N];
} Block;
_Static_assert(sizeof(Block) <= SHARED_BYTES, "what all threads make together");

/* ---------------------------------------------------------------- quantize_rows */

static const uint32_t INFINITE = 0x7f800000u;

/* The larger of two magnitudes of f32, as their bits; from INFINITE on a number is not finite. */
ALWAYS uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }
ALWAYS uint32_t magnitude_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}
ALWAYS float largest_of(uint32_t bits)
{
    float f;
    bits = bits > INFINITE ? INFINITE : bits;
    memcpy(&f, &bits, sizeof f);
    return f;
}

ALWAYS void quantize_row(const void *x, const DType type, int64_t n, uint8_t *code, float *scale)
{
    uint32_t most = 0;
    for (int64_t j = 0; j < n; j++)
        most = larger(most, magnitude_of(get(x, type, j)));
    const float factor = fp8_row_factor(largest_of(most));
    *scale = fp8_row_scale(largest_of(most));
    if (factor == 0)
        memset(code, 0, (size_t)n);
    for (int64_t j = 0; j < n && factor != 0; j++)
        code[j] = f32_to_fp8(get(x, type, j) * factor);
}

static void quantize_along(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const QuantizeRows *a = args;
    (void)workspace;
    for (int64_t i = begin; i < end; i++)
        if (a->x_type == BF16)
            quantize_row(at(a->x, BF16, i * a->ldx), BF16, a->cols, a->code + i * a->cols, &a->scale[i]);
        else
            quantize_row(at(a->x, F32, i * a->ldx), F32, a->cols, a->code + i * a->cols, &a->scale[i]);
}

/* Rows first … first+n-1 of the result, which are columns of x. */
ALWAYS void quantize_stripe(const QuantizeRows *a, const DType type, int64_t first, int64_t n)
{
    uint32_t most[STRIPE] = {0};
    float factor[STRIPE];
    uint8_t tile[TILE * STRIPE];
    for (int64_t j = 0; j < a->cols; j++)
        for (int64_t i = 0; i < n; i++)
            most[i] = larger(most[i], magnitude_of(get(a->x, type, j * a->ldx + first + i)));
    for (int64_t i = 0; i < n; i++) {
        factor[i] = fp8_row_factor(largest_of(most[i]));
        a->scale[first + i] = fp8_row_scale(largest_of(most[i]));
    }
    for (int64_t j0 = 0; j0 < a->cols; j0 += TILE) {
        const int64_t rows = a->cols - j0 < TILE ? a->cols - j0 : TILE;
        for (int64_t j = 0; j < rows; j++)
            for (int64_t i = 0; i < n; i++) {
                const float x = get(a->x, type, (j0 + j) * a->ldx + first + i);
                tile[j * STRIPE + i] = factor[i] == 0 ? 0 : f32_to_fp8(x * factor[i]);
            }
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < rows; j++)
                a->code[(first + i) * a->cols + j0 + j] = tile[j * STRIPE + i];
    }
}

static void quantize_across(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const QuantizeRows *a = args;
    (void)workspace;
    for (int64_t s = begin; s < end; s++) {
        const int64_t first = s * STRIPE, n = a->rows - first < STRIPE ? a->rows - first : STRIPE;
        if (a->x_type == BF16)
            quantize_stripe(a, BF16, first, n);
        else
            quantize_stripe(a, F32, first, n);
    }
}

static Status quantize_rows(KernelCtx *ctx, const QuantizeRows *a)
{
    TRY(check_quantize_rows(a));
    TRY(expect_single("quantize_rows", a->x_type));
    if (a->transposed)
        parallel_for(cpu_device(ctx), (a->rows + STRIPE - 1) / STRIPE, QUANTIZE_NS * STRIPE * (double)a->cols, quantize_across, a);
    else
        parallel_for(cpu_device(ctx), a->rows, QUANTIZE_NS * (double)a->cols, quantize_along, a);
    return OK;
}

/* ---------------------------------------------------------------- matmul_fp8 */

/* A block of codes becomes bf16: rows of n, ld codes apart. */
typedef struct Widening {
    const uint8_t *code;
    int64_t n, ld;
    bf16 *to; /* rows of BLOCK_K */
} Widening;

static void widen_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Widening *w = args;
    (void)workspace;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < w->n; j++) {
            const float f = fp8_to_f32(w->code[i * w->ld + j]);
            uint32_t bits;
            memcpy(&bits, &f, sizeof bits);
            w->to[i * BLOCK_K + j] = (bf16)(bits >> 16);
        }
}

static void widen(CpuDevice *d, const uint8_t *code, int64_t rows, int64_t n, int64_t ld, bf16 *to)
{
    parallel_for(d, rows, WIDEN_NS * (double)n, widen_rows, &(Widening){code, n, ld, to});
}

/* Sums of a block on their way out. */
typedef struct Scaling {
    const MatmulFp8 *a;
    int64_t row, col, cols;
    const float *sum; /* rows of BLOCK_N */
} Scaling;

ALWAYS void scale_row(const Scaling *s, const DType type, int64_t i)
{
    const MatmulFp8 *a = s->a;
    const void *addend = a->add ? a->add : a->accumulate ? a->c : NULL;
    const int64_t to = (s->row + i) * a->ldc + s->col;
    const float scale = a->a_scale[s->row + i];
    for (int64_t j = 0; j < s->cols; j++) {
        const float v = scale * a->b_scale[s->col + j] * s->sum[i * BLOCK_N + j];
        put(a->c, type, to + j, addend ? v + get(addend, type, to + j) : v);
    }
}

static void scale_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Scaling *s = args;
    (void)workspace;
    for (int64_t i = begin; i < end; i++)
        if (s->a->c_type == BF16)
            scale_row(s, BF16, i);
        else
            scale_row(s, F32, i);
}

static Status multiply_block(KernelCtx *ctx, const MatmulFp8 *a, Block *block, int64_t row, int64_t rows, int64_t col, int64_t cols)
{
    CpuDevice *d = cpu_device(ctx);
    Matmul m = {.m = rows, .n = cols, .a_type = BF16, .b_type = BF16, .c_type = F32, .b_trans = true, .lda = BLOCK_K, .ldb = BLOCK_K,
                .ldc = BLOCK_N, .a = block->a, .b = block->b, .c = block->c, .alpha = 1};
    for (int64_t k = 0; k < a->k || k == 0; k += BLOCK_K) {
        m.k = a->k - k < BLOCK_K ? a->k - k : BLOCK_K;
        m.accumulate = k > 0;
        widen(d, a->a + row * a->k + k, rows, m.k, a->k, block->a);
        widen(d, a->b + col * a->k + k, cols, m.k, a->k, block->b);
        TRY(d->ops.matmul(ctx, &m));
    }
    parallel_for(d, rows, SCALE_NS * (double)cols, scale_rows,
                 &(Scaling){.a = a, .row = row, .col = col, .cols = cols, .sum = block->c});
    return OK;
}

static Status matmul_fp8(KernelCtx *ctx, const MatmulFp8 *a)
{
    TRY(check_matmul_fp8(a));
    TRY(expect_single("matmul_fp8", a->c_type));
    const int64_t most = a->m < BLOCK_M ? a->m : BLOCK_M, sums = BLOCK_N * (int64_t)sizeof(float);
    Block *block = cpu_shared(cpu_device(ctx), a->m && a->n ? (int64_t)offsetof(Block, c) + most * sums : 0);
    for (int64_t row = 0; block && row < a->m; row += BLOCK_M)
        for (int64_t col = 0; col < a->n; col += BLOCK_N)
            TRY(multiply_block(ctx, a, block, row, a->m - row < BLOCK_M ? a->m - row : BLOCK_M, col,
                               a->n - col < BLOCK_N ? a->n - col : BLOCK_N));
    return OK;
}

void NAME(fp8)(KernelTable *t)
{
    t->quantize_rows = quantize_rows;
    t->matmul_fp8 = matmul_fp8;
}
