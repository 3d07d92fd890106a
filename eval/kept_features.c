/* kept_features.c: see kept_features.h. */
#include "eval/kept_features.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/metrics/feature_set.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

typedef struct Named {
    const char *name;
    int64_t row;
} Named;

/* The file as it was, and what of it stays. */
typedef struct Kept {
    FeatureSet set;
    Named *sorted; /* [set.n] by name */
    int64_t *from; /* [rows] the row of the file that is taken over, -1: none */
    int64_t n_kept;
} Kept;

static int by_name(const void *a, const void *b) { return strcmp(((const Named *)a)->name, ((const Named *)b)->name); }

static void close_kept(Kept *k)
{
    feature_set_close(&k->set);
    mem_free(k->sorted);
    mem_free(k->from);
}

/* Says nothing (sources NULL) of a file that is not there. */
static Status open_kept(Kept *k, const char *path)
{
    *k = (Kept){.n_kept = 0};
    if (!file_exists(path))
        return OK;
    TRY(feature_set_open(&k->set, path));
    if (!k->set.names || !k->set.sources)
        return OK;
    k->sorted = mem_alloc((size_t)k->set.n * sizeof *k->sorted);
    if (!k->sorted)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " names", k->set.n);
    for (int64_t i = 0; i < k->set.n; i++)
        k->sorted[i] = (Named){k->set.names[i], i};
    qsort(k->sorted, (size_t)k->set.n, sizeof *k->sorted, by_name);
    return OK;
}

static int64_t find_row(const Kept *k, const char *name)
{
    const Named key = {name, 0}, *at = k->sorted ? bsearch(&key, k->sorted, (size_t)k->set.n, sizeof key, by_name) : NULL;
    return at ? at->row : -1;
}

static bool is_same(const Kept *k, int64_t row, const char *source) { return !source || !strcmp(source, k->set.sources[row]); }

static Status match_rows(Kept *k, const KeptRows *rows)
{
    k->from = mem_alloc((size_t)rows->n * sizeof *k->from);
    if (!k->from)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " rows", rows->n);
    for (int64_t i = 0; i < rows->n; i++) {
        const int64_t row = find_row(k, rows->name[i]);
        k->from[i] = row >= 0 && is_same(k, row, rows->source[i]) ? row : -1;
        k->n_kept += k->from[i] >= 0;
    }
    return OK;
}

static bool is_whole(const Kept *k, const KeptRows *rows)
{
    bool whole = k->set.n == rows->n;
    for (int64_t i = 0; i < rows->n && whole; i++)
        whole = k->from[i] == i;
    return whole;
}

/* ---------------------------------------------------------------- making */

typedef struct Making {
    const Kept *kept;
    const FeatureMaker *maker;
    const KeptRows *rows;
    ComputeRows compute;
    void *arg;
    const char *what;
    FeatureFile file;
    float *features; /* [KEPT_BLOCK, width] */
    double *row;     /* [width] */
} Making;

static Status take_over(Making *m)
{
    const int64_t width = m->maker->width;
    for (int64_t i = 0; i < m->rows->n; i++) {
        if (m->kept->from[i] < 0)
            continue;
        TRY(feature_set_row(&m->kept->set, m->kept->from[i], m->row));
        for (int64_t j = 0; j < width; j++)
            m->features[j] = (float)m->row[j];
        TRY(feature_file_write(&m->file, 0, i, 1, m->features));
    }
    return OK;
}

static Status compute_block(Making *m, const int64_t *rows, int64_t n)
{
    TRY(m->compute(m->arg, rows, n, m->features));
    for (int64_t i = 0; i < n; i++)
        TRY(feature_file_write(&m->file, 0, rows[i], 1, m->features + i * m->maker->width));
    return OK;
}

static Status compute_others(Making *m)
{
    int64_t block[KEPT_BLOCK], n = 0, done = m->kept->n_kept;
    for (int64_t i = 0; i < m->rows->n; i++) {
        if (m->kept->from[i] < 0)
            block[n++] = i;
        if (!n || (n < KEPT_BLOCK && i + 1 < m->rows->n))
            continue;
        TRY(compute_block(m, block, n));
        done += n;
        n = 0;
        log_progress("%s: %" PRId64 " of %" PRId64, m->what, done, m->rows->n);
    }
    log_progress_end();
    return OK;
}

