/* simd.h: one vocabulary of f32 vectors for the files that are compiled once per instruction set.
 *
 * vf holds VL floats; vm says which lanes take part in the rest of a row (the first n). Loads and stores convert from and to
 * BF16, so that bodies are written once for both types: their DType is a constant at every call (see BY_TYPE). */
#ifndef GENLLAVA_KERNELS_CPU_ISA_SIMD_H
#define GENLLAVA_KERNELS_CPU_ISA_SIMD_H

#ifndef ISA /* read alone, as `make check` does */
#define ISA avx2
#define ISA_avx2 1
#pragma GCC target("avx2,fma")
#endif

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/dtype.h"

#define ALWAYS static inline __attribute__((always_inline))
/* A loop over a small constant count is unrolled whole, so that arrays of vectors become registers. */
#define UNROLL _Pragma("GCC unroll 32")

#if defined(ISA_avx2)
enum { VL = 8 };
typedef __m256 vf;
typedef __m256i vm; /* all ones in the lanes that take part */

ALWAYS vf v_zero(void) { return _mm256_setzero_ps(); }
ALWAYS vf v_set(float x) { return _mm256_set1_ps(x); }
ALWAYS vf v_load(const float *p) { return _mm256_loadu_ps(p); }
ALWAYS float v_first(vf x) { return _mm256_cvtss_f32(x); }
ALWAYS void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
ALWAYS vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
ALWAYS vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
ALWAYS vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
ALWAYS vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
ALWAYS vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
ALWAYS vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }   /* a·b + c */
ALWAYS vf v_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); } /* c - a·b */
ALWAYS vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }              /* b when either is NaN */
ALWAYS vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
ALWAYS vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
ALWAYS vf v_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
ALWAYS vf v_copysign(vf a, vf sign)
{
    vf bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, a), _mm256_and_ps(bit, sign));
}
/* less ? a : b, where x < y (false for NaN) */
ALWAYS vf v_if_less(vf x, vf y, vf a, vf b) { return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_LT_OQ)); }
/* x·2^n for whole n in -252 … 252: in two steps, since 2^n alone may leave the range */
ALWAYS vf v_scale(vf x, vf n)
{
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    __m256i other = _mm256_sub_epi32(whole, half);
    vf a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    vf b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(other, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(x, a), b);
}
ALWAYS vm v_mask(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
ALWAYS vf v_select(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m)); } /* m ? a : b */
ALWAYS vf v_load_some(const float *p, vm m) { return _mm256_maskload_ps(p, m); }
ALWAYS void v_store_some(float *p, vm m, vf x) { _mm256_maskstore_ps(p, m, x); }

ALWAYS vf v_load_bf16(const bf16 *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)), 16));
}
ALWAYS __m128i v_to_bf16(vf x)
{
    __m256i bits = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i even = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    __m256i nan = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
    __m256i r = _mm256_blendv_epi8(even, nan, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
    return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
}
ALWAYS void v_store_bf16(bf16 *p, vf x) { _mm_storeu_si128((__m128i *)(void *)p, v_to_bf16(x)); }
/* VL signed bytes; the numbers that VL codes of 4 bits name, the first code of a byte in its upper half. */
ALWAYS vf v_load_i8(const void *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))); }
ALWAYS vf v_load_nibbles(const void *p, const float of[16])
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    __m128i bytes = _mm_cvtsi32_si128(four), low = _mm_set1_epi8(15);
    __m128i codes = _mm_unpacklo_epi8(_mm_and_si128(_mm_srli_epi16(bytes, 4), low), _mm_and_si128(bytes, low));
    __m256i at = _mm256_cvtepu8_epi32(codes); /* its bit 3 chooses the half of the table */
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(v_load(of), at), _mm256_permutevar8x32_ps(v_load(of + 8), at),
                            _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
}
ALWAYS int v_count(vm m) { return __builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(m))); }
ALWAYS vf v_load_bf16_some(const bf16 *p, vm m)
{
    bf16 part[VL] = {0};
    int n = v_count(m);
    for (int i = 0; i < n; i++)
        part[i] = p[i];
    return v_load_bf16(part);
}
ALWAYS void v_store_bf16_some(bf16 *p, vm m, vf x)
{
    bf16 part[VL];
    int n = v_count(m);
    v_store_bf16(part, x);
    for (int i = 0; i < n; i++)
        p[i] = part[i];
}
ALWAYS float v_sum(vf x)
{
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
}
ALWAYS float v_largest(vf x)
{
    __m128 a = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}
