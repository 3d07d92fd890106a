/* features.c: reads features of pictures and texts and compares them (features.h). */
#include "data/curate/features.h"

#include <math.h>
#include <string.h>

#include "data/curate/ids.h"
#include "data/formats/hdf5.h"
#include "kernels/base/arena.h"

const char *const CLIP_SCORE_NAMES[N_CLIP_SCORES] = {"clip_sim_0", "clip_sim_1", "clip_sim_dir", "clip_sim_image"};

typedef enum Vector { IMAGE_0, IMAGE_1, TEXT_0, TEXT_1, N_VECTORS } Vector;
static const char *const ARRAYS[N_VECTORS] = {"image0", "image1", "text0", "text1"};

struct Features {
    HdfFile *file;
    char *path;
    Table uids; /* the number of a uid is its row */
    HdfRows rows[N_VECTORS];
    float *read;                /* one row */
    double *vectors[N_VECTORS]; /* of the record that is looked at, of length one */
};

static Status add_uid(void *arg, const char *uid)
{
    Features *f = arg;
    size_t row;
    bool added;
    TRY_IN(table_number(&f->uids, ids_key(uid, strlen(uid)), &row, &added), "uids");
    return added ? OK : fail(ERR_DATA, "%s: uid %zu, \"%s\", stands in it twice (first as %zu)", f->path, f->uids.n, uid, row);
}

static Status open_arrays(Features *f)
{
    uint64_t n = 0;
    TRY(hdf_each_text(f->file, "uid", &n, add_uid, f));
    for (int i = 0; i < N_VECTORS; i++) {
        HdfRows *r = &f->rows[i];
        TRY(hdf_rows_open(f->file, r, ARRAYS[i]));
        if (r->rows != n || r->columns != f->rows[0].columns)
            return fail(ERR_DATA, "%s: %s is [%llu, %llu], expected [%llu, %llu], a row for each of its uids, as wide as image0", f->path,
                        r->name, (unsigned long long)r->rows, (unsigned long long)r->columns, (unsigned long long)n,
                        (unsigned long long)f->rows[0].columns);
    }
    const size_t d = f->rows[0].columns;
    if (d > SIZE_MAX / (2 * sizeof(double)))
        return fail(ERR_NOMEM, "%s: no memory for features of %zu numbers", f->path, d);
    f->read = mem_alloc(d * sizeof *f->read);
    for (int i = 0; i < N_VECTORS; i++)
        f->vectors[i] = mem_alloc(d * sizeof **f->vectors);
    for (int i = 0; i < N_VECTORS; i++)
        if (!f->read || !f->vectors[i])
            return fail(ERR_NOMEM, "%s: no memory for features of %zu numbers", f->path, d);
    return OK;
}

Status features_open(Features **out, const char *path)
{
    Features *f = *out = mem_alloc(sizeof *f);
    if (f) {
        f->path = mem_strdup(path);
        f->uids.kind = TABLE_64;
    }
    Status s = !f || !f->path ? fail(ERR_NOMEM, "%s: no memory to open it", path) : hdf_open(&f->file, path);
    if (!s)
        s = open_arrays(f);
    if (s)
        features_close(out);
    return s;
}

void features_close(Features **pf)
{
    Features *f = *pf;
    *pf = NULL;
    if (!f)
        return;
    hdf_close(&f->file);
    table_free(&f->uids);
    for (int i = 0; i < N_VECTORS; i++)
        mem_free(f->vectors[i]);
    mem_free(f->read);
    mem_free(f->path);
    mem_free(f);
}

static double dot(const double *a, const double *b, size_t d)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += a[i] * b[i];
    return sum;
}

static Status read_vector(Features *f, Vector i, uint64_t row)
{
    const size_t d = f->rows[i].columns;
    double *v = f->vectors[i];
    TRY(hdf_rows_read(f->file, &f->rows[i], row, f->read));
    for (size_t k = 0; k < d; k++)
        v[k] = f->read[k];
    const double length = sqrt(dot(v, v, d));
    for (size_t k = 0; k < d; k++)
        v[k] /= length;
    return OK;
}

/* a - b into b. */
static void subtract(double *b, const double *a, size_t d)
{
    for (size_t i = 0; i < d; i++)
        b[i] = a[i] - b[i];
}

bool features_has_score(Task task, ClipScore i) { return task == TASK_EDIT || (task == TASK_GENERATE && i == CLIP_SIM_1); }

Status features_score(Features *f, const char *uid, Task task, double score[N_CLIP_SCORES], bool *found)
{
    const int64_t row = (int64_t)table_value(&f->uids, ids_key(uid, strlen(uid))) - 1;
    const size_t d = f->rows[0].columns;
    double *const *v = f->vectors;
    memset(score, 0, N_CLIP_SCORES * sizeof *score);
    *found = row >= 0;
    if (!*found)
        return OK;
    TRY(read_vector(f, IMAGE_1, (uint64_t)row));
    TRY(read_vector(f, TEXT_1, (uint64_t)row));
    score[CLIP_SIM_1] = dot(v[IMAGE_1], v[TEXT_1], d);
    if (task != TASK_EDIT)
        return OK;
    TRY(read_vector(f, IMAGE_0, (uint64_t)row));
    TRY(read_vector(f, TEXT_0, (uint64_t)row));
    score[CLIP_SIM_0] = dot(v[IMAGE_0], v[TEXT_0], d);
    score[CLIP_SIM_IMAGE] = dot(v[IMAGE_0], v[IMAGE_1], d);
    subtract(v[IMAGE_0], v[IMAGE_1], d);
    subtract(v[TEXT_0], v[TEXT_1], d);
    score[CLIP_SIM_DIR] = dot(v[IMAGE_0], v[TEXT_0], d) / (sqrt(dot(v[IMAGE_0], v[IMAGE_0], d)) * sqrt(dot(v[TEXT_0], v[TEXT_0], d)));
    return OK;
}
