/* params.c: the registry of weights: masters, gradients, moments (params.h). */
#include "train/nn/params.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/base/philox.h"
#include "train/nn/fp8.h"
#include "train/nn/joint.h"
#include "train/nn/coded.h"

typedef struct ParamBlock {
    void *memory;
    size_t n_bytes;
} ParamBlock;

enum { DRAW_CHUNK = 1 << 16 }; /* elements drawn or converted at a time; a multiple of 4 */

void params_init(Params *p, Backend *backend, DType compute)
{
    const DType master = compute == F64 ? F64 : F32;
    *p = (Params){.backend = backend, .compute = compute, .master = master, .moments = master};
}

static void free_param(Param *q)
{
    mem_free(q->name);
    mem_free(q->file_name);
    mem_free(q);
}

void params_destroy(Params *p)
{
    for (int i = 0; i < p->n; i++)
        free_param(p->list[i]);
    mem_free(p->list);
    for (Joint *j = p->joints, *next; j; j = next) {
        next = j->next;
        mem_free(j);
    }
    for (Fp8 *f = p->fp8s, *next; f; f = next) {
        next = f->next;
        mem_free(f);
    }
    for (int i = 0; i < p->n_blocks; i++)
        p->backend->mem_destroy(p->backend, p->blocks[i].memory);
    mem_free(p->blocks);
    *p = (Params){0};
}

bool params_measuring(const Params *p) { return !strcmp(p->backend->name, "null"); }

/* ---------------------------------------------------------------- declaring */

static bool set_shape(Param *q, const ParamSpec *spec)
{
    Tensor *t = &q->t;
    t->n_dims = spec->n_dims;
    t->n_elems = 1;
    for (int i = 0; i < spec->n_dims; i++) {
        q->shape[i] = t->shape[i] = spec->shape[i];
        if (__builtin_mul_overflow(t->n_elems, spec->shape[i], &t->n_elems))
            return false;
    }
    if (spec->channels_last) {
        t->shape[1] = spec->shape[2];
        t->shape[2] = spec->shape[3];
        t->shape[3] = spec->shape[1];
    }
    return t->n_elems <= INT64_MAX / 16;
}

Param *params_declare(Params *p, const ParamSpec *spec)
{
    if (p->n == p->capacity) {
        int capacity = p->capacity ? 2 * p->capacity : 256;
        Param **list = mem_grow(p->list, (size_t)capacity * sizeof *list);
        if (!list) {
            p->failed = true;
            return NULL;
        }
        p->list = list;
        p->capacity = capacity;
    }
    Param *q = mem_alloc(sizeof *q);
    char *name = mem_strdup(spec->name);
    if (!q || !name || !set_shape(q, spec)) {
        p->failed = true;
        mem_free(name);
        mem_free(q);
        return NULL;
    }
    q->name = name;
    q->group = p->group;
    q->trainable = spec->trainable || p->group.trainable;
    q->decay = spec->decay;
    q->init = spec->init;
    q->init_scale = spec->init_scale;
    q->channels_last = spec->channels_last;
    q->coded.format = spec->storable && !q->trainable ? p->group.format : CODES_NONE;
    q->flat = q->first_node = -1;
    q->t.type = p->compute;
    q->t.grad_type = p->master;
    q->t.needs_grad = q->trainable;
    q->t.param = q;
    p->list[p->n++] = q;
    return q;
}

Param *params_find(const Params *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->list[i]->name, name))
            return p->list[i];
    return NULL;
}

bool params_of(const Param *q, const char *part) { return q->group.part && !strcmp(q->group.part, part); }

Status params_memory(Params *p, size_t n_bytes, void **out)
{
    ParamBlock *blocks = mem_grow(p->blocks, (size_t)(p->n_blocks + 1) * sizeof *blocks);
    if (!blocks)
        return fail(ERR_NOMEM, "no memory for the list of weights");
    p->blocks = blocks;
    TRY(p->backend->mem_create(p->backend, n_bytes, out));
    p->blocks[p->n_blocks++] = (ParamBlock){*out, n_bytes};
    p->held += (int64_t)n_bytes;
    p->held_most = p->held > p->held_most ? p->held : p->held_most;
    return OK;
}

void params_memory_release(Params *p, void *memory)
{
    for (int i = 0; i < p->n_blocks; i++)
        if (p->blocks[i].memory == memory) {
            p->backend->mem_destroy(p->backend, memory);
            p->held -= (int64_t)p->blocks[i].n_bytes;
            p->blocks[i] = p->blocks[--p->n_blocks];
            return;
        }
}

