/* coded.c: matrices held in codes: made of a file's values, and read back (coded.h). Called by params.c and by those that read weights. */
#include "train/nn/coded.h"

#include <math.h>

#include "train/nn/linear.h"

enum { CHUNK = 1 << 20 }; /* elements quantised at a time, at least: a multiple of NF4_BLOCK */

static int64_t cols_of(const Param *q) { return q->t.shape[1]; }

int64_t coded_bytes(const Param *q)
{
    const CodeFormat f = q->coded.format;
    const int64_t rows = q->t.shape[0], cols = cols_of(q);
    return codes_bytes(f, rows, cols) + codes_scales(f, rows, cols) * (int64_t)sizeof(float);
}

Status coded_create(Params *p, Param *q)
{
    const CodeFormat f = q->coded.format;
    const int64_t rows = q->t.shape[0], cols = cols_of(q);
    q->t.type = p->compute;
    if (q->coded.codes)
        return OK;
    TRY(params_memory(p, (size_t)codes_bytes(f, rows, cols), &q->coded.codes));
    return params_memory(p, (size_t)codes_scales(f, rows, cols) * sizeof(float), &q->coded.scales);
}

/* ---------------------------------------------------------------- quantising */

/* NaN when one of them is. */
static float largest(const float *w, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        const float magnitude = fabsf(w[i]);
        most = magnitude > most || isnan(magnitude) ? magnitude : most;
    }
    return most;
}

/* The nearest value's number: how many of the middles between neighbours lie below x. */
static unsigned nf4_code(float x)
{
    static const float VALUE[NF4_CODES] = {NF4_VALUES};
    unsigned code = 0;
    for (int i = 0; i + 1 < NF4_CODES; i++)
        code += x > (VALUE[i] + VALUE[i + 1]) / 2;
    return code;
}

static void quantise_nf4(const float *w, int64_t n, uint8_t *codes, float *scale)
{
    *scale = largest(w, n);
    const float inverse = *scale > 0 ? 1 / *scale : 0;
    for (int64_t i = 0; i < n; i += 2) {
        const unsigned high = nf4_code(w[i] * inverse), low = i + 1 < n ? nf4_code(w[i + 1] * inverse) : 0;
        codes[i / 2] = (uint8_t)(high << 4 | low);
    }
}

/* As bitsandbytes, which takes the weights in half precision. */
static void quantise_int8(float *w, int64_t n, uint8_t *codes, float *scale)
{
    for (int64_t i = 0; i < n; i++)
        w[i] = f16_to_f32(f32_to_f16(w[i]));
    *scale = largest(w, n);
    const float times = *scale > 0 ? 1 / *scale * 127 : 0; /* the order decides about halves */
    for (int64_t i = 0; i < n; i++)
        codes[i] = (uint8_t)(int8_t)lrintf(w[i] * times);
}

typedef struct Quantising {
    CodeFormat format;
    int64_t cols;
    float *values; /* of a chunk */
    uint8_t *codes;
    float *scales;
} Quantising;

/* A chunk: whole rows of int8, whole blocks of nf4 but for the matrix's end. */
static void quantise(const Quantising *z, int64_t n)
{
    const int64_t unit = z->format == CODES_NF4 ? NF4_BLOCK : z->cols, units = (n + unit - 1) / unit;
#pragma omp parallel for if (n >= CHUNK)
    for (int64_t i = 0; i < units; i++) {
        const int64_t from = i * unit, part = n - from < unit ? n - from : unit;
        if (z->format == CODES_NF4)
            quantise_nf4(z->values + from, part, z->codes + from / 2, z->scales + i);
        else
            quantise_int8(z->values + from, part, z->codes + from, z->scales + i);
    }
}

static Status check_scales(const Param *q, const float *scales, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(scales[i]))
            return fail(ERR_DATA, "%s: a number is not finite or does not fit, so it cannot be held as %s; use weights without it, or set "
                                  "model.llm.store to \"bf16\"",
                        q->name, q->coded.format == CODES_NF4 ? "nf4" : "int8");
    return OK;
}

/* Elements at … at+n-1. */
static Status set_chunk(Params *p, Param *q, const Quantising *z, int64_t at, int64_t n)
{
    const CodeFormat f = z->format;
    const int64_t scales = codes_scales(f, n / z->cols, z->cols), count = f == CODES_NF4 ? (n + NF4_BLOCK - 1) / NF4_BLOCK : scales;
    quantise(z, n);
    TRY(check_scales(q, z->scales, count));
    const int64_t byte = f == CODES_NF4 ? at / 2 : at, scale = f == CODES_NF4 ? at / NF4_BLOCK : at / z->cols;
    TRY(p->backend->upload(p->backend, (char *)q->coded.codes + byte, z->codes, (size_t)(f == CODES_NF4 ? (n + 1) / 2 : n)));
    return p->backend->upload(p->backend, (float *)q->coded.scales + scale, z->scales, (size_t)count * sizeof(float));
}

