/* replay.c: finds a row's entries in the file of debug.replay (replay.h). */
#include "train/models/replay.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/safetensors.h"
#include "data/formats/sha256.h"
#include "kernels/base/arena.h"

enum { UID_BYTES = 16 };

typedef struct Entry {
    const StTensor *tensor;
    uint8_t uid[32]; /* of what stands behind the first '/' of its name */
} Entry;

struct Replay {
    char *file;
    SafeTensors *st;
    Entry *entries;
    int n;
};

Status replay_open(Replay **out, const char *file)
{
    Replay *r = *out = mem_alloc(sizeof *r);
    if (!r)
        return fail(ERR_NOMEM, "debug.replay: no memory");
    Status s = safetensors_open(&r->st, file);
    r->n = s ? 0 : safetensors_count(r->st);
    r->file = mem_strdup(file);
    r->entries = mem_alloc((size_t)r->n * sizeof *r->entries);
    if (!s && (!r->file || !r->entries))
        s = fail(ERR_NOMEM, "debug.replay: no memory");
    for (int i = 0; i < r->n && !s; i++) {
        const StTensor *t = r->entries[i].tensor = safetensors_at(r->st, i);
        const char *slash = strchr(t->name, '/'), *uid = slash ? slash + 1 : "";
        sha256_of(uid, strlen(uid), r->entries[i].uid);
    }
    if (s)
        replay_close(out);
    return s;
}

void replay_close(Replay **r)
{
    if (!*r)
        return;
    safetensors_close(&(*r)->st);
    mem_free((*r)->file);
    mem_free((*r)->entries);
    mem_free(*r);
    *r = NULL;
}

/* Another name of the file has the row's uid, or none has. */
static Status fail_not_found(const Replay *r, const char *kind, ReplayRow row)
{
    char hash[2 * UID_BYTES + 1];
    for (int i = 0; i < r->n; i++)
        if (!memcmp(r->entries[i].uid, row.uid, UID_BYTES))
            return fail(ERR_DATA, "%s: holds %s, but no %s%s for the same row, row %d of the mixture (debug.replay)", r->file,
                        r->entries[i].tensor->name, kind, strchr(r->entries[i].tensor->name, '/'), row.record);
    for (int i = 0; i < UID_BYTES; i++)
        snprintf(hash + 2 * i, 3, "%02x", row.uid[i]);
    return fail(ERR_DATA, "%s: no %s/… for row %d of the mixture; behind the \"/\" stands the row's uid, here one whose SHA-256 begins "
                          "with %s%s%s (debug.replay)", r->file, kind, row.record, hash,
                r->n ? "; what the file holds is for instance " : "", r->n ? r->entries[0].tensor->name : "");
}

static Status find(const Replay *r, const char *kind, ReplayRow row, const StTensor **out)
{
    size_t n = strlen(kind);
    for (int i = 0; i < r->n; i++) {
        *out = r->entries[i].tensor;
        if (!memcmp(r->entries[i].uid, row.uid, UID_BYTES) && !strncmp((*out)->name, kind, n) && (*out)->name[n] == '/')
            return OK;
    }
    return fail_not_found(r, kind, row);
}

/* n values from `at` on. */
static Status read_floats(const Replay *r, const StTensor *t, int64_t at, int64_t n, float *to)
{
    if (t->type != F32 && t->type != F64 && t->type != F16 && t->type != BF16)
        return fail(ERR_DATA, "%s: %s holds %s, expected F32 (debug.replay)", r->file, t->name, dtype_name(t->type));
    dtype_convert(to, F32, (const char *)t->data + (size_t)at * dtype_size(t->type), t->type, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(to[i]))
            return fail(ERR_DATA, "%s: %s holds %g, expected finite numbers (debug.replay)", r->file, t->name, (double)to[i]);
    return OK;
}

/* Where the target's own values begin, of n each; -1: the tensor has another shape. */
static int64_t place_of(const StTensor *t, ReplayRow row, const int64_t *shape, int n_dims, int64_t n)
{
    bool same = t->n_dims >= n_dims && !memcmp(t->shape + t->n_dims - n_dims, shape, (size_t)n_dims * sizeof *shape);
    if (same && t->n_dims == n_dims)
        return 0;
    return same && t->n_dims == n_dims + 1 && t->shape[0] == row.n_targets ? row.target * n : -1;
}

Status replay_image(const Replay *r, const char *kind, ReplayRow row, int64_t channels, int64_t height, int64_t width, float *to)
{
    const StTensor *t;
    int64_t wanted[] = {row.n_targets, channels, height, width}, pixels = height * width;
    TRY(find(r, kind, row, &t));
    int64_t at = place_of(t, row, wanted + 1, 3, channels * pixels);
    if (at < 0) {
        char theirs[128], ours[128], all[128], also[256] = "";
        if (row.n_targets > 1)
            snprintf(also, sizeof also, ", or %s for its %d target images", shape_text(all, sizeof all, wanted, 4), row.n_targets);
        return fail(ERR_DATA, "%s: %s: shape is %s, expected %s%s (debug.replay)", r->file, t->name,
                    shape_text(theirs, sizeof theirs, t->shape, t->n_dims), shape_text(ours, sizeof ours, wanted + 1, 3), also);
    }
    float *planes = mem_alloc((size_t)(channels * pixels) * sizeof *planes);
    Status s = planes ? read_floats(r, t, at, channels * pixels, planes) : fail(ERR_NOMEM, "debug.replay: no memory");
    for (int64_t i = 0; i < pixels && !s; i++)
        for (int64_t c = 0; c < channels; c++)
            to[i * channels + c] = planes[c * pixels + i];
    mem_free(planes);
    return s;
}

static Status read_number(const Replay *r, const StTensor *t, ReplayRow row, double *to)
{
    float x;
    if (t->n_elems != 1 && (t->n_dims != 1 || t->n_elems != row.n_targets))
        return fail(ERR_DATA, "%s: %s holds %lld numbers, expected one%s (debug.replay)", r->file, t->name, (long long)t->n_elems,
                    row.n_targets > 1 ? ", or one for each of its target images" : "");
    int64_t at = t->n_elems > 1 ? row.target : 0;
    if (t->type == I64 || t->type == I32) {
        const char *from = (const char *)t->data + (size_t)at * dtype_size(t->type);
        int64_t i = 0;
        int32_t narrow;
        memcpy(&narrow, from, sizeof narrow);
        memcpy(&i, from, t->type == I64 ? sizeof i : 0);
        *to = (double)(t->type == I64 ? i : narrow);
        return OK;
    }
    TRY(read_floats(r, t, at, 1, &x));
    *to = (double)x;
    return OK;
}

Status replay_number(const Replay *r, const char *kind, ReplayRow row, double below, double *to)
{
    const StTensor *t;
    TRY(find(r, kind, row, &t));
    TRY(read_number(r, t, row, to));
    if (!(*to >= 0 && *to < below))
        return fail(ERR_DATA, "%s: %s is %g, expected a number from 0 to less than %g (debug.replay)", r->file, t->name, *to, below);
    return OK;
}
