/* attention_large.c: attention of real sizes against the CPU backend in f32, itself proved against ref (attention_large.h). */
#include "tests/kernels/attention_large.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "kernels/base/philox.h"
#include "kernels/ops/op.h"
#include "tests/harness.h"

enum { Q, K, V, D_O, O, DQ, DK, DV, N_MATRICES, N_INPUTS = D_O + 1 };
static const char *const NAME[N_MATRICES] = {"q", "k", "v", "do", "o", "dq", "dk", "dv"};

typedef struct Problem {
    const LargeAttention *shape;
    int64_t rows, width[N_MATRICES], longest;
    float *input[N_INPUTS]; /* numbers that bf16 holds */
    int32_t cu[LARGE_SEGMENTS + 1];
} Problem;

/* Matrices of one backend, in its memory, as `act`; what it has computed, in host memory as f32. */
typedef struct Side {
    Backend *b;
    DType act;
    void *memory[N_MATRICES];
    float *lse; /* [heads, rows], in its memory */
    int32_t *cu;
    Arena scratch;
    void *scratch_memory;
    float *found[N_MATRICES], *found_lse;
} Side;

static int64_t size_of(const Problem *p, int i) { return p->rows * p->width[i]; }

static void make_problem(Problem *p, const LargeAttention *shape)
{
    *p = (Problem){.shape = shape};
    for (int s = 0; s < LARGE_SEGMENTS; s++) {
        p->cu[s + 1] = p->cu[s] + (int32_t)shape->lengths[s];
        p->longest = shape->lengths[s] > p->longest ? shape->lengths[s] : p->longest;
    }
    p->rows = p->cu[LARGE_SEGMENTS];
    for (int i = 0; i < N_MATRICES; i++)
        p->width[i] = (i == K || i == V || i == DK || i == DV ? shape->kv_heads : shape->heads) * shape->head_dim;
    for (int i = 0; i < N_INPUTS; i++) {
        p->input[i] = mem_alloc((size_t)(size_of(p, i) + 1) * sizeof(float));
        REQUIRE(p->input[i]);
        for (int64_t at = 0; at < size_of(p, i); at += 2) {
            Philox4 r = philox4x32((uint64_t)i, (uint32_t)at, 0, 0, 0);
            philox_normal2(r.v[0], r.v[1], p->input[i] + at);
        }
        for (int64_t at = 0; at < size_of(p, i); at++)
            p->input[i][at] = bf16_to_f32(f32_to_bf16(p->input[i][at]));
    }
}

static void *memory_of(Side *s, size_t n_bytes)
{
    void *p;
    REQUIRE_OK(s->b->mem_create(s->b, n_bytes, &p));
    return p;
}

static void open_side(Side *s, const Problem *p, Backend *b, DType act)
{
    const size_t scratch = (size_t)256 << 20, size = dtype_size(act);
    *s = (Side){.b = b, .act = act};
    s->scratch_memory = memory_of(s, scratch);
    arena_borrow(&s->scratch, s->scratch_memory, scratch);
    b->ctx.scratch = &s->scratch;
    for (int i = 0; i < N_MATRICES; i++)
        s->memory[i] = memory_of(s, (size_t)size_of(p, i) * size);
    s->lse = memory_of(s, (size_t)(p->shape->heads * p->rows) * sizeof(float));
    s->cu = memory_of(s, sizeof p->cu);
    REQUIRE_OK(b->upload(b, s->cu, p->cu, sizeof p->cu));
    for (int i = 0; i < N_INPUTS; i++) {
        void *host = mem_alloc((size_t)size_of(p, i) * size);
        float last;
        REQUIRE(host);
        dtype_convert(host, act, p->input[i], F32, (size_t)size_of(p, i));
        REQUIRE_OK(b->upload(b, s->memory[i], host, (size_t)size_of(p, i) * size));
        REQUIRE_OK(b->download(b, &last, s->memory[i], size)); /* waits: host goes */
        mem_free(host);
    }
}

static void run_side(Side *s, const Problem *p)
{
    const LargeAttention *k = p->shape;
    const int64_t wide = p->width[Q], narrow = p->width[K];
    const double scale = 1 / sqrt((double)k->head_dim);
    AttentionFwd f = {.n_segments = LARGE_SEGMENTS, .rows_q = p->rows, .rows_k = p->rows, .heads = k->heads, .kv_heads = k->kv_heads,
                      .head_dim = k->head_dim, .window = k->window, .max_q = p->longest, .max_k = p->longest, .ldq = wide, .ldk = narrow,
                      .ldv = narrow, .ldo = wide, .causal = true, .act = s->act, .scale = scale, .cu_q = s->cu, .cu_k = s->cu,
                      .q = s->memory[Q], .k = s->memory[K], .v = s->memory[V], .o = s->memory[O], .lse = s->lse};
    AttentionBwd b = {.n_segments = LARGE_SEGMENTS, .rows_q = p->rows, .rows_k = p->rows, .heads = k->heads, .kv_heads = k->kv_heads,
                      .head_dim = k->head_dim, .window = k->window, .max_q = p->longest, .max_k = p->longest, .ldq = wide, .ldk = narrow,
                      .ldv = narrow, .ldo = wide, .lddo = wide, .lddq = wide, .lddk = narrow, .lddv = narrow, .causal = true,
                      .act = s->act, .scale = scale, .cu_q = s->cu, .cu_k = s->cu, .q = s->memory[Q], .k = s->memory[K],
                      .v = s->memory[V], .o = s->memory[O], .lse = s->lse, .d_o = s->memory[D_O], .dq = s->memory[DQ],
                      .dk = s->memory[DK], .dv = s->memory[DV]};
    REQUIRE_OK(op_call(s->b, OP_attention_fwd, &f));
    REQUIRE_OK(op_call(s->b, OP_attention_bwd, &b));
    for (int i = O; i < N_MATRICES; i++) {
        const size_t n = (size_t)size_of(p, i);
        void *host = mem_alloc(n * dtype_size(s->act));
        s->found[i] = s->found[i] ? s->found[i] : mem_alloc(n * sizeof(float));
        REQUIRE(host && s->found[i]);
        REQUIRE_OK(s->b->download(s->b, host, s->memory[i], n * dtype_size(s->act)));
        dtype_convert(s->found[i], F32, host, s->act, n);
        mem_free(host);
    }
    const size_t n = (size_t)(k->heads * p->rows) * sizeof(float);
    s->found_lse = s->found_lse ? s->found_lse : mem_alloc(n);
    REQUIRE(s->found_lse);
    REQUIRE_OK(s->b->download(s->b, s->found_lse, s->lse, n));
}

