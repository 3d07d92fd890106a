/* philox_lanes.h: Philox (base/philox.h) of VL counters at once, for dropout and for the rounding of moments. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_PHILOX_LANES_H
#define GENLLAVA_KERNELS_CPU_ISA_PHILOX_LANES_H

#include "kernels/base/philox.h"
#include "kernels/cpu/isa/isa.h"

enum { PHILOX_ROUNDS = 10 };

typedef struct PhiloxLanes {
    uint32_t key0[PHILOX_ROUNDS], key1[PHILOX_ROUNDS]; /* of the rounds */
    uint32_t group[VL];                                /* of the lanes, see philox_words */
} PhiloxLanes;

static inline void philox_lanes(PhiloxLanes *p, uint64_t key)
{
    for (uint32_t r = 0; r < PHILOX_ROUNDS; r++) {
        p->key0[r] = (uint32_t)key + r * 0x9E3779B9u;
        p->key1[r] = (uint32_t)(key >> 32) + r * 0xBB67AE85u;
    }
    for (uint32_t lane = 0; lane < VL; lane++)
        p->group[lane] = lane % 4 * (VL / 4) + lane / 4;
}

/* The words of the counters (first, c1, c2, 0) … (first+VL-1, c1, c2, 0), four each, in order: word[i] holds words i·VL … of them all.
 * Lane 4b+i computes counter i·VL/4 + b, so that exchanging words within every four lanes is enough. */
ALWAYS void philox_words(const PhiloxLanes *p, uint32_t first, uint32_t c1, uint32_t c2, vu word[4])
{
    vu c[4] = {vu_add(vu_load(p->group), vu_set(first)), vu_set(c1), vu_set(c2), vu_set(0)};
    for (int r = 0; r < PHILOX_ROUNDS; r++) {
        vu high0, low0, high1, low1;
        vu_multiply(c[0], vu_set(0xD2511F53u), &high0, &low0);
        vu_multiply(c[2], vu_set(0xCD9E8D57u), &high1, &low1);
        c[0] = vu_xor(vu_xor(high1, c[1]), vu_set(p->key0[r]));
        c[2] = vu_xor(vu_xor(high0, c[3]), vu_set(p->key1[r]));
        c[1] = low1;
        c[3] = low0;
    }
    vu_transpose4(c, word);
}
#endif
