/* gguf.c: reads GGUF files in place (gguf.h). */
#include "data/formats/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/mapped.h"
#include "data/formats/q8_0.h"
#include "kernels/base/arena.h"

enum { VERSION = 3, MAX_ENTRIES = 1 << 16, MAX_TENSORS = 1 << 20, MAX_KEY = 65535, MAX_ALIGN = 1 << 20 };
enum { LEAST_ENTRY = 13, LEAST_TENSOR = 24 }; /* bytes of the smallest in a file */

struct Gguf {
    Mapped map;
    GgufEntry *entries, **by_key;
    GgufTensor *tensors, **by_name;
    int n_entries, n_tensors;
};

static const struct {
    const char *name;
    int n_bytes;
} KINDS[GGUF_N_KINDS] = {
    [GGUF_U8] = {"u8", 1},      [GGUF_I8] = {"i8", 1},       [GGUF_U16] = {"u16", 2},    [GGUF_I16] = {"i16", 2}, [GGUF_U32] = {"u32", 4},
    [GGUF_I32] = {"i32", 4},    [GGUF_REAL32] = {"f32", 4},  [GGUF_BOOL] = {"bool", 1},  [GGUF_TEXT] = {"text", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},    [GGUF_I64] = {"i64", 8},    [GGUF_REAL64] = {"f64", 8},
};

/* ---------------------------------------------------------------- types */

const char *gguf_type_name(GgufType t)
{
    switch (t) {
    case GGUF_F32: return "F32";
    case GGUF_F16: return "F16";
    case GGUF_Q8_0: return "Q8_0";
    case GGUF_BF16: return "BF16";
    }
    return NULL;
}

size_t gguf_bytes(GgufType t, int64_t n_elems)
{
    const size_t n = (size_t)n_elems;
    return t == GGUF_Q8_0 ? n / Q8_0_BLOCK * Q8_0_BYTES : n * (t == GGUF_F32 ? 4 : 2);
}

/* ---------------------------------------------------------------- cursor */

/* Where the header is read; `what` is read there. */
typedef struct Cursor {
    const Mapped *map;
    size_t at;
    char what[160];
} Cursor;

static Status fail_here(const Cursor *c, const char *problem) { return fail(ERR_DATA, "%s: %s: %s", c->map->path, c->what, problem); }

static Status take(Cursor *c, const uint8_t **bytes, uint64_t n)
{
    if (n > c->map->n - c->at)
        return fail_here(c, "goes beyond the end of the file (is it cut short?)");
    *bytes = c->map->bytes + c->at;
    c->at += (size_t)n;
    return OK;
}

static Status take_number(Cursor *c, int n_bytes, uint64_t *value)
{
    const uint8_t *bytes = NULL;
    TRY(take(c, &bytes, (uint64_t)n_bytes));
    *value = mapped_number(bytes, n_bytes);
    return OK;
}

static Status take_text(Cursor *c, GgufText *text)
{
    uint64_t n;
    const uint8_t *bytes = NULL;
    TRY(take_number(c, 8, &n));
    TRY(take(c, &bytes, n));
    *text = (GgufText){(const char *)bytes, (size_t)n};
    return OK;
}

/* A key or name: its copy is the caller's. */
static Status take_name(Cursor *c, const char **name, size_t most)
{
    GgufText text = {0};
    TRY(take_text(c, &text));
    if (!text.n || text.n > most || memchr(text.bytes, 0, text.n))
        return fail(ERR_DATA, "%s: %s: its name has %zu bytes or a NUL; 1 to %zu without are allowed", c->map->path, c->what, text.n, most);
    char *copy = mem_alloc(text.n + 1);
    if (!copy)
        return fail(ERR_NOMEM, "%s: no memory for its names", c->map->path);
    memcpy(copy, text.bytes, text.n);
    *name = copy;
    return OK;
}

/* ---------------------------------------------------------------- metadata */

static Status take_kind(Cursor *c, GgufKind *kind)
{
    uint64_t k;
    TRY(take_number(c, 4, &k));
    if (k >= GGUF_N_KINDS)
        return fail(ERR_DATA, "%s: %s: its kind is %" PRIu64 ", and 0 to 12 are known", c->map->path, c->what, k);
    *kind = (GgufKind)k;
    return OK;
}

