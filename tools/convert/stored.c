/* stored.c: sets of tensors in open files (stored.h). */
#include "tools/convert/stored.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"

typedef struct StoredFile {
    void *file;
    void (*close)(void *file);
    struct StoredFile *next;
} StoredFile;

/* Points the names of t to a copy of them, which it returns. */
static char *copy_texts(Stored *t)
{
    const char **const texts[] = {&t->name, &t->theirs, &t->file};
    size_t room = 0, n;
    for (int i = 0; i < 3; i++)
        room += strlen(*texts[i]) + 1;
    char *copy = mem_alloc(room), *at = copy;
    for (int i = 0; copy && i < 3; i++, at += n) {
        n = strlen(*texts[i]) + 1;
        *texts[i] = memcpy(at, *texts[i], n);
    }
    return copy;
}

Status stored_add(StoredSet *set, const Stored *t)
{
    if (set->n == set->capacity) {
        int capacity = set->capacity ? 2 * set->capacity : 256;
        Stored *list = mem_grow(set->list, (size_t)capacity * sizeof *list);
        if (!list)
            return fail(ERR_NOMEM, "%s: out of memory for its tensors", t->file);
        set->list = list;
        set->capacity = capacity;
    }
    Stored own = *t;
    own.texts = copy_texts(&own);
    if (!own.texts)
        return fail(ERR_NOMEM, "%s: out of memory for its tensors", t->file);
    set->list[set->n++] = own;
    return OK;
}

Status stored_keep(StoredSet *set, void *file, void (*close)(void *file))
{
    StoredFile *f = mem_alloc(sizeof *f);
    if (!f) {
        close(file);
        return fail(ERR_NOMEM, "out of memory for an open file");
    }
    *f = (StoredFile){file, close, set->files};
    set->files = f;
    return OK;
}

static int by_name(const void *a, const void *b) { return strcmp(((const Stored *)a)->name, ((const Stored *)b)->name); }

Status stored_sort(StoredSet *set)
{
    if (set->n)
        qsort(set->list, (size_t)set->n, sizeof *set->list, by_name);
    for (int i = 1; i < set->n; i++) {
        const Stored *a = &set->list[i - 1], *b = &set->list[i];
        if (!strcmp(a->name, b->name))
            return fail(ERR_DATA, "%s: %s and %s of %s are the same tensor", b->file, b->theirs, a->theirs, a->file);
    }
    return OK;
}

const Stored *stored_find(const StoredSet *set, const char *name)
{
    const Stored key = {.name = name};
    return set->n ? bsearch(&key, set->list, (size_t)set->n, sizeof *set->list, by_name) : NULL;
}

void stored_free(StoredSet *set)
{
    for (int i = 0; i < set->n; i++)
        mem_free(set->list[i].texts);
    mem_free(set->list);
    for (StoredFile *f = set->files, *next; f; f = next) {
        next = f->next;
        f->close(f->file);
        mem_free(f);
    }
    *set = (StoredSet){0};
}

static void close_safetensors(void *file)
{
    SafeTensors *st = file;
    safetensors_close(&st);
}

Status stored_add_safetensors(StoredSet *set, SafeTensors *st, StoredName ours, void *arg)
{
    TRY(stored_keep(set, st, close_safetensors));
    for (int i = 0; i < safetensors_count(st); i++) {
        const StTensor *t = safetensors_at(st, i);
        char name[WEIGHT_NAME_MAX];
        if (!ours(arg, name, t->name))
            continue;
        Stored stored = {.name = name, .theirs = t->name, .file = t->file, .type = t->type, .n_dims = t->n_dims, .data = t->data};
        memcpy(stored.shape, t->shape, sizeof stored.shape);
        TRY(stored_add(set, &stored));
    }
    return OK;
}

static void close_torch(void *file)
{
    TorchBin *bin = file;
    torch_bin_close(&bin);
}

/* Rows of a view whose elements lie apart, from its row t->at on. */
static Status rows_of_view(const Stored *t, int64_t first, int64_t n, float *out)
{
    const StTensor *view = t->source;
    const size_t elems = (size_t)(n * stored_row(t));
    void *raw = mem_alloc(elems * dtype_size(view->type) + 1);
    if (!raw)
        return fail(ERR_NOMEM, "%s: out of memory for %s", t->file, t->theirs);
    torch_bin_read(view, t->at + first, n, raw);
    dtype_convert(out, F32, raw, view->type, elems);
    mem_free(raw);
    return OK;
}

Status stored_add_torch(StoredSet *set, TorchBin *bin, StoredName ours, void *arg)
{
    TRY(stored_keep(set, bin, close_torch));
    for (int i = 0; i < torch_bin_count(bin); i++) {
        const StTensor *t = torch_bin_at(bin, i);
        char name[WEIGHT_NAME_MAX];
        if (!ours(arg, name, t->name))
            continue;
        Stored stored = {.name = name, .theirs = t->name, .file = t->file, .type = t->type, .n_dims = t->n_dims, .data = t->data};
        memcpy(stored.shape, t->shape, sizeof stored.shape);
        if (!t->data) {
            if (t->type != F32 && t->type != BF16 && t->type != F16 && t->type != F64)
                return fail(ERR_DATA, "%s: %s is of type %s, expected floating-point numbers", t->file, t->name, dtype_name(t->type));
            stored.rows = rows_of_view;
            stored.source = t;
        }
        TRY(stored_add(set, &stored));
    }
    return OK;
}

int64_t stored_elems(const Stored *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        n *= t->shape[i];
    return n;
}

int64_t stored_row(const Stored *t) { return t->n_dims && t->shape[0] ? stored_elems(t) / t->shape[0] : 1; }

Status stored_rows(const Stored *t, int64_t first, int64_t n, float *out)
{
    if (!t->data)
        return t->rows(t, first, n, out);
    if (t->type != F32 && t->type != BF16 && t->type != F16 && t->type != F64)
        return fail(ERR_DATA, "%s: %s is of type %s, expected floating-point numbers", t->file, t->theirs, dtype_name(t->type));
    int64_t row = stored_row(t);
    dtype_convert(out, F32, (const char *)t->data + (size_t)(first * row) * dtype_size(t->type), t->type, (size_t)(n * row));
    return OK;
}

Status stored_check_shape(const Stored *t, int n_dims, const int64_t *shape)
{
    char theirs[128], wanted[128];
    if (t->n_dims == n_dims && !memcmp(t->shape, shape, (size_t)n_dims * sizeof *shape))
        return OK;
    return fail(ERR_DATA, "%s: %s has the shape %s, expected %s", t->file, t->theirs,
                shape_text(theirs, sizeof theirs, t->shape, t->n_dims), shape_text(wanted, sizeof wanted, shape, n_dims));
}