Status coded_set(Params *p, Param *q, const void *host, DType type)
{
    const int64_t all = q->t.n_elems, cols = cols_of(q);
    int64_t chunk = q->coded.format == CODES_NF4 ? CHUNK : (CHUNK + cols - 1) / cols * cols;
    chunk = chunk < all ? chunk : all;
    Quantising z = {.format = q->coded.format, .cols = cols};
    z.values = mem_alloc((size_t)chunk * sizeof(float));
    z.codes = mem_alloc((size_t)chunk);
    z.scales = mem_alloc((size_t)(chunk / (z.format == CODES_NF4 ? NF4_BLOCK : cols) + 1) * sizeof(float));
    Status s = z.values && z.codes && z.scales ? OK : fail(ERR_NOMEM, "%s: no memory to quantise it", q->name);
    for (int64_t at = 0; at < all && !s; at += chunk) {
        const int64_t n = all - at < chunk ? all - at : chunk;
        dtype_convert(z.values, F32, (const char *)host + (size_t)at * dtype_size(type), type, (size_t)n);
        s = set_chunk(p, q, &z, at, n);
    }
    mem_free(z.values);
    mem_free(z.codes);
    mem_free(z.scales);
    return s;
}

Status coded_set_codes(Params *p, Param *q, const void *codes, const float *scales)
{
    const CodeFormat f = q->coded.format;
    const int64_t rows = q->t.shape[0], cols = cols_of(q), n = codes_scales(f, rows, cols);
    TRY_IN(coded_create(p, q), "%s", q->name);
    if (params_measuring(p))
        return OK;
    TRY(check_scales(q, scales, n));
    TRY(p->backend->upload(p->backend, q->coded.codes, codes, (size_t)codes_bytes(f, rows, cols)));
    return p->backend->upload(p->backend, q->coded.scales, scales, (size_t)n * sizeof(float));
}

/* ---------------------------------------------------------------- reading back */

Status coded_get(Params *p, const Param *q, int64_t at, int64_t n, float *host)
{
    const CodeFormat f = q->coded.format;
    const int64_t cols = cols_of(q), unit = f == CODES_NF4 ? NF4_BLOCK : cols, from = at / unit * unit,
                  count = (at + n - from + unit - 1) / unit;
    const int64_t first_byte = f == CODES_NF4 ? from / 2 : from, end = f == CODES_NF4 ? (at + n + 1) / 2 : at + n;
    if (!q->coded.codes)
        return fail(ERR_INTERNAL, "%s has no values", q->name);
    uint8_t *codes = mem_alloc((size_t)(end - first_byte + 1));
    float *scales = mem_alloc((size_t)(count + 1) * sizeof *scales);
    Status s = codes && scales ? OK : fail(ERR_NOMEM, "%s: no memory to read it", q->name);
    if (!s)
        s = p->backend->download(p->backend, codes, (const char *)q->coded.codes + first_byte, (size_t)(end - first_byte));
    if (!s)
        s = p->backend->download(p->backend, scales, (const float *)q->coded.scales + from / unit, (size_t)count * sizeof *scales);
    for (int64_t i = 0; i < n && !s; i++)
        host[i] = codes_value(f, codes, scales, cols, at - from + i);
    mem_free(codes);
    mem_free(scales);
    return s;
}

/* ---------------------------------------------------------------- products */

/* Rows first … first+n_rows-1 of the weights one below the other. */
static void make_operand(Tape *t, const Linear *lin, int64_t first, int64_t n_rows, void *w)
{
    const int64_t in = cols_of(lin->w);
    for (char *to = w; n_rows && !t->status; lin++) {
        const int64_t out = linear_out(lin), rest = out - first, rows = rest < n_rows ? rest : n_rows;
        if (rest <= 0) {
            first -= out;
            continue;
        }
        const Dequantize d = coded_rows(lin->w, lin->first + first, rows, to, in);
        tape_run_dequantize(t, &d);
        to += tape_size(t, rows * in);
        n_rows -= rows;
        first = 0;
    }
}

/* The part of y = x Wᵀ that rows first … of W give. */
static Matmul columns_of(const Matmul *a, int64_t first, int64_t n)
{
    Matmul part = *a;
    const size_t c = (size_t)first * dtype_size(a->c_type);
    part.n = n;
    part.c = (char *)a->c + c;
    part.add = a->add ? (const char *)a->add + c : NULL;
    part.bias = a->bias ? (const char *)a->bias + (size_t)first * dtype_size(a->bias_type) : NULL;
    part.b2 = a->b2 ? (const char *)a->b2 + (size_t)(first * a->ldb2) * dtype_size(a->b2_type) : NULL;
    return part;
}

/* Rows of the weights that are dequantised at a time: for y as many as stay in the backend's caches; dx sums over all of them. */
static int64_t tile_rows(const Tape *t, const Matmul *a, int64_t out, int64_t in)
{
    enum { ROWS = 64 };
    const int64_t fit = (int64_t)(t->backend->tile_bytes / tape_size(t, in)) / ROWS * ROWS, rows = fit > ROWS ? fit : ROWS;
    return a->b_trans && t->backend->tile_bytes && rows < out ? rows : out;
}

void coded_product(Tape *t, const Linear *lin, int n, const Matmul *product)
{
    const int64_t out = linear_total(lin, n, linear_out), in = cols_of(lin->w), tile = tile_rows(t, product, out, in);
    const ArenaMark mark = arena_mark(t->scratch);
    void *w = tape_temp(t, tape_size(t, tile * in));
    for (int64_t first = 0; first < out && !t->status; first += tile) {
        const int64_t rows = out - first < tile ? out - first : tile;
        Matmul a = tile < out ? columns_of(product, first, rows) : *product;
        a.b = w;
        a.ldb = in;
        a.b_frozen = false;
        make_operand(t, lin, first, rows, w);
        if (!t->status)
            tape_run_matmul(t, &a);
    }
    arena_release(t->scratch, mark);
}
