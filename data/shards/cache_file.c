/* cache_file.c: files of cached results (cache_file.h). Called by the loader. */
#include "data/shards/cache_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/crc32c.h"
#include "data/formats/file.h"
#include "data/formats/safetensors.h"
#include "kernels/base/arena.h"

enum { DIGEST = 32, KEY_BYTES = CACHE_KEY - 1 };

/* Tensors of a file, in order. */
enum { KEY, DIGESTS, RESULTS, CHECKSUMS, N_TENSORS };

static void describe(StSpec specs[N_TENSORS], const CacheSpec *spec, int64_t n)
{
    specs[KEY] = (StSpec){.name = "key", .type = U8, .n_dims = 1, .shape = {KEY_BYTES}};
    specs[DIGESTS] = (StSpec){.name = "sha256", .type = U8, .n_dims = 2, .shape = {n, DIGEST}};
    specs[RESULTS] = (StSpec){.name = "results", .type = spec->type, .n_dims = 2, .shape = {n, spec->n_elems}};
    specs[CHECKSUMS] = (StSpec){.name = "crc32c", .type = I64, .n_dims = 1, .shape = {n}};
}

static size_t result_bytes(const CacheSpec *spec) { return (size_t)spec->n_elems * dtype_size(spec->type); }

void cache_file_path(char path[PATH_MAX], const char *folder, CacheKind kind, const CacheSpec *spec, int64_t shard)
{
    char name[NAME_MAX];
    snprintf(name, sizeof name, "cache-%s-%s-%05" PRId64 ".safetensors", CACHE_NAMES[kind], spec->key, shard);
    file_join(path, folder, name);
}

/* ---------------------------------------------------------------- reading */

static Status find_tensors(const SafeTensors *st, const char *path, const CacheSpec *spec, int64_t n, const StTensor *found[N_TENSORS])
{
    StSpec wanted[N_TENSORS];
    describe(wanted, spec, n);
    for (int i = 0; i < N_TENSORS; i++) {
        const StSpec *w = &wanted[i];
        const StTensor *t = found[i] = safetensors_find(st, w->name);
        char has[160], wants[160];
        if (!t)
            return fail(ERR_DATA, "%s: no tensor \"%s\" in it", path, w->name);
        shape_text(has, sizeof has, t->shape, t->n_dims);
        shape_text(wants, sizeof wants, w->shape, w->n_dims);
        if (t->type != w->type || strcmp(has, wants))
            return fail(ERR_DATA, "%s: tensor \"%s\" is %s of %s, expected %s of %s", path, w->name, has, dtype_name(t->type), wants,
                        dtype_name(w->type));
    }
    return OK;
}

static Status read_tables(CacheFile *f, const SafeTensors *st, const CacheSpec *spec, const uint8_t (*digest)[32], int64_t n)
{
    const StTensor *t[N_TENSORS];
    TRY(find_tensors(st, f->path, spec, n, t));
    if (memcmp(t[KEY]->data, spec->key, KEY_BYTES) || memcmp(t[DIGESTS]->data, digest, (size_t)n * DIGEST))
        return fail(ERR_DATA, "%s: holds results of other %s", f->path,
                    memcmp(t[KEY]->data, spec->key, KEY_BYTES) ? "networks" : "samples");
    f->crc32c = mem_alloc((size_t)n * sizeof *f->crc32c);
    if (!f->crc32c)
        return fail(ERR_NOMEM, "%s: no memory for %" PRId64 " checksums", f->path, n);
    for (int64_t i = 0; i < n; i++) {
        int64_t crc;
        memcpy(&crc, (const char *)t[CHECKSUMS]->data + i * (int64_t)sizeof crc, sizeof crc);
        if (crc < 0 || crc > UINT32_MAX)
            return fail(ERR_DATA, "%s: checksum %" PRId64 " is %" PRId64, f->path, i, crc);
        f->crc32c[i] = (uint32_t)crc;
    }
    f->n = n;
    f->at = (const char *)t[RESULTS]->data - (const char *)t[RESULTS]->map;
    return OK;
}

Status cache_file_open(CacheFile *f, const char *path, const CacheSpec *spec, const uint8_t (*digest)[32], int64_t n)
{
    SafeTensors *st;
    *f = (CacheFile){.path = mem_strdup(path)};
    if (!f->path)
        return fail(ERR_NOMEM, "%s: no memory to open it", path);
    Status s = file_exists(path) ? safetensors_open(&st, path) : fail(ERR_MISSING, "%s: there is no such file", path);
    if (!s) {
        s = read_tables(f, st, spec, digest, n);
        safetensors_close(&st);
    }
    if (s)
        cache_file_close(f);
    return s;
}

