/* bench_gpu_kernels.c: the lines of bench-gpu about single operators: time, share of the ceiling. Called by bench_gpu.c. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_clock.h"
#include "tools/bench/bench_gpu.h"
#include "tools/bench/roofline.h"

const BenchSizes BENCH_GPU_LARGE = {.rows = 16384, .cols = 4096, .optimiser = 1 << 26, .square = 8192, .copy_bytes = 1LL << 30,
                                    .memory_bytes = 3LL << 30,
                            .heads = 32, .kv_heads = 8, .head_dim = 128, .rows_of_attention = 16384, .segment = {1024, 2048}, .batches = 5,
                                    .steps = 5,
                            .images = {{8, 64, 320}, {2, 256, 256}},
                            .convolutions = {{8, 64, 4, 320}, {8, 64, 320, 320}, {8, 64, 640, 320}, {8, 32, 640, 640}, {8, 16, 1280, 1280},
                                             {8, 8, 1280, 1280}, {8, 64, 320, 4}, {2, 512, 128, 128}},
                            .unet = {{8, 64}, {32, 32}}, .batch_seconds = 0.02};
const BenchSizes BENCH_GPU_TINY = {.rows = 24, .cols = 64, .optimiser = 1000, .square = 32, .copy_bytes = 1 << 12, .memory_bytes = 1 << 20,
                                   .heads = 2,
                           .kv_heads = 1, .head_dim = 16, .rows_of_attention = 32, .segment = {16, 32}, .batches = 1, .steps = 2,
                           .images = {{1, 8, 32}}, .convolutions = {{1, 8, 8, 16}, {1, 8, 3, 5}}, .unet = {{1, 8}, {2, 4}}};

void bench_gpu_result(const char *row, double value, const char *unit, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%-4s %.*f %s: ", row, value < 10 ? 3 : value < 1000 ? 1 : 0, value, unit);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* ---------------------------------------------------------------- timing */

Status bench_gpu_batch(Bench *x, BenchWork work, const void *arg, int n, double *seconds)
{
    TRY(meter_mark(x->meter, 0));
    for (int i = 0; i < n; i++)
        TRY(work(x, arg));
    TRY(meter_mark(x->meter, 1));
    TRY(meter_between(x->meter, 0, 1, seconds));
    *seconds /= n;
    return OK;
}

/* Seconds of one call on the device: the median of batches that are long enough for the clock and for the launches to stay ahead. */
Status bench_gpu_time(Bench *x, BenchWork work, const void *arg, double *seconds)
{
    enum { MAX_BATCHES = 16, MAX_CALLS = 10000 };
    double all[MAX_BATCHES];
    TRY(bench_gpu_batch(x, work, arg, 1, seconds)); /* the first call chooses algorithms */
    TRY(bench_gpu_batch(x, work, arg, 1, seconds));
    double wanted = x->sizes->batch_seconds / fmax(*seconds, 1e-7);
    int n = wanted < 1 ? 1 : wanted > MAX_CALLS ? MAX_CALLS : (int)wanted;
    for (int i = 0; i < x->sizes->batches; i++)
        TRY(bench_gpu_batch(x, work, arg, n, &all[i]));
    *seconds = fmax(bench_median(all, x->sizes->batches), 1e-9);
    return OK;
}

typedef struct Call {
    Op op;
    const void *args;
} Call;

static Status call(Bench *x, const void *arg)
{
    const Call *c = arg;
    return op_call(&x->w.b, c->op, c->args);
}

/* ---------------------------------------------------------------- ceilings */

static Status copy(Bench *x, const void *arg)
{
    (void)arg;
    size_t n = (size_t)x->sizes->copy_bytes;
    return meter_copy(x->meter, x->ops.memory, x->ops.memory + n, n);
}

