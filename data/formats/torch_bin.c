/* torch_bin.c: reads the tensors of torch.save's archives in place (torch_bin.h). */
#include "data/formats/torch_bin.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "data/formats/mapped.h"
#include "data/formats/torch_pickle.h"
#include "data/formats/torch_zip.h"
#include "data/formats/weight_index.h"
#include "kernels/base/arena.h"

/* A tensor, and where its elements lie: element i of it at Σ i·stride, in elements, from `first`. */
typedef struct View {
    StTensor t; /* first, so that one can be had from the other */
    const uint8_t *first;
    int64_t stride[ST_MAX_DIMS];
} View;

struct TorchBin {
    Mapped *files;
    int n_files;
    View *views;
    int n_views;
};

static Status fail_tensor(const Mapped *f, const PickledTensor *p, const char *problem)
{
    return fail(ERR_DATA, "%s: tensor \"%.*s\": %s", f->path, (int)(p->name_bytes < 200 ? p->name_bytes : 200), p->name, problem);
}

/* ---------------------------------------------------------------- one tensor */

static Status read_shape(const Mapped *f, const PickledTensor *p, View *v)
{
    StTensor *t = &v->t;
    t->n_dims = p->n_dims;
    t->n_elems = 1;
    for (int i = 0; i < p->n_dims; i++) {
        if (p->shape[i] < 0 || p->stride[i] < 0)
            return fail_tensor(f, p, "its shape or stride is negative");
        t->shape[i] = p->shape[i];
        v->stride[i] = p->stride[i];
        if (__builtin_mul_overflow(t->n_elems, p->shape[i], &t->n_elems))
            return fail_tensor(f, p, "its shape has more elements than 64 bits can count");
    }
    if (t->n_elems > INT64_MAX / 8)
        return fail_tensor(f, p, "its shape has more bytes than 64 bits can count");
    t->n_bytes = (size_t)t->n_elems * dtype_size(t->type);
    return OK;
}

/* The last element that a tensor of one element or more reaches. */
static bool find_last(const PickledTensor *p, int64_t *last)
{
    *last = p->offset;
    for (int i = 0; i < p->n_dims; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(p->shape[i] - 1, p->stride[i], &reach) || __builtin_add_overflow(*last, reach, last))
            return false;
    }
    return true;
}

static bool is_contiguous(const View *v)
{
    int64_t wanted = 1;
    for (int i = v->t.n_dims; i-- > 0;) {
        if (v->t.shape[i] != 1 && v->stride[i] != wanted)
            return false;
        wanted *= v->t.shape[i];
    }
    return true;
}

static Status place(const Mapped *f, const ZipMember *storage, const PickledTensor *p, View *v)
{
    const int64_t width = (int64_t)dtype_size(p->type);
    int64_t last;
    if (!storage)
        return fail_tensor(f, p, "its storage is not in the archive");
    if (p->storage < 0 || (int64_t)storage->n / width != p->storage || (int64_t)storage->n % width)
        return fail(ERR_DATA, "%s: tensor \"%.*s\": its storage has %zu bytes, expected %" PRId64 " elements of %s", f->path,
                    (int)(p->name_bytes < 200 ? p->name_bytes : 200), p->name, storage->n, p->storage, dtype_name(p->type));
    if (v->t.n_elems && (p->offset < 0 || !find_last(p, &last) || last >= p->storage))
        return fail_tensor(f, p, "it reaches beyond its storage");
    v->first = storage->data + (v->t.n_elems ? p->offset * width : 0);
    v->t.data = !v->t.n_elems || is_contiguous(v) ? v->first : NULL;
    return OK;
}

/* Storages are the members STEM/data/KEY. */
static Status read_tensor(const Mapped *f, const ZipMembers *z, const char *stem, const PickledTensor *p, View *v)
{
    char name[1024];
    v->t = (StTensor){.type = p->type, .file = f->path, .map = f->bytes, .map_bytes = f->n};
    TRY(read_shape(f, p, v));
    const int n = snprintf(name, sizeof name, "%sdata/%.*s", stem, (int)p->key_bytes, p->key);
    TRY(place(f, n < (int)sizeof name ? torch_zip_find(z, name, (size_t)n) : NULL, p, v));
    char *copy = mem_alloc(p->name_bytes + 1);
    if (!copy)
        return fail(ERR_NOMEM, "%s: no memory for the names of its tensors", f->path);
    memcpy(copy, p->name, p->name_bytes);
    v->t.name = copy;
    return OK;
}