static Status skip_values(Cursor *c, const GgufEntry *e)
{
    const uint8_t *bytes = NULL;
    uint64_t n_bytes;
    if (e->kind == GGUF_TEXT) {
        GgufText text;
        for (uint64_t i = 0; i < e->n; i++)
            TRY(take_text(c, &text));
        return OK;
    }
    if (__builtin_mul_overflow(e->n, (uint64_t)KINDS[e->kind].n_bytes, &n_bytes))
        return fail_here(c, "has more bytes than 64 bits can count");
    TRY(take(c, &bytes, n_bytes));
    for (uint64_t i = 0; e->kind == GGUF_BOOL && i < e->n; i++)
        if (bytes[i] > 1)
            return fail_here(c, "holds a bool that is neither 0 nor 1");
    return OK;
}

static Status read_entry(Cursor *c, GgufEntry *e)
{
    TRY(take_name(c, &e->key, MAX_KEY));
    snprintf(c->what, sizeof c->what, "\"%.100s\" of its metadata", e->key);
    TRY(take_kind(c, &e->kind));
    e->n = 1;
    e->is_array = e->kind == GGUF_ARRAY;
    if (e->is_array) {
        TRY(take_kind(c, &e->kind));
        TRY(take_number(c, 8, &e->n));
        if (e->kind == GGUF_ARRAY)
            return fail_here(c, "arrays of arrays are not supported");
    }
    e->data = c->map->bytes + c->at;
    return skip_values(c, e);
}

static int by_key(const void *a, const void *b) { return strcmp((*(GgufEntry *const *)a)->key, (*(GgufEntry *const *)b)->key); }

static Status read_entries(Gguf *g, Cursor *c, uint64_t n)
{
    if (n > MAX_ENTRIES || n > (c->map->n - c->at) / LEAST_ENTRY)
        return fail(ERR_DATA, "%s: announces %" PRIu64 " entries of metadata; %d are allowed, and the file must have room for them",
                    c->map->path, n, MAX_ENTRIES);
    g->entries = mem_alloc((size_t)n * sizeof *g->entries);
    g->by_key = mem_alloc((size_t)n * sizeof(GgufEntry *));
    if (n && (!g->entries || !g->by_key))
        return fail(ERR_NOMEM, "%s: no memory for its metadata", c->map->path);
    for (int i = 0; i < (int)n; i++) {
        snprintf(c->what, sizeof c->what, "entry %d of its metadata", i + 1);
        g->by_key[g->n_entries] = &g->entries[i];
        Status s = read_entry(c, &g->entries[i]);
        g->n_entries += g->entries[i].key != NULL;
        TRY(s);
    }
    if (n)
        qsort(g->by_key, (size_t)n, sizeof(GgufEntry *), by_key);
    for (int i = 1; i < g->n_entries; i++)
        if (!strcmp(g->by_key[i - 1]->key, g->by_key[i]->key))
            return fail(ERR_DATA, "%s: the key \"%.200s\" stands twice in its metadata", c->map->path, g->by_key[i]->key);
    return OK;
}

static Status read_alignment(const Gguf *g, uint64_t *align)
{
    const GgufEntry *e = gguf_entry(g, "general.alignment");
    *align = GGUF_ALIGN;
    if (!e)
        return OK;
    if (e->is_array || e->kind != GGUF_U32)
        return fail(ERR_DATA, "%s: general.alignment is not of kind u32", g->map.path);
    *align = mapped_number(e->data, 4);
    if (*align < 8 || *align > MAX_ALIGN || *align & (*align - 1))
        return fail(ERR_DATA, "%s: general.alignment is %" PRIu64 ", expected a power of two from 8 to %d", g->map.path, *align, MAX_ALIGN);
    return OK;
}

/* ---------------------------------------------------------------- tensors */

static Status read_shape(Cursor *c, GgufTensor *t)
{
    uint64_t n_dims, size;
    TRY(take_number(c, 4, &n_dims));
    if (n_dims > GGUF_MAX_DIMS)
        return fail(ERR_DATA, "%s: %s: %" PRIu64 " dimensions, at most %d are allowed", c->map->path, c->what, n_dims, GGUF_MAX_DIMS);
    t->n_dims = (int)n_dims;
    t->n_elems = 1;
    for (int i = t->n_dims; i-- > 0;) {
        TRY(take_number(c, 8, &size));
        if (size > INT64_MAX || __builtin_mul_overflow(t->n_elems, (int64_t)size, &t->n_elems) || t->n_elems > INT64_MAX / 8)
            return fail_here(c, "its shape has more bytes than 64 bits can count");
        t->shape[i] = (int64_t)size;
    }
    return OK;
}