static int by_name(const void *a, const void *b) { return strcmp((*(Param *const *)a)->name, (*(Param *const *)b)->name); }

/* A file could not tell two weights of one name apart. */
static Status check_names(const Params *p)
{
    if (!p->n)
        return OK;
    Param **sorted = mem_alloc((size_t)p->n * sizeof(Param *));
    if (!sorted)
        return fail(ERR_NOMEM, "no memory for the list of weights");
    memcpy(sorted, p->list, (size_t)p->n * sizeof *sorted);
    qsort(sorted, (size_t)p->n, sizeof *sorted, by_name);
    Status s = OK;
    for (int i = 1; i < p->n && !s; i++)
        if (!by_name(&sorted[i - 1], &sorted[i]))
            s = fail(ERR_INTERNAL, "%s is declared twice", sorted[i]->name);
    mem_free(sorted);
    return s;
}

static Laid laid_out(const void *by, const void *data, const Param *q, DType type)
{
    return (Laid){by, data, (const char *)data + (size_t)q->t.n_elems * dtype_size(type)};
}

Status params_create(Params *p)
{
    if (p->failed)
        return fail(ERR_NOMEM, "no memory to declare the weights");
    TRY(check_names(p));
    for (int i = 0; i < p->n; i++)
        if (p->list[i]->trainable) {
            p->list[i]->flat = p->n_flat;
            p->n_flat += (p->list[i]->t.n_elems + PARAMS_PAD - 1) / PARAMS_PAD * PARAMS_PAD;
        }
    if (!p->n_flat)
        return OK;
    const size_t master = dtype_size(p->master), moment = dtype_size(p->moments);
    const struct {
        void **to;
        size_t size;
    } flat[] = {{&p->flat_master, master}, {&p->flat_grad, master}, {&p->flat_m, moment}, {&p->flat_v, moment}};
    for (int i = 0; i < (p->answers ? 1 : 4); i++)
        TRY_IN(params_memory(p, (size_t)p->n_flat * flat[i].size, flat[i].to), "%" PRId64 " trainable elements", p->n_flat);
    if (p->compute != p->master)
        TRY_IN(params_memory(p, (size_t)p->n_flat * dtype_size(p->compute), &p->flat_copy), "%" PRId64 " trainable elements", p->n_flat);
    for (int i = 0; i < p->n; i++) {
        Param *q = p->list[i];
        if (!q->trainable)
            continue;
        char *base = p->flat_copy ? p->flat_copy : p->flat_master;
        q->t.data = base + (size_t)q->flat * dtype_size(p->compute);
        q->laid = laid_out(p, q->t.data, q, p->compute);
        q->t.grad = p->answers ? NULL : (char *)p->flat_grad + (size_t)q->flat * master;
    }
    return OK;
}

static int64_t bytes_of(const Param *q) { return q->coded.format ? coded_bytes(q) : q->t.n_elems * (int64_t)dtype_size(q->t.type); }

/* What a tensor in a file takes of memory: a fault maps 64 KiB around it. What a tensor before it has of that is not counted again. */
static int64_t page_bytes(const Params *p, int i)
{
    const uintptr_t around = 1 << 16;
    uintptr_t from = (uintptr_t)p->list[i]->t.data & ~(around - 1), start = from;
    uintptr_t to = ((uintptr_t)p->list[i]->t.data + (uintptr_t)bytes_of(p->list[i]) + around - 1) & ~(around - 1);
    for (int j = 0; j < p->n; j++) {
        const Param *q = p->list[j];
        uintptr_t first = (uintptr_t)q->t.data & ~(around - 1), end = (uintptr_t)q->t.data + (uintptr_t)bytes_of(q);
        if (q->mapped && (first < start || (first == start && j < i)) && ((end + around - 1) & ~(around - 1)) > from)
            from = (end + around - 1) & ~(around - 1);
    }
    return from < to ? (int64_t)(to - from) : 0;
}

ParamBytes params_bytes(const Params *p)
{
    int64_t master = p->n_flat * (int64_t)dtype_size(p->master), copy = p->flat_copy ? p->n_flat * (int64_t)dtype_size(p->compute) : 0;
    ParamBytes b = {.frozen = p->besides, .masters = master + copy, .passing = p->held_most - p->held};
    if (!p->answers) {
        b.gradients = master;
        b.moments = 2 * p->n_flat * (int64_t)dtype_size(p->moments);
    }
    for (int i = 0; i < p->n; i++) {
        const Param *q = p->list[i];
        b.frozen += q->trainable ? 0 : bytes_of(q);
        b.mapped += q->mapped ? bytes_of(q) : 0;
        b.pages += q->mapped ? page_bytes(p, i) : 0;
    }
    return b;
}