/* VL sums in double; s + x·y, s + x. */
typedef struct vd {
    __m256d low, high;
} vd;
ALWAYS vd vd_zero(void) { return (vd){_mm256_setzero_pd(), _mm256_setzero_pd()}; }
ALWAYS vd vd_fma(vf x, vf y, vd s)
{
    __m256d xl = _mm256_cvtps_pd(_mm256_castps256_ps128(x)), xh = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    __m256d yl = _mm256_cvtps_pd(_mm256_castps256_ps128(y)), yh = _mm256_cvtps_pd(_mm256_extractf128_ps(y, 1));
    return (vd){_mm256_fmadd_pd(xl, yl, s.low), _mm256_fmadd_pd(xh, yh, s.high)};
}
ALWAYS vd vd_add(vd s, vf x)
{
    __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(x)), b = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    return (vd){_mm256_add_pd(a, s.low), _mm256_add_pd(b, s.high)};
}
ALWAYS vf vd_round(vd s)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(s.low)), _mm256_cvtpd_ps(s.high), 1);
}
ALWAYS double vd_sum(vd s)
{
    __m256d a = _mm256_add_pd(s.low, s.high);
    __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}

/* r[i][j] = r[j][i] */
ALWAYS void v_transpose(vf r[VL])
{
    vf t[VL];
    UNROLL for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    UNROLL for (int i = 0; i < 8; i++)
        r[i] = t[i];
}

/* Vectors of unsigned integers. */
typedef __m256i vu;
ALWAYS vu vu_set(uint32_t x) { return _mm256_set1_epi32((int)x); }
ALWAYS vu vu_load(const uint32_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
ALWAYS vu vu_add(vu a, vu b) { return _mm256_add_epi32(a, b); }
ALWAYS vu vu_xor(vu a, vu b) { return _mm256_xor_si256(a, b); }
/* a·b as 64 bits */
ALWAYS void vu_multiply(vu a, vu b, vu *high, vu *low)
{
    vu even = _mm256_mul_epu32(a, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);
    *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
/* In every group of four lanes: r[i] = (w[0][i], w[1][i], w[2][i], w[3][i]). */
ALWAYS void vu_transpose4(const vu w[4], vu r[4])
{
    vu a = _mm256_unpacklo_epi32(w[0], w[1]), b = _mm256_unpacklo_epi32(w[2], w[3]);
    vu c = _mm256_unpackhi_epi32(w[0], w[1]), d = _mm256_unpackhi_epi32(w[2], w[3]);
    r[0] = _mm256_unpacklo_epi64(a, b);
    r[1] = _mm256_unpackhi_epi64(a, b);
    r[2] = _mm256_unpacklo_epi64(c, d);
    r[3] = _mm256_unpackhi_epi64(c, d);
}
/* The lower or upper half of twice as many numbers of 16 bits. */
ALWAYS vu vu_widen(vu x, int half)
{
    return _mm256_cvtepu16_epi32(half ? _mm256_extracti128_si256(x, 1) : _mm256_castsi256_si128(x));
}
/* x where number >= threshold, else 0; both below 2^16 */
ALWAYS vf vu_keep(vu number, uint32_t threshold, vf x)
{
    vu drop = _mm256_cmpgt_epi32(vu_set(threshold), number);
    return _mm256_andnot_ps(_mm256_castsi256_ps(drop), x);
}
/* Both halves of a word as numbers; the bits of x plus a number, without their lower half. */
ALWAYS vu vu_lower(vu x) { return _mm256_and_si256(x, vu_set(0xffff)); }
ALWAYS vu vu_upper(vu x) { return _mm256_srli_epi32(x, 16); }
ALWAYS vf vu_add_cut(vf x, vu number)
{
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_add_epi32(_mm256_castps_si256(x), number), vu_set(0xffff0000)));
}

#else /* avx512, avx512bf16 */
enum { VL = 16 };
typedef __m512 vf;
typedef __mmask16 vm;

ALWAYS vf v_zero(void) { return _mm512_setzero_ps(); }
ALWAYS vf v_set(float x) { return _mm512_set1_ps(x); }
ALWAYS vf v_load(const float *p) { return _mm512_loadu_ps(p); }
ALWAYS float v_first(vf x) { return _mm512_cvtss_f32(x); }
ALWAYS void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
ALWAYS vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
ALWAYS vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
ALWAYS vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
ALWAYS vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
ALWAYS vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
ALWAYS vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
ALWAYS vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
ALWAYS vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
ALWAYS vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
ALWAYS vf v_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
ALWAYS vf v_abs(vf a) { return _mm512_abs_ps(a); }
ALWAYS vf v_copysign(vf a, vf sign)
{
    /* bit by bit: where the mask is 1 the sign, else a */
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_set1_epi32(INT32_MIN), _mm512_castps_si512(sign),
                                                         _mm512_castps_si512(a), 0xca));
}
ALWAYS vf v_if_less(vf x, vf y, vf a, vf b) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), b, a); }
ALWAYS vf v_scale(vf x, vf n) { return _mm512_scalef_ps(x, n); }
ALWAYS vm v_mask(int64_t n) { return (vm)((1u << n) - 1u); }
ALWAYS vf v_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
ALWAYS vf v_load_some(const float *p, vm m) { return _mm512_maskz_loadu_ps(m, p); }
ALWAYS void v_store_some(float *p, vm m, vf x) { _mm512_mask_storeu_ps(p, m, x); }

