/* peak.h: ceilings of processors that are known, and of those that are not. */
#include "train/measure/peak.h"

#include <math.h>
#include <stdio.h>

#include "tests/harness.h"

static double of_device(const char *description, DType compute)
{
    Backend b = {.name = "cuda"};
    snprintf(b.description, sizeof b.description, "%s", description);
    return peak_flops(&b, compute, NULL);
}

TEST(published_ceilings_are_those_of_the_card_and_others_are_not_known)
{
    CHECK(of_device("NVIDIA H200, 150 GB, compute capability 9.0", BF16) == 989e12);
    CHECK(of_device("NVIDIA H200, 150 GB, compute capability 9.0", F32) == 67e12);
    CHECK(of_device("NVIDIA H100 80GB HBM3, 85 GB, compute capability 9.0", BF16) == 989e12);
    CHECK(of_device("NVIDIA A100-SXM4-40GB, 42 GB, compute capability 8.0", BF16) == 312e12);
    CHECK(isinf(of_device("NVIDIA H200 NVL, 150 GB, compute capability 9.0", BF16)));
    CHECK(isinf(of_device("NVIDIA H100 PCIe, 85 GB, compute capability 9.0", BF16)));
    CHECK(isinf(of_device("NVIDIA GeForce RTX 4090, 25 GB, compute capability 8.9", BF16)));
}

TEST(the_cpus_ceiling_is_measured)
{
    enum { BYTES = 3 * 128 * 128 * 4 + 3 * ARENA_ALIGN };
    Backend b;
    Arena room;
    REQUIRE_OK(cpu_open(&b));
    REQUIRE_OK(arena_create(&room, BYTES));
    double peak = peak_flops(&b, F32, &room);
    CHECK_MSG(peak > 1e8 && peak < 1e15, "%g", peak);
    CHECK(room.used == 0 && room.peak > BYTES / 2); /* of the larger products that fit */
    arena_free(&room);
    REQUIRE_OK(arena_create(&room, 4096));
    CHECK(isinf(peak_flops(&b, F32, &room))); /* no room */
    arena_free(&room);
    b.close(&b);
}
