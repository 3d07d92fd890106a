/* How near the CPU kernels come to the machine: for each instruction set it has, the matmuls of the model's shapes as a fraction of the
 * FMA peak, which is measured again between their repetitions, and the other operators as a fraction of the copy bandwidth.
 *
 * usage: bench-kernels [NAME]   only lines whose operator contains NAME */
#include <immintrin.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/cli.h"
#include "tools/bench/bench_clock.h"
#include "tools/bench/bench_ops.h"

enum { ACCUMULATORS = 12, PEAK_STEPS = 20000, PEAK_TRIES = 1000, COPY_BYTES = 256 << 20 };
static const double MIN_SECONDS = 0.15;

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

/* The instruction set's multiply-adds. */
typedef struct Peak {
    float (*run)(void);
    int lanes;
} Peak;

static float run_everywhere(const Peak *p)
{
    float total = 0;
#pragma omp parallel reduction(+ : total)
    total += p->run();
    return total;
}

/* GF/s of independent multiply-adds on all threads. */
static double fma_rate(const Peak *p)
{
    volatile float sink = run_everywhere(p); /* the code and the threads are there afterwards */
    double start = bench_now();
    sink = run_everywhere(p);
    double seconds = bench_now() - start;
    (void)sink;
    return 2e-9 * ACCUMULATORS * p->lanes * (double)PEAK_STEPS * omp_get_max_threads() / seconds;
}

static double best_rate(const Peak *p, int tries, double best)
{
    for (int i = 0; i < tries; i++) {
        double rate = fma_rate(p);
        best = rate > best ? rate : best;
    }
    return best;
}

/* GB/s, reads and writes counted. */
static double copy_bandwidth(char *memory)
{
    double best = 1e9;
    for (int i = 0; i < 4; i++) {
        double start = bench_now();
#pragma omp parallel
        {
            size_t part = COPY_BYTES / 2 / (size_t)omp_get_num_threads(), at = part * (size_t)omp_get_thread_num();
            memcpy(memory + at, memory + COPY_BYTES / 2 + at, part);
        }
        double seconds = bench_now() - start;
        best = i && seconds < best ? seconds : best;
    }
    return 1e-9 * COPY_BYTES / best;
}

/* ---------------------------------------------------------------- one line */

typedef struct Bench {
    Backend *b;
    const char *only;
    Peak peak;
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

static void check(Status s)
{
    if (s != OK) {
        fprintf(stderr, "bench-kernels: %s\n", status_message());
        exit(status_exit_code(s));
    }
}

#define TIME(seconds, between, call)                                              \
    do {                                                                          \
        double begin_ = bench_now(), best_ = 1e9;                                 \
        for (int i_ = 0; i_ < 3 || bench_now() - begin_ < MIN_SECONDS; i_++) {    \
            between;                                                              \
            double start_ = bench_now();                                          \
            check(call);                                                          \
            double took_ = bench_now() - start_;                                  \
            best_ = took_ < best_ ? took_ : best_;                                \
        }                                                                         \
        (seconds) = best_;                                                        \
    } while (0)

static bool wanted(const Bench *x, const char *name) { return !x->only || strstr(name, x->only); }

static void matmul_form(Bench *x, int64_t m, int64_t n, int64_t k, DType a, DType b, DType c, bool a_trans, bool b_trans)
{
    double s, fma = 0;
    x->used = 0;
    Matmul mm = {.m = m, .n = n, .k = k, .a_type = a, .b_type = b, .c_type = c, .a_trans = a_trans, .b_trans = b_trans,
                 .lda = a_trans ? m : k, .ldb = b_trans ? k : n, .ldc = n, .alpha = 1};
    mm.a = take(x, m * k * (int64_t)dtype_size(a));
    mm.b = take(x, n * k * (int64_t)dtype_size(b));
    mm.c = take(x, m * n * (int64_t)dtype_size(c));
    if (!mm.c)
        return;
    TIME(s, fma = best_rate(&x->peak, 1, fma), x->b->ops.matmul(&x->b->ctx, &mm));
    double peak = fma * (x->b->native_bf16 && a == BF16 && b == BF16 ? 2 : 1), rate = 2e-9 * (double)(m * n * k) / s;
    double traffic = 1e-9 * (double)x->used / s;
    printf("  %s %7.1f GF/s %4.2f", a_trans ? "TN" : b_trans ? "NT" : "NN", rate, rate / peak);
    if (m <= 8)
        printf(" (%5.1f GB/s %4.2f)", traffic, traffic / x->copy_gbytes);
}

static void matmuls(Bench *x, DType a, DType b, DType c)
{
    static const int64_t SHAPES[][3] = { /* tokens, out, in of a Linear; 16: LoRA's */
        {512, 64, 64},     {512, 256, 64},    {512, 64, 256},     {1024, 256, 256}, {1024, 1024, 256}, {1024, 256, 1024}, {1024, 512, 512},
                {1024, 1408, 512},
        {1024, 512, 1408}, {512, 32000, 512}, {1024, 16, 512},    {1024, 512, 16},  {16, 512, 1024},   {128, 512, 1024},
        {1, 512, 512},     {1, 32000, 512},   {8, 32000, 512},    {1, 4096, 4096},  {4, 4096, 4096},
    };
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
        const int64_t *s = SHAPES[i];
        printf("matmul %-4s x %-4s -> %-4s %5lld x %5lld x %5lld:", dtype_name(a), dtype_name(b), dtype_name(c), (long long)s[0],
               (long long)s[1], (long long)s[2]);
        matmul_form(x, s[0], s[1], s[2], a, b, c, false, true);
        if (s[0] > 8) {
            matmul_form(x, s[0], s[2], s[1], a, b, c, false, false); /* the gradient of its input */
            matmul_form(x, s[1], s[2], s[0], a, b, c, true, false);  /* of its weight */
        }
        printf("\n");
        fflush(stdout);
    }
}

