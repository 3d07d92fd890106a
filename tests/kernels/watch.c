/* What operators cost, and being told of them. */
#include "kernels/ops/watch.h"
#include "tests/harness.h"

typedef struct Seen {
    int before, after;
    Op op;
    Cost cost;
} Seen;

static void see_before(void *arg, Op op, const void *args, const Cost *cost)
{
    Seen *s = arg;
    (void)args, (void)cost;
    s->before++;
    s->op = op;
}

static void see_after(void *arg, Op op, const void *args, const Cost *cost)
{
    Seen *s = arg;
    (void)args;
    s->after += s->op == op;
    s->cost = *cost;
}

TEST(a_watched_backend_computes_as_before_and_tells)
{
    Watched w;
    Seen seen = {0};
    float x[3] = {1, 2, 3}, y[3];
    REQUIRE_OK(ref_open(&w.b));
    watch_start(&w, (Watcher){.arg = &seen, .before = see_before, .after = see_after});
    CHECK_OK(w.b.ops.add_scaled(&w.b.ctx, &(AddScaled){.n = 3, .a_type = F32, .y_type = F32, .alpha = 2, .a = x, .y = y}));
    CHECK(y[0] == 2 && y[2] == 6 && seen.before == 1 && seen.after == 1 && seen.op == OP_add_scaled);
    CHECK(seen.cost.bytes_read == 12 && seen.cost.bytes_written == 12 && seen.cost.flops == 0);
    CHECK(op_call(&w.b, OP_fill, &(Fill){.n = -1, .type = F32}) == ERR_INTERNAL);
    CHECK(seen.before == 2 && seen.after == 1); /* what failed was begun, not done */
    w.watcher = (Watcher){0};
    CHECK_OK(op_call(&w.b, OP_fill, &(Fill){.n = 3, .type = F32, .x = x}));
    CHECK(seen.before == 2 && x[2] == 0);
    w.b.close(&w.b);
}

TEST(costs_of_matmul_and_attention)
{
    Cost c;
    cost_matmul(&(Matmul){.m = 2, .n = 3, .k = 5, .a_type = BF16, .b_type = BF16, .c_type = F32, .accumulate = true}, &c);
    CHECK(c.flops == 60 && c.bytes_read == 2 * 10 + 2 * 15 + 4 * 6 && c.bytes_written == 4 * 6 && c.narrow && c.m == 2 && c.n == 3 &&
          c.k == 5);
    cost_matmul(&(Matmul){.m = 2, .n = 3, .k = 5, .a_type = BF16, .b_type = F32, .c_type = F32}, &c);
    CHECK(!c.narrow && c.bytes_read == 2 * 10 + 4 * 15);
    cost_matmul(&(Matmul){.m = 2, .n = 3, .k = 5, .k2 = 1, .a_type = BF16, .b_type = BF16, .b2_type = F32, .c_type = F32}, &c);
    CHECK(c.flops == 72 && c.k == 6 && c.bytes_read == 2 * 12 + 2 * 15 + 4 * 3 && c.bytes_written == 4 * 6);

    AttentionFwd a = {.n_segments = 2, .rows_q = 7, .rows_k = 7, .heads = 4, .kv_heads = 2, .head_dim = 8, .max_q = 4, .max_k = 4,
                      .act = BF16};
    cost_attention_fwd(&a, &c);
    CHECK(c.flops == 4 * (16 + 9) * 32.0 && c.bytes_read == 2 * 7 * (32 + 2 * 16) && c.bytes_written == 2 * 7 * 32);
    a.causal = true;
    cost_attention_fwd(&a, &c);
    CHECK(c.flops == 4 * (10 + 6) * 32.0);
    a.window = 2; /* 1 + 2 + 2 + 2 and 1 + 2 + 2 */
    cost_attention_fwd(&a, &c);
    CHECK(c.flops == 4 * (7 + 5) * 32.0);
    a.window = 100;
    cost_attention_fwd(&a, &c);
    CHECK(c.flops == 4 * (10 + 6) * 32.0);
    a.n_segments = 3, a.cu_host = (const int32_t[]){0, 4, 5, 7}; /* lengths that differ, where they are known: 10 + 1 + 3 */
    cost_attention_fwd(&a, &c);
    CHECK(c.flops == 4 * 14 * 32.0);
    a.n_segments = 2, a.cu_host = NULL;
    a.causal = false, a.rows_k = 12, a.max_k = 10; /* 4 queries to 10 keys, 3 to 2 */
    cost_attention_fwd(&a, &c);
    CHECK(c.flops == 4 * (40 + 6) * 32.0 && c.bytes_read == 2 * (7 * 32 + 2 * 12 * 16) && c.bytes_written == 2 * 7 * 32);

    float x;
    AttentionBwd b = {.n_segments = 1, .rows_q = 4, .rows_k = 4, .heads = 1, .kv_heads = 1, .head_dim = 8, .max_q = 4, .max_k = 4,
                      .act = F32, .causal = true,
                      .dq = &x, .dk = &x, .dv = &x};
    cost_attention_bwd(&b, &c);
    CHECK(c.flops == 10 * 10 * 8.0 && c.again == 2 * 10 * 8.0 && !c.narrow && c.bytes_read == 4 * (5 * 32 + 4) &&
          c.bytes_written == 4 * 3 * 32);
    b.dq = NULL;
    cost_attention_bwd(&b, &c);
    CHECK(c.flops == 8 * 10 * 8.0 && c.bytes_written == 4 * 2 * 32);
}
