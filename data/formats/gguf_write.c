/* gguf_write.c: writes GGUF files, a tensor after the other (gguf.h). */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "data/formats/gguf.h"
#include "data/formats/q8_0.h"
#include "data/formats/sink.h"
#include "kernels/base/arena.h"

enum { VERSION = 3 };

/* Bytes that grow. Without memory for more, `full` sticks. */
typedef struct Bytes {
    uint8_t *at;
    size_t n, room;
    bool full;
} Bytes;

struct GgufWriter {
    Sink sink;
    Bytes metadata;
    uint64_t n_entries;
    uint64_t *sizes; /* of the tensors */
    int n_tensors, tensor;
    uint64_t written; /* bytes of `tensor` */
};

/* ---------------------------------------------------------------- growing bytes */

static void add_bytes(Bytes *b, const void *bytes, size_t n)
{
    if (b->full)
        return;
    if (n > b->room - b->n) {
        const size_t room = 2 * (b->n + n);
        uint8_t *grown = mem_grow(b->at, room);
        if (!grown) {
            b->full = true;
            return;
        }
        b->at = grown;
        b->room = room;
    }
    memcpy(b->at + b->n, bytes, n);
    b->n += n;
}

/* Machines that this runs on are little-endian, as files are. */
static void add_u32(Bytes *b, uint32_t value) { add_bytes(b, &value, sizeof value); }
static void add_u64(Bytes *b, uint64_t value) { add_bytes(b, &value, sizeof value); }

static void add_text(Bytes *b, const char *text)
{
    add_u64(b, strlen(text));
    add_bytes(b, text, strlen(text));
}

/* ---------------------------------------------------------------- metadata */

static Bytes *add_key(GgufWriter *w, const char *key, GgufKind kind)
{
    w->n_entries++;
    add_text(&w->metadata, key);
    add_u32(&w->metadata, kind);
    return &w->metadata;
}

static Bytes *add_array(GgufWriter *w, const char *key, GgufKind kind, size_t n)
{
    Bytes *b = add_key(w, key, GGUF_ARRAY);
    add_u32(b, kind);
    add_u64(b, n);
    return b;
}

void gguf_put_u32(GgufWriter *w, const char *key, uint32_t value) { add_u32(add_key(w, key, GGUF_U32), value); }
void gguf_put_f32(GgufWriter *w, const char *key, float value) { add_bytes(add_key(w, key, GGUF_REAL32), &value, sizeof value); }
void gguf_put_bool(GgufWriter *w, const char *key, bool value) { add_bytes(add_key(w, key, GGUF_BOOL), &(uint8_t){value}, 1); }
void gguf_put_text(GgufWriter *w, const char *key, const char *value) { add_text(add_key(w, key, GGUF_TEXT), value); }

void gguf_put_texts(GgufWriter *w, const char *key, const char *const *values, size_t n)
{
    Bytes *b = add_array(w, key, GGUF_TEXT, n);
    for (size_t i = 0; i < n; i++)
        add_text(b, values[i]);
}

void gguf_put_f32s(GgufWriter *w, const char *key, const float *values, size_t n)
{
    add_bytes(add_array(w, key, GGUF_REAL32, n), values, n * sizeof *values);
}

void gguf_put_i32s(GgufWriter *w, const char *key, const int32_t *values, size_t n)
{
    add_bytes(add_array(w, key, GGUF_I32, n), values, n * sizeof *values);
}

/* ---------------------------------------------------------------- tensors */

static Status add_tensor(const GgufWriter *w, Bytes *b, const GgufSpec *t, uint64_t offset, uint64_t *size)
{
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        n *= t->shape[i];
    if (strlen(t->name) >= GGUF_MAX_NAME)
        return fail(ERR_DATA, "%s: tensor \"%.200s\": its name has %zu bytes, at most %d are allowed", w->sink.path, t->name,
                    strlen(t->name), GGUF_MAX_NAME - 1);
    if (t->type == GGUF_Q8_0 && (!t->n_dims || t->shape[t->n_dims - 1] % Q8_0_BLOCK))
        return fail(ERR_INTERNAL, "%s: tensor \"%s\" is to be of Q8_0, but its rows are no multiple of 32", w->sink.path, t->name);
    add_text(b, t->name);
    add_u32(b, (uint32_t)t->n_dims);
    for (int i = t->n_dims; i-- > 0;)
        add_u64(b, (uint64_t)t->shape[i]);
    add_u32(b, t->type);
    add_u64(b, offset);
    *size = gguf_bytes(t->type, n);
    return OK;
}

