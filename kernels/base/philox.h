/* philox.h: counter-based random numbers, the only source of randomness (Salmon et al. 2011, Philox4x32-10).
 *
 * A number is a function of (seed, purpose, where): nothing has to be saved to resume, recompute draws the same mask
 * again, and any split of the work over threads or ranks sees the same numbers. The same text compiles on the device. */
#ifndef GENLLAVA_KERNELS_BASE_PHILOX_H
#define GENLLAVA_KERNELS_BASE_PHILOX_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#define PHILOX_FN static __host__ __device__ inline
#else
#define PHILOX_FN static inline
#endif

typedef struct Philox4 {
    uint32_t v[4];
} Philox4;

PHILOX_FN Philox4 philox4x32(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    Philox4 r = {{c0, c1, c2, c3}};
    return r;
}

/* What a stream of numbers is for; part of the key, so streams never overlap. */
typedef enum RandomPurpose {
    RANDOM_ORDER = 1, /* permutation of an epoch */
    RANDOM_INIT,      /* weights; `a` = hash of the tensor's name */
    RANDOM_DROPOUT,   /* a = step, b = site */
    RANDOM_MIXTURE,   /* membership of fractional weights */
    RANDOM_SAMPLING,  /* text generation */
    RANDOM_NOISE,     /* diffusion noise, timestep, posterior, condition dropout */
    RANDOM_SCENES,    /* the picture world */
    RANDOM_MOMENTS    /* rounding of the optimiser's moments; a = step */
} RandomPurpose;

/* Key of one stream: SplitMix64 finaliser over (seed, purpose, a, b). */
PHILOX_FN uint64_t philox_key(uint64_t seed, RandomPurpose purpose, uint64_t a, uint64_t b)
{
    uint64_t h = seed;
    uint64_t part[3];
    part[0] = (uint64_t)purpose;
    part[1] = a;
    part[2] = b;
    for (int i = 0; i < 3; i++) {
        h += part[i] * 0xD6E8FEB86659FD93u + 0x9E3779B97F4A7C15u;
        h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
        h = (h ^ (h >> 27)) * 0x94D049BB133111EBu;
        h ^= h >> 31;
    }
    return h;
}

/* The eight numbers of 16 bits in the four words. */
PHILOX_FN uint32_t philox_half(const Philox4 *r, int i) { return r->v[i / 2] >> 16 * (i % 2) & 0xffff; }

/* x as the bits of a bf16, rounded up or down at random so that the mean is x: `random` has 16 bits, and up in magnitude is as probable as
 * what is cut off is large. What is a bf16 stays as it is, and so does the sign; a number beyond the largest may become infinite. */
PHILOX_FN uint16_t philox_bf16(float x, uint32_t random)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u); /* NaN */
    return (uint16_t)((bits & 0x7fffffffu) == 0x7f800000u ? bits >> 16 : (bits + random) >> 16);
}

/* [0,1) with 24 bits, exact in f32. */
PHILOX_FN float philox_uniform(uint32_t bits) { return (float)(bits >> 8) * 0x1p-24f; }

/* Two standard normals from two words (Box-Muller, in double, then rounded). */
PHILOX_FN void philox_normal2(uint32_t a, uint32_t b, float out[2])
{
    double u = ((double)a + 1.0) * 0x1p-32, v = (double)b * 0x1p-32;
    double r = sqrt(-2.0 * log(u)), phi = 6.283185307179586 * v;
    out[0] = (float)(r * cos(phi));
    out[1] = (float)(r * sin(phi));
}
#endif
