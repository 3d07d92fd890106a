/* feature_set.c: reads files of features (feature_set.h). Called by fid.c and clip_score.c. */
#include "eval/metrics/feature_set.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/hdf5.h"
#include "data/formats/rows.h"
#include "eval/metrics/npy.h"
#include "kernels/base/arena.h"

struct FeatureFile {
    Mapped map; /* of .npy */
    Npy array;
    HdfFile *hdf; /* of .h5 */
    HdfRows rows;
    float *row;
};

bool feature_set_ends(const char *path, const char *ending)
{
    const size_t n = strlen(path), k = strlen(ending);
    return n >= k && !strcmp(path + n - k, ending);
}

/* ---------------------------------------------------------------- names */

typedef struct Names {
    char **list; /* [room] */
    int64_t room, n;
} Names;

static Status add_name(void *arg, const char *name)
{
    Names *names = arg;
    if (names->n < names->room && !(names->list[names->n] = mem_strdup(name)))
        return fail(ERR_NOMEM, "no memory for %" PRId64 " names", names->room);
    names->n++;
    return OK;
}

static Status begin_names(Names *names, int64_t n)
{
    *names = (Names){.list = mem_alloc((size_t)n * sizeof *names->list), .room = n};
    return names->list ? OK : fail(ERR_NOMEM, "no memory for %" PRId64 " names", n);
}

static Status check_names(const Names *names, const char *where)
{
    return names->n == names->room ? OK
                                   : fail(ERR_DATA, "%s: names %" PRId64 " rows, but there are %" PRId64, where, names->n, names->room);
}

static Status read_name_list(FeatureSet *f, const char *path)
{
    Names names;
    Rows *rows;
    Row row;
    bool end = false;
    TRY(begin_names(&names, f->n));
    f->names = names.list;
    TRY(rows_open(&rows, path, ROWS_RAW_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end) {
        char name[PATH_MAX];
        const size_t n = row.n && row.text[row.n - 1] == '\r' ? row.n - 1 : row.n;
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), row.text);
        s = row.error ? fail(ERR_DATA, "%s:%s", path, row.error) : add_name(&names, name);
    }
    rows_close(&rows);
    return s ? s : check_names(&names, path);
}

/* ---------------------------------------------------------------- files */

static Status open_npy(FeatureSet *f, const char *path)
{
    char list[PATH_MAX];
    TRY(mapped_open(&f->file->map, path, "a file of features"));
    TRY(npy_parse(&f->file->array, f->file->map.bytes, f->file->map.n, path));
    if (f->file->array.rank != 2)
        return fail(ERR_DATA, "%s: has one axis, expected features [n, d]", path);
    f->n = f->file->array.shape[0];
    f->d = f->file->array.shape[1];
    snprintf(list, sizeof list, "%.*s.txt", (int)(strlen(path) - strlen(".npy")), path);
    return file_exists(list) ? read_name_list(f, list) : OK;
}

/* A list of texts, one a row; none: *out stays. */
static Status read_texts(FeatureSet *f, char ***out, const char *array)
{
    uint64_t n;
    Names names;
    if (!hdf_has(f->file->hdf, array))
        return OK;
    TRY(begin_names(&names, f->n));
    *out = names.list;
    TRY(hdf_each_text(f->file->hdf, array, &n, add_name, &names));
    return check_names(&names, f->path);
}

static Status open_h5(FeatureSet *f, const char *path)
{
    TRY(hdf_open(&f->file->hdf, path));
    if (!hdf_has(f->file->hdf, "/feat"))
        return fail(ERR_DATA, "%s: has no array /feat, expected features [n, d] there", path);
    TRY(hdf_rows_open(f->file->hdf, &f->file->rows, "/feat"));
    f->n = (int64_t)f->file->rows.rows;
    f->d = (int64_t)f->file->rows.columns;
    f->file->row = mem_alloc((size_t)f->d * sizeof(float));
    if (!f->file->row)
        return fail(ERR_NOMEM, "no memory for a row of %" PRId64 " features", f->d);
    TRY(hdf_text_of(f->file->hdf, "/", "weights_sha256", f->network, sizeof f->network, &(bool){false}));
    TRY(read_texts(f, &f->names, "/name"));
    return read_texts(f, &f->sources, "/source_sha256");
}

Status feature_set_open(FeatureSet *out, const char *path)
{
    *out = (FeatureSet){.path = path, .file = mem_alloc(sizeof *out->file)};
    if (!out->file)
        return fail(ERR_NOMEM, "no memory to read features");
    Status s = feature_set_ends(path, ".npy") ? open_npy(out, path)
               : feature_set_ends(path, ".h5") || feature_set_ends(path, ".hdf5")
                   ? open_h5(out, path)
                   : fail(ERR_USAGE, "%s: its name has to end in .npy or .h5 (features [n, d])", path);
    if (!s && (!out->n || !out->d))
        s = fail(ERR_DATA, "%s: holds no features", path);
    if (s)
        feature_set_close(out);
    return s;
}

Status feature_set_row(const FeatureSet *f, int64_t i, double *out)
{
    if (f->file->hdf)
        TRY(hdf_rows_read(f->file->hdf, &f->file->rows, (uint64_t)i, f->file->row));
    for (int64_t j = 0; j < f->d; j++) {
        out[j] = f->file->hdf ? (double)f->file->row[j] : npy_at(&f->file->array, i, j);
        if (!isfinite(out[j]))
            return fail(ERR_DATA, "%s: row %" PRId64 " (from 0), column %" PRId64 " is no finite number", f->path, i, j);
    }
    return OK;
}

Status feature_set_same_network(const char *path_a, const char *network_a, const char *path_b, const char *network_b)
{
    return !*network_a || !*network_b || !strcmp(network_a, network_b)
               ? OK
               : fail(ERR_DATA, "%s and %s are of different networks (weights_sha256 %.8s… and %.8s…); they must come from one", path_a,
                      path_b, network_a, network_b);
}

static void free_texts(char **list, int64_t n)
{
    for (int64_t i = 0; list && i < n; i++)
        mem_free(list[i]);
    mem_free(list);
}

void feature_set_close(FeatureSet *f)
{
    free_texts(f->names, f->n);
    free_texts(f->sources, f->n);
    if (f->file) {
        mapped_close(&f->file->map);
        hdf_close(&f->file->hdf);
        mem_free(f->file->row);
        mem_free(f->file);
    }
    *f = (FeatureSet){0};
}
