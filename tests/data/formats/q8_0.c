/* q8_0: blocks by the formula, rounding half away from zero, extremes. What gguf's own quantiser makes is in gguf.c. */
#include "data/formats/q8_0.h"

#include <math.h>

#include "kernels/base/dtype.h"
#include "kernels/base/philox.h"
#include "tests/harness.h"

enum { BLOCKS = 4000 };

static float drawn(uint32_t i)
{
    const Philox4 r = philox4x32(3, i, 0, 0, 0);
    return ldexpf((float)(int32_t)r.v[0] * 0x1p-31f, (int)(r.v[1] % 24) - 12);
}

TEST(q8_0_blocks_are_the_formula)
{
    int wrong = 0;
    for (uint32_t b = 0; b < BLOCKS; b++) {
        float x[Q8_0_BLOCK], back[Q8_0_BLOCK], most = 0;
        uint8_t block[Q8_0_BYTES];
        uint16_t d;
        for (uint32_t i = 0; i < Q8_0_BLOCK; i++) {
            x[i] = drawn(b * Q8_0_BLOCK + i);
            most = fmaxf(most, fabsf(x[i]));
        }
        q8_0_from_f32(block, x, Q8_0_BLOCK);
        q8_0_to_f32(back, block, Q8_0_BLOCK);
        memcpy(&d, block, 2);
        wrong += d != f32_to_f16(most / 127);
        for (int i = 0; i < Q8_0_BLOCK; i++) {
            wrong += (int8_t)block[2 + i] != roundf(x[i] * (1 / (most / 127)));
            wrong += back[i] != f16_to_f32(d) * (float)(int8_t)block[2 + i];
        }
    }
    CHECK_INT(wrong, 0);
}

TEST(q8_0_rounds_half_away_from_zero)
{
    float x[Q8_0_BLOCK] = {127, 0.5f, -0.5f, 0x1.fffffep-2f, 1.5f, 2.5f, -2.5f, -127};
    static const int8_t WANTED[] = {127, 1, -1, 0, 2, 3, -3, -127, 0};
    uint8_t block[Q8_0_BYTES];
    q8_0_from_f32(block, x, Q8_0_BLOCK);
    CHECK(!memcmp(block, "\0\x3c", 2)); /* 1 as a half */
    CHECK(!memcmp(block + 2, WANTED, sizeof WANTED));
}

TEST(q8_0_extremes)
{
    float x[Q8_0_BLOCK] = {0};
    uint8_t block[Q8_0_BYTES];
    static const uint8_t ZEROS[Q8_0_BYTES];
    q8_0_from_f32(block, x, Q8_0_BLOCK);
    CHECK(!memcmp(block, ZEROS, sizeof block));
    x[3] = 1e-42f; /* its 1/d is beyond f32 */
    q8_0_from_f32(block, x, Q8_0_BLOCK);
    CHECK(!memcmp(block, ZEROS, sizeof block));
    x[3] = -Q8_0_MOST;
    q8_0_from_f32(block, x, Q8_0_BLOCK);
    q8_0_to_f32(x, block, Q8_0_BLOCK);
    CHECK(x[3] == -Q8_0_MOST && x[4] == 0);
}
