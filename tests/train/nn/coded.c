/* Matrices held in codes (train/nn/coded.h), against bitsandbytes' codes, scales and values (tests/fixtures/codes.safetensors). */
#include <math.h>
#include <stdio.h>

#include "data/formats/safetensors.h"
#include "tests/harness.h"
#include "train/nn/coded.h"

typedef struct Rig {
    Backend b;
    Params p;
    Param *q;
} Rig;

static void open_rig(Rig *r, Status (*open)(Backend *), DType compute, CodeFormat format, int64_t rows, int64_t cols)
{
    REQUIRE_OK(open(&r->b));
    params_init(&r->p, &r->b, compute);
    r->p.group.format = format;
    r->q = params_declare(&r->p, &(ParamSpec){.name = "w", .n_dims = 2, .shape = {rows, cols}, .storable = true});
    REQUIRE(r->q);
    REQUIRE_OK(params_create(&r->p));
}

static void close_rig(Rig *r)
{
    params_destroy(&r->p);
    r->b.close(&r->b);
}

static const StTensor *find(const SafeTensors *st, const char *name, const char *what)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", name, what);
    const StTensor *t = safetensors_find(st, full);
    CHECK_MSG(t, "%s is not in the fixture", full);
    REQUIRE(t);
    return t;
}

static void same_bytes(const char *name, const char *what, const StTensor *want, const void *found)
{
    CHECK_MSG(!memcmp(want->data, found, want->n_bytes), "%s: %s differs from that of bitsandbytes", name, what);
}

/* The operand of a product. */
static void same_operand(Rig *r, const char *name, const char *what, const StTensor *want, int64_t rows, int64_t cols)
{
    const DType type = r->q->t.type;
    void *y = mem_alloc(want->n_bytes);
    REQUIRE(y);
    CHECK_INT(want->type, type);
    const Dequantize d = coded_rows(r->q, 0, rows, y, cols);
    REQUIRE_OK(r->b.ops.dequantize(&r->b.ctx, &d));
    same_bytes(name, what, want, y);
    mem_free(y);
}

static void same_codes(const SafeTensors *st, const char *name, CodeFormat format, DType compute)
{
    const bool nf4 = format == CODES_NF4;
    const StTensor *w = find(st, name, ""), *codes = find(st, name, nf4 ? ".nf4" : ".int8"),
                   *scales = find(st, name, nf4 ? ".absmax" : ".scb");
    const StTensor *values = find(st, name, nf4 ? ".nf4_f32" : ".int8_f32");
    const int64_t rows = w->shape[0], cols = w->shape[1];
    Status (*const OPEN[])(Backend *) = {ref_open, cpu_open};
    for (int i = 0; i < 2; i++) {
        Rig r;
        float all[4096], part[100];
        open_rig(&r, OPEN[i], compute, format, rows, cols);
        REQUIRE_OK(params_set(&r.p, r.q, w->data, w->type));
        CHECK_INT(codes_bytes(format, rows, cols), (int64_t)codes->n_bytes);
        CHECK_INT(codes_scales(format, rows, cols), scales->n_elems);
        same_bytes(name, codes->name, codes, r.q->coded.codes);
        same_bytes(name, scales->name, scales, r.q->coded.scales);
        CHECK_INT(params_bytes(&r.p).frozen, (int64_t)(codes->n_bytes + scales->n_bytes));
        if (compute == F32)
            same_operand(&r, name, values->name, values, rows, cols);
        else if (nf4)
            same_operand(&r, name, ".nf4_bf16", find(st, name, ".nf4_bf16"), rows, cols);
        REQUIRE(w->n_elems <= 4096);
        REQUIRE_OK(params_get(&r.p, r.q, all));
        same_bytes(name, "what is read back", values, all);
        REQUIRE_OK(params_get_range(&r.p, r.q, 27, 100, part)); /* from the middle of a byte, of a block and of a row */
        CHECK(!memcmp(part, all + 27, sizeof part));
        close_rig(&r);
    }
}

TEST(codes_and_values_are_those_of_bitsandbytes)
{
    static const char *const NAMES[] = {"normal", "narrow", "half", "across", "ties", "halves", "half_of_largest"};
    SafeTensors *st;
    REQUIRE_OK(safetensors_open(&st, test_fixture("codes.safetensors")));
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        for (int k = 0; k < 4; k++)
            same_codes(st, NAMES[i], k & 1 ? CODES_NF4 : CODES_INT8, k & 2 ? BF16 : F32);
    safetensors_close(&st);
}

