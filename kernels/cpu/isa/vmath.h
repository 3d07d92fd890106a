/* vmath.h: exp, erf and the functions made of them, for vectors of f32.
 *
 * Polynomials are minimax fits (iteratively reweighted least squares at Chebyshev points, 40-digit reference), rounded to f32.
 * NaN gives NaN; exp is 0 below the smallest normal number and infinite above the largest. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_VMATH_H
#define GENLLAVA_KERNELS_CPU_ISA_VMATH_H

#include "kernels/cpu/isa/simd.h"

/* Σ c[i] x^i, Horner */
ALWAYS vf v_polynomial(vf x, const float *c, const int n)
{
    vf sum = v_set(c[n - 1]);
    UNROLL for (int i = n - 2; i >= 0; i--)
        sum = v_fma(sum, x, v_set(c[i]));
    return sum;
}

/* e^x, at most 1 ulp off: x = n ln 2 + r, e^r = 1 + r + r² P(r). */
ALWAYS vf v_exp(vf x)
{
    static const float P[] = {0.49999994f, 0.1666652f, 0.041668408f, 0.0083689224f, 0.0013814172f};
    const float log2_e = 1.44269504f, ln2_high = 0.693147182f, ln2_low = -1.90465421e-9f; /* ln2_high + ln2_low = ln 2 */
    x = v_min(v_set(89.0f), v_max(v_set(-104.0f), x)); /* beyond, 0 and infinity all the same; a NaN passes */
    vf n = v_round(v_mul(x, v_set(log2_e)));
    vf r = v_fnma(n, v_set(ln2_low), v_fnma(n, v_set(ln2_high), x));
    vf e = v_add(v_set(1.0f), v_fma(v_mul(r, r), v_polynomial(r, P, 5), r));
    return v_scale(e, n);
}

#if defined(ISA_avx2)
/* x = m·2^e with m in [√½, √2): e, and m - 1. For normal positive x. */
ALWAYS vf v_split(vf x, vf *fraction)
{
    const int sqrt_half = 0x3f3504f3;
    __m256i bits = _mm256_castps_si256(x), e = _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_set1_epi32(sqrt_half)), 23);
    *fraction = _mm256_sub_ps(_mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(e, 23))), _mm256_set1_ps(1.0f));
    return _mm256_cvtepi32_ps(e);
}
#else
ALWAYS vf v_split(vf x, vf *fraction)
{
    const int sqrt_half = 0x3f3504f3;
    __m512i bits = _mm512_castps_si512(x), e = _mm512_srai_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(sqrt_half)), 23);
    *fraction = _mm512_sub_ps(_mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(e, 23))), _mm512_set1_ps(1.0f));
    return _mm512_cvtepi32_ps(e);
}
#endif

/* log x for normal positive x, at most 1 ulp off: e ln 2 + log(1+f), f - f²/2 + f³ P(f). NaN for infinity and NaN. */
ALWAYS vf v_log(vf x)
{
    static const float P[] = {0.33333331f, -0.25000823f, 0.20001242f, -0.1662333f, 0.14201383f, -0.1316006f, 0.12764353f, -0.076384768f};
    const float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f; /* ln2_high has 10 bits: its products with e are exact */
    vf f, e = v_split(x, &f), f2 = v_mul(f, f);
    vf rest = v_fma(e, v_set(ln2_low), v_fnma(f2, v_set(0.5f), v_mul(v_mul(f2, f), v_polynomial(f, P, 8))));
    vf log_x = v_fma(e, v_set(ln2_high), v_add(f, rest));
    return v_add(log_x, v_sub(x, x));
}

/* 1 / (1 + e^-x) */
ALWAYS vf v_sigmoid(vf x) { return v_div(v_set(1.0f), v_add(v_set(1.0f), v_exp(v_sub(v_zero(), x)))); }

/* erf(x), at most 1 ulp off: x + x P(x²) near 0, 1 - exp(-t - t Q(t)) with t = |x| beyond. */
ALWAYS vf v_erf(vf x)
{
    static const float P[] = {0.12837917f, -0.37612632f, 0.11283688f, -0.026858941f, 0.0051999064f, -0.00081300118f, 8.3167724e-05f};
    static const float Q[] = {0.1285449f,    0.63565654f,     0.10520291f,     -0.022612009f,
                              0.0028923007f, -3.6064761e-05f, -4.8202230e-05f, 5.1508805e-06f};
    const float split = 0.92f, largest = 4.0f; /* erf(4) is 1 in f32 */
    vf size = v_abs(x), t = v_min(v_set(largest), size);
    vf near_0 = v_fma(x, v_polynomial(v_mul(x, x), P, 7), x);
    vf exponent = v_fma(t, v_polynomial(t, Q, 8), t);
    vf far = v_copysign(v_sub(v_set(1.0f), v_exp(v_sub(v_zero(), exponent))), x);
    return v_if_less(size, v_set(split), near_0, far);
}

/* exp(-x) and 1/(1+exp(-x)) of one evaluation: a sigmoid s and its complement 1 - s, neither by subtraction. */
ALWAYS void v_sigmoids(vf x, vf *s, vf *complement)
{
    vf e = v_exp(v_sub(v_zero(), v_abs(x))), large = v_div(v_set(1.0f), v_add(v_set(1.0f), e)), small = v_mul(e, large);
    *s = v_if_less(x, v_zero(), small, large);
    *complement = v_if_less(x, v_zero(), large, small);
}
#endif