/* *end: where the data of those before ends, from the beginning of all data; moves on behind this one. */
static Status read_tensor(Cursor *c, GgufTensor *t, uint64_t align, uint64_t *end)
{
    uint64_t type, offset, wanted = (*end + align - 1) & ~(align - 1);
    TRY(take_name(c, &t->name, GGUF_MAX_NAME - 1));
    snprintf(c->what, sizeof c->what, "tensor \"%.100s\"", t->name);
    TRY(read_shape(c, t));
    TRY(take_number(c, 4, &type));
    t->type = (GgufType)type;
    if (type > INT32_MAX || !gguf_type_name(t->type))
        return fail(ERR_DATA, "%s: %s: type %" PRIu64 " is none of F32 (0), F16 (1), Q8_0 (8), BF16 (30)", c->map->path, c->what, type);
    if (t->type == GGUF_Q8_0 && (!t->n_dims || t->shape[t->n_dims - 1] % Q8_0_BLOCK))
        return fail_here(c, "of Q8_0, but its rows are no multiple of 32");
    TRY(take_number(c, 8, &offset));
    if (offset != wanted)
        return fail(ERR_DATA, "%s: %s: its data begins at byte %" PRIu64 ", expected %" PRIu64 ", the next multiple of %" PRIu64,
                    c->map->path, c->what, offset, wanted, align);
    t->n_bytes = gguf_bytes(t->type, t->n_elems);
    if (__builtin_add_overflow(offset, t->n_bytes, end) || *end > c->map->n)
        return fail_here(c, "its data goes beyond the end of the file (is it cut short?)");
    return OK;
}

static int by_name(const void *a, const void *b) { return strcmp((*(GgufTensor *const *)a)->name, (*(GgufTensor *const *)b)->name); }

/* Their data begins behind the header, and the file ends with it. */
static Status place_tensors(Gguf *g, const Cursor *c, uint64_t align, uint64_t end)
{
    const uint64_t start = g->n_tensors ? (c->at + align - 1) & ~(align - 1) : c->at, padded = (start + end + align - 1) & ~(align - 1);
    if (start + end > g->map.n)
        return fail(ERR_DATA, "%s: its tensors end at byte %" PRIu64 ", the file has %zu (is it cut short?)", g->map.path, start + end,
                    g->map.n);
    if (padded < g->map.n)
        return fail(ERR_DATA, "%s: %" PRIu64 " bytes at its end belong to no tensor", g->map.path, g->map.n - padded);
    uint64_t at = 0;
    for (int i = 0; i < g->n_tensors; i++) {
        g->tensors[i].data = g->map.bytes + start + at;
        at = (at + g->tensors[i].n_bytes + align - 1) & ~(align - 1);
    }
    return OK;
}

static Status read_tensors(Gguf *g, Cursor *c, uint64_t n)
{
    uint64_t align, end = 0;
    TRY(read_alignment(g, &align));
    if (n > MAX_TENSORS || n > (c->map->n - c->at) / LEAST_TENSOR)
        return fail(ERR_DATA, "%s: announces %" PRIu64 " tensors; %d are allowed, and the file must have room for them", c->map->path, n,
                    MAX_TENSORS);
    g->tensors = mem_alloc((size_t)n * sizeof *g->tensors);
    g->by_name = mem_alloc((size_t)n * sizeof(GgufTensor *));
    if (n && (!g->tensors || !g->by_name))
        return fail(ERR_NOMEM, "%s: no memory for %" PRIu64 " tensors", c->map->path, n);
    for (int i = 0; i < (int)n; i++) {
        snprintf(c->what, sizeof c->what, "tensor %d", i + 1);
        g->by_name[i] = &g->tensors[i];
        Status s = read_tensor(c, &g->tensors[i], align, &end);
        g->n_tensors += g->tensors[i].name != NULL;
        TRY(s);
    }
    if (n)
        qsort(g->by_name, (size_t)n, sizeof(GgufTensor *), by_name);
    for (int i = 1; i < g->n_tensors; i++)
        if (!strcmp(g->by_name[i - 1]->name, g->by_name[i]->name))
            return fail(ERR_DATA, "%s: two tensors are called \"%s\"", c->map->path, g->by_name[i]->name);
    return place_tensors(g, c, align, end);
}

/* ---------------------------------------------------------------- the file */