ALWAYS vf v_from_bf16(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
ALWAYS vf v_load_bf16(const bf16 *p) { return v_from_bf16(_mm256_loadu_si256((const __m256i *)(const void *)p)); }
ALWAYS vf v_load_i8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p))); }
ALWAYS vf v_load_nibbles(const void *p, const float of[16])
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)p), low = _mm_set1_epi8(15);
    __m128i codes = _mm_unpacklo_epi8(_mm_and_si128(_mm_srli_epi16(bytes, 4), low), _mm_and_si128(bytes, low));
    return _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(codes), v_load(of));
}
ALWAYS vf v_load_bf16_some(const bf16 *p, vm m) { return v_from_bf16(_mm256_maskz_loadu_epi16(m, p)); }
ALWAYS __m256i v_to_bf16(vf x)
{
#if defined(ISA_avx512bf16)
    return (__m256i)_mm512_cvtneps_pbh(x);
#else
    __m512i bits = _mm512_castps_si512(x), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i even = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __m512i r = _mm512_mask_or_epi32(even, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
#endif
}
ALWAYS void v_store_bf16(bf16 *p, vf x) { _mm256_storeu_si256((__m256i *)(void *)p, v_to_bf16(x)); }
ALWAYS void v_store_bf16_some(bf16 *p, vm m, vf x) { _mm256_mask_storeu_epi16(p, m, v_to_bf16(x)); }
ALWAYS float v_sum(vf x)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
}
ALWAYS float v_largest(vf x) { return _mm512_reduce_max_ps(x); }
typedef struct vd {
    __m512d low, high;
} vd;
ALWAYS vd vd_zero(void) { return (vd){_mm512_setzero_pd(), _mm512_setzero_pd()}; }
ALWAYS vd vd_fma(vf x, vf y, vd s)
{
    __m512d xl = _mm512_cvtps_pd(_mm512_castps512_ps256(x)), xh = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    __m512d yl = _mm512_cvtps_pd(_mm512_castps512_ps256(y)), yh = _mm512_cvtps_pd(_mm512_extractf32x8_ps(y, 1));
    return (vd){_mm512_fmadd_pd(xl, yl, s.low), _mm512_fmadd_pd(xh, yh, s.high)};
}
ALWAYS vd vd_add(vd s, vf x)
{
    __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(x)), b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    return (vd){_mm512_add_pd(a, s.low), _mm512_add_pd(b, s.high)};
}
ALWAYS vf vd_round(vd s) { return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(s.low)), _mm512_cvtpd_ps(s.high), 1); }
ALWAYS double vd_sum(vd s) { return _mm512_reduce_add_pd(_mm512_add_pd(s.low, s.high)); }
ALWAYS void v_transpose(vf r[VL])
{
    vf t[VL];
    UNROLL for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    UNROLL for (int i = 0; i < 16; i += 8)
        UNROLL for (int j = 0; j < 4; j++) {
            t[i + j] = _mm512_shuffle_f32x4(r[i + j], r[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_f32x4(r[i + j], r[i + j + 4], 0xdd);
        }
    UNROLL for (int j = 0; j < 8; j++) {
        r[j] = _mm512_shuffle_f32x4(t[j], t[j + 8], 0x88);
        r[j + 8] = _mm512_shuffle_f32x4(t[j], t[j + 8], 0xdd);
    }
}

typedef __m512i vu;
ALWAYS vu vu_set(uint32_t x) { return _mm512_set1_epi32((int)x); }
ALWAYS vu vu_load(const uint32_t *p) { return _mm512_loadu_si512(p); }
ALWAYS vu vu_add(vu a, vu b) { return _mm512_add_epi32(a, b); }
ALWAYS vu vu_xor(vu a, vu b) { return _mm512_xor_si512(a, b); }
ALWAYS void vu_multiply(vu a, vu b, vu *high, vu *low)
{
    vu even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), b);
    *low = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
    *high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}
