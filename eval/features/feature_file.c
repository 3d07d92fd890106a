/* feature_file.c: writes features into an HDF5 file (feature_file.h). */
#include "eval/features/feature_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"

static char unfinished[PATH_MAX]; /* for feature_file_abandon; "": there is none */

void feature_file_abandon(void)
{
    if (*unfinished)
        unlink(unfinished);
}

Status feature_maker(FeatureMaker *out, const PictureNet *net)
{
    const PictureNetInfo *info = picture_net_info(net);
    *out = (FeatureMaker){.model = info->kind, .preparation = info->preparation, .width = info->width};
    return picture_net_digest(net, out->weights);
}

static Status begin(FeatureFile *f, const FeatureMaker *maker, const FeatureRows *rows, const char *const *arrays)
{
    TRY(hdf_set_text(f->hdf, "/", "model", maker->model));
    if (maker->preparation)
        TRY(hdf_set_text(f->hdf, "/", "preproc", maker->preparation));
    TRY(hdf_set_text(f->hdf, "/", "weights_sha256", maker->weights));
    TRY(hdf_write_texts(f->hdf, rows->names_as, rows->names, (uint64_t)rows->n));
    if (rows->sources)
        TRY(hdf_write_texts(f->hdf, "/source_sha256", rows->sources, (uint64_t)rows->n));
    for (; arrays[f->n_arrays]; f->n_arrays++)
        TRY(hdf_rows_create(f->hdf, &f->arrays[f->n_arrays], arrays[f->n_arrays], (uint64_t)rows->n, (uint64_t)maker->width));
    return OK;
}

Status feature_file_create(FeatureFile *f, const char *path, const FeatureMaker *maker, const FeatureRows *rows, const char *const *arrays)
{
    char folder[PATH_MAX], name[PATH_MAX];
    const char *slash = strrchr(path, '/');
    *f = (FeatureFile){.n_arrays = 0};
    snprintf(f->path, sizeof f->path, "%s", path);
    snprintf(name, sizeof name, ".%s.partial", slash ? slash + 1 : path);
    file_join(f->hidden, file_folder(folder, path), name);
    TRY(file_remove(f->hidden));
    snprintf(unfinished, sizeof unfinished, "%s", f->hidden);
    Status s = hdf_create(&f->hdf, f->hidden, 0);
    if (s)
        return s == ERR_IO ? fail(ERR_CREATE, "%s", status_message()) : s;
    s = begin(f, maker, rows, arrays);
    return s ? feature_file_close(f, s) : OK;
}

Status feature_file_write(FeatureFile *f, int array, int64_t first, int64_t n, const float *features)
{
    return hdf_rows_write(f->hdf, &f->arrays[array], (uint64_t)first, (uint64_t)n, features);
}

Status feature_file_close(FeatureFile *f, Status s)
{
    char why[STATUS_BYTES]; /* what went wrong first is what is said */
    if (!f->hdf)
        return s;
    snprintf(why, sizeof why, "%s", status_message());
    const Status closed = hdf_close(&f->hdf);
    *unfinished = 0;
    if (!s && !closed)
        return file_rename(f->hidden, f->path);
    if (!s) {
        snprintf(why, sizeof why, "%s", status_message());
        s = closed;
    }
    const Status removed = file_remove(f->hidden);
    (void)removed;
    return fail(s, "%s", why);
}
