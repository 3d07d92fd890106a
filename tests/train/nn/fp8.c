/* Frozen weights as operands of 8 bits: forward and backward against the formula of train/nn/fp8.h, number by number. */
#include <math.h>
#include <stdio.h>

#include "tests/train/nn/rig.h"

enum { ROWS = 5, IN = 24, R = 2, LINEARS = 3 };
static const int64_t OUT[LINEARS] = {16, 32, 8};
enum { ALL = 56 };

typedef struct Toy {
    Rig rig;
    Param *x, *residual;
    Linear lin[LINEARS];
    double w[ALL * IN]; /* as it was before it was quantized */
    bool adapted[LINEARS], in_block;
    double dropout;
    int n;
} Toy;

static Param *matrix(Rig *r, const char *what, int i, int64_t rows, int64_t cols, bool trainable)
{
    char name[32];
    snprintf(name, sizeof name, "%s%d", what, i);
    return rig_param(r, name, rows, cols, trainable);
}

/* What is drawn for weights of these names. */
static void draw_weights(Toy *toy, int n)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    for (int i = 0; i < n; i++)
        matrix(&r, "w", i, OUT[i], IN, false);
    rig_create(&r);
    for (int64_t i = 0, at = 0; i < n; at += OUT[i++] * IN)
        memcpy(toy->w + at, r.params.list[i]->t.data, (size_t)(OUT[i] * IN) * sizeof *toy->w);
    rig_close(&r);
}

/* n linears, the first `plain` of them without an adapter. */
static void open_toy(Toy *toy, int n, int plain, Recompute recompute, bool answers)
{
    Rig *r = &toy->rig;
    rig_open(r, F64, recompute);
    r->params.answers = answers;
    toy->n = n;
    toy->x = rig_param(r, "x", ROWS, IN, true);
    toy->residual = rig_param(r, "residual", ROWS, OUT[0], true);
    for (int i = 0; i < n; i++)
        toy->lin[i] = (Linear){.w = matrix(r, "w", i, OUT[i], IN, false), .scale = 0.5 + i, .site = (uint64_t)i};
    for (int i = plain; i < n; i++)
        toy->lin[i].lora_a = matrix(r, "a", i, R, IN, true);
    for (int i = plain; i < n; i++)
        toy->lin[i].lora_b = matrix(r, "b", i, OUT[i], R, true);
    draw_weights(toy, n);
    REQUIRE_OK(fp8_declare(&r->params, toy->lin, n));
    rig_create(r);
}

static Tensor *formula(Tape *t, const void *arg, Tensor *const *in, int n)
{
    const Toy *toy = arg;
    (void)n;
    return toy->n == 1 ? nn_linear_add(t, in[0], toy->lin, NULL, in[1]) : nn_linear(t, in[0], toy->lin, toy->n, NULL);
}

static Tensor *build(Rig *rig, Tape *t)
{
    Toy *toy = (Toy *)(void *)rig;
    Tensor *in[] = {rig_rows(t, toy->x), rig_rows(t, toy->residual)};
    return toy->in_block ? nn_block(t, formula, toy, in, 2) : formula(t, toy, in, 2);
}

/* ---------------------------------------------------------------- by hand */

/* Rows of x [rows, cols], elements `step` apart, as 8 bits hold them. */
static void quantized(const double *x, int64_t rows, int64_t cols, int64_t ld, int64_t step, double *out)
{
    for (int64_t i = 0; i < rows; i++) {
        float largest = 0;
        for (int64_t j = 0; j < cols; j++)
            largest = fmaxf(largest, fabsf((float)x[i * ld + j * step]));
        for (int64_t j = 0; j < cols; j++)
            out[i * cols + j] = (double)fp8_to_f32(f32_to_fp8((float)x[i * ld + j * step] * (448 / largest))) * (double)(largest / 448);
    }
}