/* The matmul by the fastest of all algorithms that the library has: no estimate of its own decides what the others are measured by. */
static Status ceilings(Bench *x)
{
    enum { ALL = 64 };
    Backend *b = &x->w.b;
    int64_t n = x->sizes->square;
    const char *memory = x->ops.memory;
    Matmul a = {.m = n, .n = n, .k = n, .a_type = BF16, .b_type = BF16, .c_type = BF16, .b_trans = true, .lda = n, .ldb = n, .ldc = n,
                .alpha = 1,
                .a = memory, .b = memory + 2 * n * n, .c = x->ops.memory + 4 * n * n};
    double seconds;
    b->time_choices(b, ALL);
    Status s = bench_gpu_time(x, call, &(Call){OP_matmul, &a}, &seconds);
    b->time_choices(b, BENCH_GPU_OFFERS);
    TRY(s);
    x->matmul_flops = 2.0 * (double)n * (double)n * (double)n / seconds;
    bench_gpu_result("G10c", 1e-12 * x->matmul_flops, "TFLOP/s", "the largest matmul, of %lld a side in bf16, by the fastest algorithm",
                     (long long)n);
    TRY(bench_gpu_time(x, copy, NULL, &seconds));
    x->copy_bytes = 2.0 * (double)x->sizes->copy_bytes / seconds;
    printf("ceilings measured here: matmul of %lld x %lld x %lld in bf16 %.1f TFLOP/s; copy of %.2f GB %.2f TB/s (read and written)\n",
           (long long)n, (long long)n, (long long)n, 1e-12 * x->matmul_flops, 1e-9 * (double)x->sizes->copy_bytes, 1e-12 * x->copy_bytes);
    return OK;
}

/* ---------------------------------------------------------------- operators */

static Status elementwise_line(void *arg, Op op, const char *what, const void *args)
{
    Bench *x = arg;
    Cost cost;
    double seconds;
    op_cost(op, args, &cost);
    TRY(bench_gpu_time(x, call, &(Call){op, args}, &seconds));
    double rate = (cost.bytes_read + cost.bytes_written) / seconds;
    double share = rate / x->copy_bytes;
    printf("     %-16s %-28s %9.1f us %8.3f TB/s %5.2f of copy\n", op_name(op), what, 1e6 * seconds, 1e-12 * rate, share);
    if (x->slowest == 0 || share < x->slowest) {
        x->slowest = share;
        snprintf(x->slowest_name, sizeof x->slowest_name, "%s %s", op_name(op), what);
    }
    return OK;
}

/* Masks and products in one: neither has a ceiling to itself. */
static Status adapter_line(void *arg, Op op, const char *what, const void *args)
{
    Bench *x = arg;
    Cost cost;
    double seconds;
    op_cost(op, args, &cost);
    TRY(bench_gpu_time(x, call, &(Call){op, args}, &seconds));
    double bytes = (cost.bytes_read + cost.bytes_written) / seconds;
    printf("     %-17s %-27s %9.1f us %7.1f TFLOP/s %5.2f of the largest matmul, %5.2f of copy, %6.2f T integer instructions/s\n",
           op_name(op), what, 1e6 * seconds, 1e-12 * cost.flops / seconds, cost.flops / seconds / x->matmul_flops, bytes / x->copy_bytes,
           1e-12 * cost.integer / seconds);
    return OK;
}

static Status adapters(Bench *x)
{
    x->ops.arg = x;
    x->ops.line = adapter_line;
    TRY(bench_adapters(&x->ops, BF16, x->sizes->rows, x->sizes->cols, 16));
    return bench_adapters(&x->ops, BF16, x->sizes->rows, x->sizes->cols, 128);
}

typedef struct AttentionTimes {
    Bench *x;
    double flops, seconds;
} AttentionTimes;

static Status attention_line(void *arg, Op op, const char *what, const void *args)
{
    AttentionTimes *t = arg;
    Cost cost;
    double seconds;
    op_cost(op, args, &cost);
    TRY(bench_gpu_time(t->x, call, &(Call){op, args}, &seconds));
    if (op == OP_attention_decode) {
        double rate = (cost.bytes_read + cost.bytes_written) / seconds;
        printf("     %-16s %-28s %9.1f us %8.3f TB/s %5.2f of copy\n", op_name(op), what, 1e6 * seconds, 1e-12 * rate,
               rate / t->x->copy_bytes);
        return OK;
    }
    t->flops += cost.flops;
    t->seconds += seconds;
    printf("     %-16s %-28s %9.1f us %8.1f TFLOP/s\n", op_name(op), what, 1e6 * seconds, 1e-12 * cost.flops / seconds);
    return OK;
}

static Status attentions(Bench *x)
{
    static const char *const ROW[] = {"G8", "G8b"};
    const BenchSizes *s = x->sizes;
    for (int i = 0; i < 2; i++) {
        AttentionTimes t = {.x = x};
        x->ops.arg = &t;
        x->ops.line = attention_line;
        TRY(bench_attention(&x->ops, BF16, s->rows_of_attention / s->segment[i], s->segment[i], s->heads, s->kv_heads, s->head_dim));
        bench_gpu_result(ROW[i], 1e-12 * t.flops / t.seconds, "TFLOP/s", "attention forward and backward, causal, T %lld",
                         (long long)s->segment[i]);
    }
    return OK;
}