static void close_side(Side *s)
{
    for (int i = 0; i < N_MATRICES; i++) {
        s->b->mem_destroy(s->b, s->memory[i]);
        mem_free(s->found[i]);
    }
    mem_free(s->found_lse);
    s->b->mem_destroy(s->b, s->lse);
    s->b->mem_destroy(s->b, s->cu);
    s->b->mem_destroy(s->b, s->scratch_memory);
    s->b->ctx.scratch = NULL;
}

static double ulp_of_bf16(double x)
{
    int exponent;
    frexp(x, &exponent);
    return fmax(ldexp(1, exponent - 1 - 7), FLT_MIN);
}

/* By heads of rows: the rows of one head have a scale of their own. */
static void check_matrix(const Problem *p, const Side *truth, const Side *side, int i)
{
    const int64_t dim = p->shape->head_dim, n = size_of(p, i);
    /* P and dS are rounded to bf16 before their products: measured for compare.h (tests/kernels/attention.c). */
    const double slack = i == DK ? 5e-3 : i == DV ? 1e-3 : 0;
    const float *t = truth->found[i], *y = side->found[i];
    double honest = 0, worst = 0, allowed_there = 1;
    int64_t worst_at = 0;
    for (int64_t at = 0; at < n; at++)
        honest = fmax(honest, fabs((double)bf16_to_f32(f32_to_bf16(t[at])) - (double)t[at]));
    for (int64_t row = 0; row < n; row += dim) {
        double largest = 0;
        for (int64_t d = 0; d < dim; d++)
            largest = fmax(largest, fabs((double)t[row + d]));
        const double allowed = 2 * honest + ulp_of_bf16(largest) + slack * largest;
        for (int64_t d = 0; d < dim; d++) {
            const double off = fabs((double)y[row + d] - (double)t[row + d]);
            if (!(off / allowed <= worst)) {
                worst = off / allowed;
                allowed_there = allowed;
                worst_at = row + d;
            }
        }
    }
    printf("    %s: at worst %.2f of what is allowed\n", NAME[i], worst);
    CHECK_MSG(worst <= 1, "%s[%lld,%lld] is %.9g, truth %.9g: off by more than %.3g", NAME[i], (long long)(worst_at / p->width[i]),
              (long long)(worst_at % p->width[i]), (double)y[worst_at], (double)t[worst_at], allowed_there);
}

static void check_lse(const Problem *p, const Side *truth, const Side *side)
{
    double worst = 0;
    for (int64_t i = 0; i < p->shape->heads * p->rows; i++) {
        const double off = fabs((double)side->found_lse[i] - (double)truth->found_lse[i]);
        worst = off <= worst ? worst : off;
    }
    printf("    lse: off by %.1e at most\n", worst);
    CHECK_MSG(worst <= 2e-5, "lse is off by %g", worst);
}

void attention_large(const LargeAttention *shape, Backend *b)
{
    Problem p;
    Backend cpu;
    Side truth, side;
    make_problem(&p, shape);
    REQUIRE_OK(cpu_open(&cpu));
    open_side(&truth, &p, &cpu, F32);
    open_side(&side, &p, b, BF16);
    run_side(&truth, &p);
    run_side(&side, &p);
    for (int i = O; i < N_MATRICES; i++)
        check_matrix(&p, &truth, &side, i);
    check_lse(&p, &truth, &side);
    for (int i = O; i < N_MATRICES; i++) {
        float *first = side.found[i];
        side.found[i] = NULL;
        truth.found[i] = (mem_free(truth.found[i]), first);
    }
    run_side(&side, &p);
    for (int i = O; i < N_MATRICES; i++)
        CHECK_MSG(!memcmp(truth.found[i], side.found[i], (size_t)size_of(&p, i) * sizeof(float)), "two runs differ in %s", NAME[i]);
    close_side(&side);
    close_side(&truth);
    cpu.close(&cpu);
    for (int i = 0; i < N_INPUTS; i++)
        mem_free(p.input[i]);
}
