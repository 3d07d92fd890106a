/* networks.c: files of features, found by a drawing's name (networks.h). Called by the benchmarks of pictures. */
#include "eval/bench/networks.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/metrics/cosine.h"
#include "eval/metrics/fid.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

#define FEATURE_NAME(symbol, name) name,
const char *const FEATURE_NAMES[N_FEATURES] = {FEATURE_LIST(FEATURE_NAME)};
#undef FEATURE_NAME

typedef struct Named {
    const char *name;
    int64_t row;
} Named;

/* A file and its rows, by name. */
typedef struct File {
    char path[PATH_MAX]; /* "": there is none */
    FeatureSet set;
    Named *sorted; /* [set.n] */
    double *row;   /* [set.d] */
} File;

struct Networks {
    File file[N_FEATURES];
    char temporary[PATH_MAX]; /* a folder to be removed; "": none */
};

/* What a metric is made of: a cosine of rows of a and b, or the one number of a row of a. */
typedef struct Recipe {
    FeatureKind a, b;
} Recipe;
static const Recipe RECIPES[N_METRICS] = {
    [METRIC_CLIP_I] = {FEATURE_CLIP_MADE, FEATURE_CLIP_GOAL},        [METRIC_DINO] = {FEATURE_DINO_MADE, FEATURE_DINO_GOAL},
    [METRIC_CLIP_T] = {FEATURE_CLIP_MADE, FEATURE_CLIP_TEXT},        [METRIC_CLIP_T_ORACLE] = {FEATURE_CLIP_GOAL, FEATURE_CLIP_TEXT},
    [METRIC_CLIP_SCORE] = {FEATURE_CLIP_MADE, FEATURE_CLIP_TEXT},    [METRIC_LPIPS] = {FEATURE_LPIPS, FEATURE_LPIPS},
};

/* ---------------------------------------------------------------- files */

static bool is_of_fid(FeatureKind k) { return k == FEATURE_INCEPTION_MADE || k == FEATURE_INCEPTION_GOAL; }

/* The file of a kind in the folder, in any of the forms that are read; "": there is none. */
static void find_file(char path[PATH_MAX], const char *folder, FeatureKind k)
{
    static const char *const ENDINGS[] = {"h5", "npy", "npz"};
    char name[64];
    const int n = is_of_fid(k) ? 3 : 2;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s.%s", FEATURE_NAMES[k], ENDINGS[i]);
        if (file_exists(file_join(path, folder, name)))
            return;
    }
    *path = 0;
}

bool networks_has_file(const char *folder, FeatureKind k)
{
    char path[PATH_MAX];
    find_file(path, folder, k);
    return *path;
}

static int by_name(const void *a, const void *b) { return strcmp(((const Named *)a)->name, ((const Named *)b)->name); }

static Status sort_names(File *f)
{
    const FeatureSet *set = &f->set;
    if (!set->names)
        return fail(
            ERR_DATA,
            "%s: its rows have no names, expected those of the drawings without their ending (/name in .h5; NAME.txt beside NAME.npy)",
            f->path);
    f->sorted = mem_alloc((size_t)set->n * sizeof *f->sorted);
    f->row = mem_alloc((size_t)set->d * sizeof *f->row);
    if (!f->sorted || !f->row)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " names", set->n);
    for (int64_t i = 0; i < set->n; i++)
        f->sorted[i] = (Named){set->names[i], i};
    qsort(f->sorted, (size_t)set->n, sizeof *f->sorted, by_name);
    for (int64_t i = 1; i < set->n; i++)
        if (!by_name(&f->sorted[i - 1], &f->sorted[i]))
            return fail(ERR_DATA, "%s: two rows have the name \"%s\"", f->path, f->sorted[i].name);
    return OK;
}

/* Files that are compared have to come from the same network. */
static Status check_networks(const Networks *f)
{
    for (int m = 0; m < N_METRICS; m++) {
        const File *a = &f->file[RECIPES[m].a], *b = &f->file[RECIPES[m].b];
        if (!*a->path || !*b->path)
            continue;
        if (a->set.d != b->set.d)
            return fail(ERR_DATA, "%s has %" PRId64 " features a row, %s has %" PRId64 "; they have to come from the same network", a->path,
                        a->set.d, b->path, b->set.d);
        TRY(feature_set_same_network(a->path, a->set.network, b->path, b->set.network));
    }
    const File *lpips = &f->file[FEATURE_LPIPS];
    if (*lpips->path && lpips->set.d != 1)
        return fail(ERR_DATA, "%s has %" PRId64 " numbers a row, expected one, a distance", lpips->path, lpips->set.d);
    return OK;
}

static Status open_files(Networks *f, const char *folder, const char *reference)
{
    for (int k = 0; k < N_FEATURES; k++) {
        File *file = &f->file[k];
        if (folder)
            find_file(file->path, folder, (FeatureKind)k);
        if (k == FEATURE_INCEPTION_GOAL && reference)
            snprintf(file->path, sizeof file->path, "%s", reference);
        if (!*file->path || is_of_fid((FeatureKind)k))
            continue;
        TRY(feature_set_open(&file->set, file->path));
        TRY(sort_names(file));
    }
    return check_networks(f);
}

