/* gemm.c: the packed matrix product (gemm.h), compiled once for each instruction set. Called by matmul.c and attention. */
#include "kernels/cpu/isa/gemm.h"

/* ---------------------------------------------------------------- tiles */

ALWAYS void finish_vector(const Tile *t, DType type, bool add, bool bias, const float *sum, int64_t row, int64_t i, Part part)
{
    int64_t to = row * t->ldc + i;
    vf v = part_load(sum, F32, i, part), alpha = v_set(t->alpha), c = add ? part_load(t->from, type, to, part) : v_zero();
    if (bias)
        v = v_add(v_fma(v, alpha, part_load(t->bias, t->bias_type, i, part)), c);
    else
        v = add ? v_fma(v, alpha, c) : v_mul(v, alpha);
    part_store(t->c, type, to, part, v);
}

ALWAYS void finish_rows(const Tile *t, DType type, bool add, bool bias, const float *sum, int64_t rows, int64_t ld)
{
    for (int64_t r = 0; r < rows; r++)
        EACH_VECTOR(0, t->cols, finish_vector(t, type, add, bias, sum + r * ld, r, i, part));
}

/* sums [rows][ld] to C, whatever the types; rounded as the plain case of tile() rounds, since threads decide which tiles are plain. */
static void finish_tile(const Tile *t, const float *sum, int64_t rows, int64_t ld)
{
    if (t->bias)
        BY_TYPE(t->c_type, finish_rows(t, T, t->from != NULL, true, sum, rows, ld));
    else if (t->from)
        BY_TYPE(t->c_type, finish_rows(t, T, true, false, sum, rows, ld));
    else
        BY_TYPE(t->c_type, finish_rows(t, T, false, false, sum, rows, ld));
}

ALWAYS vf multiply_add(bool pairs, vf a, vf b, vf sum)
{
#if HAS_PAIRS
    if (pairs)
        return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#endif
    (void)pairs;
    return v_fma(a, b, sum);
}

/* PREFETCH_STEPS: from how many on a tile fetches its C; STEPS_A_LINE: one line ahead goes with so many. */
enum { PREFETCH_STEPS = 64, LINE = 64, STEPS_A_LINE = 8 };

/* Fetches the next line. */
ALWAYS void fetch_ahead(Ahead *x)
{
    if (x->rows <= 0)
        return;
    __builtin_prefetch(x->line, 0, 2);
    x->line += LINE;
    if (x->line >= x->end) {
        x->end += x->stride;
        x->line = x->end - x->n_bytes;
        x->rows--;
    }
}

/* Whole vectors without a bias, from the registers. */
ALWAYS void finish_plain(const Tile *t, const DType type, const int mr, const int nv, vf acc[MR_MOST][NV])
{
    vf alpha = v_set(t->alpha);
    void *c = t->c;
    const void *from = t->from;
    if (from) {
        UNROLL for (int r = 0; r < mr; r++, c = at_mut(c, type, t->ldc), from = at(from, type, t->ldc))
            UNROLL for (int j = 0; j < nv; j++)
                store(c, type, j * VL, v_fma(acc[r][j], alpha, load(from, type, j * VL)));
    } else {
        UNROLL for (int r = 0; r < mr; r++, c = at_mut(c, type, t->ldc))
            UNROLL for (int j = 0; j < nv; j++)
                store(c, type, j * VL, v_mul(acc[r][j], alpha));
    }
}

/* pairs, mr and nv are constants: acc stays in registers. Rows are addressed in threes (base, +rs, +2rs), which is what x86 can
 * express without arithmetic in the loop. */