/* ---------------------------------------------------------------- one file */

/* "STEM/" of the one member STEM/data.pkl into stem[512], and that member. */
static Status find_pickle(const Mapped *f, const ZipMembers *z, char *stem, const ZipMember **pickle)
{
    static const char NAME[] = "data.pkl";
    *pickle = NULL;
    for (int i = 0; i < z->n; i++) {
        const ZipMember *m = &z->members[i];
        const char *slash = memchr(m->name, '/', m->name_bytes);
        const size_t n_stem = slash ? (size_t)(slash - m->name) + 1 : 0;
        if (!n_stem || n_stem >= 512 || m->name_bytes - n_stem != strlen(NAME) || memcmp(m->name + n_stem, NAME, strlen(NAME)))
            continue;
        if (*pickle)
            return fail(ERR_DATA, "%s: two members of it are called data.pkl", f->path);
        *pickle = m;
        memcpy(stem, m->name, n_stem);
        stem[n_stem] = '\0';
    }
    return *pickle ? OK : fail(ERR_DATA, "%s: a zip archive, but none of torch.save: no member of it is called NAME/data.pkl", f->path);
}

static Status check_byte_order(const Mapped *f, const ZipMembers *z, const char *stem)
{
    char name[600];
    const int n = snprintf(name, sizeof name, "%sbyteorder", stem);
    const ZipMember *m = torch_zip_find(z, name, (size_t)n);
    if (!m || (m->n == 6 && !memcmp(m->data, "little", 6)))
        return OK;
    return fail(ERR_DATA, "%s: its byte order is \"%.*s\", and only \"little\" is read", f->path, (int)(m->n < 20 ? m->n : 20), m->data);
}

static Status add_tensors(TorchBin *b, const Mapped *f, const ZipMembers *z, const char *stem, const PickledTensor *p, int n)
{
    View *grown = mem_grow(b->views, (size_t)(b->n_views + n) * sizeof *grown);
    if (!grown)
        return fail(ERR_NOMEM, "%s: no memory for %d tensors", f->path, n);
    b->views = grown;
    for (int i = 0; i < n; i++) {
        TRY(read_tensor(f, z, stem, &p[i], &b->views[b->n_views]));
        b->n_views++;
    }
    return OK;
}

static Status read_archive(TorchBin *b, const Mapped *f, const ZipMembers *z)
{
    char stem[512];
    const ZipMember *pickle;
    PickledTensor *p;
    int n;
    TRY(find_pickle(f, z, stem, &pickle));
    TRY(check_byte_order(f, z, stem));
    TRY(torch_pickle_read(&p, &n, pickle->data, pickle->n, f->path));
    Status s = add_tensors(b, f, z, stem, p, n);
    mem_free(p);
    return s;
}

static Status add_file(TorchBin *b, const char *path)
{
    Mapped *grown = mem_grow(b->files, (size_t)(b->n_files + 1) * sizeof *grown);
    if (!grown)
        return fail(ERR_NOMEM, "%s: no memory to open it", path);
    b->files = grown;
    Mapped *f = &b->files[b->n_files++];
    TRY(mapped_open(f, path, "a file of torch.save"));
    if (f->n < 4 || memcmp(f->bytes, "PK\3\4", 4))
        return fail(ERR_DATA, "%s: not a zip archive, as torch.save writes since 1.6: save it again with a newer torch, or as safetensors",
                    path);
    ZipMembers z;
    TRY(torch_zip_members(&z, f));
    Status s = read_archive(b, f, &z);
    mem_free(z.members);
    return s;
}

static int by_name(const void *a, const void *b) { return strcmp(((const StTensor *)a)->name, ((const StTensor *)b)->name); }

/* Sorts by name; one name of two tensors is an error. */
static Status finish(TorchBin *b)
{
    qsort(b->views, (size_t)b->n_views, sizeof *b->views, by_name);
    for (int i = 1; i < b->n_views; i++)
        if (!by_name(&b->views[i - 1], &b->views[i]))
            return fail(ERR_DATA, "%s: tensor \"%.200s\" stands in %s too", b->views[i].t.file, b->views[i].t.name, b->views[i - 1].t.file);
    return OK;
}

Status torch_bin_open(TorchBin **out, const char *file)
{
    *out = NULL;
    TorchBin *b = mem_alloc(sizeof *b);
    if (!b)
        return fail(ERR_NOMEM, "%s: no memory to open it", file);
    Status s = add_file(b, file);
    if (!s)
        s = finish(b);
    if (s)
        torch_bin_close(&b);
    *out = b;
    return s;
}