/* One operator as a share of what bounds it: attention, adapters and convolutions of the multiply-adds, others of the copy bandwidth. */
static Status line(void *arg, Op op, const char *what, const void *args)
{
    Bench *x = arg;
    Cost cost;
    double s;
    if (!wanted(x, op_name(op)))
        return OK;
    op_cost(op, args, &cost);
    TIME(s, (void)0, op_call(x->b, op, args));
    printf("%-16s %-26s %9.1f us ", op_name(op), what, 1e6 * s);
    double rate = 1e-9 * (cost.bytes_read + cost.bytes_written) / s, flops = 1e-9 * cost.flops / s;
    if (op == OP_attention_fwd || op == OP_attention_bwd || op == OP_adapter_down || op == OP_adapter_down_grad ||
        op == OP_adapter_down_bwd || op == OP_conv2d_fwd || op == OP_conv2d_dx || op == OP_conv2d_dw)
        printf("%6.1f GF/s %4.2f of peak\n", flops, flops / x->peak_gflops);
    else
        printf("%6.1f GB/s %4.2f of copy\n", rate, rate / x->copy_gbytes);
    return OK;
}

static void bench_isa(Bench *x)
{
    BenchOps ops = {.b = x->b, .memory = x->memory, .size = COPY_BYTES, .arg = x, .line = line};
    printf("\n%s: FMA peak %.1f GF/s, copy %.1f GB/s\n", x->b->description, x->peak_gflops, x->copy_gbytes);
    if (wanted(x, "matmul")) {
        matmuls(x, F32, F32, F32);
        matmuls(x, F32, BF16, F32);
        matmuls(x, BF16, BF16, BF16);
    }
    for (int t = 0; t < 2; t++) {
        DType act = t ? BF16 : F32;
        check(bench_images(&ops, act, 2, 64, 320));
        check(bench_images(&ops, act, 2, 16, 1280));
        check(bench_elementwise(&ops, act, 512, 64));
        check(bench_elementwise(&ops, act, 1024, 512));
        check(bench_elementwise(&ops, act, 256, 32000));
        check(bench_adapters(&ops, act, 1024, 512, 16));
        check(bench_attention(&ops, act, 8, 64, 4, 2, 16));
        check(bench_attention(&ops, act, 4, 256, 8, 4, 64));
        check(bench_attention(&ops, act, 1, 1024, 8, 2, 128));
        check(bench_attention(&ops, act, 1, 729, 4, 4, 72));
        check(bench_conv(&ops, act, 4, 64, 320, 320)); /* of Stable Diffusion's UNet at 512 pixels */
        check(bench_conv(&ops, act, 4, 32, 640, 640));
        check(bench_conv(&ops, act, 4, 16, 1280, 1280));
    }
    check(bench_optimiser(&ops, 1 << 22));
}

int main(int argc, char **argv)
{
    static const char *const ISAS[] = {"avx2", "avx512", "avx512bf16"};
    Arena memory;
    cli_start();
    if (arena_create(&memory, COPY_BYTES)) {
        return cli_finish(ERR_NOMEM);
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
        x.peak = i ? (Peak){peak_avx512, 16} : (Peak){peak_avx2, 8};
        x.peak_gflops = best_rate(&x.peak, PEAK_TRIES, 0);
        bench_isa(&x);
        b.close(&b);
    }
    arena_free(&memory);
    return cli_finish(OK);
}