ALWAYS void tile(const bool pairs, const int mr, const int nv, int64_t steps, const float *a, int64_t rs, int64_t cs, const float *b,
                 int64_t bs, const Tile *t)
{
    vf acc[MR_MOST][NV];
    const float *base[(MR_MOST + 2) / 3];
    UNROLL for (int r = 0; r < mr; r++)
        UNROLL for (int j = 0; j < nv; j++)
            acc[r][j] = v_zero();
    UNROLL for (int g = 0; 3 * g < mr; g++)
        base[g] = a + 3 * g * rs;
    if (steps >= PREFETCH_STEPS) /* C, which is used at the end only: hides the way to memory of a large one */
        for (int r = 0; r < mr; r++)
            for (int j = 0; j < nv; j++)
                __builtin_prefetch((const char *)at(t->c, t->c_type, r * t->ldc + j * VL), 1);
    for (int64_t more = t->steps2;; more = 0) {
        for (int64_t p = 0; p < steps;) {
            int64_t end = steps;
            if (t->ahead) {
                fetch_ahead(t->ahead);
                end = steps - p < STEPS_A_LINE ? steps : p + STEPS_A_LINE;
            }
            for (; p < end; p++) {
                vf bv[NV];
                UNROLL for (int j = 0; j < nv; j++)
                    bv[j] = v_load(b + j * VL);
                UNROLL for (int r = 0; r < mr; r++) {
                    vf x = v_set(base[r / 3][r % 3 * rs]);
                    UNROLL for (int j = 0; j < nv; j++)
                        acc[r][j] = multiply_add(pairs, x, bv[j], acc[r][j]);
                }
                UNROLL for (int g = 0; 3 * g < mr; g++)
                    base[g] += cs;
                b += bs;
            }
        }
        if (!more)
            break;
        steps = more, a = t->a2, rs = t->rs2, cs = 1, b = t->b2, bs = t->bs2;
        UNROLL for (int g = 0; 3 * g < mr; g++)
            base[g] = a + 3 * g * rs;
    }
    /* The plain cases are apart: with a short k anything else costs more than the products. */
    if (!t->bias && t->cols == nv * VL) {
        if (t->c_type == F32)
            finish_plain(t, F32, mr, nv, acc);
        else
            finish_plain(t, BF16, mr, nv, acc);
        return;
    }
    float sum[MR_MOST * NR];
    UNROLL for (int r = 0; r < mr; r++)
        UNROLL for (int j = 0; j < nv; j++)
            v_store(sum + (r * nv + j) * VL, acc[r][j]);
    finish_tile(t, sum, mr, nv * VL);
}

typedef void (*TileFn)(int64_t steps, const float *a, int64_t rs, int64_t cs, const float *b, int64_t bs, const Tile *t);

#define TILE_ARGS int64_t steps, const float *a, int64_t rs, int64_t cs, const float *b, int64_t bs, const Tile *t
#define TILE(mr, nv) \
    static void tile_##mr##_##nv(TILE_ARGS) { tile(false, mr, nv, steps, a, rs, cs, b, bs, t); }
#define PAIR_TILE(mr, nv) \
    static void pair_tile_##mr##_##nv(TILE_ARGS) { tile(true, mr, nv, steps, a, rs, cs, b, bs, t); }
/* Heights: the tallest for each width, and powers of two for what remains of the rows. */
#if defined(ISA_avx2)
#define TILES(X) X(1, 1) X(2, 1) X(4, 1) X(8, 1) X(12, 1) X(1, 2) X(2, 2) X(4, 2) X(6, 2)
#else
#define TILES(X) X(1, 1) X(2, 1) X(4, 1) X(8, 1) X(12, 1) X(1, 2) X(2, 2) X(4, 2) X(8, 2) X(12, 2) \
                 X(1, 3) X(2, 3) X(4, 3) X(8, 3) X(1, 4) X(2, 4) X(4, 4) X(6, 4)
#endif

TILES(TILE)
static const TileFn TILE_FN[NV + 1][MR_MOST + 1] = {
#define TILE_ENTRY(mr, nv) [nv][mr] = tile_##mr##_##nv,
    TILES(TILE_ENTRY)
#undef TILE_ENTRY
};

#if HAS_PAIRS
TILES(PAIR_TILE)
static const TileFn PAIR_TILE_FN[NV + 1][MR_MOST + 1] = {
#define TILE_ENTRY(mr, nv) [nv][mr] = pair_tile_##mr##_##nv,
    TILES(TILE_ENTRY)
#undef TILE_ENTRY
};
#else
#define PAIR_TILE_FN TILE_FN
#endif

void NAME(gemm_tile)(bool pairs, int64_t rows, int64_t steps, const float *a, int64_t rs, int64_t cs, const float *b, int64_t bs,
                     const Tile *t)
{
    const TileFn *fn = (pairs ? PAIR_TILE_FN : TILE_FN)[(t->cols + VL - 1) / VL];
    if (rows <= MR_MOST && fn[rows]) {
        fn[rows](steps, a, rs, cs, b, bs, t);
        return;
    }
    Tile part = *t;
    while (rows > 0) {
        int64_t height = rows;
        while (!fn[height])
            height--;
        fn[height](steps, a, rs, cs, b, bs, &part);
        part.c = at_mut(part.c, t->c_type, height * t->ldc);
        part.from = t->from ? at(part.from, t->c_type, height * t->ldc) : NULL;
        part.a2 = t->steps2 ? part.a2 + height * t->rs2 : NULL;
        a += height * rs;
        rows -= height;
    }
}