/* c [m,n] += scale · a [m,k] · b [k,n], whose elements are lb and sb apart. */
static void add_product(double *c, int64_t ldc, double scale, const double *a, int64_t lda, const double *b, int64_t lb, int64_t sb,
                        int64_t m, int64_t n, int64_t k)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t l = 0; l < k; l++)
                c[i * ldc + j] += scale * a[i * lda + l] * b[l * lb + j * sb];
}

static void check_close(const char *what, const double *y, const double *truth, int64_t n)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(y[i] - truth[i]));
        largest = fmax(largest, fabs(truth[i]));
    }
    CHECK_MSG(largest > 0 && worst <= 1e-12 * largest, "%s: off by %.3g, the largest is %.3g", what, worst, largest);
}

static double gelu_slope(double z) { return 0.5 * (1 + erf(z / sqrt(2))) + z * exp(-z * z / 2) / sqrt(2 * M_PI); }

static void check_toy(Toy *toy)
{
    const int n = toy->n;
    const double *x = (double *)toy->rig.params.flat_master + toy->x->flat;
    double x8[ROWS * IN], w8[ALL * IN], w8t[ALL * IN], dy8[ROWS * ALL], y[ROWS * ALL] = {0}, dy[ROWS * ALL], u[LINEARS][ROWS * R] = {{0}},
        dx[ROWS * IN] = {0};
    int64_t out = 0;
    for (int i = 0; i < n; i++)
        out += OUT[i];
    quantized(x, ROWS, IN, IN, 1, x8);
    quantized(toy->w, out, IN, IN, 1, w8);
    quantized(toy->w, IN, out, 1, IN, w8t);
    add_product(y, out, 1, x8, IN, w8, 1, IN, ROWS, out, IN);
    for (int64_t i = 0, at = 0; i < n; at += OUT[i++])
        if (toy->lin[i].lora_a) {
            add_product(u[i], R, toy->lin[i].scale, x, IN, toy->lin[i].lora_a->t.data, 1, IN, ROWS, R, IN);
            add_product(y + at, out, 1, u[i], R, toy->lin[i].lora_b->t.data, 1, R, ROWS, OUT[i], R);
        }
    if (n == 1)
        for (int64_t i = 0; i < ROWS * out; i++)
            y[i] += ((double *)toy->residual->t.data)[i];
    double loss = 0;
    for (int64_t i = 0; i < ROWS * out; i++) {
        loss += 0.5 * y[i] * (1 + erf(y[i] / sqrt(2)));
        dy[i] = gelu_slope(y[i]);
    }
    const double got = rig_loss(&toy->rig, build, true);
    CHECK_MSG(fabs(got - loss) <= 1e-12 * fabs(loss), "the loss is %.15g, not %.15g", got, loss);
    quantized(dy, ROWS, out, out, 1, dy8);
    add_product(dx, IN, 1, dy8, out, w8t, 1, out, ROWS, IN, out);
    for (int64_t i = 0, at = 0; i < n; at += OUT[i++]) {
        double du[ROWS * R] = {0}, db[ALL * R] = {0}, da[R * IN] = {0};
        const Linear *l = &toy->lin[i];
        if (!l->lora_a)
            continue;
        add_product(du, R, l->scale, dy + at, out, l->lora_b->t.data, R, 1, ROWS, R, OUT[i]);
        add_product(dx, IN, 1, du, R, l->lora_a->t.data, IN, 1, ROWS, IN, R);
        for (int64_t row = 0; row < ROWS; row++) {
            add_product(db, R, 1, dy + row * out + at, 1, u[i] + row * R, R, 1, OUT[i], R, 1);
            add_product(da, IN, 1, du + row * R, 1, x + row * IN, IN, 1, R, IN, 1);
        }
        check_close(l->lora_a->name, l->lora_a->t.grad, da, R * IN);
        check_close(l->lora_b->name, l->lora_b->t.grad, db, OUT[i] * R);
    }
    check_close("dx", toy->x->t.grad, dx, ROWS * IN);
    if (n == 1)
        check_close("the residual's gradient", toy->residual->t.grad, dy, ROWS * out);
}