static Status read_file(Gguf *g)
{
    Cursor c = {.map = &g->map, .what = "its header"};
    const uint8_t *magic = NULL;
    uint64_t version, n_tensors, n_entries;
    TRY(take(&c, &magic, 4));
    if (memcmp(magic, "GGUF", 4))
        return fail(ERR_DATA, "%s: not a GGUF file: it does not begin with \"GGUF\"", g->map.path);
    TRY(take_number(&c, 4, &version));
    if (version == (uint64_t)VERSION << 24)
        return fail(ERR_DATA, "%s: a GGUF file of a big-endian machine, which is not read", g->map.path);
    if (version != VERSION)
        return fail(ERR_DATA, "%s: a GGUF file of version %" PRIu64 ", and only 3 is read", g->map.path, version);
    TRY(take_number(&c, 8, &n_tensors));
    TRY(take_number(&c, 8, &n_entries));
    TRY(read_entries(g, &c, n_entries));
    return read_tensors(g, &c, n_tensors);
}

Status gguf_open(Gguf **out, const char *file)
{
    *out = NULL;
    Gguf *g = mem_alloc(sizeof *g);
    if (!g)
        return fail(ERR_NOMEM, "%s: no memory to open it", file);
    Status s = mapped_open(&g->map, file, "a GGUF file");
    if (!s)
        s = read_file(g);
    if (s)
        gguf_close(&g);
    *out = g;
    return s;
}

void gguf_close(Gguf **g)
{
    if (!g || !*g)
        return;
    for (int i = 0; i < (*g)->n_entries; i++)
        mem_free((void *)(uintptr_t)(*g)->entries[i].key);
    for (int i = 0; i < (*g)->n_tensors; i++)
        mem_free((void *)(uintptr_t)(*g)->tensors[i].name);
    mem_free((*g)->entries);
    mem_free((*g)->by_key);
    mem_free((*g)->tensors);
    mem_free((*g)->by_name);
    mapped_close(&(*g)->map);
    mem_free(*g);
    *g = NULL;
}

int gguf_count(const Gguf *g) { return g->n_tensors; }
const GgufTensor *gguf_at(const Gguf *g, int i) { return &g->tensors[i]; }
int gguf_n_entries(const Gguf *g) { return g->n_entries; }
const GgufEntry *gguf_entry_at(const Gguf *g, int i) { return &g->entries[i]; }
void gguf_release(const Gguf *g, const GgufTensor *t) { mapped_release(g->map.bytes, g->map.n, t->data, t->n_bytes); }

const GgufTensor *gguf_find(const Gguf *g, const char *name)
{
    GgufTensor key = {.name = name}, *at = &key, **found = NULL;
    if (g->n_tensors)
        found = bsearch(&at, g->by_name, (size_t)g->n_tensors, sizeof at, by_name);
    return found ? *found : NULL;
}

const GgufEntry *gguf_entry(const Gguf *g, const char *key)
{
    GgufEntry wanted = {.key = key}, *at = &wanted, **found = NULL;
    if (g->n_entries)
        found = bsearch(&at, g->by_key, (size_t)g->n_entries, sizeof at, by_key);
    return found ? *found : NULL;
}

/* ---------------------------------------------------------------- values of metadata */

static bool is_int(GgufKind k) { return k <= GGUF_I32 || k == GGUF_U64 || k == GGUF_I64; }
static bool is_real(GgufKind k) { return k == GGUF_REAL32 || k == GGUF_REAL64; }
static bool is_real32(GgufKind k) { return k == GGUF_REAL32; }
static bool is_bool(GgufKind k) { return k == GGUF_BOOL; }
static bool is_text(GgufKind k) { return k == GGUF_TEXT; }

static Status find_value(const Gguf *g, const char *key, const GgufEntry **out, bool is_array, bool fits(GgufKind), const char *wanted)
{
    const GgufEntry *e = gguf_entry(g, key);
    if (!e)
        return fail(ERR_DATA, "%s: no \"%s\" in its metadata", g->map.path, key);
    if (e->is_array != is_array || !fits(e->kind))
        return fail(ERR_DATA, "%s: \"%s\" is %s%s, expected %s%s", g->map.path, key, e->is_array ? "an array of " : "", KINDS[e->kind].name,
                    is_array ? "an array of " : "", wanted);
    *out = e;
    return OK;
}