/* A convolution by cuDNN, where it is found, and by our own kernels. */
typedef struct Convolutions {
    Bench *x, own;
} Convolutions;

static Status conv_line(void *arg, Op op, const char *what, const void *args)
{
    Convolutions *c = arg;
    const bool by_cudnn = strstr(c->x->w.b.description, "cuDNN");
    Cost cost;
    double seconds, own;
    op_cost(op, args, &cost);
    TRY(bench_gpu_time(&c->own, call, &(Call){op, args}, &own));
    printf("     %-16s %-28s own %9.1f us %7.1f TFLOP/s", op_name(op), what, 1e6 * own, 1e-12 * cost.flops / own);
    if (by_cudnn) {
        TRY(bench_gpu_time(c->x, call, &(Call){op, args}, &seconds));
        printf("; cuDNN %9.1f us %7.1f TFLOP/s %5.2f of the largest matmul, %5.2f times as fast", 1e6 * seconds,
               1e-12 * cost.flops / seconds, cost.flops / seconds / c->x->matmul_flops, own / seconds);
    }
    printf("\n");
    return OK;
}

static Status time_convolutions(Convolutions *c)
{
    const BenchSizes *s = c->x->sizes;
    TRY(meter_open(&c->own.meter, &c->own.w.b, 2));
    c->x->ops.arg = c;
    c->x->ops.line = conv_line;
    for (size_t i = 0; i < sizeof s->convolutions / sizeof *s->convolutions && s->convolutions[i].images; i++)
        TRY(bench_conv(&c->x->ops, BF16, s->convolutions[i].images, s->convolutions[i].side, s->convolutions[i].in,
                       s->convolutions[i].out));
    return OK;
}

static Status convolutions(Bench *x)
{
    Convolutions c = {.x = x, .own = {.o = x->o, .sizes = x->sizes}};
    const char *set = getenv("GENLLAVA_CUDNN");
    setenv("GENLLAVA_CUDNN", "0", 1);
    Status s = cuda_open(&c.own.w.b, 0);
    if (!set)
        unsetenv("GENLLAVA_CUDNN");
    TRY(s);
    s = time_convolutions(&c);
    meter_close(&c.own.meter);
    c.own.w.b.close(&c.own.w.b);
    return s;
}

static Status elementwise(Bench *x)
{
    x->ops.arg = x;
    x->ops.line = elementwise_line;
    TRY(bench_elementwise(&x->ops, BF16, x->sizes->rows, x->sizes->cols));
    for (size_t i = 0; i < sizeof x->sizes->images / sizeof *x->sizes->images && x->sizes->images[i].images; i++)
        TRY(bench_images(&x->ops, BF16, x->sizes->images[i].images, x->sizes->images[i].side, x->sizes->images[i].in));
    TRY(bench_optimiser(&x->ops, x->sizes->optimiser));
    bench_gpu_result("G9", x->slowest, "of copy", "the slowest of the elementwise operators, %s", x->slowest_name);
    return OK;
}

/* ---------------------------------------------------------------- the matmuls of a step */

typedef struct Shape {
    Matmul matmul;
    int64_t launches;
} Shape;

typedef struct Shapes {
    Shape *list;
    int n, capacity;
    Status status;
} Shapes;

static bool same_shape(const Matmul *a, const Matmul *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->a_trans == b->a_trans && a->b_trans == b->b_trans && a->a_type == b->a_type &&
           a->b_type == b->b_type && a->c_type == b->c_type && a->accumulate == b->accumulate && !a->add == !b->add &&
           !a->bias == !b->bias && a->lda == b->lda && a->ldb == b->ldb && a->ldc == b->ldc;
}

static void note_product(Shapes *s, const Matmul *a)
{
    int i = 0;
    while (i < s->n && !same_shape(&s->list[i].matmul, a))
        i++;
    if (i == s->capacity) {
        int capacity = s->capacity ? 2 * s->capacity : 64;
        Shape *more = mem_grow(s->list, (size_t)capacity * sizeof *more);
        if (!more) {
            s->status = fail(ERR_NOMEM, "the list of matmuls: out of memory");
            return;
        }
        s->list = more;
        s->capacity = capacity;
    }
    if (i == s->n)
        s->list[s->n++] = (Shape){.matmul = *a};
    s->list[i].launches++;
}

