/* bench_fill.c: one block of normal numbers, repeated (bench_fill.h). Called by bench_step.c. */
#include "tools/bench/bench_fill.h"

#include <math.h>
#include <string.h>

#include "kernels/base/philox.h"
#include "train/models/parts.h"

static uint64_t seed_of(const BenchFill *b) { return b->cfg ? (uint64_t)b->cfg->seed : 0; }

Status bench_fill_make(BenchFill *b, const RunConfig *cfg, DType type)
{
    *b = (BenchFill){.cfg = cfg, .type = type, .normal = mem_alloc((BENCH_BLOCK + 1) * sizeof *b->normal)};
    if (!b->normal)
        return fail(ERR_NOMEM, "weights for a benchmark: out of memory");
    const uint64_t key = philox_key(seed_of(b), RANDOM_INIT, 0, 0);
    for (uint32_t i = 0; i < BENCH_BLOCK; i += 2) {
        Philox4 r = philox4x32(key, i, 0, 0, 0);
        philox_normal2(r.v[0], r.v[1], b->normal + i);
    }
    return OK;
}

void bench_fill_free(BenchFill *b)
{
    mem_free(b->normal);
    mem_free(b->values);
    *b = (BenchFill){0};
}

/* Makes `values` the block times `scale`, at least n of them. */
static Status repeat(BenchFill *b, int64_t n, double scale)
{
    const size_t size = dtype_size(b->type);
    if (n > b->room) {
        char *more = mem_grow(b->values, (size_t)n * size);
        if (!more)
            return fail(ERR_NOMEM, "weights for a benchmark: out of memory");
        b->values = more;
        b->room = n;
    }
    if (scale != b->scale)
        b->n = 0;
    b->scale = scale;
    for (; b->n < n && b->n < BENCH_BLOCK; b->n++) {
        const float x = (float)(scale * (double)b->normal[b->n]);
        dtype_convert(b->values + (size_t)b->n * size, b->type, &x, F32, 1);
    }
    for (int64_t more; b->n < n; b->n += more) {
        const int64_t whole = b->n / BENCH_BLOCK * BENCH_BLOCK;
        more = n - b->n < whole ? n - b->n : whole;
        memcpy(b->values + (size_t)b->n * size, b->values + (size_t)(b->n % BENCH_BLOCK) * size, (size_t)more * size);
    }
    return OK;
}

/* Where in the block a weight begins: two that began alike would be correlated, and a network of such weights blows up. */
static int64_t offset_of(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, 64 bits */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return (int64_t)(h % BENCH_BLOCK);
}

static bool is_scale(const Param *q)
{
    const char *last = strrchr(q->name, '.');
    return param_row(q) == 1 && last && !strcmp(last, ".weight");
}

Status bench_fill_set(void *fill, Params *p, Param *q)
{
    BenchFill *b = fill;
    const int64_t row = param_row(q);
    const bool stands_in = !q->trainable && q->init == INIT_ZERO && b->cfg && part_drawn(part_find(q->group.part), b->cfg);
    if (stands_in && is_scale(q))
        q->init = INIT_ONE;
    else if (stands_in && row > 1) {
        q->init = INIT_NORMAL;
        q->init_scale = 1 / sqrt((double)row);
    }
    if (q->trainable || row <= 1 || q->init == INIT_ZERO || q->init == INIT_ONE || params_measuring(p))
        return params_draw(p, q, seed_of(b));
    const int64_t from = offset_of(q->name);
    TRY(repeat(b, from + q->t.n_elems, q->init == INIT_UNIFORM ? q->init_scale / sqrt(3) : q->init_scale));
    return params_set(p, q, b->values + (size_t)from * dtype_size(b->type), b->type);
}
