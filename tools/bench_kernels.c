/* How near the CPU kernels come to the machine: for each instruction set it has, the matmuls of the model's shapes as a fraction of the
 * FMA peak, and the other operators as a fraction of the copy bandwidth, both measured in the same run.
 *
 * usage: bench-kernels [NAME]   only lines whose operator contains NAME */
#include <immintrin.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/ops/table.h"

enum { ACCUMULATORS = 12, PEAK_STEPS = 100000, PEAK_TRIES = 300, COPY_BYTES = 256 << 20 };
static const double MIN_SECONDS = 0.15;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---------------------------------------------------------------- the machine */

#define PEAK(name, target_, Vector, set, fma, sum)                                       \
    __attribute__((target(target_), noinline)) static float peak_##name(void)           \
    {                                                                                    \
        Vector a[ACCUMULATORS], x = set(1.0f), y = set(1e-9f);                           \
        for (int i = 0; i < ACCUMULATORS; i++)                                           \
            a[i] = x;                                                                    \
        for (int step = 0; step < PEAK_STEPS; step++)                                    \
            _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; i++) a[i] = fma(a[i], x, y); \
        for (int i = 1; i < ACCUMULATORS; i++)                                           \
            a[0] = fma(a[i], x, a[0]);                                                   \
        return sum(a[0]);                                                                \
    }
PEAK(avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_cvtss_f32)
PEAK(avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_cvtss_f32)

/* GF/s of independent multiply-adds on all threads. */
static double fma_peak(float (*run)(void), int lanes)
{
    double best = 1e9;
    volatile float sink = 0;
    for (int i = 0; i < PEAK_TRIES; i++) {
        float total = 0;
        double start = now();
#pragma omp parallel reduction(+ : total)
        total += run();
        double seconds = now() - start;
        best = seconds < best ? seconds : best;
        sink = total;
    }
    (void)sink;
    return 2e-9 * ACCUMULATORS * lanes * (double)PEAK_STEPS * omp_get_max_threads() / best;
}

/* GB/s, reads and writes counted. */
static double copy_bandwidth(char *memory)
{
    double best = 1e9;
    for (int i = 0; i < 4; i++) {
        double start = now();
#pragma omp parallel
        {
            size_t part = COPY_BYTES / 2 / (size_t)omp_get_num_threads(), at = part * (size_t)omp_get_thread_num();
            memcpy(memory + at, memory + COPY_BYTES / 2 + at, part);
        }
        double seconds = now() - start;
        best = i && seconds < best ? seconds : best;
    }
    return 1e-9 * COPY_BYTES / best;
}

/* ---------------------------------------------------------------- one line */

typedef struct Bench {
    Backend *b;
    const char *only;
    double peak_gflops, copy_gbytes;
    char *memory; /* COPY_BYTES, cut up by take() */
    size_t used;
} Bench;

static void *take(Bench *x, int64_t n_bytes)
{
    void *p = x->memory + x->used;
    x->used += ((size_t)n_bytes + 63) / 64 * 64;
    return x->used <= COPY_BYTES ? p : NULL;
}

#define TIME(seconds, call)                                                       \
    do {                                                                          \
        double begin_ = now(), best_ = 1e9;                                       \
        for (int i_ = 0; i_ < 3 || now() - begin_ < MIN_SECONDS; i_++) {          \
            double start_ = now();                                                \
            if ((call) != OK) {                                                   \
                fprintf(stderr, "bench-kernels: %s\n", status_message());         \
                exit(1);                                                          \
            }                                                                     \
            double took_ = now() - start_;                                        \
            best_ = took_ < best_ ? took_ : best_;                                \
        }                                                                         \
        (seconds) = best_;                                                        \
    } while (0)

static bool wanted(const Bench *x, const char *name) { return !x->only || strstr(name, x->only); }

