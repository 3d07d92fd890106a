/* optim.c: AdamW, sums of squares, fill (ops/optim.h), compiled once for each instruction set. */
#include <math.h>

#include "kernels/cpu/isa/philox_lanes.h"

/* ---------------------------------------------------------------- adamw */

typedef struct Step {
    const Adamw *a;
    int64_t begin;
    float beta1, rest1, beta2, rest2, eps, scale, decay, lr, inverse1, inverse2;
    PhiloxLanes random; /* set for moments in BF16: groups of four elements */
} Step;

ALWAYS void store_moment(void *to, DType type, int64_t i, Part part, vf x, vu random)
{
    part_store(to, type, i, part, type == BF16 ? v_round_random(x, random) : x);
}

/* moments: their type, a constant; random: a word for each element, when they are BF16. */
ALWAYS void adamw_vector(const Step *s, int64_t i, Part part, DType moments, vu random)
{
    const Adamw *a = s->a;
    vf g = v_mul(part_load(a->grad, F32, i, part), v_set(s->scale)), p = part_load(a->param, F32, i, part);
    vf m = v_fma(g, v_set(s->rest1), v_mul(part_load(a->m, moments, i, part), v_set(s->beta1)));
    vf v = v_fma(v_mul(g, v_set(s->rest2)), g, v_mul(part_load(a->v, moments, i, part), v_set(s->beta2)));
    vf root = v_add(v_sqrt(v_mul(v, v_set(s->inverse2))), v_set(s->eps));
    p = v_fnma(v_set(s->lr), v_div(v_mul(m, v_set(s->inverse1)), root), v_fnma(v_set(s->decay), p, p));
    store_moment(a->m, moments, i, part, m, vu_lower(random));
    store_moment(a->v, moments, i, part, v, vu_upper(random));
    part_store(a->param, F32, i, part, p);
    if (a->copy)
        part_store(a->copy, BF16, i, part, p);
}

/* Fewer elements than a vector has. */
static void adamw_few(const Step *s, int64_t i, int64_t n)
{
    uint32_t word[VL] = {0};
    for (int64_t k = 0; k < n; k++)
        word[k] = philox4x32(s->a->key, (uint32_t)((i + k) / 4), (uint32_t)((i + k) / 4 >> 32), 0, 0).v[(i + k) % 4];
    adamw_vector(s, i, part_first(n), BF16, vu_load(word));
}

/* With moments in BF16: as many whole groups of four elements as there are lanes, and what is left at both ends. */
static void adamw_rounding(const Step *s, int64_t begin, int64_t end)
{
    for (int64_t i = begin, n; i < end; i += n) {
        const uint32_t low = (uint32_t)(i / 4), high = (uint32_t)(i / 4 >> 32);
        if (i % 4 || i + 4 * VL > end || low > UINT32_MAX - VL) {
            n = i % 4 ? 4 - i % 4 : VL / 2;
            n = n < end - i ? n : end - i;
            adamw_few(s, i, n);
            continue;
        }
        vu word[4];
        philox_words(&s->random, low, high, 0, word);
        UNROLL for (int k = 0; k < 4; k++)
            adamw_vector(s, i + k * VL, part_whole(), BF16, word[k]);
        n = 4 * VL;
    }
}

static void adamw_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Step *s = args;
    (void)workspace;
    if (s->a->moments == BF16)
        adamw_rounding(s, s->begin + begin, s->begin + end);
    else
        EACH_VECTOR(s->begin + begin, s->begin + end, adamw_vector(s, i, part, F32, vu_set(0)));
}

static Status adamw(KernelCtx *ctx, const Adamw *a)
{
    const double element_ns = a->moments == BF16 ? 1.2 : 0.6;
    TRY(check_adamw(a));
    if (a->type != F32)
        return fail(ERR_INTERNAL, "adamw: type is %s, expected F32 on cpu", dtype_name(a->type));
    for (int64_t i = 0; i < a->n_spans; i++) {
        const AdamwSpan *span = &a->spans[i];
        Step s = {.a = a, .begin = span->begin, .beta1 = (float)a->beta1, .rest1 = (float)(1 - a->beta1), .beta2 = (float)a->beta2,
                  .rest2 = (float)(1 - a->beta2), .eps = (float)a->eps, .scale = (float)a->grad_scale,
                  .decay = (float)(span->lr * span->decay), .lr = (float)span->lr,
                  .inverse1 = (float)(1 / (1 - pow(a->beta1, (double)span->t))),
                  .inverse2 = (float)(1 / (1 - pow(a->beta2, (double)span->t)))};
        philox_lanes(&s.random, a->key);
        parallel_for(cpu_device(ctx), span->end - span->begin, element_ns, adamw_range, &s);
    }
    return OK;
}

/* ---------------------------------------------------------------- sum of squares
 * A fixed number of blocks whatever the threads, each summed in double, then added up in order. */

enum { BLOCKS = 256 };

typedef struct Squares {
    const SumSquares *a;
    double *partial; /* [BLOCKS] */
} Squares;

ALWAYS vd plus_square(const SumSquares *a, DType t, int64_t i, Part part, vd sum)
{
    vf x = part_load(a->x, t, i, part);
    return vd_fma(x, x, sum);
}

static void square_blocks(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Squares *s = args;
    (void)workspace;
    for (int64_t block = begin; block < end; block++) {
        vd sum = vd_zero();
        int64_t first = s->a->n * block / BLOCKS, last = s->a->n * (block + 1) / BLOCKS;
        BY_TYPE(s->a->type, EACH_VECTOR(first, last, sum = plus_square(s->a, T, i, part, sum)));
        s->partial[block] = vd_sum(sum);
    }
}

static Status sum_squares(KernelCtx *ctx, const SumSquares *a)
{
    const double element_ns = 0.2;
    TRY(check_sum_squares(a));
    TRY(expect_single("sum_squares", a->type));
    double partial[BLOCKS], sum = 0;
    Squares s = {.a = a, .partial = partial};
    parallel_for(cpu_device(ctx), BLOCKS, element_ns * (double)a->n / BLOCKS, square_blocks, &s);
    for (int block = 0; block < BLOCKS; block++)
        sum += partial[block];
    *a->out = sum;
    return OK;
}

/* ---------------------------------------------------------------- fill */

static void fill_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Fill *a = args;
    (void)workspace;
    vf value = v_set((float)a->value);
    BY_TYPE(a->type, EACH_VECTOR(begin, end, part_store(a->x, T, i, part, value)));
}

static Status fill(KernelCtx *ctx, const Fill *a)
{
    const double element_ns = 0.1;
    TRY(check_fill(a));
    TRY(expect_single("fill", a->type));
    parallel_for(cpu_device(ctx), a->n, element_ns, fill_range, a);
    return OK;
}

void NAME(optim)(KernelTable *t)
{
    t->adamw = adamw;
    t->sum_squares = sum_squares;
    t->fill = fill;
}