Status networks_open(Networks **out, const char *folder, const char *reference, bool is_temporary)
{
    *out = mem_alloc(sizeof **out);
    if (!*out)
        return fail(ERR_NOMEM, "no memory for features");
    snprintf((*out)->temporary, PATH_MAX, "%s", is_temporary ? folder : "");
    if (folder && !file_exists(folder))
        return fail(ERR_MISSING, "--features %s: there is no such folder", folder);
    return open_files(*out, folder, reference);
}

void networks_remove(const char *folder)
{
    if (file_remove(folder))
        log_warn("%s", status_message());
}

void networks_close(Networks **f)
{
    if (!*f)
        return;
    if (*(*f)->temporary)
        networks_remove((*f)->temporary);
    for (int k = 0; k < N_FEATURES; k++) {
        feature_set_close(&(*f)->file[k].set);
        mem_free((*f)->file[k].sorted);
        mem_free((*f)->file[k].row);
    }
    mem_free(*f);
    *f = NULL;
}

/* ---------------------------------------------------------------- rows */

Span networks_row(const char *drawing)
{
    const char *dot = strrchr(drawing, '.'), *slash = strrchr(drawing, '/');
    return (Span){drawing, dot && (!slash || dot > slash + 1) ? (size_t)(dot - drawing) : strlen(drawing)};
}

/* The row of a drawing into f->row; *found false: it has none. */
static Status read_row(File *f, const char *drawing, bool *found)
{
    char name[PATH_MAX];
    const Span row = networks_row(drawing);
    snprintf(name, sizeof name, "%.*s", (int)row.n, row.s);
    const Named key = {name, 0}, *at = bsearch(&key, f->sorted, (size_t)f->set.n, sizeof *f->sorted, by_name);
    *found = at != NULL;
    return at ? feature_set_row(&f->set, at->row, f->row) : OK;
}

static Status measure(Networks *f, NetworkMetric m, const char *drawing, bool *found, double *value)
{
    File *a = &f->file[RECIPES[m].a], *b = &f->file[RECIPES[m].b];
    const bool is_text = RECIPES[m].b == FEATURE_CLIP_TEXT;
    TRY(read_row(a, drawing, found));
    if (!*found)
        return fail(ERR_DATA, "%s: has no row \"%.*s\", for the drawing %s", a->path, (int)networks_row(drawing).n, drawing, drawing);
    *value = a->row[0];
    if (a == b)
        return OK;
    TRY(read_row(b, drawing, found));
    if (!*found && !is_text)
        return fail(ERR_DATA, "%s: has no row \"%.*s\", for the drawing %s", b->path, (int)networks_row(drawing).n, drawing, drawing);
    if (*found)
        *value = cosine_of(a->row, b->row, a->set.d);
    if (isnan(*value))
        return fail(ERR_DATA, "%s, %s: row \"%s\" of one of them is all zeros, which has no direction", a->path, b->path, drawing);
    return OK;
}

bool networks_know(const Networks *f, NetworkMetric m) { return f && *f->file[RECIPES[m].a].path && *f->file[RECIPES[m].b].path; }

Status networks_add(Networks *f, NetworkSums *sums, const char *drawing)
{
    for (int m = 0; m < N_METRICS; m++) {
        bool found;
        double value = 0;
        if (!networks_know(f, (NetworkMetric)m))
            continue;
        TRY(measure(f, (NetworkMetric)m, drawing, &found, &value));
        sums->sum[m] += !found ? 0 : m == METRIC_CLIP_SCORE ? fmax(value, 0) : value;
        sums->n[m] += found;
    }
    return OK;
}

double networks_mean(const NetworkSums *sums, NetworkMetric m) { return sums->n[m] ? sums->sum[m] / (double)sums->n[m] : NAN; }

/* ---------------------------------------------------------------- FID */

static Status measure_fid(const char *made, const char *goal, int64_t n, double *fid)
{
    FidStatistics a = {0}, b = {0};
    Status s = fid_statistics(&a, made);
    if (!s && a.n && a.n != n)
        s = fail(ERR_DATA, "%s has %" PRId64 " rows, and there are %" PRId64 " drawings", made, a.n, n);
    if (!s)
        s = fid_statistics(&b, goal);
    if (!s)
        s = fid_distance(fid, &a, &b);
    if (!s) {
        fid_warn_of_few(&a);
        fid_warn_of_few(&b);
    }
    fid_free(&a);
    fid_free(&b);
    return s;
}

Status networks_fid(Networks *f, int64_t n, bool *known, double *fid)
{
    *known = f && *f->file[FEATURE_INCEPTION_MADE].path && *f->file[FEATURE_INCEPTION_GOAL].path;
    return *known ? measure_fid(f->file[FEATURE_INCEPTION_MADE].path, f->file[FEATURE_INCEPTION_GOAL].path, n, fid) : OK;
}
