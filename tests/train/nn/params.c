/* The registry: where weights lie, what draws look like, what is counted as reached. */
#include <math.h>

#include "tests/harness.h"
#include "train/nn/linear.h"

typedef struct Fixture {
    Backend backend;
    Arena scratch;
    Params p;
} Fixture;

static void fixture_open(Fixture *f, DType compute)
{
    REQUIRE_OK(ref_open(&f->backend));
    REQUIRE_OK(arena_create(&f->scratch, 1 << 20));
    f->backend.ctx.scratch = &f->scratch;
    params_init(&f->p, &f->backend, compute);
}

static void fixture_close(Fixture *f)
{
    params_destroy(&f->p);
    arena_free(&f->scratch);
    f->backend.close(&f->backend);
}

static Param *declare(Fixture *f, const char *name, bool trainable, ParamInit init, double scale, int64_t rows, int64_t cols)
{
    Param *q = params_declare(&f->p, &(ParamSpec){.name = name, .trainable = trainable, .init = init, .init_scale = scale,
                                                  .n_dims = cols ? 2 : 1,
                                                  .shape = {rows, cols}});
    REQUIRE(q != NULL);
    return q;
}

TEST(two_weights_of_one_name_are_refused)
{
    Fixture f;
    fixture_open(&f, F32);
    declare(&f, "b", false, INIT_ZERO, 0, 2, 0);
    declare(&f, "a", true, INIT_ZERO, 0, 2, 0);
    declare(&f, "b", true, INIT_ZERO, 0, 3, 0);
    CHECK_FAILS(params_create(&f.p), ERR_INTERNAL, "b is declared twice");
    fixture_close(&f);
}

TEST(trainable_weights_lie_in_the_flat_buffers_in_order)
{
    Fixture f;
    fixture_open(&f, BF16);
    Param *a = declare(&f, "a", true, INIT_ONE, 0, 3, 5), *frozen = declare(&f, "frozen", false, INIT_ONE, 0, 4, 4),
          *b = declare(&f, "b", true, INIT_ONE, 0, 32, 0);
    REQUIRE_OK(params_create(&f.p));
    CHECK_INT(a->flat, 0);
    CHECK_INT(frozen->flat, -1);
    CHECK_INT(b->flat, 16);
    CHECK_INT(f.p.n_flat, 48);
    CHECK(a->t.type == BF16 && a->t.data == f.p.flat_copy && a->t.grad == f.p.flat_grad && a->t.grad_type == F32);
    CHECK(b->t.data == (bf16 *)f.p.flat_copy + 16 && b->t.grad == (float *)f.p.flat_grad + 16);
    CHECK(params_find(&f.p, "frozen") == frozen && !params_find(&f.p, "c"));
    fixture_close(&f);
}

TEST(masters_keep_what_the_copy_rounds)
{
    Fixture f;
    fixture_open(&f, BF16);
    Param *a = declare(&f, "a", true, INIT_ZERO, 0, 2, 2);
    REQUIRE_OK(params_create(&f.p));
    const float values[4] = {1.0f + 0x1p-12f, -3.0f, 0x1p-20f, 7.5f};
    REQUIRE_OK(params_set(&f.p, a, values, F32));
    float back[4];
    REQUIRE_OK(params_get(&f.p, a, back));
    CHECK(!memcmp(values, back, sizeof back));
    CHECK(bf16_to_f32(((bf16 *)a->t.data)[0]) == 1.0f && bf16_to_f32(((bf16 *)a->t.data)[3]) == 7.5f);
    REQUIRE_OK(params_get_range(&f.p, a, 1, 2, back));
    CHECK(back[0] == -3.0f && back[1] == 0x1p-20f);
    fixture_close(&f);
}