static void matmul_form(Bench *x, int64_t m, int64_t n, int64_t k, DType a, DType b, DType c, bool a_trans, bool b_trans)
{
    double s;
    x->used = 0;
    Matmul mm = {.m = m, .n = n, .k = k, .a_type = a, .b_type = b, .c_type = c, .a_trans = a_trans, .b_trans = b_trans,
                 .lda = a_trans ? m : k, .ldb = b_trans ? k : n, .ldc = n, .alpha = 1};
    mm.a = take(x, m * k * (int64_t)dtype_size(a));
    mm.b = take(x, n * k * (int64_t)dtype_size(b));
    mm.c = take(x, m * n * (int64_t)dtype_size(c));
    if (!mm.c)
        return;
    TIME(s, x->b->ops.matmul(&x->b->ctx, &mm));
    double peak = x->peak_gflops * (x->b->native_bf16 && a == BF16 && b == BF16 ? 2 : 1), rate = 2e-9 * (double)(m * n * k) / s;
    double traffic = 1e-9 * (double)x->used / s;
    printf("  %s %7.1f GF/s %4.2f", a_trans ? "TN" : b_trans ? "NT" : "NN", rate, rate / peak);
    if (m <= 8)
        printf(" (%5.1f GB/s %4.2f)", traffic, traffic / x->copy_gbytes);
}

static void matmuls(Bench *x, DType a, DType b, DType c)
{
    static const int64_t SHAPES[][3] = { /* tokens, out, in; the others are LoRA's and gradients' */
        {512, 64, 64},     {512, 256, 64},    {1024, 256, 256},  {1024, 1024, 256}, {1024, 256, 1024}, {1024, 512, 512}, {1024, 1408, 512},
        {1024, 512, 1408}, {512, 32000, 512}, {512, 512, 32000}, {1024, 16, 512},   {1024, 512, 16},   {16, 512, 1024},  {512, 16, 1024},
        {1, 512, 512},     {1, 32000, 512},   {8, 32000, 512},   {1, 4096, 4096},   {4, 4096, 4096},
    };
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
        const int64_t *s = SHAPES[i];
        printf("matmul %-4s x %-4s -> %-4s %5lld x %5lld x %5lld:", dtype_name(a), dtype_name(b), dtype_name(c), (long long)s[0],
               (long long)s[1], (long long)s[2]);
        matmul_form(x, s[0], s[1], s[2], a, b, c, false, true);
        if (s[0] > 8) {
            matmul_form(x, s[0], s[1], s[2], a, b, c, false, false);
            matmul_form(x, s[0], s[1], s[2], a, b, c, true, false);
        }
        printf("\n");
        fflush(stdout);
    }
}

static void report(const Bench *x, const char *name, const char *what, double seconds, double n_bytes)
{
    double rate = 1e-9 * n_bytes / seconds;
    printf("%-16s %-26s %9.1f us %6.1f GB/s %4.2f of copy\n", name, what, 1e6 * seconds, rate, rate / x->copy_gbytes);
}

