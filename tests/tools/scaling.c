/* Steps of several GPUs on paper: sums by rings, shares of a batch. */
#include "tools/bench/scaling.h"

#include <math.h>

#include "tests/harness.h"

static const Device DEVICE = {"d", "a device", 100, 10, 1, 10, 5, 100, ""};

static bool near(double a, double b) { return fabs(a - b) <= 1e-9 * fabs(b); }

/* Two GPUs exchange all of it once: each sends half twice. Over a network, eight cards of a machine together are slower than these links.
 */
TEST(scaling_counts_the_bytes_and_hops_of_a_ring)
{
    const Wires half = {.nvlink = 0.5, .network = 0.05, .nvlink_us = 1, .network_us = 10};
    CHECK(near(scaling_sum_seconds(&DEVICE, &half, 50e9, 1), 0));
    CHECK(near(scaling_sum_seconds(&DEVICE, &half, 50e9, 2), 1 + 2e-6));
    CHECK(near(scaling_sum_seconds(&DEVICE, &half, 50e9, 8), 1.75 + 14e-6));
    CHECK(near(scaling_sum_seconds(&DEVICE, &half, 20e9, 16), 1.875 + 300e-6));
}

/* Lengths that are made up: all of a batch are dealt, evenly for more than a few samples a rank. */
TEST(scaling_deals_as_train_does)
{
    Lengths *l;
    Shares one, eight;
    REQUIRE_OK(lengths_open(&l, NULL, 729, 2048));
    CHECK_OK(lengths_share(l, &one, 64, 1));
    CHECK_OK(lengths_share(l, &eight, 8, 8));
    CHECK(near(one.mean, one.most));
    CHECK(near(8 * eight.mean, one.mean));
    CHECK(eight.most > eight.mean && eight.most < 1.2 * eight.mean);
    lengths_close(&l);
}
