/* kid.c: see kid.h. */
#include "eval/metrics/kid.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "eval/metrics/spectrum.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"

enum { BLOCK = 64 }; /* features that are multiplied at a time: their numbers of a subset stay in the cache */

typedef struct Subset {
    const FeatureSet *of;
    int64_t *order; /* [of->n]: the first `size` are in the subset */
    double *x;      /* [d, size]: its rows, as columns */
} Subset;

typedef struct Work {
    Subset side[2];
    int64_t size, d;
    double *kernel; /* [size, size] */
    double *row;    /* [d] */
} Work;

/* The first numbers of a permutation (Fisher and Yates), anew from where the last one has left the order. */
static void choose(Subset *s, int64_t size, uint64_t key)
{
    for (int64_t i = 0; i < size; i++) {
        const Philox4 r = philox4x32(key, (uint32_t)i, (uint32_t)(i >> 32), 0, 0);
        const int64_t left = s->of->n - i, j = i + (int64_t)((uint64_t)r.v[0] * (uint64_t)left >> 32), kept = s->order[i];
        s->order[i] = s->order[j];
        s->order[j] = kept;
    }
}

static Status gather(const Subset *s, const Work *w)
{
    for (int64_t i = 0; i < w->size; i++) {
        TRY(feature_set_row(s->of, s->order[i], w->row));
        for (int64_t j = 0; j < w->d; j++)
            s->x[j * w->size + i] = w->row[j];
    }
    return OK;
}

/* The sum of the kernel over all pairs of rows of x and y; with_diagonal false: of different rows. */
static double sum_kernel(const Work *w, const double *x, const double *y, bool with_diagonal)
{
    const int64_t m = w->size;
    double sum = 0;
    memset(w->kernel, 0, (size_t)(m * m) * sizeof *w->kernel);
    for (int64_t j = 0; j < w->d; j += BLOCK) {
        const int64_t n = w->d - j < BLOCK ? w->d - j : BLOCK;
        spectrum_add_product(w->kernel, m, m, x + j * m, m, y + j * m, m, n);
    }
    for (int64_t i = 0; i < m; i++) {
        double of_row = 0;
        for (int64_t j = 0; j < m; j++) {
            const double k = w->kernel[i * m + j] / (double)w->d + 1;
            of_row += i != j || with_diagonal ? k * k * k : 0;
        }
        sum += of_row;
    }
    return sum;
}

static Status measure(Work *w, double *mmd)
{
    const double m = (double)w->size;
    for (int i = 0; i < 2; i++)
        TRY(gather(&w->side[i], w));
    const double *x = w->side[0].x, *y = w->side[1].x;
    *mmd = (sum_kernel(w, x, x, false) + sum_kernel(w, y, y, false)) / (m * (m - 1)) - 2 * sum_kernel(w, x, y, true) / (m * m);
    return OK;
}

static Status measure_all(Work *w, Kid *out, const KidOptions *o)
{
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < out->subsets; k++) {
        double mmd;
        for (int i = 0; i < 2; i++)
            choose(&w->side[i], w->size, philox_key((uint64_t)o->seed, RANDOM_ORDER, (uint64_t)k, (uint64_t)i));
        TRY(measure(w, &mmd));
        sum += mmd;
        squares += mmd * mmd;
    }
    out->mean = sum / (double)out->subsets;
    out->deviation = sqrt(fmax(squares / (double)out->subsets - out->mean * out->mean, 0));
    return OK;
}

static Status open_side(Subset *s, const FeatureSet *of, const Work *w)
{
    *s = (Subset){.of = of,
                  .order = mem_alloc((size_t)of->n * sizeof *s->order),
                  .x = mem_alloc((size_t)(w->d * w->size) * sizeof *s->x)};
    for (int64_t i = 0; s->order && i < of->n; i++)
        s->order[i] = i;
    return s->order && s->x ? OK : fail(ERR_NOMEM, "no memory for subsets of %" PRId64 " rows", w->size);
}

static Status check_sets(const FeatureSet *a, const FeatureSet *b)
{
    if (a->d != b->d)
        return fail(ERR_DATA, "%s has %" PRId64 " features a row, %s has %" PRId64 "; they have to come from the same network", a->path,
                    a->d, b->path, b->d);
    if (a->n < 2 || b->n < 2)
        return fail(ERR_DATA, "%s: has one row, expected two or more", a->n < 2 ? a->path : b->path);
    return feature_set_same_network(a->path, a->network, b->path, b->network);
}

Status kid_distance(Kid *out, const FeatureSet *a, const FeatureSet *b, const KidOptions *o)
{
    TRY(check_sets(a, b));
    const int64_t smaller = a->n < b->n ? a->n : b->n, size = smaller < o->size ? smaller : o->size;
    Work w = {.size = size, .d = a->d};
    *out = (Kid){.subsets = a->n == size && b->n == size ? 1 : o->subsets, .size = size};
    w.kernel = mem_alloc((size_t)(size * size) * sizeof *w.kernel);
    w.row = mem_alloc((size_t)w.d * sizeof *w.row);
    Status s = w.kernel && w.row ? OK : fail(ERR_NOMEM, "no memory for subsets of %" PRId64 " rows", size);
    if (!s)
        s = open_side(&w.side[0], a, &w);
    if (!s)
        s = open_side(&w.side[1], b, &w);
    if (!s)
        s = measure_all(&w, out, o);
    for (int i = 0; i < 2; i++) {
        mem_free(w.side[i].order);
        mem_free(w.side[i].x);
    }
    mem_free(w.kernel);
    mem_free(w.row);
    return s;
}
