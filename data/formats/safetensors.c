/* safetensors.c: reads safetensors files, and folders of them by their index, in place (safetensors.h). */
#include "data/formats/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/formats/mapped.h"
#include "data/formats/weight_index.h"
#include "kernels/base/arena.h"

enum { LENGTH_BYTES = 8 };
#define MAX_HEADER ((uint64_t)100000000)

typedef struct StFile {
    Mapped map;
    size_t data; /* where the buffer of tensors begins */
    JsonDoc *header;
    const Json *metadata; /* NULL when there is none */
} StFile;

struct SafeTensors {
    StFile *files;
    int n_files;
    StTensor *tensors;
    int n_tensors;
};

const char *shape_text(char *buf, size_t n, const int64_t *shape, int n_dims)
{
    size_t used = (size_t)snprintf(buf, n, "[");
    for (int i = 0; i < n_dims && used < n; i++)
        used += (size_t)snprintf(buf + used, n - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    if (used < n)
        snprintf(buf + used, n - used, "]");
    return buf;
}

/* ---------------------------------------------------------------- one tensor of a header */

/* The type that safetensors spells `name`, or N_DTYPES. */
static DType type_named(const char *name)
{
    int t = 0;
    while (t < N_DTYPES && strcmp(dtype_name((DType)t), name))
        t++;
    return (DType)t;
}

static Status fail_tensor(const StFile *f, const char *name, const char *what)
{
    return fail(ERR_DATA, "%s: tensor \"%.200s\": %s", f->map.path, name, what);
}

static Status read_dtype(const StFile *f, StTensor *t, const Json *dtype)
{
    if (!dtype || dtype->kind != JSON_STRING)
        return fail_tensor(f, t->name, "its dtype is missing");
    t->type = type_named(dtype->string);
    if (t->type == N_DTYPES)
        return fail(ERR_DATA, "%s: tensor \"%.200s\": dtype \"%.40s\" is none of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL",
                    f->map.path, t->name, dtype->string);
    return OK;
}

static Status read_shape(const StFile *f, StTensor *t, const Json *shape)
{
    if (!shape || shape->kind != JSON_ARRAY)
        return fail_tensor(f, t->name, "its shape is missing");
    if (shape->length > ST_MAX_DIMS)
        return fail(ERR_DATA, "%s: tensor \"%.200s\": %zu dimensions, at most %d are supported", f->map.path, t->name, shape->length,
                    ST_MAX_DIMS);
    t->n_elems = 1;
    for (const Json *d = shape->child; d; d = d->next) {
        if (d->kind != JSON_INT || d->integer < 0)
            return fail_tensor(f, t->name, "its shape holds something other than whole numbers from 0");
        t->shape[t->n_dims++] = d->integer;
        if (__builtin_mul_overflow(t->n_elems, d->integer, &t->n_elems))
            return fail_tensor(f, t->name, "its shape has more elements than 64 bits can count");
    }
    if (__builtin_mul_overflow((size_t)t->n_elems, dtype_size(t->type), &t->n_bytes))
        return fail_tensor(f, t->name, "its shape has more bytes than 64 bits can count");
    return OK;
}

static Status read_offsets(const StFile *f, StTensor *t, const Json *offsets)
{
    const Json *begin = offsets && offsets->kind == JSON_ARRAY && offsets->length == 2 ? offsets->child : NULL;
    if (!begin || begin->kind != JSON_INT || begin->next->kind != JSON_INT || begin->integer < 0 || begin->next->integer < begin->integer)
        return fail_tensor(f, t->name, "its data_offsets are not [begin, end] with 0 <= begin <= end");
    size_t from = (size_t)begin->integer, to = (size_t)begin->next->integer, room = f->map.n - f->data;
    char shape[160];
    if (to > room)
        return fail(ERR_DATA, "%s: tensor \"%.200s\": its data ends at byte %zu of the buffer, which has %zu (is the file cut short?)",
                    f->map.path, t->name, to, room);
    if (to - from != t->n_bytes)
        return fail(ERR_DATA, "%s: tensor \"%.200s\": %s of %s takes %zu bytes, its data_offsets span %zu", f->map.path, t->name,
                    shape_text(shape, sizeof shape, t->shape, t->n_dims), dtype_name(t->type), t->n_bytes, to - from);
    t->data = f->map.bytes + f->data + from;
    return OK;
}

static Status read_tensor(const StFile *f, StTensor *t, const Json *entry)
{
    *t = (StTensor){.name = entry->key, .file = f->map.path, .map = f->map.bytes, .map_bytes = f->map.n};
    if (entry->kind != JSON_OBJECT)
        return fail_tensor(f, t->name, "its entry in the header is not an object");
    TRY(read_dtype(f, t, json_get(entry, "dtype")));
    TRY(read_shape(f, t, json_get(entry, "shape")));
    return read_offsets(f, t, json_get(entry, "data_offsets"));
}

/* ---------------------------------------------------------------- one file */

static int by_offset(const void *a, const void *b)
{
    const StTensor *x = a, *y = b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

static int by_name(const void *a, const void *b) { return strcmp(((const StTensor *)a)->name, ((const StTensor *)b)->name); }

/* The tensors of one file, one after the other, must cover its buffer exactly. Sorts them by offset. */
static Status check_coverage(const StFile *f, StTensor *t, int n)
{
    const uint8_t *at = f->map.bytes + f->data, *end = f->map.bytes + f->map.n;
    qsort(t, (size_t)n, sizeof *t, by_offset);
    for (int i = 0; i < n; i++) {
        const uint8_t *data = t[i].data;
        if (data < at)
            return fail(ERR_DATA, "%s: tensor \"%.200s\" overlaps tensor \"%.200s\"", f->map.path, t[i].name, t[i - 1].name);
        if (data > at)
            return fail(ERR_DATA, "%s: %zu bytes before tensor \"%.200s\" belong to no tensor", f->map.path, (size_t)(data - at),
                        t[i].name);
        at = data + t[i].n_bytes;
    }
    if (at != end)
        return fail(ERR_DATA, "%s: %zu bytes at its end belong to no tensor", f->map.path, (size_t)(end - at));
    return OK;
}

static Status read_metadata(StFile *f, const Json *metadata)
{
    if (metadata->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s: __metadata__ is %s, expected an object of strings", f->map.path, json_kind_name(metadata->kind));
    for (const Json *m = metadata->child; m; m = m->next)
        if (m->kind != JSON_STRING)
            return fail(ERR_DATA, "%s: __metadata__ \"%.100s\" is %s, expected a string", f->map.path, m->key, json_kind_name(m->kind));
    f->metadata = metadata;
    return OK;
}

/* Appends the tensors that the parsed header of `f` announces. */
static Status read_header(SafeTensors *st, StFile *f)
{
    const Json *root = json_root(f->header);
    size_t n = root->length;
    StTensor *grown = mem_grow(st->tensors, ((size_t)st->n_tensors + n) * sizeof *grown);
    if (!grown)
        return fail(ERR_NOMEM, "%s: no memory for %zu tensors", f->map.path, n);
    st->tensors = grown;
    StTensor *mine = grown + st->n_tensors;
    int k = 0;
    for (const Json *m = root->child; m; m = m->next) {
        if (!strcmp(m->key, "__metadata__"))
            TRY(read_metadata(f, m));
        else
            TRY(read_tensor(f, &mine[k++], m));
    }
    TRY(check_coverage(f, mine, k));
    st->n_tensors += k;
    return OK;
}

/* What a file that does not begin as safetensors do is instead, for the message. */
static const char *other_format(const uint8_t *map, size_t size)
{
    static const struct {
        const char *magic;
        size_t n;
        const char *is;
    } FORMATS[] = {{"PK\x03\x04", 4, "a zip archive, as torch.save writes; convert it to safetensors"},
                   {"\x80\x02", 2, "a Python pickle, as torch.save writes; convert it to safetensors"},
                   {"\x80\x03", 2, "a Python pickle; convert it to safetensors"},
                   {"\x80\x04", 2, "a Python pickle; convert it to safetensors"},
                   {"\x80\x05", 2, "a Python pickle; convert it to safetensors"},
                   {"GGUF", 4, "a GGUF file; convert it to safetensors"},
                   {"\x89HDF", 4, "an HDF5 file"},
                   {"<!DOCTYPE", 9, "a web page: the weights themselves were not downloaded"},
                   {"<!doctype", 9, "a web page: the weights themselves were not downloaded"},
                   {"<html", 5, "a web page: the weights themselves were not downloaded"},
                   {"version https://git-lfs", 23, "a Git LFS pointer: the weights themselves were not downloaded"}};
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
        if (size >= FORMATS[i].n && !memcmp(map, FORMATS[i].magic, FORMATS[i].n))
            return FORMATS[i].is;
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        if ((map[i] < 0x20 || map[i] > 0x7E) && !strchr("\t\r\n", map[i] ? map[i] : 0x7F))
            return NULL;
    return "a text";
}

static Status parse_header(StFile *f)
{
    uint64_t n = mapped_number(f->map.bytes, LENGTH_BYTES);
    const char *other = other_format(f->map.bytes, f->map.n);
    bool fits = n <= MAX_HEADER && n <= f->map.n - LENGTH_BYTES;
    if (other && (!fits || f->map.bytes[LENGTH_BYTES] != '{'))
        return fail(ERR_DATA, "%s: not a safetensors file but %s", f->map.path, other);
    if (n > MAX_HEADER)
        return fail(ERR_DATA,
                    "%s: not a safetensors file: its first 8 bytes say that the header has %" PRIu64 " bytes, and 100000000 are allowed",
                    f->map.path, n);
    if (!fits)
        return fail(ERR_DATA, "%s: its header should have %" PRIu64 " bytes, the file has %zu after the first 8 (is it cut short?)",
                    f->map.path, n, f->map.n - LENGTH_BYTES);
    if (!n || f->map.bytes[LENGTH_BYTES] != '{')
        return fail(ERR_DATA, "%s: not a safetensors file: its header does not begin with '{'", f->map.path);
    char name[1024];
    snprintf(name, sizeof name, "%s: header", f->map.path);
    f->data = LENGTH_BYTES + (size_t)n;
    return json_parse(&f->header, (const char *)f->map.bytes + LENGTH_BYTES, (size_t)n, name);
}

static Status add_file(SafeTensors *st, const char *path)
{
    StFile *grown = mem_grow(st->files, (size_t)(st->n_files + 1) * sizeof *grown);
    if (!grown)
        return fail(ERR_NOMEM, "%s: no memory to open it", path);
    st->files = grown;
    StFile *f = &st->files[st->n_files++];
    *f = (StFile){0};
    TRY(mapped_open(&f->map, path, "a safetensors file"));
    if (f->map.n < LENGTH_BYTES)
        return fail(ERR_DATA, "%s: %zu bytes are too few for a safetensors file (is it cut short?)", path, f->map.n);
    TRY(parse_header(f));
    return read_header(st, f);
}

/* Sorts by name; a tensor that stands in two files is an error. */
static Status finish(SafeTensors *st)
{
    qsort(st->tensors, (size_t)st->n_tensors, sizeof *st->tensors, by_name);
    for (int i = 1; i < st->n_tensors; i++)
        if (!strcmp(st->tensors[i - 1].name, st->tensors[i].name))
            return fail(ERR_DATA, "%s: tensor \"%.200s\" stands in %s too", st->tensors[i].file, st->tensors[i].name,
                        st->tensors[i - 1].file);
    return OK;
}

Status safetensors_open(SafeTensors **out, const char *file)
{
    *out = NULL;
    SafeTensors *st = mem_alloc(sizeof *st);
    if (!st)
        return fail(ERR_NOMEM, "%s: no memory to open it", file);
    Status s = add_file(st, file);
    if (!s)
        s = finish(st);
    if (s)
        safetensors_close(&st);
    *out = st;
    return s;
}

/* ---------------------------------------------------------------- shards */

static const StTensor *find_tensor(const void *st, const char *name) { return safetensors_find(st, name); }

static Status open_index(SafeTensors *st, const char *folder, const char *index)
{
    WeightIndex w;
    char path[PATH_MAX];
    Status s = weight_index_read(&w, index);
    for (int i = 0; i < w.n_files && !s; i++)
        s = weight_index_explain(add_file(st, file_join(path, folder, w.files[i])), &w, i);
    if (!s)
        s = finish(st);
    if (!s)
        s = weight_index_check(&w, folder, find_tensor, st);
    weight_index_free(&w);
    return s;
}

/* The name of a file of weights that only Python could read; NULL: there is none. */
static const char *find_pickle(char path[PATH_MAX], const char *folder)
{
    static const char *const PICKLES[] = {"pytorch_model.bin", "pytorch_model.bin.index.json", "diffusion_pytorch_model.bin",
                                          "consolidated.00.pth"};
    for (size_t i = 0; i < sizeof PICKLES / sizeof *PICKLES; i++)
        if (file_exists(file_join(path, folder, PICKLES[i])))
            return PICKLES[i];
    return NULL;
}

static Status fail_no_weights(const char *folder, const char *stem)
{
    char path[PATH_MAX];
    struct stat st;
    if (stat(folder, &st))
        return fail(ERR_MISSING, "%s: cannot be opened: %s", folder, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return fail(ERR_MISSING, "%s: is not a folder", folder);
    const char *pickle = find_pickle(path, folder);
    if (pickle)
        return fail(ERR_MISSING, "%s: no %s.safetensors in it; %s is a pickle, which is never read: convert it to safetensors%s", folder,
                    stem, pickle, strcmp(stem, "model") ? "" : " (convert --to parts does, of a whole language model or LLaVA)");
    return fail(ERR_MISSING, "%s: neither %s.safetensors nor %s.safetensors.index.json in it", folder, stem, stem);
}

static bool is_there(char path[PATH_MAX], const char *folder, const char *stem, const char *end)
{
    char name[NAME_MAX + 1];
    snprintf(name, sizeof name, "%s%s", stem, end);
    return file_exists(file_join(path, folder, name));
}

Status safetensors_check_folder(const char *folder, const char *stem)
{
    static const char *const ENDS[] = {".safetensors", ".safetensors.index.json", ".fp16.safetensors"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++)
        if (is_there(path, folder, stem, ENDS[i]))
            return OK;
    return fail_no_weights(folder, stem);
}

bool safetensors_folder_is_bare(const char *folder, const char *stem)
{
    char path[PATH_MAX];
    return safetensors_check_folder(folder, stem) && !find_pickle(path, folder);
}

Status safetensors_open_folder(SafeTensors **out, const char *folder, const char *stem)
{
    char path[PATH_MAX];
    *out = NULL;
    if (is_there(path, folder, stem, ".safetensors"))
        return safetensors_open(out, path);
    if (!is_there(path, folder, stem, ".safetensors.index.json"))
        return is_there(path, folder, stem, ".fp16.safetensors") ? safetensors_open(out, path) : fail_no_weights(folder, stem);
    SafeTensors *st = mem_alloc(sizeof *st);
    if (!st)
        return fail(ERR_NOMEM, "%s: no memory to open it", folder);
    Status s = open_index(st, folder, path);
    if (s)
        safetensors_close(&st);
    *out = st;
    return s;
}

void safetensors_close(SafeTensors **st)
{
    if (!st || !*st)
        return;
    for (int i = 0; i < (*st)->n_files; i++) {
        StFile *f = &(*st)->files[i];
        json_free(&f->header);
        mapped_close(&f->map);
    }
    mem_free((*st)->files);
    mem_free((*st)->tensors);
    mem_free(*st);
    *st = NULL;
}

/* ---------------------------------------------------------------- looking up */

int safetensors_count(const SafeTensors *st) { return st->n_tensors; }
const StTensor *safetensors_at(const SafeTensors *st, int i) { return &st->tensors[i]; }

const StTensor *safetensors_find(const SafeTensors *st, const char *name)
{
    StTensor key = {.name = name};
    return st->n_tensors ? bsearch(&key, st->tensors, (size_t)st->n_tensors, sizeof key, by_name) : NULL;
}

const char *safetensors_metadata(const SafeTensors *st, const char *key)
{
    for (int i = 0; i < st->n_files; i++) {
        const Json *value = json_get(st->files[i].metadata, key);
        if (value)
            return value->string;
    }
    return NULL;
}

void safetensors_release(const StTensor *t) { mapped_release(t->map, t->map_bytes, t->data, t->n_bytes); }

void safetensors_release_all(const SafeTensors *st)
{
    for (const StFile *f = st->files; f < st->files + st->n_files; f++)
        mapped_release(f->map.bytes, f->map.n, f->map.bytes, f->map.n);
}
