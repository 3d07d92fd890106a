/* q8_0.c: numbers to blocks of 8 bits and back (q8_0.h). */
#include "data/formats/q8_0.h"

#include <math.h>
#include <string.h>

#include "kernels/base/dtype.h"

/* Half away from zero, for |x| < 2^22: what is added is the largest float below 1/2, so that 0.49999997 does not reach 1. */
static int8_t round_half_away(float x) { return (int8_t)(int)(x + copysignf(0x1.fffffep-2f, x)); }

void q8_0_from_f32(void *out, const float *x, size_t n)
{
    uint8_t *block = out;
    for (size_t at = 0; at < n; at += Q8_0_BLOCK, block += Q8_0_BYTES) {
        float most = 0;
        int8_t q[Q8_0_BLOCK];
        for (int i = 0; i < Q8_0_BLOCK; i++)
            most = fmaxf(most, fabsf(x[at + (size_t)i]));
        const float d = most / 127, inverse = isinf(1 / d) ? 0 : 1 / d; /* of 0, and of what is 0 as a half anyway */
        for (int i = 0; i < Q8_0_BLOCK; i++)
            q[i] = round_half_away(x[at + (size_t)i] * inverse);
        const uint16_t scale = f32_to_f16(d);
        memcpy(block, &scale, sizeof scale);
        memcpy(block + sizeof scale, q, sizeof q);
    }
}

void q8_0_to_f32(float *out, const void *blocks, size_t n)
{
    const uint8_t *block = blocks;
    for (size_t at = 0; at < n; at += Q8_0_BLOCK, block += Q8_0_BYTES) {
        uint16_t scale;
        int8_t q[Q8_0_BLOCK];
        memcpy(&scale, block, sizeof scale);
        memcpy(q, block + sizeof scale, sizeof q);
        const float d = f16_to_f32(scale);
        for (int i = 0; i < Q8_0_BLOCK; i++)
            out[at + (size_t)i] = d * (float)q[i];
    }
}