/* Zeros from byte `at` to the next multiple of the alignment. */
static Status pad(GgufWriter *w, uint64_t at)
{
    static const uint8_t ZEROS[GGUF_ALIGN];
    return sink_put(&w->sink, ZEROS, (size_t)(-at % GGUF_ALIGN));
}

/* Moves on behind tensors of which every byte is there. */
static Status end_tensors(GgufWriter *w)
{
    while (w->tensor < w->n_tensors && w->written == w->sizes[w->tensor]) {
        TRY(pad(w, w->written));
        w->tensor++;
        w->written = 0;
    }
    return OK;
}

static Status add_tensors(GgufWriter *w, Bytes *b, const GgufSpec *specs)
{
    uint64_t offset = 0;
    for (int i = 0; i < w->n_tensors; i++) {
        TRY(add_tensor(w, b, &specs[i], offset, &w->sizes[i]));
        offset += (w->sizes[i] + GGUF_ALIGN - 1) / GGUF_ALIGN * GGUF_ALIGN;
    }
    return OK;
}

static Status write_header(GgufWriter *w, const GgufSpec *specs, Bytes *head, Bytes *tensors)
{
    add_bytes(head, "GGUF", 4);
    add_u32(head, VERSION);
    add_u64(head, (uint64_t)w->n_tensors);
    add_u64(head, w->n_entries);
    TRY(add_tensors(w, tensors, specs));
    if (head->full || tensors->full || w->metadata.full)
        return fail(ERR_NOMEM, "%s: no memory for its header", w->sink.path);
    TRY(sink_put(&w->sink, head->at, head->n));
    TRY(sink_put(&w->sink, w->metadata.at, w->metadata.n));
    TRY(sink_put(&w->sink, tensors->at, tensors->n));
    TRY(pad(w, head->n + w->metadata.n + tensors->n));
    return end_tensors(w);
}

Status gguf_create(GgufWriter **out, const char *path)
{
    *out = NULL;
    GgufWriter *w = mem_alloc(sizeof *w);
    if (!w)
        return fail(ERR_NOMEM, "%s: no memory to write it", path);
    Status s = sink_open(&w->sink, path);
    if (s)
        gguf_abandon(&w);
    *out = w;
    return s;
}

Status gguf_declare(GgufWriter *w, const GgufSpec *specs, int n)
{
    Bytes head = {0}, tensors = {0};
    w->n_tensors = n;
    w->sizes = mem_alloc(((size_t)n + 1) * sizeof *w->sizes);
    Status s = w->sizes ? write_header(w, specs, &head, &tensors) : fail(ERR_NOMEM, "%s: no memory for %d tensors", w->sink.path, n);
    mem_free(head.at);
    mem_free(tensors.at);
    return s;
}

Status gguf_write(GgufWriter *w, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n) {
        if (w->tensor == w->n_tensors)
            return fail(ERR_INTERNAL, "%s: more data than its %d tensors have", w->sink.path, w->n_tensors);
        const uint64_t rest = w->sizes[w->tensor] - w->written;
        const size_t piece = n < rest ? n : (size_t)rest;
        TRY(sink_put(&w->sink, p, piece));
        w->written += piece;
        p += piece;
        n -= piece;
        TRY(end_tensors(w));
    }
    return OK;
}

Status gguf_finish(GgufWriter **w)
{
    GgufWriter *x = *w;
    Status s = x->tensor < x->n_tensors
                   ? fail(ERR_INTERNAL, "%s: the data of tensor %d of %d has %" PRIu64 " bytes, %" PRIu64 " are wanted", x->sink.path,
                          x->tensor + 1, x->n_tensors, x->written, x->sizes[x->tensor])
                   : sink_close(&x->sink);
    gguf_abandon(w);
    return s;
}

void gguf_abandon(GgufWriter **w)
{
    if (!w || !*w)
        return;
    sink_abandon(&(*w)->sink);
    mem_free((*w)->metadata.at);
    mem_free((*w)->sizes);
    mem_free(*w);
    *w = NULL;
}
