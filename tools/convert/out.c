/* out.c: tensors into files, a piece at a time (out.h). */
#include "tools/convert/out.h"

#include <inttypes.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/st_shards.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { PIECE_ELEMS = 4 << 20 };

static volatile sig_atomic_t stopped;
void out_stop(void) { stopped = 1; }
Status out_go_on(void) { return stopped ? fail(ERR_PREEMPTED, "stopped; nothing was left behind") : OK; }

static struct {
    int64_t expected, done;
} progress;

void out_expect(const OutList *l)
{
    for (int i = 0; i < l->n; i++)
        progress.expected += out_bytes(&l->list[i]);
}

static Status advance(int64_t bytes)
{
    char done[32], all[32];
    progress.done += bytes;
    log_progress("writing: %s of %s", file_size_text(done, sizeof done, (size_t)progress.done),
                 file_size_text(all, sizeof all, (size_t)progress.expected));
    return out_go_on();
}

/* ---------------------------------------------------------------- lists */

Status out_add(OutList *l, const char *name, DType type, const Stored *value)
{
    if (l->n == l->capacity) {
        int capacity = l->capacity ? 2 * l->capacity : 256;
        OutTensor *list = mem_grow(l->list, (size_t)capacity * sizeof *list);
        if (!list)
            return fail(ERR_NOMEM, "%s: out of memory", name);
        l->list = list;
        l->capacity = capacity;
    }
    OutTensor *t = &l->list[l->n++];
    *t = (OutTensor){.type = type, .value = *value};
    snprintf(t->name, sizeof t->name, "%s", name);
    return OK;
}

void out_free(OutList *l)
{
    mem_free(l->list);
    *l = (OutList){0};
}

int64_t out_bytes(const OutTensor *t) { return stored_elems(&t->value) * (int64_t)dtype_size(t->type); }

/* ---------------------------------------------------------------- values */

static int64_t n_rows(const Stored *t) { return t->n_dims ? t->shape[0] : 1; }

static Status fail_infinite(const OutTensor *t)
{
    return fail(ERR_DATA, "%s: %s holds a number that is not finite", t->value.file, t->value.theirs);
}

static Status check_fits(const OutTensor *t, const float *x, int64_t n)
{
    const size_t at = dtype_find_unfit(x, (size_t)n, t->type == F16 ? F16_MOST : FLT_MAX);
    if (at == (size_t)n)
        return OK;
    if (!isfinite(x[at]))
        return fail_infinite(t);
    return fail(ERR_DATA, "%s: %s holds %g, which f16 cannot: take --type bf16 or f32", t->value.file, t->value.theirs, (double)x[at]);
}

Status out_rows(const OutTensor *t, OutRows put, void *arg)
{
    const int64_t row = stored_row(&t->value), all = n_rows(&t->value), most = row < PIECE_ELEMS ? PIECE_ELEMS / (row ? row : 1) : 1;
    float *x = mem_alloc((size_t)((all < most ? all : most) * row) * sizeof *x);
    Status s = x ? OK : fail(ERR_NOMEM, "%s: out of memory", t->name);
    for (int64_t at = 0; at < all && !s; at += most) {
        const int64_t n = all - at < most ? all - at : most;
        s = stored_rows(&t->value, at, n, x);
        if (!s)
            s = check_fits(t, x, n * row);
        if (!s)
            s = put(arg, x, n);
        if (!s)
            s = advance(n * row * (int64_t)dtype_size(t->type));
    }
    mem_free(x);
    return s;
}

typedef struct Rounded {
    const OutTensor *t;
    OutPut put;
    void *arg;
} Rounded;

static Status put_rounded(void *arg, const float *rows, int64_t n)
{
    const Rounded *r = arg;
    const size_t elems = (size_t)(n * stored_row(&r->t->value)), bytes = elems * dtype_size(r->t->type);
    if (r->t->type == F32)
        return r->put(r->arg, rows, bytes);
    void *x = mem_alloc(bytes);
    if (!x)
        return fail(ERR_NOMEM, "%s: out of memory", r->t->name);
    dtype_convert(x, r->t->type, rows, F32, elems);
    Status s = r->put(r->arg, x, bytes);
    mem_free(x);
    return s;
}

/* Whether no exponent has all its bits set: then adding its lowest bit carries into the sign's place. As many numbers at a time as 64 bits
 * hold. What is no weight (ids of positions, say) is always fit. */
static bool all_finite(DType type, const char *bytes, size_t n)
{
    static const int FRACTION[N_DTYPES] = {[F64] = 52, [F32] = 23, [BF16] = 7, [F16] = 10}; /* bits */
    if (!FRACTION[type])
        return true;
    const int width = 8 * (int)dtype_size(type);
    const uint64_t ones = UINT64_MAX / (UINT64_MAX >> (64 - width));
    const uint64_t lowest = ones << FRACTION[type], sign = ones << (width - 1), exponent = sign - lowest;
    uint64_t carried = 0, x = 0;
    for (; n >= sizeof x; bytes += sizeof x, n -= sizeof x) {
        memcpy(&x, bytes, sizeof x);
        carried |= (x & exponent) + lowest;
    }
    x = 0;
    memcpy(&x, bytes, n);
    return !((carried | ((x & exponent) + lowest)) & sign);
}

/* What is stored in the type asked for, as it lies. */
static Status write_bytes(const OutTensor *t, OutPut put, void *arg)
{
    const size_t all = (size_t)out_bytes(t), most = PIECE_ELEMS * dtype_size(t->type);
    const char *bytes = t->value.data;
    for (size_t at = 0; at < all; at += most) {
        const size_t n = all - at < most ? all - at : most;
        if (!all_finite(t->type, bytes + at, n))
            return fail_infinite(t);
        TRY(put(arg, bytes + at, n));
        TRY(advance((int64_t)n));
    }
    return OK;
}

Status out_write(const OutTensor *t, OutPut put, void *arg)
{
    if (t->value.data && t->value.type == t->type)
        return write_bytes(t, put, arg);
    return out_rows(t, put_rounded, &(Rounded){t, put, arg});
}

/* ---------------------------------------------------------------- safetensors */

static Status put_bytes(void *shards, const void *bytes, size_t n) { return st_shards_write(shards, bytes, n); }

static Status write_tensors(const OutList *l, const StSpec *specs, const char *folder, const char *stem, int64_t max_shard)
{
    StShards *w;
    TRY(st_shards_open(&w, folder, stem, specs, l->n, (uint64_t)max_shard));
    Status s = OK;
    for (int i = 0; i < l->n && !s; i++)
        s = out_write(&l->list[i], put_bytes, w);
    if (s)
        st_shards_abandon(&w);
    return s ? s : st_shards_close(&w);
}

Status out_safetensors(const OutList *l, const char *folder, const char *stem, int64_t max_shard)
{
    StSpec *specs = mem_alloc((size_t)(l->n + 1) * sizeof *specs);
    if (!specs)
        return fail(ERR_NOMEM, "%s: out of memory", folder);
    out_expect(l);
    for (int i = 0; i < l->n; i++) {
        const OutTensor *t = &l->list[i];
        specs[i] = (StSpec){.name = t->name, .type = t->type, .n_dims = t->value.n_dims};
        memcpy(specs[i].shape, t->value.shape, sizeof specs->shape);
    }
    Status s = write_tensors(l, specs, folder, stem, max_shard);
    mem_free(specs);
    return s;
}