/* ---------------------------------------------------------------- values */

/* What a frozen weight of a file's type becomes. Norm weights, biases and the like ([n]) stay as they are under bf16. */
static DType frozen_type(const Params *p, const Param *q, DType file)
{
    if (q->group.rounded)
        return BF16;
    if (p->compute == F64)
        return F64;
    if (p->compute == BF16 && q->t.n_dims > 1)
        return BF16;
    return file == BF16 ? BF16 : F32;
}

/* Whether a file's order is not that of memory. A kernel of one pixel has but one order. */
static bool is_reordered(const Param *q) { return q->channels_last && q->shape[2] * q->shape[3] > 1; }

/* dst [rows][n][m] from src [rows][m][n], of elements of n_bytes. */
static void transpose(char *dst, const char *src, int64_t rows, int64_t m, int64_t n, size_t n_bytes)
{
    for (int64_t r = 0; r < rows; r++, src += (size_t)(m * n) * n_bytes)
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < m; i++, dst += n_bytes)
                memcpy(dst, src + (size_t)(i * n + j) * n_bytes, n_bytes);
}

void params_to_memory(const Param *q, void *dst, const void *file, int64_t rows, size_t n_bytes)
{
    if (is_reordered(q))
        transpose(dst, file, rows, q->shape[1], q->shape[2] * q->shape[3], n_bytes);
    else
        memcpy(dst, file, (size_t)(rows * param_row(q)) * n_bytes);
}

void params_to_file(const Param *q, void *dst, const void *memory, int64_t rows, size_t n_bytes)
{
    if (is_reordered(q))
        transpose(dst, memory, rows, q->shape[2] * q->shape[3], q->shape[1], n_bytes);
    else
        memcpy(dst, memory, (size_t)(rows * param_row(q)) * n_bytes);
}

/* Elements [at, at+n) of one array on the backend. stage: room for n converted elements. */
static Status upload_as(Params *p, void *base, int64_t at, DType to, const void *host, DType from, int64_t n, void *stage)
{
    if (to != from) {
        dtype_convert(stage, to, host, from, (size_t)n);
        host = stage;
    }
    return p->backend->upload(p->backend, (char *)base + (size_t)at * dtype_size(to), host, (size_t)n * dtype_size(to));
}

static Status write_range(Params *p, Param *q, int64_t at, const void *host, DType type, int64_t n, void *stage)
{
    if (!q->trainable)
        return upload_as(p, q->t.data, at, q->t.type, host, type, n, stage);
    TRY(upload_as(p, p->flat_master, q->flat + at, p->master, host, type, n, stage));
    return p->flat_copy ? upload_as(p, p->flat_copy, q->flat + at, p->compute, host, type, n, stage) : OK;
}

static Status need_memory(Params *p, Param *q, DType type)
{
    if (q->coded.format)
        return coded_create(p, q);
    if (q->fp8)
        return fp8_begin(p, q, frozen_type(p, q, F32)); /* of weights side by side one may come in F32 */
    if (q->trainable || q->t.data)
        return OK;
    q->t.type = type;
    return params_memory(p, (size_t)q->t.n_elems * dtype_size(type), &q->t.data);
}

static Status has_values(Params *p, Param *q) { return q->fp8 ? fp8_end(p, q) : OK; }

Status params_set(Params *p, Param *q, const void *host, DType type)
{
    TRY_IN(need_memory(p, q, frozen_type(p, q, type)), "%s", q->name);
    if (params_measuring(p) || !q->t.n_elems)
        return has_values(p, q);
    if (q->coded.format)
        return coded_set(p, q, host, type);
    const int64_t row = param_row(q), rows = row < DRAW_CHUNK ? DRAW_CHUNK / row : 1, chunk = is_reordered(q) ? rows * row : DRAW_CHUNK;
    void *stage = mem_alloc((size_t)chunk * sizeof(double)), *ordered = is_reordered(q) ? mem_alloc((size_t)chunk * sizeof(double)) : NULL;
    Status s = stage && (ordered || !is_reordered(q)) ? OK : fail(ERR_NOMEM, "%s: no memory to convert it", q->name);
    for (int64_t at = 0; at < q->t.n_elems && !s; at += chunk) {
        int64_t n = q->t.n_elems - at < chunk ? q->t.n_elems - at : chunk;
        const void *from = (const char *)host + (size_t)at * dtype_size(type);
        if (ordered)
            params_to_memory(q, ordered, from, n / row, dtype_size(type));
        s = write_range(p, q, at, ordered ? ordered : from, type, n, stage);
    }
    mem_free(stage);
    mem_free(ordered);
    return s ? s : has_values(p, q);
}