/* Joined with adapters, a weight's rows lie apart (joint.h). */
TEST(rows_that_lie_apart_are_read_together)
{
    enum { ROWS = 4, COLS = 3, LD = 5 };
    Fixture f;
    void *memory;
    fixture_open(&f, F32);
    Param *w = declare(&f, "w", false, INIT_ONE, 0, ROWS, COLS);
    REQUIRE_OK(params_create(&f.p));
    REQUIRE_OK(params_memory(&f.p, ROWS * LD * sizeof(float), &memory));
    for (int i = 0; i < ROWS * LD; i++)
        ((float *)memory)[i] = i % LD < COLS ? (float)(10 * (i / LD) + i % LD) : -1.0f;
    w->t.data = memory;
    w->t.type = F32;
    w->ld = LD;
    for (int64_t at = 0; at < ROWS * COLS; at++)
        for (int64_t n = 1; n <= ROWS * COLS - at; n++) {
            float back[ROWS * COLS];
            REQUIRE_OK(params_get_range(&f.p, w, at, n, back));
            for (int64_t i = 0; i < n; i++)
                CHECK(back[i] == (float)(10 * ((at + i) / COLS) + (at + i) % COLS));
        }
    fixture_close(&f);
}

/* A convolution's weight, declared [2,3,2,2], holds 100·out + 10·in + pixel. */
enum { CONV_ELEMS = 2 * 3 * 4 };
static Param *declare_conv(Fixture *f, const char *name, bool trainable, int64_t kernel)
{
    Param *q = params_declare(&f->p, &(ParamSpec){.name = name, .trainable = trainable, .init = INIT_NORMAL, .init_scale = 1, .n_dims = 4,
                                                  .shape = {2, 3, kernel, kernel}, .channels_last = true});
    REQUIRE(q != NULL);
    return q;
}

TEST(weights_of_convolutions_lie_channels_last)
{
    static const DType COMPUTE[] = {F32, BF16, F64};
    for (int i = 0; i < 6; i++) {
        Fixture f;
        float file[CONV_ELEMS], back[CONV_ELEMS];
        fixture_open(&f, COMPUTE[i % 3]);
        Param *w = declare_conv(&f, "w", i < 3, 2);
        REQUIRE_OK(params_create(&f.p));
        CHECK(w->shape[1] == 3 && w->shape[3] == 2 && w->t.shape[1] == 2 && w->t.shape[2] == 2 && w->t.shape[3] == 3);
        CHECK_INT(param_row(w), 12);
        for (int at = 0; at < CONV_ELEMS; at++)
            file[at] = (float)(100 * (at / 12) + 10 * (at / 4 % 3) + at % 4);
        REQUIRE_OK(params_place(&f.p, w, file, F32));
        CHECK(!w->mapped);
        for (int at = 0; at < CONV_ELEMS; at++) {
            float value;
            dtype_convert(&value, F32, (char *)w->t.data + (size_t)at * dtype_size(w->t.type), w->t.type, 1);
            CHECK(value == (float)(100 * (at / 12) + at % 12 / 3 + 10 * (at % 3)));
        }
        for (int64_t at = 0; at < CONV_ELEMS; at++)
            for (int64_t n = 1; n <= CONV_ELEMS - at; n++) {
                REQUIRE_OK(params_get_range(&f.p, w, at, n, back));
                CHECK(!memcmp(back, file + at, (size_t)n * sizeof *back));
            }
        fixture_close(&f);
    }
}

/* A draw is one of the weight as declared, and a kernel of one pixel is used in its file. */
TEST(weights_of_convolutions_are_drawn_and_placed_as_others)
{
    Fixture f;
    float same[CONV_ELEMS], other[CONV_ELEMS], file[6] = {0};
    fixture_open(&f, F32);
    Param *w = declare_conv(&f, "w", true, 2), *point = declare_conv(&f, "point", false, 1);
    REQUIRE_OK(params_create(&f.p));
    REQUIRE_OK(params_draw(&f.p, w, 3));
    REQUIRE_OK(params_get(&f.p, w, same));
    REQUIRE_OK(params_place(&f.p, point, file, F32));
    CHECK(point->mapped && point->t.data == file);
    fixture_close(&f);
    fixture_open(&f, F32);
    w = declare(&f, "w", true, INIT_NORMAL, 1, 4, 6);
    REQUIRE_OK(params_create(&f.p));
    REQUIRE_OK(params_draw(&f.p, w, 3));
    REQUIRE_OK(params_get(&f.p, w, other));
    CHECK(!memcmp(same, other, sizeof same));
    fixture_close(&f);
}