ALWAYS void vu_transpose4(const vu w[4], vu r[4])
{
    vu a = _mm512_unpacklo_epi32(w[0], w[1]), b = _mm512_unpacklo_epi32(w[2], w[3]);
    vu c = _mm512_unpackhi_epi32(w[0], w[1]), d = _mm512_unpackhi_epi32(w[2], w[3]);
    r[0] = _mm512_unpacklo_epi64(a, b);
    r[1] = _mm512_unpackhi_epi64(a, b);
    r[2] = _mm512_unpacklo_epi64(c, d);
    r[3] = _mm512_unpackhi_epi64(c, d);
}
ALWAYS vu vu_widen(vu x, int half)
{
    return _mm512_cvtepu16_epi32(half ? _mm512_extracti64x4_epi64(x, 1) : _mm512_castsi512_si256(x));
}
ALWAYS vf vu_keep(vu number, uint32_t threshold, vf x)
{
    return _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(number, vu_set(threshold)), x);
}
ALWAYS vu vu_lower(vu x) { return _mm512_and_si512(x, vu_set(0xffff)); }
ALWAYS vu vu_upper(vu x) { return _mm512_srli_epi32(x, 16); }
ALWAYS vf vu_add_cut(vf x, vu number)
{
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), number), vu_set(0xffff0000)));
}
#endif

/* philox_bf16 of x and numbers of 16 bits, as a float. */
ALWAYS vf v_round_random(vf x, vu random)
{
    return v_if_less(v_abs(x), v_set(__builtin_inff()), vu_add_cut(x, random), x);
}

/* Element i … of an array of type t (F32 or BF16). */
ALWAYS vf load(const void *x, DType t, int64_t i)
{
    return t == BF16 ? v_load_bf16((const bf16 *)x + i) : v_load((const float *)x + i);
}
ALWAYS vf load_some(const void *x, DType t, int64_t i, vm m)
{
    return t == BF16 ? v_load_bf16_some((const bf16 *)x + i, m) : v_load_some((const float *)x + i, m);
}
ALWAYS void store(void *x, DType t, int64_t i, vf v)
{
    if (t == BF16)
        v_store_bf16((bf16 *)x + i, v);
    else
        v_store((float *)x + i, v);
}
ALWAYS void store_some(void *x, DType t, int64_t i, vm m, vf v)
{
    if (t == BF16)
        v_store_bf16_some((bf16 *)x + i, m, v);
    else
        v_store_some((float *)x + i, m, v);
}
ALWAYS float get(const void *x, DType t, int64_t i) { return t == BF16 ? bf16_to_f32(((const bf16 *)x)[i]) : ((const float *)x)[i]; }
ALWAYS void put(void *x, DType t, int64_t i, float v)
{
    if (t == BF16)
        ((bf16 *)x)[i] = f32_to_bf16(v);
    else
        ((float *)x)[i] = v;
}
/* v as it would read back from an array of type t. */
ALWAYS vf rounded(vf v, DType t)
{
    if (t != BF16)
        return v;
#if defined(ISA_avx2)
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v_to_bf16(v)), 16));
#else
    return v_from_bf16(v_to_bf16(v));
#endif
}
/* The address of element i. */
ALWAYS const void *at(const void *x, DType t, int64_t i) { return (const char *)x + i * (t == BF16 ? 2 : 4); }
ALWAYS void *at_mut(void *x, DType t, int64_t i) { return (char *)x + i * (t == BF16 ? 2 : 4); }

/* The lanes of one step of a loop over n elements: all of them, but in the last step of an odd n. `whole` is a constant. */
typedef struct Part {
    vm mask;
    bool whole;
} Part;
ALWAYS Part part_whole(void) { return (Part){v_mask(0), true}; }
ALWAYS Part part_first(int64_t n) { return (Part){v_mask(n), false}; }
ALWAYS vf part_load(const void *x, DType t, int64_t i, Part p) { return p.whole ? load(x, t, i) : load_some(x, t, i, p.mask); }
ALWAYS void part_store(void *x, DType t, int64_t i, Part p, vf v)
{
    if (p.whole)
        store(x, t, i, v);
    else
        store_some(x, t, i, p.mask, v);
}
/* a in the lanes that take part, else b */
ALWAYS vf part_or(Part p, vf a, vf b) { return p.whole ? a : v_select(p.mask, a, b); }

/* Runs `call` for i = begin, begin+VL, … below end; `call` may use i and part. */
#define EACH_VECTOR(begin, end, call)                            \
    do {                                                         \
        int64_t i = (begin), end_ = (end);                       \
        {                                                        \
            const Part part = part_whole();                      \
            for (; i + VL <= end_; i += VL)                      \
                call;                                            \
        }                                                        \
        if (i < end_) {                                          \
            const Part part = part_first(end_ - i);              \
            call;                                                \
        }                                                        \
    } while (0)

/* Runs `call` with the constant T standing for the type: one body, two specialisations. */
#define BY_TYPE(type, call)          \
    do {                             \
        if ((type) == BF16) {        \
            const DType T = BF16;     \
            call;                    \
        } else {                     \
            const DType T = F32;      \
            call;                    \
        }                            \
    } while (0)
#endif