Status params_place(Params *p, Param *q, const void *data, DType type)
{
    static const char FILES[] = "files"; /* of which no two touch: each begins with a header */
    bool as_is = !q->trainable && !is_reordered(q) && frozen_type(p, q, type) == type && (uintptr_t)data % dtype_size(type) == 0;
    as_is &= p->backend->host_memory && !q->fp8;
    if (as_is)
        q->laid = laid_out(FILES, data, q, type);
    if (as_is && !q->coded.format) {
        q->t.type = type;
        q->t.data = (void *)(uintptr_t)data; /* never written: it is frozen */
        q->mapped = true;
        return OK;
    }
    return params_set(p, q, data, type);
}

/* Elements of codes, times their rows' scales. */
static Status get_scaled(Params *p, const Param *q, int64_t at, int64_t n, float *host)
{
    const int64_t cols = tensor_cols(&q->t), first = at / cols, rows = (at + n - 1) / cols - first + 1;
    float *scale = mem_alloc((size_t)rows * sizeof *scale + (size_t)n);
    uint8_t *code = (uint8_t *)(scale + rows);
    if (!scale)
        return fail(ERR_NOMEM, "%s: no memory to read it", q->name);
    Status s = p->backend->download(p->backend, scale, q->row_scale + first, (size_t)rows * sizeof *scale);
    if (!s)
        s = p->backend->download(p->backend, code, (const uint8_t *)q->t.data + at, (size_t)n);
    for (int64_t i = 0; i < n && !s; i++)
        host[i] = scale[(at + i) / cols - first] * fp8_to_f32(code[i]);
    mem_free(scale);
    return s;
}

/* Elements as they lie in memory. */
static Status get_elements(Params *p, const Param *q, int64_t at, int64_t n, float *host)
{
    if (q->coded.format)
        return coded_get(p, q, at, n, host);
    DType type = q->trainable ? p->master : q->t.type;
    const char *from = q->trainable ? p->flat_master : q->t.data;
    if (!from)
        return fail(ERR_INTERNAL, "%s has no values", q->name);
    if (q->row_scale)
        return n ? get_scaled(p, q, at, n, host) : OK;
    int64_t cols = tensor_cols(&q->t);
    if (q->ld && at % cols + n > cols) { /* row by row */
        for (int64_t part; n; at += part, host += part, n -= part) {
            part = cols - at % cols < n ? cols - at % cols : n;
            TRY(get_elements(p, q, at, part, host));
        }
        return OK;
    }
    if (q->ld)
        at = at / cols * q->ld + at % cols;
    from += (size_t)(at + (q->trainable ? q->flat : 0)) * dtype_size(type);
    if (type == F32)
        return p->backend->download(p->backend, host, from, (size_t)n * sizeof *host);
    char *stage = mem_alloc((size_t)n * dtype_size(type));
    if (!stage)
        return fail(ERR_NOMEM, "%s: no memory to read it", q->name);
    Status s = p->backend->download(p->backend, stage, from, (size_t)n * dtype_size(type));
    if (!s)
        dtype_convert(host, F32, stage, type, (size_t)n);
    mem_free(stage);
    return s;
}

/* Elements at … at+n-1 of row `row` in the order of files; buffer: two rows. */
static Status get_from_row(Params *p, const Param *q, int64_t row, int64_t at, int64_t n, float *host, float *buffer)
{
    int64_t size = param_row(q);
    TRY(get_elements(p, q, row * size, size, buffer));
    params_to_file(q, buffer + size, buffer, 1, sizeof *buffer);
    memcpy(host, buffer + size + at, (size_t)n * sizeof *host);
    return OK;
}

Status params_get_range(Params *p, const Param *q, int64_t at, int64_t n, float *host)
{
    if (!is_reordered(q))
        return get_elements(p, q, at, n, host);
    int64_t size = param_row(q);
    float *buffer = mem_alloc((size_t)(2 * size) * sizeof *buffer);
    Status s = buffer ? OK : fail(ERR_NOMEM, "%s: no memory to read it", q->name);
    for (int64_t part; n && !s; at += part, host += part, n -= part) {
        part = size - at % size < n ? size - at % size : n;
        s = get_from_row(p, q, at / size, at % size, part, host, buffer);
    }
    mem_free(buffer);
    return s;
}