/* Which files' types are used where they lie, by compute type and number of dimensions. */
TEST(frozen_weights_stay_in_the_file_when_they_can)
{
    static const struct {
        DType compute, file, becomes;
        int64_t cols; /* 0: a vector */
        bool in_place;
    } CASES[] = {
        {F32, F32, F32, 4, true},    {F32, BF16, BF16, 4, true},  {F32, F16, F32, 4, false},    {BF16, BF16, BF16, 4, true},
        {BF16, F32, BF16, 4, false}, {BF16, F32, F32, 0, true},   {BF16, F16, BF16, 4, false},  {BF16, F16, F32, 0, false},
        {F64, F32, F64, 4, false},   {F32, F64, F32, 4, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Fixture f;
        fixture_open(&f, CASES[i].compute);
        Param *q = declare(&f, "w", false, INIT_ZERO, 0, 4, CASES[i].cols);
        REQUIRE_OK(params_create(&f.p));
        static _Alignas(8) const char zeros[16 * 8];
        REQUIRE_OK(params_place(&f.p, q, zeros, CASES[i].file));
        CHECK_MSG(q->t.type == CASES[i].becomes && (q->t.data == zeros) == CASES[i].in_place, "case %zu: %s, in place %d", i,
                  dtype_name(q->t.type), q->t.data == zeros);
        fixture_close(&f);
    }
    Fixture f;
    fixture_open(&f, F32);
    Param *q = declare(&f, "w", false, INIT_ZERO, 0, 2, 2);
    float misplaced[5] = {0};
    const float values[4] = {1, 2, 3, 4};
    memcpy((char *)misplaced + 1, values, sizeof values);
    REQUIRE_OK(params_create(&f.p));
    REQUIRE_OK(params_place(&f.p, q, (char *)misplaced + 1, F32));
    CHECK((char *)q->t.data != (char *)misplaced + 1 && !memcmp(q->t.data, values, sizeof values));
    fixture_close(&f);
}

static void moments(const float *x, int64_t n, double *mean, double *deviation, double *largest)
{
    double sum = 0, squares = 0;
    *largest = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
        *largest = fabs((double)x[i]) > *largest ? fabs((double)x[i]) : *largest;
    }
    *mean = sum / (double)n;
    *deviation = sqrt(squares / (double)n - *mean * *mean);
}