static void note_shape(void *arg, Op op, const void *args, const Cost *cost)
{
    Shapes *s = arg;
    Matmul part[2];
    (void)cost;
    for (int i = 0, n = op == OP_matmul ? matmul_parts(args, part) : 0; i < n && !s->status; i++)
        note_product(s, &part[i]);
}

static size_t stored_bytes(int64_t rows, int64_t ld, DType t) { return ((size_t)(rows * ld) * dtype_size(t) + 255) & ~(size_t)255; }

/* Operands in memory of their own; false when they do not fit. */
static bool place(const Bench *x, Matmul *a)
{
    size_t size_a = stored_bytes(a->a_trans ? a->k : a->m, a->lda, a->a_type),
           size_b = stored_bytes(a->b_trans ? a->n : a->k, a->ldb, a->b_type);
    size_t size_c = stored_bytes(a->m, a->ldc, a->c_type), size_bias = stored_bytes(1, a->n, a->bias_type);
    char *p = x->ops.memory;
    a->a = p, a->b = p + size_a, a->c = p + size_a + size_b;
    a->bias = a->bias ? p + size_a + size_b + size_c : NULL;
    a->add = a->add ? p + size_a + size_b + size_c + size_bias : NULL;
    return size_a + size_b + 2 * size_c + size_bias <= x->ops.size;
}

static Status time_shapes(Bench *x, Shapes *s)
{
    double flops[2] = {0}, seconds[2] = {0}; /* large ones, narrow ones */
    for (int i = 0; i < s->n; i++) {
        Matmul *a = &s->list[i].matmul;
        Cost cost;
        double one;
        cost_matmul(a, &cost);
        if (!place(x, a)) {
            printf("     matmul %lld x %lld x %lld: not timed, its operands do not fit\n", (long long)a->m, (long long)a->n,
                   (long long)a->k);
            continue;
        }
        TRY(bench_gpu_time(x, call, &(Call){OP_matmul, a}, &one));
        bool narrow = roofline_narrow(OP_matmul, &cost);
        flops[narrow] += cost.flops * (double)s->list[i].launches;
        seconds[narrow] += one * (double)s->list[i].launches;
        printf("     matmul %6lld x %6lld x %6lld %c%c%s -> %s %5lld times %9.1f us %7.1f TFLOP/s %5.2f of the largest\n", (long long)a->m,
               (long long)a->n, (long long)a->k, a->a_trans ? 'T' : 'N', a->b_trans ? 'T' : 'N', a->accumulate ? "+" : " ",
               dtype_name(a->c_type), (long long)s->list[i].launches, 1e6 * one, 1e-12 * cost.flops / one,
               cost.flops / one / x->matmul_flops);
    }
    bench_gpu_result("G10", seconds[0] > 0 ? flops[0] / seconds[0] / x->matmul_flops : 0, "of the largest",
                     "matmuls of a step, large ones: %.1f ms; narrow ones: %.1f ms", 1e3 * seconds[0], 1e3 * seconds[1]);
    return OK;
}

DType bench_gpu_compute(const RunConfig *cfg) { return cfg->train.compute == COMPUTE_F32 ? F32 : BF16; }

static Status matmuls(Bench *x, const RunConfig *cfg, const PassShape *shape)
{
    Watched null;
    Shapes s = {0};
    MemoryPlan plan;
    TRY(null_open(&null.b));
    null.b.joins = x->ops.b->joins;
    watch_start(&null, (Watcher){.arg = &s, .before = note_shape});
    Status status = memory_walk(&plan, &null.b, cfg, bench_gpu_compute(cfg), &(MemoryRun){.passes = shape, .n_passes = 1}, NULL, NULL);
    null.b.close(&null.b);
    status = status ? status : s.status;
    if (status == OK)
        status = time_shapes(x, &s);
    mem_free(s.list);
    return status;
}

/* ---------------------------------------------------------------- once each */

static bool is_counted(Op op)
{
    return op == OP_attention_fwd || op == OP_attention_bwd || op == OP_glu_fwd || op == OP_glu_bwd || op == OP_rope ||
           op == OP_rmsnorm_fwd || op == OP_rmsnorm_bwd;
}

static Status call_once(void *arg, Op op, const char *what, const void *args)
{
    Bench *x = arg;
    if (!is_counted(op) || strstr(what, " erf"))
        return OK;
    printf("     %s %s\n", op_name(op), what);
    return op_call(&x->w.b, op, args);
}

