/* gguf.h: the container of llama.cpp, version 3, little-endian: read in place (mmap), written as a stream. For `convert`.
 *
 * Layout: "GGUF", version, count of tensors, count of metadata; metadata (key, kind, value); tensors (name, dimensions fastest first, type,
 * offset); data, each tensor at a multiple of the alignment (32, or general.alignment). Shapes here are in memory order as everywhere, the
 * last dimension contiguous; only the file has them reversed. */
#ifndef GENLLAVA_DATA_FORMATS_GGUF_H
#define GENLLAVA_DATA_FORMATS_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { GGUF_MAX_DIMS = 4, GGUF_ALIGN = 32, GGUF_MAX_NAME = 64 /* bytes of a tensor's name with its NUL */ };

/* The types of tensors that are read and written, by their numbers in files. Q8_0: blocks of 32 along the last dimension (q8_0.h). */
typedef enum GgufType { GGUF_F32 = 0, GGUF_F16 = 1, GGUF_Q8_0 = 8, GGUF_BF16 = 30 } GgufType;
const char *gguf_type_name(GgufType t); /* "F32", "F16", "Q8_0", "BF16" */
/* Bytes of n elements, whole blocks. */
size_t gguf_bytes(GgufType t, int64_t n_elems);

/* ---- reading */
typedef struct GgufTensor {
    const char *name;
    GgufType type;
    int n_dims;
    int64_t shape[GGUF_MAX_DIMS];
    int64_t n_elems;
    const void *data; /* in the mapping, aligned as the file says */
    size_t n_bytes;
} GgufTensor;

/* The kinds of metadata, by their numbers in files. */
typedef enum GgufKind {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_REAL32,
    GGUF_BOOL,
    GGUF_TEXT,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_REAL64,
    GGUF_N_KINDS
} GgufKind;

/* Bytes of a file: may hold NUL, and none ends them. */
typedef struct GgufText {
    const char *bytes;
    size_t n;
} GgufText;

typedef struct GgufEntry {
    const char *key;
    GgufKind kind;    /* of the elements, for an array */
    bool is_array;    /* arrays of arrays are refused */
    uint64_t n;       /* elements; 1 for what is no array */
    const void *data; /* the value as it lies in the file, misaligned; an array's first element */
} GgufEntry;

typedef struct Gguf Gguf;
MUST_USE Status gguf_open(Gguf **out, const char *file);
void gguf_close(Gguf **g);
int gguf_count(const Gguf *g);
const GgufTensor *gguf_at(const Gguf *g, int i);              /* in the order of the file, which is that of their data */
const GgufTensor *gguf_find(const Gguf *g, const char *name); /* NULL when absent */
int gguf_n_entries(const Gguf *g);
const GgufEntry *gguf_entry_at(const Gguf *g, int i);        /* in the order of the file */
const GgufEntry *gguf_entry(const Gguf *g, const char *key); /* NULL when absent */
/* The value of a key. ERR_DATA, with file and key, when it is absent or of another kind. An integer of any width, if it fits; text with a
 * NUL inside is refused, and the copy is the caller's (mem_free), as are the arrays. */
MUST_USE Status gguf_get_int(const Gguf *g, const char *key, int64_t *out);
MUST_USE Status gguf_get_real(const Gguf *g, const char *key, double *out);
MUST_USE Status gguf_get_bool(const Gguf *g, const char *key, bool *out);
MUST_USE Status gguf_get_text(const Gguf *g, const char *key, char **out);
MUST_USE Status gguf_get_ints(const Gguf *g, const char *key, int64_t **out, size_t *n);
MUST_USE Status gguf_get_reals(const Gguf *g, const char *key, float **out, size_t *n);
MUST_USE Status gguf_get_texts(const Gguf *g, const char *key, GgufText **out, size_t *n); /* their bytes stay in the file */
/* Its pages leave this process until it is read again. */
void gguf_release(const Gguf *g, const GgufTensor *t);

/* ---- writing: metadata, then all tensors declared, then their data in that order, in pieces of any size. What lies between two tensors is
 * filled in. Any error leaves the file to the caller to unlink. */
typedef struct GgufSpec {
    const char *name;
    GgufType type;
    int n_dims;
    int64_t shape[GGUF_MAX_DIMS];
} GgufSpec;
typedef struct GgufWriter GgufWriter;
MUST_USE Status gguf_create(GgufWriter **out, const char *path);
/* The first failure of these sticks and comes out of gguf_declare. Keys must differ. */
void gguf_put_u32(GgufWriter *w, const char *key, uint32_t value);
void gguf_put_f32(GgufWriter *w, const char *key, float value);
void gguf_put_bool(GgufWriter *w, const char *key, bool value);
void gguf_put_text(GgufWriter *w, const char *key, const char *value);
void gguf_put_texts(GgufWriter *w, const char *key, const char *const *values, size_t n);
void gguf_put_f32s(GgufWriter *w, const char *key, const float *values, size_t n);
void gguf_put_i32s(GgufWriter *w, const char *key, const int32_t *values, size_t n);
/* Names must differ and be shorter than GGUF_MAX_NAME; a Q8_0 tensor's last dimension must be a multiple of 32. */
MUST_USE Status gguf_declare(GgufWriter *w, const GgufSpec *specs, int n);
MUST_USE Status gguf_write(GgufWriter *w, const void *bytes, size_t n);
/* Checks that exactly the announced bytes came, fsyncs and closes. On any failure the writer is freed too. */
MUST_USE Status gguf_finish(GgufWriter **w);
void gguf_abandon(GgufWriter **w);
#endif