#define LINE(name, what, n_bytes, Args, ...)                                             \
    do {                                                                                 \
        if (wanted(x, #name)) {                                                          \
            double s_;                                                                   \
            Args args_ = {__VA_ARGS__};                                                  \
            TIME(s_, x->b->ops.name(&x->b->ctx, &args_));                                \
            report(x, #name, what, s_, (double)(n_bytes));                               \
        }                                                                                \
    } while (0)

/* rows × cols activations of one type. */
static void elementwise(Bench *x, DType t, int64_t rows, int64_t cols)
{
    char what[64];
    int64_t n = rows * cols, size = n * (int64_t)dtype_size(t);
    x->used = 0;
    void *a = take(x, size), *b = take(x, size), *c = take(x, size), *d = take(x, size), *e = take(x, size);
    float *w = take(x, cols * 4), *dw = take(x, cols * 4), *mean = take(x, (rows + cols) * 4), *rstd = take(x, rows * 4);
    int32_t *pos = take(x, rows * 4), *item = take(x, rows * 4), *label = take(x, rows * 4);
    for (int64_t i = 0; i < rows; i++) {
        pos[i] = (int32_t)(i % 256);
        item[i] = (int32_t)(i / 256);
        label[i] = (int32_t)(i % cols);
    }
    snprintf(what, sizeof what, "%s [%lld,%lld]", dtype_name(t), (long long)rows, (long long)cols);
    LINE(rmsnorm_fwd, what, 4 * size, RmsNormFwd, .rows = rows, .cols = cols, .act = t, .w_type = F32, .eps = 1e-5, .x = a, .add = b,
         .w = w, .sum = c, .y = d, .rstd = rstd);
    LINE(rmsnorm_bwd, what, 3 * size, RmsNormBwd, .rows = rows, .cols = cols, .act = t, .w_type = F32, .x = a, .w = w, .rstd = rstd,
         .dy = b, .dx = c);
    LINE(layernorm_fwd, what, 2 * size, LayerNormFwd, .rows = rows, .cols = cols, .act = t, .w_type = F32, .eps = 1e-5, .x = a, .w = w,
         .b = w, .y = d, .mean = mean, .rstd = rstd);
    LINE(layernorm_bwd, what, 5 * size, LayerNormBwd, .rows = rows, .cols = cols, .act = t, .w_type = F32, .x = a, .w = w, .mean = mean,
         .rstd = rstd, .dy = b, .dx = c, .dw = dw, .db = mean);
    LINE(swiglu_fwd, what, 3 * size, SwigluFwd, .rows = rows, .cols = cols, .ldg = cols, .ldu = cols, .act = t, .g = a, .u = b, .y = c);
    LINE(swiglu_bwd, what, 5 * size, SwigluBwd, .rows = rows, .cols = cols, .ldg = cols, .ldu = cols, .lddg = cols, .lddu = cols,
         .act = t, .g = a, .u = b, .dy = c, .dg = d, .du = e);
    LINE(gelu_fwd, what, 2 * size, GeluFwd, .n = n, .act = t, .kind = GELU_TANH, .x = a, .y = b);
    LINE(gelu_bwd, what, 3 * size, GeluBwd, .n = n, .act = t, .kind = GELU_ERF, .x = a, .dy = b, .dx = c);
    LINE(add_scaled, what, 3 * size, AddScaled, .n = n, .a_type = t, .b_type = t, .y_type = t, .alpha = 1, .beta = 1, .a = a, .b = b,
         .y = c);
    LINE(dropout, what, 2 * size, Dropout, .rows = rows, .cols = cols, .act = t, .p = 0.05, .key = 1, .row_pos = pos, .row_item = item,
         .x = a, .y = b);
    LINE(rope, what, 2 * size, Rope, .rows = rows, .heads = cols / 64, .head_dim = 64, .ldx = cols, .act = t, .base = 1e4, .pos = pos,
         .x = a);
    LINE(column_sum, what, size, ColumnSum, .rows = rows, .cols = cols, .ldx = cols, .x_type = t, .out_type = F32, .x = a, .out = dw);
    LINE(cross_entropy, what, 2 * size, CrossEntropy, .rows = rows, .cols = cols, .ldz = cols, .act = t, .label = label, .weight = mean,
         .logits = a, .loss = rstd, .backward = true);
    LINE(fill, what, size, Fill, .n = n, .type = t, .x = a);
}

static void optimiser(Bench *x)
{
    enum { N = 1 << 22 };
    x->used = 0;
    float *p = take(x, N * 4L), *g = take(x, N * 4L), *m = take(x, N * 4L), *v = take(x, N * 4L);
    AdamwSpan span = {.end = N, .lr = 1e-4, .t = 1};
    double sum;
    LINE(adamw, "F32 [4194304]", 28L * N, Adamw, .n_spans = 1, .type = F32, .spans = &span, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
         .grad_scale = 1, .grad = g, .param = p, .m = m, .v = v);
    LINE(sum_squares, "F32 [4194304]", 4L * N, SumSquares, .n = N, .type = F32, .x = g, .out = &sum);
}

static void attention(Bench *x, DType t, int64_t segments, int64_t length, int64_t heads, int64_t kv_heads, int64_t Dh)
{
    int32_t cu[65];
    char what[64];
    double s;
    int64_t rows = segments * length, size = rows * heads * Dh * (int64_t)dtype_size(t), ld = heads * Dh, kv = kv_heads * Dh;
    x->used = 0;
    void *q = take(x, size), *k = take(x, size), *v = take(x, size), *o = take(x, size), *d_o = take(x, size), *dq = take(x, size);
    void *dk = take(x, size), *dv = take(x, size), *lse = take(x, rows * heads * 4);
    for (int64_t i = 0; i <= segments; i++)
        cu[i] = (int32_t)(i * length);
    snprintf(what, sizeof what, "%s %lldx%lld h%lld/%lld d%lld", dtype_name(t), (long long)segments, (long long)length, (long long)heads,
             (long long)kv_heads, (long long)Dh);
    double flops = 2e-9 * (double)(segments * heads * length * (length + 1) / 2 * Dh); /* of one product over what is seen */
    if (wanted(x, "attention_fwd")) {
        AttentionFwd f = {.n_segments = segments, .rows = rows, .heads = heads, .kv_heads = kv_heads, .head_dim = Dh,
                          .max_segment = length, .ldq = ld, .ldk = kv, .ldv = kv, .ldo = ld, .causal = true, .act = t, .scale = 0.1,
                          .cu = cu, .q = q, .k = k, .v = v, .o = o, .lse = lse};
        TIME(s, x->b->ops.attention_fwd(&x->b->ctx, &f));
        printf("%-16s %-26s %9.1f us %6.1f GF/s %4.2f of peak\n", "attention_fwd", what, 1e6 * s, 2 * flops / s, 2 * flops / s / x->peak_gflops);
    }
    if (wanted(x, "attention_bwd")) {
        AttentionBwd f = {.n_segments = segments, .rows = rows, .heads = heads, .kv_heads = kv_heads, .head_dim = Dh,
                          .max_segment = length, .ldq = ld, .ldk = kv, .ldv = kv, .ldo = ld, .lddo = ld, .lddq = ld, .lddk = kv,
                          .lddv = kv, .causal = true, .act = t, .scale = 0.1, .cu = cu, .q = q, .k = k, .v = v, .o = o, .lse = lse,
                          .d_o = d_o, .dq = dq, .dk = dk, .dv = dv};
        TIME(s, x->b->ops.attention_bwd(&x->b->ctx, &f));
        printf("%-16s %-26s %9.1f us %6.1f GF/s %4.2f of peak\n", "attention_bwd", what, 1e6 * s, 5 * flops / s, 5 * flops / s / x->peak_gflops);
    }
    if (wanted(x, "attention_decode")) {
        int32_t lengths[64];
        for (int64_t i = 0; i < segments; i++)
            lengths[i] = (int32_t)length;
        LINE(attention_decode, what, 2 * rows * kv * (int64_t)dtype_size(t), AttentionDecode, .n = segments, .capacity = length,
             .heads = heads, .kv_heads = kv_heads, .head_dim = Dh, .act = t, .scale = 0.1, .length = lengths, .q = q, .k = k, .v = v,
             .o = o);
    }
}

static void bench_isa(Bench *x)
{
    printf("\n%s: FMA peak %.1f GF/s, copy %.1f GB/s\n", x->b->description, x->peak_gflops, x->copy_gbytes);
    if (wanted(x, "matmul")) {
        matmuls(x, F32, F32, F32);
        matmuls(x, F32, BF16, F32);
        matmuls(x, BF16, BF16, BF16);
    }
    for (int t = 0; t < 2; t++) {
        DType act = t ? BF16 : F32;
        elementwise(x, act, 512, 64);
        elementwise(x, act, 1024, 512);
        elementwise(x, act, 256, 32000);
        attention(x, act, 8, 64, 4, 2, 16);
        attention(x, act, 4, 256, 8, 4, 64);
        attention(x, act, 1, 1024, 8, 2, 128);
        attention(x, act, 1, 729, 4, 4, 72);
    }
    optimiser(x);
}

int main(int argc, char **argv)
{
    static const char *const ISAS[] = {"avx2", "avx512", "avx512bf16"};
    Arena memory;
    if (arena_create(&memory, COPY_BYTES)) {
        fprintf(stderr, "bench-kernels: %s\n", status_message());
        return status_exit_code(ERR_NOMEM);
    }
    memset(memory.base, 0, COPY_BYTES);
    double copy = copy_bandwidth(memory.base);
    memset(memory.base, 0, COPY_BYTES);
    for (size_t i = 0; i < sizeof ISAS / sizeof *ISAS; i++) {
        Backend b;
        setenv("GENLLAVA_ISA", ISAS[i], 1);
        if (cpu_open(&b)) {
            printf("\nwithout %s: %s\n", ISAS[i], status_message());
            continue;
        }
        Bench x = {.b = &b, .only = argc > 1 ? argv[1] : NULL, .copy_gbytes = copy, .memory = memory.base};
        x.peak_gflops = i ? fma_peak(peak_avx512, 16) : fma_peak(peak_avx2, 8);
        bench_isa(&x);
        b.close(&b);
    }
    arena_free(&memory);
    return 0;
}