static Status call_once_matmul(Bench *x, const Matmul *a)
{
    printf("     matmul %lld x %lld x %lld\n", (long long)a->m, (long long)a->n, (long long)a->k);
    return op_call(&x->w.b, OP_matmul, a);
}

/* u = x Aᵀ and dB = dyᵀ u of an adapter of rank 16. */
static Status narrow_once(Bench *x)
{
    const int64_t t = x->sizes->rows, d = x->sizes->cols, r = 16;
    char *wide = x->ops.memory, *small = wide + 2 * t * d, *out = small + 2 * (t + d) * r;
    const Matmul down = {.m = t, .n = r, .k = d, .a_type = BF16, .b_type = BF16, .c_type = BF16, .b_trans = true, .lda = d, .ldb = d,
                         .ldc = r, .alpha = 1, .a = wide, .b = small, .c = out};
    const Matmul grad = {.m = d, .n = r, .k = t, .a_type = BF16, .b_type = BF16, .c_type = F32, .a_trans = true, .lda = d, .ldb = r,
                         .ldc = r, .alpha = 1, .a = wide, .b = small, .c = out};
    TRY(call_once_matmul(x, &down));
    return call_once_matmul(x, &grad);
}

/* For a profiler, which counts every launch: what is worth counting, once each. */
static Status once(Bench *x)
{
    const BenchSizes *s = x->sizes;
    x->ops.arg = x;
    x->ops.line = call_once;
    TRY(bench_attention(&x->ops, BF16, s->rows_of_attention / s->segment[0], s->segment[0], s->heads, s->kv_heads, s->head_dim));
    TRY(bench_elementwise(&x->ops, BF16, s->rows, s->cols));
    TRY(narrow_once(x));
    uint16_t last; /* waits */
    return x->w.b.download(&x->w.b, &last, x->ops.memory, sizeof last);
}

/* ---------------------------------------------------------------- all of them */

/* Values that use every bit: a device draws less power over zeros, and is faster then. */
static Status fill_memory(Bench *x)
{
    enum { PIECE = 1 << 20 };
    uint16_t *host = mem_alloc(PIECE);
    if (!host)
        return fail(ERR_NOMEM, "random values: out of memory");
    uint32_t state = 12345;
    Status s = OK;
    for (size_t i = 0; i < PIECE / sizeof *host; i++) {
        state = state * 1664525u + 1013904223u;
        float v = (float)(int32_t)state * 4.6566e-10f; /* -1 … 1 */
        host[i] = f32_to_bf16(v);
    }
    for (size_t at = 0; at < x->ops.size && s == OK; at += PIECE)
        s = x->w.b.upload(&x->w.b, x->ops.memory + at, host, x->ops.size - at < PIECE ? x->ops.size - at : PIECE);
    uint16_t last;
    if (s == OK)
        s = x->w.b.download(&x->w.b, &last, x->ops.memory, sizeof last);
    mem_free(host);
    return s;
}

static Status kernels(Bench *x, const RunConfig *cfg, const PassShape *shape)
{
    int only = x->o->only;
    TRY(fill_memory(x));
    if (only == ONLY_ONCE)
        return once(x);
    TRY(ceilings(x));
    if (only == ONLY_ALL || only == ONLY_ATTENTION)
        TRY(attentions(x));
    if (only == ONLY_ALL || only == ONLY_CONV)
        TRY(convolutions(x));
    if (only == ONLY_ALL || only == ONLY_ELEMENTWISE)
        TRY(elementwise(x));
    if (only != ONLY_ALL && only != ONLY_MATMUL)
        return OK;
    TRY(adapters(x));
    return matmuls(x, cfg, shape);
}

Status bench_gpu_kernels(Bench *x, const RunConfig *cfg, const PassShape *shape)
{
    void *memory;
    Arena scratch;
    enum { SCRATCH = 64 << 20 };
    x->ops = (BenchOps){.b = &x->w.b, .size = (size_t)x->sizes->memory_bytes};
    TRY(x->w.b.mem_create(&x->w.b, x->ops.size + SCRATCH, &memory));
    x->ops.memory = memory;
    arena_borrow(&scratch, (char *)memory + x->ops.size, SCRATCH);
    x->w.b.ctx.scratch = &scratch;
    Status s = kernels(x, cfg, shape);
    x->w.b.mem_destroy(&x->w.b, memory);
    x->w.b.ctx.scratch = NULL;
    return s;
}