TEST(fp8_linears_are_their_formula)
{
    static const Recompute HOW[] = {RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_BLOCK};
    for (int n = 1; n <= LINEARS; n += 2)
        for (int plain = 0; plain <= n; plain++)
            for (int how = 0; how < 4; how++) {
                Toy toy = {.in_block = how > 0};
                open_toy(&toy, n, plain, HOW[how ? how - 1 : 0], false);
                check_toy(&toy);
                rig_close(&toy.rig);
            }
}

/* What is read of a weight is what is multiplied with, in pieces too. */
TEST(fp8_weights_are_read_as_they_are_multiplied_with)
{
    Toy toy = {0};
    float all[ALL * IN], piece[ALL * IN];
    double w8[ALL * IN];
    open_toy(&toy, LINEARS, 0, RECOMPUTE_NONE, false);
    quantized(toy.w, ALL, IN, IN, 1, w8);
    for (int64_t i = 0, at = 0; i < LINEARS; at += OUT[i++] * IN) {
        const int64_t n = OUT[i] * IN, from = IN / 2 + 3;
        CHECK_OK(params_get(&toy.rig.params, toy.lin[i].w, all));
        CHECK_OK(params_get_range(&toy.rig.params, toy.lin[i].w, from, n - from - 1, piece));
        CHECK(!memcmp(piece, all + from, (size_t)(n - from - 1) * sizeof *all));
        for (int64_t k = 0; k < n; k++)
            CHECK_MSG(all[k] == (float)w8[at + k], "linear %lld, element %lld: %g, not %g", (long long)i, (long long)k, (double)all[k],
                      w8[at + k]);
    }
    rig_close(&toy.rig);
}

/* A byte a weight each way, and the scales; the weights themselves are gone. */
TEST(fp8_weights_take_a_byte_each_way)
{
    for (int answers = 0; answers < 2; answers++) {
        Toy toy = {0};
        open_toy(&toy, LINEARS, LINEARS, RECOMPUTE_NONE, answers);
        const int64_t scale = sizeof(float), way = ALL * IN;
        CHECK_INT(params_bytes(&toy.rig.params).frozen, way + ALL * scale + (answers ? 0 : way + IN * scale));
        CHECK((toy.lin[0].fp8->code_t == NULL) == (answers == 1));
        rig_close(&toy.rig);
    }
}

/* Of several matrices one is there as numbers at a time, and nothing of it afterwards. */
TEST(fp8_weights_are_numbers_one_matrix_at_a_time)
{
    enum { MATRICES = 4 };
    Rig r;
    Linear lin[MATRICES][2];
    rig_open(&r, F64, RECOMPUTE_NONE);
    for (int i = 0; i < MATRICES; i++)
        for (int j = 0; j < 2; j++) {
            char what[16];
            snprintf(what, sizeof what, "%d.w", i);
            lin[i][j] = (Linear){.w = matrix(&r, what, j, OUT[j], IN, false)};
        }
    for (int i = 0; i < MATRICES; i++)
        REQUIRE_OK(fp8_declare(&r.params, lin[i], 2));
    rig_create(&r);
    const ParamBytes bytes = params_bytes(&r.params);
    CHECK_INT(bytes.passing, (OUT[0] + OUT[1]) * IN * (int64_t)sizeof(double));
    CHECK_INT(r.params.held, bytes.frozen);
    CHECK_INT(r.params.n_blocks, MATRICES * 4);
    rig_close(&r);
}

/* A number that is not finite gives a loss that is none, so that the step is left out. */
TEST(fp8_linears_hide_no_number_that_is_not_finite)
{
    static const double BAD[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        Toy toy = {0};
        open_toy(&toy, LINEARS, 1, RECOMPUTE_NONE, false);
        ((double *)toy.rig.params.flat_master + toy.x->flat)[2 * IN + 5] = BAD[i];
        CHECK(isnan(rig_loss(&toy.rig, build, true)));
        rig_close(&toy.rig);
    }
}