/* ---------------------------------------------------------------- a folder */

static const StTensor *find_tensor(const void *b, const char *name) { return torch_bin_find(b, name); }

static Status open_index(TorchBin *b, const char *folder, const char *index)
{
    WeightIndex w;
    char path[PATH_MAX];
    Status s = weight_index_read(&w, index);
    for (int i = 0; i < w.n_files && !s; i++)
        s = weight_index_explain(add_file(b, file_join(path, folder, w.files[i])), &w, i);
    if (!s)
        s = finish(b);
    if (!s)
        s = weight_index_check(&w, folder, find_tensor, b);
    weight_index_free(&w);
    return s;
}

Status torch_bin_open_folder(TorchBin **out, const char *folder, const char *stem)
{
    char path[PATH_MAX], name[NAME_MAX + 1];
    *out = NULL;
    snprintf(name, sizeof name, "%s.bin", stem);
    if (file_exists(file_join(path, folder, name)))
        return torch_bin_open(out, path);
    snprintf(name, sizeof name, "%s.bin.index.json", stem);
    if (!file_exists(file_join(path, folder, name)))
        return fail(ERR_MISSING, "%s: neither %s.bin nor %s.bin.index.json in it", folder, stem, stem);
    TorchBin *b = mem_alloc(sizeof *b);
    if (!b)
        return fail(ERR_NOMEM, "%s: no memory to open it", folder);
    Status s = open_index(b, folder, path);
    if (s)
        torch_bin_close(&b);
    *out = b;
    return s;
}

void torch_bin_close(TorchBin **b)
{
    if (!b || !*b)
        return;
    for (int i = 0; i < (*b)->n_views; i++)
        mem_free((void *)(uintptr_t)(*b)->views[i].t.name);
    for (int i = 0; i < (*b)->n_files; i++)
        mapped_close(&(*b)->files[i]);
    mem_free((*b)->files);
    mem_free((*b)->views);
    mem_free(*b);
    *b = NULL;
}

/* ---------------------------------------------------------------- looking up, copying out */

int torch_bin_count(const TorchBin *b) { return b->n_views; }
const StTensor *torch_bin_at(const TorchBin *b, int i) { return &b->views[i].t; }

const StTensor *torch_bin_find(const TorchBin *b, const char *name)
{
    const View key = {.t = {.name = name}};
    return b->n_views ? bsearch(&key, b->views, (size_t)b->n_views, sizeof key, by_name) : NULL;
}

/* n elements of the last dimension. */
static void copy_run(uint8_t *out, const uint8_t *from, int64_t n, size_t width, size_t step)
{
    if (step == width) {
        memcpy(out, from, (size_t)n * width);
        return;
    }
    for (int64_t i = 0; i < n; i++, out += width, from += step)
        switch (width) {
        case 1: *out = *from; break;
        case 2: memcpy(out, from, 2); break;
        case 4: memcpy(out, from, 4); break;
        default: memcpy(out, from, 8);
        }
}

/* Rows of a view of one dimension or more, which has elements. */
static void copy_strided(const View *v, int64_t first, int64_t n, uint8_t *out)
{
    const size_t width = dtype_size(v->t.type);
    const int last = v->t.n_dims - 1;
    int64_t at[ST_MAX_DIMS] = {0}, end[ST_MAX_DIMS];
    memcpy(end, v->t.shape, sizeof end);
    end[0] = n;
    for (;;) {
        int64_t from = first * v->stride[0];
        for (int d = 0; d < last; d++)
            from += at[d] * v->stride[d];
        copy_run(out, v->first + (size_t)from * width, end[last], width, (size_t)v->stride[last] * width);
        out += (size_t)end[last] * width;
        int d = last - 1;
        while (d >= 0 && ++at[d] == end[d])
            at[d--] = 0;
        if (d < 0)
            return;
    }
}

void torch_bin_read(const StTensor *t, int64_t first, int64_t n, void *out)
{
    const int64_t rows = t->n_dims ? t->shape[0] : 1;
    if (!t->n_elems || !n)
        return;
    const size_t row_bytes = t->n_bytes / (size_t)rows;
    if (t->data)
        memcpy(out, (const uint8_t *)t->data + (size_t)first * row_bytes, (size_t)n * row_bytes);
    else
        copy_strided((const View *)t, first, n, out);
}