static Status fill(Making *m)
{
    m->features = mem_alloc((size_t)(KEPT_BLOCK * m->maker->width) * sizeof *m->features);
    m->row = mem_alloc((size_t)m->maker->width * sizeof *m->row);
    if (!m->features || !m->row)
        return fail(ERR_NOMEM, "no memory for %d features", KEPT_BLOCK);
    TRY(take_over(m));
    return compute_others(m);
}

/* Of a picture that is not there, what its row was made of; where there is none either, computing it says what is wrong. */
static void fill_sources(const char **to, const Kept *k, const KeptRows *rows)
{
    for (int64_t i = 0; i < rows->n; i++)
        to[i] = rows->source[i] ? rows->source[i] : k->from[i] >= 0 ? k->set.sources[k->from[i]] : "";
}

static Status write_file(Making *m, const char *path)
{
    static const char *const ARRAYS[] = {"/feat", NULL};
    const char **sources = mem_alloc((size_t)m->rows->n * sizeof *sources);
    if (!sources)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " rows", m->rows->n);
    fill_sources(sources, m->kept, m->rows);
    const FeatureRows rows = {.names_as = "/name", .names = m->rows->name, .sources = sources, .n = m->rows->n};
    Status s = feature_file_create(&m->file, path, m->maker, &rows, ARRAYS);
    if (!s)
        s = feature_file_close(&m->file, fill(m));
    mem_free(sources);
    mem_free(m->features);
    mem_free(m->row);
    return s;
}

static Status check_maker(const Kept *k, const char *path, const FeatureMaker *maker, const char *weights)
{
    if (*k->set.network && strcmp(k->set.network, maker->weights))
        return fail(ERR_USAGE, "%s: was made by other weights than those of %s (weights_sha256 %.8s… and %.8s…); remove it, or give "
                               "another --features", path, weights, k->set.network, maker->weights);
    if (k->set.sources && k->set.d != maker->width)
        return fail(ERR_DATA, "%s: has %" PRId64 " features a row, %s makes %" PRId64, path, k->set.d, weights, maker->width);
    return OK;
}

static Status make(Kept *k, const char *path, Making *m, const char *weights)
{
    TRY(open_kept(k, path));
    if (k->set.file)
        TRY(check_maker(k, path, m->maker, weights));
    if (k->set.file && !k->sorted)
        return OK;
    TRY(match_rows(k, m->rows));
    if (is_whole(k, m->rows))
        return OK;
    if (k->sorted)
        log_info("%s: %" PRId64 " rows are new, or of a picture or text that has changed, and are computed; %" PRId64 " are kept", path,
                 m->rows->n - k->n_kept, k->n_kept);
    return write_file(m, path);
}

Status kept_features_make(const char *path, const FeatureMaker *maker, const KeptRows *rows, ComputeRows compute, void *arg,
                          const char *weights, const char *what)
{
    Kept k;
    Making m = {.kept = &k, .maker = maker, .rows = rows, .compute = compute, .arg = arg, .what = what};
    Status s = make(&k, path, &m, weights);
    close_kept(&k);
    return s;
}

/* ---------------------------------------------------------------- checking */

static Status check_rows(const Kept *k, const char *path, const KeptRows *rows, const char *flag)
{
    for (int64_t i = 0; i < rows->n; i++) {
        const int64_t row = find_row(k, rows->name[i]);
        if (row >= 0 && !is_same(k, row, rows->source[i]))
            return fail(ERR_DATA, "%s: its row \"%s\" was made of another picture or text than the one that is there now; give %s, which "
                                  "makes it anew, or remove the file", path, rows->name[i], flag);
    }
    return OK;
}

Status kept_features_check(const char *path, const KeptRows *rows, const char *flag)
{
    Kept k;
    Status s = open_kept(&k, path);
    if (!s)
        s = check_rows(&k, path, rows, flag);
    close_kept(&k);
    return s;
}