Status params_get(Params *p, const Param *q, float *host) { return params_get_range(p, q, 0, q->t.n_elems, host); }

Status params_find_not_finite(Params *p, const Param **found)
{
    enum { CHUNK = 1 << 16 };
    float *values = mem_alloc(CHUNK * sizeof *values);
    Status s = values ? OK : fail(ERR_NOMEM, "no memory to look at the weights");
    *found = NULL;
    for (int i = 0; i < p->n && !s && !*found; i++)
        for (int64_t at = 0, all = p->list[i]->t.n_elems; at < all && !s && !*found; at += CHUNK) {
            int64_t n = all - at < CHUNK ? all - at : CHUNK;
            s = params_get_range(p, p->list[i], at, n, values);
            for (int64_t k = 0; k < n && !s; k++)
                *found = isfinite(values[k]) ? *found : p->list[i];
        }
    mem_free(values);
    return s;
}

/* ---------------------------------------------------------------- drawing */

static uint64_t hash_name(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, 64 bits */
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

/* Elements 4·group … 4·group+3 of a stream. */
static void draw4(const Param *q, uint64_t key, int64_t group, float out[4])
{
    uint32_t lo = (uint32_t)group, hi = (uint32_t)(group >> 32);
    Philox4 r = philox4x32(key, lo, hi, 0, 0);
    if (q->init == INIT_UNIFORM) {
        for (int i = 0; i < 4; i++)
            out[i] = (float)((2.0 * (double)philox_uniform(r.v[i]) - 1.0) * q->init_scale);
        return;
    }
    philox_normal2(r.v[0], r.v[1], out);
    philox_normal2(r.v[2], r.v[3], out + 2);
    for (int i = 0; i < 4; i++) {
        for (uint32_t again = 1; q->init == INIT_TRUNCATED && fabsf(out[i]) > 2; again++) {
            float pair[2];
            r = philox4x32(key, lo, hi, again, (uint32_t)i);
            philox_normal2(r.v[0], r.v[1], pair);
            out[i] = pair[0];
        }
        out[i] = (float)((double)out[i] * q->init_scale);
    }
}

static void draw_range(const Param *q, uint64_t key, int64_t at, int64_t n, float *out)
{
    if (q->init == INIT_ZERO || q->init == INIT_ONE) {
        for (int64_t i = 0; i < n; i++)
            out[i] = q->init == INIT_ONE;
        return;
    }
    enum { WORTH_THREADS = 1 << 14 };
#pragma omp parallel for if (n >= WORTH_THREADS)
    for (int64_t i = 0; i < n; i += 4) {
        float four[4];
        draw4(q, key, (at + i) / 4, four);
        for (int64_t j = 0; j < 4 && i + j < n; j++)
            out[i + j] = four[j];
    }
}

Status params_draw(Params *p, Param *q, uint64_t seed)
{
    TRY_IN(need_memory(p, q, frozen_type(p, q, F32)), "%s", q->name);
    if (params_measuring(p))
        return has_values(p, q);
    const bool whole = is_reordered(q) || q->coded.format; /* drawn in the order of files; codes are of whole rows or blocks */
    const int64_t chunk = whole ? q->t.n_elems : DRAW_CHUNK;
    float *values = mem_alloc((size_t)chunk * sizeof *values);
    void *stage = mem_alloc(DRAW_CHUNK * sizeof(double));
    Status s = values && stage ? OK : fail(ERR_NOMEM, "%s: no memory to draw it", q->name);
    uint64_t key = philox_key(seed, RANDOM_INIT, hash_name(q->name), 0);
    for (int64_t at = 0; at < q->t.n_elems && !s; at += chunk) {
        int64_t n = q->t.n_elems - at < chunk ? q->t.n_elems - at : chunk;
        draw_range(q, key, at, n, values);
        s = whole ? params_set(p, q, values, F32) : write_range(p, q, at, values, F32, n, stage);
    }
    mem_free(values);
    mem_free(stage);
    return s || whole ? s : has_values(p, q);
}

Status params_draw_part(Params *p, const char *part, uint64_t seed)
{
    for (int i = 0; i < p->n; i++)
        if (params_of(p->list[i], part))
            TRY(params_draw(p, p->list[i], seed));
    return OK;
}

Status params_step_begin(Params *p)
{
    for (int i = 0; i < p->n; i++)
        p->list[i]->reached = p->list[i]->is_final = false;
    if (!p->n_flat)
        return OK;
    return p->backend->ops.fill(&p->backend->ctx, &(Fill){.n = p->n_flat, .type = p->master, .x = p->flat_grad});
}