TEST(codes_of_a_long_matrix_are_made_in_pieces)
{
    enum { ROWS = 300, COLS = 7040, N = ROWS * COLS, BLOCK = 64 }; /* two million: more than a piece */
    float *w = mem_alloc(N * sizeof *w), *found = mem_alloc(N * sizeof *found);
    REQUIRE(w && found);
    for (int64_t i = 0; i < N; i++)
        w[i] = (float)(i % 251 - 125) * (float)(1 + i / COLS % 7);
    for (CodeFormat f = CODES_INT8; f <= CODES_NF4; f++) {
        Rig r;
        float worst = 0;
        open_rig(&r, cpu_open, F32, f, ROWS, COLS);
        REQUIRE_OK(params_set(&r.p, r.q, w, F32));
        REQUIRE_OK(params_get(&r.p, r.q, found));
        for (int64_t i = 0; i < N; i++) {
            const float most = 125.0f * (float)(1 + i / COLS % 7), step = f == CODES_NF4 ? 0.153f : 0.5f / 127; /* half the widest gap */
            worst = fmaxf(worst, fabsf(found[i] - w[i]) / (step * most));
        }
        CHECK_MSG(worst > 0.9f && worst <= 1.001f, "%g of half a step", (double)worst);
        close_rig(&r);
    }
    mem_free(w);
    mem_free(found);
}

TEST(codes_refuse_numbers_that_do_not_fit)
{
    const float nan[4] = {1, NAN, 2, 3}, large[4] = {1, 2, 70000, 3};
    Rig r;
    open_rig(&r, ref_open, F32, CODES_NF4, 2, 2);
    CHECK_FAILS(params_set(&r.p, r.q, nan, F32), ERR_DATA,
                "w: a number is not finite or does not fit, so it cannot be held as nf4; use weights without it, "
                "or set model.llm.store to \"bf16\"");
    CHECK_OK(params_set(&r.p, r.q, large, F32));
    close_rig(&r);
    open_rig(&r, ref_open, F32, CODES_INT8, 2, 2);
    CHECK_FAILS(params_set(&r.p, r.q, large, F32), ERR_DATA,
                "w: a number is not finite or does not fit, so it cannot be held as int8; use weights without it, "
                "or set model.llm.store to \"bf16\"");
    close_rig(&r);
}

TEST(what_trains_or_is_not_of_a_linear_is_not_held_in_codes)
{
    Rig r;
    open_rig(&r, ref_open, F32, CODES_NF4, 2, 2);
    CHECK_INT(r.q->coded.format, CODES_NF4);
    const ParamSpec table = {.name = "table", .n_dims = 2, .shape = {2, 2}};
    const ParamSpec trains = {.name = "trains", .n_dims = 2, .shape = {2, 2}, .trainable = true, .storable = true};
    const Param *plain = params_declare(&r.p, &table), *trained = params_declare(&r.p, &trains);
    REQUIRE(plain && trained);
    CHECK_INT(plain->coded.format, CODES_NONE);
    CHECK_INT(trained->coded.format, CODES_NONE);
    close_rig(&r);
}

/* What the tiles of a product rest on (Backend.tile_bytes): a column of y = x Wᵀ has the same bits however many there are. */
TEST(columns_are_the_same_by_tiles)
{
    enum { N = 200, M_MOST = 160, K_MOST = 1056, RANK = 16 };
    static float x[M_MOST * (K_MOST + RANK)], w[N * K_MOST], b[N * RANK], whole[M_MOST * N], parts[M_MOST * N];
    static bf16 narrow_x[M_MOST * (K_MOST + RANK)], narrow_w[N * K_MOST];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        narrow_x[i] = f32_to_bf16(x[i] = (float)sin((double)i));
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        narrow_w[i] = f32_to_bf16(w[i] = (float)sin(3.0 * (double)i + 1));
    for (size_t i = 0; i < sizeof b / sizeof *b; i++)
        b[i] = (float)sin(7.0 * (double)i + 2);
    Backend cpu;
    REQUIRE_OK(cpu_open(&cpu));
    static const int64_t ROWS[] = {1, 2, 8, 9, 33, M_MOST}, DEPTHS[] = {48, 300, K_MOST};
    for (int at = 0; at < 6 * 3 * 4; at++) {
        const int64_t m = ROWS[at % 6], k = DEPTHS[at / 6 % 3];
        const bool narrow = at / 18 & 1;
        Matmul a = {.m = m, .n = N, .k = k, .b_trans = true, .lda = k, .ldb = k, .ldc = N, .alpha = 1, .a = x, .b = w, .c = whole,
                    .k2 = at / 36 ? RANK : 0, .lda2 = RANK, .ldb2 = RANK, .b2_type = F32, .a2 = x + M_MOST * K_MOST, .b2 = b};
        if (narrow)
            a.a_type = a.b_type = a.c_type = BF16, a.a = narrow_x, a.b = narrow_w, a.a2 = narrow_x + M_MOST * K_MOST;
        REQUIRE_OK(cpu.ops.matmul(&cpu.ctx, &a));
        for (int64_t first = 0; first < N; first += 64) {
            Matmul tile = a;
            tile.n = N - first < 64 ? N - first : 64;
            tile.b = (const char *)a.b + (size_t)(first * k) * dtype_size(a.b_type);
            tile.c = (char *)parts + (size_t)first * dtype_size(a.c_type);
            tile.b2 = b + first * RANK;
            REQUIRE_OK(cpu.ops.matmul(&cpu.ctx, &tile));
        }
        CHECK_MSG(!memcmp(whole, parts, (size_t)(m * N) * dtype_size(a.c_type)), "m %lld, k %lld, narrow %d, rank %lld", (long long)m,
                  (long long)k, narrow, (long long)a.k2);
    }
    cpu.close(&cpu);
}
