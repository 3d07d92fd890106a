/* The roofline: times from costs, lines from launches. */
#include "tools/bench/roofline.h"

#include <math.h>

#include "tests/harness.h"

static const Device DEVICE = {"d", "a device", 100, 10, 1, 10, 5, 100, ""};
static const Reached REACHED = {.matmul = 0.5, .attention = 0.25, .adapters = 0.2, .bandwidth = 0.5, .integer = 0.4, .gap_us = 2};

static bool near(double a, double b) { return fabs(a - b) <= 1e-9 * fabs(b); }

TEST(roofline_takes_the_slower_of_arithmetic_and_memory)
{
    Cost c = {.m = 1280, .n = 1280, .k = 1280, .flops = 2 * 1280.0 * 1280 * 1280, .narrow = true}; /* 100 tiles in ten full waves */
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_matmul, &c), c.flops / 50e12 + 2e-6));
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_matmul_fp8, &c), c.flops / 100e12 + 2e-6));
    c.narrow = false;
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_matmul, &c), c.flops / 5e12 + 2e-6));
    c.bytes_read = 4e12, c.bytes_written = 1e12;
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_matmul, &c), 10 + 2e-6));
    Cost a = {.m = 7, .n = 7, .flops = 1e12, .narrow = true};
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_attention_fwd, &a), 1 / 25.0 + 2e-6));
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_fill, &(Cost){0}), 2e-6));
    Cost d; /* 100 · (4 · 60 + 28 · 3) instructions */
    cost_dropout(&(Dropout){.rows = 100, .cols = 28, .act = BF16}, &d);
    d.bytes_read = d.bytes_written = 0;
    Cost e = d; /* products and random numbers add up */
    e.flops = 4e9, e.narrow = true;
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_adapter_down_bwd, &e), 4e9 / 20e12 + 32400 / 2e12 + 2e-6));
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_dropout, &d), 32400 / 2e12 + 2e-6));
}

TEST(roofline_counts_tiles_and_waves)
{
    Cost c = {.m = 1281, .n = 1280, .k = 128, .flops = 2 * 1281.0 * 1280 * 128, .narrow = true}; /* 110 tiles, the last ten almost empty */
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_matmul, &c), 2 * 1408.0 * 1280 * 128 / 50e12 + 2e-6));
    c = (Cost){.m = 128, .n = 128, .k = 2048, .flops = 2 * 128.0 * 128 * 2048, .narrow = true}; /* one tile: a tenth of the device */
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_matmul, &c), 10 * c.flops / 50e12 + 2e-6));
    c.k *= 5, c.flops *= 5; /* cut into five */
    CHECK(near(roofline_seconds(&DEVICE, &REACHED, OP_matmul, &c), 2 * c.flops / 50e12 + 2e-6));
}

static void multiply(Backend *b, int64_t m, int64_t n, int64_t k)
{
    Matmul a = {.m = m, .n = n, .k = k, .a_type = BF16, .b_type = BF16, .c_type = BF16, .lda = k, .ldb = n, .ldc = n, .alpha = 1};
    CHECK_OK(b->ops.matmul(&b->ctx, &a));
}

TEST(roofline_collects_launches_by_shape_and_then_by_operator)
{
    Watched w;
    Roofline r = {.device = &DEVICE, .reached = REACHED};
    REQUIRE_OK(null_open(&w.b));
    watch_start(&w, roofline_watcher(&r));
    for (int i = 0; i < 3; i++)
        multiply(&w.b, 1024, 1024, 1024);
    multiply(&w.b, 2048, 1024, 1024);
    multiply(&w.b, 2048, 1024, 16);
    Matmul two = {.m = 2048, .n = 1024, .k = 1024, .k2 = 16, .a_type = BF16, .b_type = BF16, .b2_type = BF16, .c_type = BF16, .alpha = 1};
    CHECK_OK(w.b.ops.matmul(&w.b.ctx, &two)); /* the device runs one after the other */
    CHECK_OK(w.b.ops.fill(&w.b.ctx, &(Fill){.n = 1000, .type = F32}));
    w.b.close(&w.b);
    REQUIRE(r.n == 4 && !r.failed);
    CHECK(r.lines[0].launches == 3 && r.lines[0].m == 1024 && near(r.lines[0].ideal, r.lines[0].flops / 50e12) && !r.lines[0].narrow);
    double sum = 0, after = 0;
    for (int i = 0; i < r.n; i++)
        sum += r.lines[i].seconds;
    roofline_by_operator(&r);
    REQUIRE(r.n == 3);
    CHECK(r.lines[0].op == OP_matmul && !r.lines[0].narrow && r.lines[0].launches == 5);
    CHECK(r.lines[1].op == OP_matmul && r.lines[1].narrow && r.lines[1].launches == 2 && r.lines[1].memory_bound);
    CHECK(r.lines[2].op == OP_fill && r.lines[2].ideal == 0 && r.lines[2].bytes == 4000);
    for (int i = 0; i < r.n; i++)
        after += r.lines[i].seconds;
    CHECK(near(sum, after));
    roofline_free(&r);
}