TEST(draws_follow_their_laws)
{
    enum { N = 300, COLS = 301 }; /* more than one chunk, not a multiple of 4 */
    static const struct {
        ParamInit init;
        double scale, deviation, largest;
    } LAWS[] = {
        {INIT_ZERO, 3, 0, 0}, {INIT_ONE, 3, 0, 1}, {INIT_UNIFORM, 0.5, 0.5 / 1.7320508, 0.5}, {INIT_NORMAL, 0.02, 0.02, 0.02 * 6},
        {INIT_TRUNCATED, 2, 2 * 0.87962566, 4},
    };
    Fixture f;
    fixture_open(&f, F32);
    Param *q[5];
    static const char *const NAMES[] = {"zero", "one", "uniform", "normal", "truncated"};
    for (int i = 0; i < 5; i++)
        q[i] = declare(&f, NAMES[i], i % 2, LAWS[i].init, LAWS[i].scale, N, COLS);
    REQUIRE_OK(params_create(&f.p));
    float *x = mem_alloc(N * COLS * sizeof *x), *y = mem_alloc(N * COLS * sizeof *y);
    for (int i = 0; i < 5; i++) {
        REQUIRE_OK(params_draw(&f.p, q[i], 42));
        REQUIRE_OK(params_get(&f.p, q[i], x));
        double mean, deviation, largest;
        moments(x, N * COLS, &mean, &deviation, &largest);
        CHECK_MSG(fabs(deviation - LAWS[i].deviation) <= 0.01 * LAWS[i].deviation && largest <= LAWS[i].largest,
                  "%s: mean %g, deviation %g, largest %g", NAMES[i], mean, deviation, largest);
        CHECK(LAWS[i].init == INIT_ONE || fabs(mean) <= 4 * LAWS[i].deviation / 300);
        REQUIRE_OK(params_draw(&f.p, q[i], 42));
        REQUIRE_OK(params_get(&f.p, q[i], y));
        CHECK(!memcmp(x, y, N * COLS * sizeof *x));
        REQUIRE_OK(params_draw(&f.p, q[i], 43));
        REQUIRE_OK(params_get(&f.p, q[i], y));
        CHECK(LAWS[i].init <= INIT_ONE || memcmp(x, y, N * COLS * sizeof *x));
    }
    mem_free(x);
    mem_free(y);
    fixture_close(&f);
}

TEST(a_step_begins_with_no_gradient)
{
    Fixture f;
    fixture_open(&f, F32);
    Param *a = declare(&f, "a", true, INIT_ONE, 0, 3, 5);
    REQUIRE_OK(params_create(&f.p));
    ((float *)a->t.grad)[14] = 3;
    a->reached = true;
    REQUIRE_OK(params_step_begin(&f.p));
    CHECK(((float *)a->t.grad)[14] == 0 && !a->reached);
    fixture_close(&f);
}

/* ---------------------------------------------------------------- neighbours */

static Arena one_block;

static Status create_touching(Backend *b, size_t n_bytes, void **out)
{
    (void)b;
    *out = arena_push(&one_block, n_bytes);
    return *out ? OK : ERR_NOMEM;
}

static void destroy_none(Backend *b, void *p) { (void)b, (void)p; }

/* Where an allocator puts one weight right behind another, which of them is a device's choice, they stay two matrices. */
TEST(weights_are_one_matrix_where_somebody_has_laid_them_out_so)
{
    enum { ROWS = 4, COLS = 16, ALL = ROWS * COLS };
    float file[2 * ALL] = {0};
    for (int how = 0; how < 4; how++) {
        const bool trainable = how == 2, in_file = how == 1, in_codes = how == 3;
        Fixture f;
        fixture_open(&f, F32);
        REQUIRE_OK(arena_create(&one_block, 1 << 16));
        f.backend.mem_create = create_touching;
        f.backend.mem_destroy = destroy_none;
        Linear lin[2] = {{.w = declare(&f, "a", trainable, INIT_NORMAL, 1, ROWS, COLS)},
                         {.w = declare(&f, "b", trainable, INIT_NORMAL, 1, ROWS, COLS)}};
        if (in_codes)
            REQUIRE_OK(fp8_declare(&f.p, lin, 2));
        REQUIRE_OK(params_create(&f.p));
        for (int i = 0; i < 2; i++)
            REQUIRE_OK(in_file ? params_place(&f.p, lin[i].w, file + i * ALL, F32) : params_draw(&f.p, lin[i].w, 1));
        const char *end = (const char *)lin[0].w->t.data + ALL * dtype_size(lin[0].w->t.type);
        CHECK_MSG(end == (const char *)lin[1].w->t.data, "case %d: the weights do not touch", how);
        CHECK_MSG(linear_run(lin, 0, 2) == (how ? 2 : 1), "case %d: %d as one matrix", how, linear_run(lin, 0, 2));
        fixture_close(&f);
        arena_free(&one_block);
    }
}
