/* What every operator moves on the emulated device, beside what its cost says (kernels/ops/cost.h): the roofline is made of the costs. */
#include "tests/cuda_host/cuda_host.h"

extern "C" {
#include "tests/harness.h"
#include "tools/bench/bench_ops.h"
}

namespace {

enum { ROWS = 64, COLS = 2048 };

/* Operators that move more than they must, most of it from the cache: times what the cost says. */
const struct {
    Op op;
    double read, written;
} MORE[] = {
    {OP_rmsnorm_fwd, 2, 1},     /* the weights, F32, with every row */
    {OP_rmsnorm_bwd, 2.1, 1},
    {OP_layernorm_fwd, 4.8, 1}, /* weights and biases */
    {OP_layernorm_bwd, 9.2, 8.6}, /* and the partial sums of few rows */
    {OP_column_sum, 5.1, 130},  /* partial sums: as many as these few rows */
    {OP_sum_squares, 1, 34},    /* partial sums */
    {OP_dropout, 1.5, 1},       /* position and item of the row with every vector */
    {OP_rope, 1.02, 1},         /* position */
    {OP_dequantize, 1.78, 1},   /* the scale with every vector */
    {OP_rows_gather, 1.25, 1},  /* index of the row */
    {OP_rows_scatter, 1.25, 1},
    {OP_difference_bwd, 2.02, 1}, /* a row of u and v for its norm, and again for its gradient; the item's weight in each thread */
    {OP_cross_entropy, 1.63, 1}, /* label, weight and the label's logit in each thread */
};

double share(uint64_t moved, double cost) { return cost > 0 ? (double)moved / cost : moved ? 1e9 : 1; }

Status line(void *arg, Op op, const char *what, const void *args)
{
    Backend *b = (Backend *)arg;
    Cost cost;
    double most_read = 1, most_written = 1;
    for (const auto &m : MORE)
        if (m.op == op)
            most_read = m.read, most_written = m.written;
    op_cost(op, args, &cost);
    cuda_host_clear();
    CHECK_OK(op_call(b, op, args));
    cuda_host_settle();
    CudaHostCounters c = cuda_host_counters();
    double read = share(c.bytes_read, cost.bytes_read), written = share(c.bytes_written, cost.bytes_written);
    CHECK_MSG(read >= 1 && read <= most_read + 0.01, "%s %s: reads %llu bytes, %.2f of its cost", op_name(op), what,
              (unsigned long long)c.bytes_read, read);
    CHECK_MSG(written >= 1 && written <= most_written + 0.01, "%s %s: writes %llu bytes, %.2f of its cost", op_name(op), what,
              (unsigned long long)c.bytes_written, written);
    return OK;
}

} // namespace

TEST(operators_move_what_their_costs_say)
{
    enum { BYTES = 8 << 20 };
    Backend b;
    void *memory = nullptr;
    REQUIRE_OK(cuda_open(&b, 0));
    REQUIRE_OK(b.mem_create(&b, BYTES, &memory));
    BenchOps x = {};
    x.b = &b, x.memory = (char *)memory, x.size = BYTES, x.arg = &b, x.line = line;
    CHECK_OK(bench_elementwise(&x, BF16, ROWS, COLS));
    CHECK_OK(bench_optimiser(&x, 1 << 16));
    CHECK_STR(cuda_host_error(), "");
    b.mem_destroy(&b, memory);
    b.close(&b);
}