/* An integer of kind k; false: it does not fit. */
static bool load_int(const uint8_t *p, GgufKind k, int64_t *out)
{
    const uint64_t v = mapped_number(p, KINDS[k].n_bytes);
    switch (k) {
    case GGUF_I8: *out = (int8_t)v; return true;
    case GGUF_I16: *out = (int16_t)v; return true;
    case GGUF_I32: *out = (int32_t)v; return true;
    case GGUF_I64: *out = (int64_t)v; return true;
    default: *out = (int64_t)v; return v <= INT64_MAX;
    }
}

static Status load_ints(const Gguf *g, const GgufEntry *e, int64_t *out)
{
    const uint8_t *p = e->data;
    for (uint64_t i = 0; i < e->n; i++, p += KINDS[e->kind].n_bytes)
        if (!load_int(p, e->kind, &out[i]))
            return fail(ERR_DATA, "%s: \"%s\" holds an integer beyond 63 bits", g->map.path, e->key);
    return OK;
}

static Status get_memory(const Gguf *g, const GgufEntry *e, void *out, size_t each)
{
    size_t n_bytes;
    void *memory = __builtin_mul_overflow(e->n, each, &n_bytes) ? NULL : mem_alloc(n_bytes ? n_bytes : 1);
    if (!memory)
        return fail(ERR_NOMEM, "%s: no memory for \"%s\"", g->map.path, e->key);
    memcpy(out, &memory, sizeof memory);
    return OK;
}

Status gguf_get_int(const Gguf *g, const char *key, int64_t *out)
{
    const GgufEntry *e;
    TRY(find_value(g, key, &e, false, is_int, "an integer"));
    return load_ints(g, e, out);
}

Status gguf_get_real(const Gguf *g, const char *key, double *out)
{
    const GgufEntry *e;
    float single;
    TRY(find_value(g, key, &e, false, is_real, "f32 or f64"));
    if (e->kind == GGUF_REAL64)
        memcpy(out, e->data, sizeof *out);
    else {
        memcpy(&single, e->data, sizeof single);
        *out = (double)single;
    }
    return OK;
}

Status gguf_get_bool(const Gguf *g, const char *key, bool *out)
{
    const GgufEntry *e;
    TRY(find_value(g, key, &e, false, is_bool, "bool"));
    *out = *(const uint8_t *)e->data;
    return OK;
}

static GgufText text_at(const uint8_t *p) { return (GgufText){(const char *)p + 8, (size_t)mapped_number(p, 8)}; }

Status gguf_get_text(const Gguf *g, const char *key, char **out)
{
    const GgufEntry *e;
    *out = NULL;
    TRY(find_value(g, key, &e, false, is_text, "text"));
    const GgufText text = text_at(e->data);
    if (memchr(text.bytes, 0, text.n))
        return fail(ERR_DATA, "%s: the text of \"%s\" has a NUL in it", g->map.path, key);
    if (!(*out = mem_alloc(text.n + 1)))
        return fail(ERR_NOMEM, "%s: no memory for \"%s\"", g->map.path, key);
    memcpy(*out, text.bytes, text.n);
    return OK;
}

Status gguf_get_ints(const Gguf *g, const char *key, int64_t **out, size_t *n)
{
    const GgufEntry *e;
    *out = NULL;
    TRY(find_value(g, key, &e, true, is_int, "integers"));
    TRY(get_memory(g, e, out, sizeof **out));
    *n = (size_t)e->n;
    Status s = load_ints(g, e, *out);
    if (s) {
        mem_free(*out);
        *out = NULL;
    }
    return s;
}

Status gguf_get_reals(const Gguf *g, const char *key, float **out, size_t *n)
{
    const GgufEntry *e;
    *out = NULL;
    TRY(find_value(g, key, &e, true, is_real32, "f32"));
    TRY(get_memory(g, e, out, sizeof **out));
    *n = (size_t)e->n;
    memcpy(*out, e->data, *n * sizeof **out);
    return OK;
}

Status gguf_get_texts(const Gguf *g, const char *key, GgufText **out, size_t *n)
{
    const GgufEntry *e;
    *out = NULL;
    TRY(find_value(g, key, &e, true, is_text, "text"));
    TRY(get_memory(g, e, out, sizeof **out));
    *n = (size_t)e->n;
    const uint8_t *p = e->data;
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = text_at(p);
        p = (const uint8_t *)(*out)[i].bytes + (*out)[i].n;
    }
    return OK;
}
