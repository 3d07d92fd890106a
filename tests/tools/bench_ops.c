/* Arguments of the benchmarks: every operator has some, and all are what the operators take. */
#include "tools/bench/bench_ops.h"

#include "tests/harness.h"

typedef struct Seen {
    Backend *b;
    int n[N_OPS];
} Seen;

static Status line(void *arg, Op op, const char *what, const void *args)
{
    Seen *s = arg;
    Cost cost;
    CHECK(*what);
    op_cost(op, args, &cost);
    CHECK_MSG(cost.bytes_read + cost.bytes_written > 0, "%s moves nothing", op_name(op));
    CHECK_OK(op_call(s->b, op, args));
    s->n[op]++;
    return OK;
}

TEST(benchmarks_have_arguments_for_every_operator)
{
    enum { BYTES = 4 << 20 };
    Backend b;
    Arena memory, scratch;
    Seen seen = {.b = &b};
    REQUIRE_OK(ref_open(&b));
    REQUIRE_OK(arena_create(&memory, BYTES));
    REQUIRE_OK(arena_create(&scratch, BYTES));
    b.ctx.scratch = &scratch;
    BenchOps x = {.b = &b, .memory = memory.base, .size = BYTES, .arg = &seen, .line = line};
    CHECK_OK(bench_elementwise(&x, F32, 300, 64));
    CHECK_OK(bench_elementwise(&x, BF16, 300, 64));
    CHECK_OK(bench_attention(&x, BF16, 3, 20, 4, 2, 16));
    CHECK_OK(bench_adapters(&x, BF16, 300, 64, 5));
    CHECK_OK(bench_images(&x, BF16, 2, 5, 64));
    CHECK_OK(bench_conv(&x, BF16, 2, 5, 6, 7));
    CHECK_OK(bench_optimiser(&x, 1000));
    for (int op = 0; op < N_OPS; op++)
        CHECK_MSG(op == OP_matmul || op == OP_matmul_fp8 || seen.n[op] > 0, "%s has no arguments", op_name((Op)op));
    x.size = 1000;
    CHECK(bench_optimiser(&x, 1000) == ERR_NOMEM);
    arena_free(&memory);
    arena_free(&scratch);
    b.close(&b);
}
