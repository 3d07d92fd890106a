/* cosine.c: cosines of features, row by row (cosine.h). Called by `evaluate clip-score`. */
#include "eval/metrics/cosine.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* A row of b by its name. */
typedef struct Named {
    const char *name;
    int64_t row;
} Named;

static int by_name(const void *a, const void *b) { return strcmp(((const Named *)a)->name, ((const Named *)b)->name); }

/* index[i]: the row of b that belongs to row i of a. */
static Status pair_by_name(int64_t *index, const FeatureSet *a, const FeatureSet *b, Named *sorted)
{
    for (int64_t i = 0; i < b->n; i++)
        sorted[i] = (Named){b->names[i], i};
    qsort(sorted, (size_t)b->n, sizeof *sorted, by_name);
    for (int64_t i = 1; i < b->n; i++)
        if (!by_name(&sorted[i - 1], &sorted[i]))
            return fail(ERR_DATA, "%s: two rows have the name \"%s\"", b->path, sorted[i].name);
    for (int64_t i = 0; i < a->n; i++) {
        const Named key = {a->names[i], i}, *found = bsearch(&key, sorted, (size_t)b->n, sizeof *sorted, by_name);
        if (!found)
            return fail(ERR_DATA, "%s: row %" PRId64 " (from 0) is \"%s\", a name that %s lacks", a->path, i, a->names[i], b->path);
        index[i] = found->row;
    }
    return OK;
}

static Status check_pair(const FeatureSet *a, const FeatureSet *b)
{
    if (a->n != b->n)
        return fail(ERR_DATA, "%s has %" PRId64 " rows, %s has %" PRId64 "; they are compared row by row", a->path, a->n, b->path, b->n);
    if (a->d != b->d)
        return fail(ERR_DATA, "%s has %" PRId64 " features a row, %s has %" PRId64 "; they have to come from the same model", a->path, a->d,
                    b->path, b->d);
    return feature_set_same_network(a->path, a->network, b->path, b->network);
}

double cosine_of(const double *a, const double *b, int64_t d)
{
    const double length = sqrt(dot(a, a, d)) * sqrt(dot(b, b, d));
    return length > 0 ? dot(a, b, d) / length : NAN;
}

static Status add_rows(CosineScore *out, const FeatureSet *a, const FeatureSet *b, const int64_t *index, double *x, double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < a->n; i++) {
        const int64_t k = index ? index[i] : i;
        TRY(feature_set_row(a, i, x));
        TRY(feature_set_row(b, k, y));
        const double cosine = cosine_of(x, y, a->d);
        const bool is_first = isnan(cosine) && dot(x, x, a->d) == 0;
        if (isnan(cosine))
            return fail(ERR_DATA, "%s: row %" PRId64 " (from 0) is all zeros, which has no direction", is_first ? a->path : b->path,
                        is_first ? i : k);
        sum += fmax(cosine, 0);
    }
    *out = (CosineScore){a->n, 100 * sum / (double)a->n, 2.5 * sum / (double)a->n};
    return OK;
}

Status cosine_score(CosineScore *out, const FeatureSet *a, const FeatureSet *b)
{
    const bool named = a->names && b->names;
    TRY(check_pair(a, b));
    const size_t n = (size_t)a->n;
    double *rows = mem_alloc(2 * (size_t)a->d * sizeof *rows);
    int64_t *index = named ? mem_alloc(n * sizeof *index) : NULL;
    Named *sorted = named ? mem_alloc(n * sizeof *sorted) : NULL;
    Status s = rows && (!named || (index && sorted)) ? OK : fail(ERR_NOMEM, "no memory for %zu pairs", n);
    if (!s && named) /* the other way round first: a name twice in a is found too */
        s = pair_by_name(index, b, a, sorted);
    if (!s && named)
        s = pair_by_name(index, a, b, sorted);
    if (!s)
        s = add_rows(out, a, b, index, rows, rows + a->d);
    mem_free(rows);
    mem_free(index);
    mem_free(sorted);
    return s;
}
