/* Weights of benchmarks: a block that is repeated, of the size that a declaration says, and nothing that is zero where a folder would have
 * said something else. */
#include "tools/bench/bench_fill.h"

#include <math.h>

#include "tests/harness.h"
#include "tools/bench/bench_step.h"
#include "train/config/config.h"

enum { ROWS = 1100, COLS = 2048, N = ROWS * COLS };

typedef struct Filled {
    RunConfig cfg;
    Backend b;
    Params p;
    BenchFill fill;
} Filled;

static void open_filled(Filled *f, DType compute)
{
    REQUIRE_OK(config_load(&f->cfg, "tools/bench/gpu/r16.json", NULL, 0));
    REQUIRE_OK(cpu_open(&f->b));
    params_init(&f->p, &f->b, compute);
    f->p.group = (ParamGroup){.part = "llm"};
    REQUIRE_OK(bench_fill_make(&f->fill, &f->cfg, compute));
}

static void close_filled(Filled *f)
{
    bench_fill_free(&f->fill);
    params_destroy(&f->p);
    f->b.close(&f->b);
    config_free(&f->cfg);
}

static Param *declare(Filled *f, const char *name, ParamInit init, double scale, bool trainable, int n_dims, int64_t rows, int64_t cols)
{
    Param *q = params_declare(&f->p, &(ParamSpec){.name = name, .trainable = trainable, .init = init, .init_scale = scale,
                                                  .n_dims = n_dims, .shape = {rows, cols}});
    REQUIRE(q);
    return q;
}

/* Values of q in host memory that the caller frees. */
static float *values_of(Filled *f, Param *q)
{
    float *x = mem_alloc((size_t)q->t.n_elems * sizeof *x);
    REQUIRE(x);
    REQUIRE_OK(bench_fill_set(&f->fill, &f->p, q));
    REQUIRE_OK(params_get(&f->p, q, x));
    return x;
}

static void check_spread(const float *x, int64_t n, double wanted)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    const double mean = sum / (double)n, spread = sqrt(squares / (double)n - mean * mean);
    CHECK_MSG(fabs(mean) < 0.01 * wanted, "mean %g of numbers of %g", mean, wanted);
    CHECK_MSG(fabs(spread - wanted) < 0.01 * wanted, "spread %g, wanted %g", spread, wanted);
}

static void check_matrices(DType compute)
{
    static Filled f;
    open_filled(&f, compute);
    Param *normal = declare(&f, "a.weight", INIT_NORMAL, 0.02, false, 2, ROWS, COLS);
    Param *uniform = declare(&f, "b.weight", INIT_UNIFORM, 0.3, false, 2, ROWS, COLS);
    Param *absent = declare(&f, "c.weight", INIT_ZERO, 0, false, 2, ROWS, COLS);
    Param *small = declare(&f, "d.weight", INIT_NORMAL, 0.02, false, 2, 3, 5);
    REQUIRE_OK(params_create(&f.p));
    float *x = values_of(&f, normal), *of_small = values_of(&f, small), *of_uniform = values_of(&f, uniform),
          *of_absent = values_of(&f, absent), *again = values_of(&f, normal);
    check_spread(x, N, 0.02);
    check_spread(of_uniform, N, 0.3 / sqrt(3));
    check_spread(of_absent, N, 1 / sqrt(COLS));
    CHECK_INT(normal->t.type, compute);
    CHECK(!memcmp(x, again, N * sizeof *x));
    CHECK(memcmp(x, of_small, 15 * sizeof *x));
    double product = 0;
    for (int64_t i = 0; i < N; i++)
        product += (double)x[i] * (double)of_absent[i];
    product /= N * 0.02 / sqrt(COLS);
    CHECK_MSG(fabs(product) < 0.01, "two weights are correlated: %g", product);
    /* A whole number of blocks apart numbers are the same; of rows, different. */
    int same = 0;
    for (int64_t i = 0; i < N - BENCH_BLOCK; i++)
        same += x[i] == x[i + BENCH_BLOCK];
    CHECK_INT(same, N - BENCH_BLOCK);
    for (int64_t row = 1; row < ROWS; row++)
        CHECK_MSG(memcmp(x, x + row * COLS, COLS * sizeof *x), "row %lld is the first", (long long)row);
    mem_free(x), mem_free(of_small), mem_free(of_uniform), mem_free(of_absent), mem_free(again);
    close_filled(&f);
}

TEST(weights_of_benchmarks_are_one_block_repeated)
{
    check_matrices(BF16);
    check_matrices(F32);
}

TEST(weights_of_benchmarks_that_are_learned_or_vectors_are_drawn)
{
    static Filled f;
    open_filled(&f, BF16);
    Param *adapter = declare(&f, "lora_B.weight", INIT_ZERO, 0, true, 2, 8, 4);
    Param *scale = declare(&f, "norm.weight", INIT_ZERO, 0, false, 1, 7, 0);
    Param *bias = declare(&f, "norm.bias", INIT_ZERO, 0, false, 1, 7, 0);
    REQUIRE_OK(params_create(&f.p));
    float *of_adapter = values_of(&f, adapter), *of_scale = values_of(&f, scale), *of_bias = values_of(&f, bias);
    for (int i = 0; i < 32; i++)
        CHECK(of_adapter[i] == 0);
    for (int i = 0; i < 7; i++)
        CHECK(of_scale[i] == 1 && of_bias[i] == 0);
    mem_free(of_adapter), mem_free(of_scale), mem_free(of_bias);
    close_filled(&f);
}

/* Neither are weights too large, nor the added rows, which are drawn like the filled ones: at first no token is likelier than another. */
TEST(model_with_weights_of_benchmarks_knows_nothing)
{
    static const char *const SETS[] = {"model.llm.init=random", "model.tokens.init=default", "model.lora.init=default"};
    static RunConfig cfg;
    PassShape shape;
    BenchStep step;
    Backend b;
    REQUIRE_OK(config_load(&cfg, "tests/fixtures/parity/visual_tokens/config.json", SETS, 3));
    REQUIRE_OK(cpu_open(&b));
    REQUIRE_OK(bench_step_shape(&shape, &cfg, 96, 32, 9));
    REQUIRE_OK(bench_step_open(&step, &b, &cfg, F32, &shape));
    REQUIRE_OK(bench_step_run(&step));
    const ModelSizes *sizes = genllava_model_sizes(step.model);
    CHECK(sizes->added_rows > 0);
    const double even = log(sizes->vocab_size + sizes->added_rows);
    CHECK_MSG(fabs(step.loss - even) < 0.3, "the loss is %g, of even odds %g", step.loss, even);
    bench_step_close(&step);
    b.close(&b);
    config_free(&cfg);
}