void NAME(gemm_block)(int64_t rows, const float *a, int64_t rs, int64_t cs, const Packed *b, Range steps, Range cols, const Tile *t)
{
    for (int64_t j = cols.begin; j < cols.end; j += NR) {
        int64_t panel = b->cols - j < NR ? b->cols - j : NR, width = (panel + VL - 1) / VL * VL;
        int64_t nv = ((cols.end - j < panel ? cols.end - j : panel) + VL - 1) / VL, mr = tile_rows(nv);
        const float *data = b->data + j * b->steps + steps.begin * width;
        Tile part = *t;
        part.cols = nv * VL;
        for (int64_t i = 0; i < rows; i += mr) {
            part.c = (float *)t->c + i * t->ldc + j - cols.begin;
            part.from = t->from ? (const float *)t->from + i * t->ldc + j - cols.begin : NULL;
            NAME(gemm_tile)(false, rows - i < mr ? rows - i : mr, steps.end - steps.begin, a + i * rs, rs, cs, data, width, &part);
        }
    }
}

/* ---------------------------------------------------------------- packing */

/* Steps p … of row j of a transposed B, `left` elements of k before the row's end. */
ALWAYS vf load_steps(bool pairs, const void *b, DType type, int64_t at_k, int64_t left, int64_t steps)
{
#if HAS_PAIRS
    if (pairs && left >= 2 * VL)
        return _mm512_castsi512_ps(_mm512_loadu_si512((const bf16 *)b + at_k));
    if (pairs)
        return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16((__mmask32)((1ull << left) - 1), (const bf16 *)b + at_k));
#endif
    (void)pairs;
    (void)left;
    return steps == VL ? load(b, type, at_k) : load_some(b, type, at_k, v_mask(steps));
}

/* VL columns (cols of them real) of a transposed B: column j is the row b[j·ldb …]. dst: [steps][stride] */
ALWAYS void pack_transposed(float *dst, int64_t stride, bool pairs, const void *b, DType type, int64_t ldb, int64_t k, int64_t cols)
{
    vf r[VL];
    const int64_t unit = pairs ? 2 : 1, n_steps = (k + unit - 1) / unit;
    for (int64_t p = 0; p < n_steps; p += VL) {
        int64_t steps = n_steps - p < VL ? n_steps - p : VL;
        if (steps == VL && cols == VL && k - p * unit >= VL * unit) {
            UNROLL for (int j = 0; j < VL; j++)
                r[j] = load_steps(pairs, b, type, j * ldb + p * unit, VL * unit, VL);
        } else {
            for (int j = 0; j < VL; j++)
                r[j] = j < cols ? load_steps(pairs, b, type, j * ldb + p * unit, k - p * unit, steps) : v_zero();
        }
        v_transpose(r);
        if (steps == VL) {
            UNROLL for (int i = 0; i < VL; i++)
                v_store(dst + (p + i) * stride, r[i]);
        } else {
            for (int i = 0; i < steps; i++)
                v_store(dst + (p + i) * stride, r[i]);
        }
    }
}

/* Row by row over all panels: the source is read in the order of its memory. */
ALWAYS void pack_plain(float *dst, bool pairs, const void *b, DType type, int64_t ldb, int64_t k, int64_t n)
{
    int64_t whole = n / NR * NR, width = (n - whole + VL - 1) / VL * VL, steps = pairs ? (k + 1) / 2 : k;
    const Part all = part_whole();
    for (int64_t p = 0; p < steps; p++) {
        for (int64_t j = 0; j < whole; j += NR)
            UNROLL for (int v = 0; v < NV; v++)
                v_store(dst + j * steps + p * NR + v * VL, load_step(pairs, b, type, ldb, k, p, j + v * VL, all));
        float *last = dst + whole * steps + p * width;
        EACH_VECTOR(whole, n, v_store(last + i - whole, load_step(pairs, b, type, ldb, k, p, i, part)));
    }
}

ALWAYS void pack(float *dst, bool pairs, const void *b, DType type, bool trans, int64_t ldb, int64_t k, int64_t n)
{
    if (!trans) {
        pack_plain(dst, pairs, b, type, ldb, k, n);
        return;
    }
    int64_t steps = pairs ? (k + 1) / 2 : k;
    for (int64_t j = 0; j < n; j += NR) {
        int64_t cols = n - j < NR ? n - j : NR, width = (cols + VL - 1) / VL * VL;
        for (int64_t v = 0; v < width; v += VL)
            pack_transposed(dst + j * steps + v, width, pairs, at(b, type, (j + v) * ldb), type, ldb, k,
                            cols - v < VL ? cols - v : VL);
    }
}

void NAME(gemm_pack)(float *dst, bool pairs, const void *b, DType type, bool trans, int64_t ldb, int64_t k, int64_t n)
{
    if (pairs)
        pack(dst, HAS_PAIRS, b, BF16, trans, ldb, k, n);
    else
        BY_TYPE(type, pack(dst, false, b, T, trans, ldb, k, n));
}