void cache_file_close(CacheFile *f)
{
    mem_free(f->path);
    mem_free(f->crc32c);
    *f = (CacheFile){0};
}

Status cache_file_read(const CacheFile *f, const CacheSpec *spec, int64_t i, float *to)
{
    const size_t bytes = result_bytes(spec);
    int fd;
    void *room = spec->type == F32 ? to : mem_alloc(bytes);
    if (!room)
        return fail(ERR_NOMEM, "%s: no memory for a result of %zu bytes", f->path, bytes);
    Status s = file_open(&fd, f->path); /* not held: a set may have more files than a process may have open */
    if (!s) {
        s = file_read_at(fd, f->path, room, bytes, f->at + i * (int64_t)bytes);
        close(fd);
    }
    if (!s && crc32c(room, bytes) != f->crc32c[i])
        s = fail(ERR_DATA, "%s: result %" PRId64 " is damaged", f->path, i);
    if (room != to) {
        if (!s)
            dtype_convert(to, F32, room, spec->type, (size_t)spec->n_elems);
        mem_free(room);
    }
    return s;
}

/* ---------------------------------------------------------------- writing */

struct CacheWriter {
    CacheSpec spec;
    StWriter *out;
    void *room; /* a result in the file's type */
    int64_t n, *crc32c;
    int64_t added;
    char path[PATH_MAX], draft[PATH_MAX];
};

static Status begin(CacheWriter *w, const uint8_t (*digest)[32])
{
    StSpec specs[N_TENSORS];
    describe(specs, &w->spec, w->n);
    if (!w->room || !w->crc32c)
        return fail(ERR_NOMEM, "%s: no memory to write %" PRId64 " results", w->path, w->n);
    if ((size_t)snprintf(w->draft, sizeof w->draft, "%s.tmp", w->path) >= sizeof w->draft)
        return fail(ERR_CREATE, "%s: its name is too long", w->path);
    TRY(stwriter_open(&w->out, w->draft, specs, N_TENSORS));
    TRY(stwriter_write(w->out, w->spec.key, KEY_BYTES));
    return stwriter_write(w->out, digest, (size_t)w->n * DIGEST);
}

Status cache_writer_open(CacheWriter **out, const char *path, const CacheSpec *spec, const uint8_t (*digest)[32], int64_t n)
{
    CacheWriter *w = *out = mem_alloc(sizeof *w);
    if (!w)
        return fail(ERR_NOMEM, "%s: no memory to write it", path);
    *w = (CacheWriter){.spec = *spec, .room = mem_alloc(result_bytes(spec)), .n = n, .crc32c = mem_alloc((size_t)n * sizeof *w->crc32c)};
    snprintf(w->path, sizeof w->path, "%s", path);
    Status s = begin(w, digest);
    return s ? cache_writer_close(out, s) : OK;
}

Status cache_writer_add(CacheWriter *w, const float *result)
{
    const size_t bytes = result_bytes(&w->spec);
    if (w->added == w->n)
        return fail(ERR_INTERNAL, "%s: more than %" PRId64 " results", w->path, w->n);
    dtype_convert(w->room, w->spec.type, result, F32, (size_t)w->spec.n_elems);
    w->crc32c[w->added++] = crc32c(w->room, bytes);
    return stwriter_write(w->out, w->room, bytes);
}

static Status publish(CacheWriter *w)
{
    char folder[PATH_MAX];
    TRY(stwriter_write(w->out, w->crc32c, (size_t)w->n * sizeof *w->crc32c));
    TRY(stwriter_close(&w->out));
    TRY(file_rename(w->draft, w->path));
    return file_sync_folder(file_folder(folder, w->path));
}

Status cache_writer_close(CacheWriter **pw, Status s)
{
    CacheWriter *w = *pw;
    *pw = NULL;
    if (!s)
        s = publish(w);
    stwriter_abandon(&w->out);
    if (s) {
        char sentence[4096]; /* stays that of the failure */
        snprintf(sentence, sizeof sentence, "%s", status_message());
        if (*w->draft && file_remove(w->draft))
            s = fail(s, "%s (and %s stays)", sentence, w->draft);
        else
            s = fail(s, "%s", sentence);
    }
    mem_free(w->room);
    mem_free(w->crc32c);
    mem_free(w);
    return s;
}
