/* resize_loops.c: the two passes of a resize, in AVX2 and plain. Called by resize.c. */
#include <string.h>

#include "data/pictures/resize.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { HALF = 1 << (RESIZE_BITS - 1) };

static inline uint8_t to_byte(int32_t sum)
{
    int32_t v = sum >> RESIZE_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Superfluous taps weigh nothing but may lie behind the row, so they are not read here. */
static void across_plain(uint8_t *const dst[2], const uint8_t *const row[2], const ResizeAxis *axis)
{
    for (int k = 0; k < 2; k++)
        for (int32_t x = 0; x < axis->out; x++) {
            const int32_t *w = axis->weight + (size_t)x * (size_t)axis->taps;
            int32_t left = axis->in - axis->first[x], n = axis->taps < left ? axis->taps : left;
            const uint8_t *p = row[k] + 3 * (size_t)axis->first[x];
            int32_t r = HALF, g = HALF, b = HALF;
            for (int32_t j = 0; j < n; j++, p += 3) {
                r += p[0] * w[j];
                g += p[1] * w[j];
                b += p[2] * w[j];
            }
            uint8_t *to = dst[k] + 3 * (size_t)x;
            to[0] = to_byte(r);
            to[1] = to_byte(g);
            to[2] = to_byte(b);
        }
}

static void down_plain_from(uint8_t *dst, const uint8_t *const *rows, size_t at, size_t n, const ResizeAxis *axis, int32_t y)
{
    const int32_t *w = axis->weight + (size_t)y * (size_t)axis->taps;
    for (size_t i = at; i < n; i++) {
        int32_t sum = HALF;
        for (int32_t j = 0; j < axis->taps; j++)
            sum += rows[j][i] * w[j];
        dst[i] = to_byte(sum);
    }
}

static void down_plain(uint8_t *dst, const uint8_t *const *rows, size_t n, const ResizeAxis *axis, int32_t y)
{
    down_plain_from(dst, rows, 0, n, axis, y);
}

const ResizeLoops RESIZE_PLAIN = {"plain", across_plain, down_plain};

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4") /* else the arrays of sums live in memory */

/* 22-bit weights do not fit the 16-bit multiply-add of two neighbours (vpmaddwd), a 32-bit multiplication costs four times as much:
 * so the high and the low part of the weights are summed apart and joined at the end, which is exact. */
AVX2 INLINE __m256i join(__m256i high, __m256i low) { return _mm256_add_epi32(_mm256_slli_epi32(high, 8), low); }

/* Sums of one output pixel in two rows, lanes R01 R23 G01 G23 | B01 B23 0 0, still to be added in pairs. */
AVX2 INLINE void pixel_sums(__m256i sums[2], const uint8_t *const row[2], size_t at, const int16_t *high, const int16_t *low, size_t taps)
{
    /* Four pixels of 3 bytes to 16-bit R0 R1 R2 R3 G0 G1 G2 G3 | B0 B1 B2 B3 0 0 0 0. */
    const __m256i spread = _mm256_setr_epi8(0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1, 2, -1, 5, -1, 8, -1, 11, -1, -1, -1,
                                            -1, -1, -1, -1, -1, -1);
    __m256i sum_high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}, sum_low[2] = {sum_high[0], sum_high[0]};
    for (size_t j = 0; j < taps; j += RESIZE_GROUP) {
        int64_t four_high, four_low;
        memcpy(&four_high, high + j, sizeof four_high);
        memcpy(&four_low, low + j, sizeof four_low);
        __m256i wh = _mm256_set1_epi64x(four_high), wl = _mm256_set1_epi64x(four_low);
        UNROLL for (int k = 0; k < 2; k++) {
            __m128i bytes = _mm_loadu_si128((const __m128i_u *)(row[k] + at + 3 * j));
            __m256i v = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
            sum_high[k] = _mm256_add_epi32(sum_high[k], _mm256_madd_epi16(v, wh));
            sum_low[k] = _mm256_add_epi32(sum_low[k], _mm256_madd_epi16(v, wl));
        }
    }
    UNROLL for (int k = 0; k < 2; k++)
        sums[k] = join(sum_high[k], sum_low[k]);
}

/* Four pixels of one row from their sums: 12 bytes, and 4 more that the next four overwrite. */
AVX2 INLINE void store_pixels(uint8_t *to, __m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i half = _mm256_set1_epi32(HALF);
    const __m128i squeeze = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    __m256i ab = _mm256_hadd_epi32(a, b), cd = _mm256_hadd_epi32(c, d); /* Ra Ga Rb Gb | Ba 0 Bb 0 */
    ab = _mm256_srai_epi32(_mm256_add_epi32(ab, half), RESIZE_BITS);
    cd = _mm256_srai_epi32(_mm256_add_epi32(cd, half), RESIZE_BITS);
    __m256i words = _mm256_packs_epi32(ab, cd), bytes = _mm256_packus_epi16(words, words); /* Ra Ga Rb Gb Rc … | Ba 0 Bb 0 Bc … */
    __m128i pixels = _mm_unpacklo_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storeu_si128((__m128i_u *)to, _mm_shuffle_epi8(pixels, squeeze));
}

AVX2 INLINE void across_taps(uint8_t *const dst[2], const uint8_t *const row[2], const ResizeAxis *axis, size_t taps)
{
    const int16_t *high = axis->high, *low = axis->low;
    for (int32_t x = 0; x < axis->out; x += RESIZE_GROUP) {
        __m256i sums[RESIZE_GROUP][2];
        UNROLL for (int i = 0; i < RESIZE_GROUP; i++, high += taps, low += taps)
            pixel_sums(sums[i], row, 3 * (size_t)axis->first[x + i], high, low, taps);
        UNROLL for (int k = 0; k < 2; k++)
            store_pixels(dst[k] + 3 * (size_t)x, sums[0][k], sums[1][k], sums[2][k], sums[3][k]);
    }
}

AVX2 static void across_avx2(uint8_t *const dst[2], const uint8_t *const row[2], const ResizeAxis *axis)
{
    switch (axis->taps) { /* the common counts are compiled without a loop over taps */
    case RESIZE_GROUP: across_taps(dst, row, axis, RESIZE_GROUP); break;
    case 2 * RESIZE_GROUP: across_taps(dst, row, axis, 2 * (size_t)RESIZE_GROUP); break;
    default: across_taps(dst, row, axis, (size_t)axis->taps);
    }
}

/* 32 bytes of one output row. */
AVX2 INLINE __m256i column_block(const uint8_t *const *rows, size_t at, const int16_t *high, const int16_t *low, int32_t taps)
{
    const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi32(HALF);
    __m256i sum_high[4] = {zero, zero, zero, zero}, sum_low[4] = {half, half, half, half};
    for (int32_t j = 0; j < taps; j += 2) {
        int32_t weight_high, weight_low;
        memcpy(&weight_high, high + j, sizeof weight_high);
        memcpy(&weight_low, low + j, sizeof weight_low);
        if (!(weight_high | weight_low))
            continue;
        __m256i wh = _mm256_set1_epi32(weight_high), wl = _mm256_set1_epi32(weight_low);
        __m256i a = _mm256_loadu_si256((const __m256i_u *)(rows[j] + at)), b = _mm256_loadu_si256((const __m256i_u *)(rows[j + 1] + at));
        __m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);
        __m256i pairs[4] = {_mm256_unpacklo_epi8(lo, zero), _mm256_unpackhi_epi8(lo, zero), _mm256_unpacklo_epi8(hi, zero),
                            _mm256_unpackhi_epi8(hi, zero)};
        UNROLL for (int i = 0; i < 4; i++) {
            sum_high[i] = _mm256_add_epi32(sum_high[i], _mm256_madd_epi16(pairs[i], wh));
            sum_low[i] = _mm256_add_epi32(sum_low[i], _mm256_madd_epi16(pairs[i], wl));
        }
    }
    UNROLL for (int i = 0; i < 4; i++)
        sum_low[i] = _mm256_srai_epi32(join(sum_high[i], sum_low[i]), RESIZE_BITS);
    return _mm256_packus_epi16(_mm256_packs_epi32(sum_low[0], sum_low[1]), _mm256_packs_epi32(sum_low[2], sum_low[3]));
}

AVX2 static void down_avx2(uint8_t *dst, const uint8_t *const *rows, size_t n, const ResizeAxis *axis, int32_t y)
{
    enum { BLOCK = 32 };
    const int16_t *high = axis->high + (size_t)y * (size_t)axis->taps, *low = axis->low + (size_t)y * (size_t)axis->taps;
    size_t at = 0;
    for (; at + BLOCK <= n; at += BLOCK)
        _mm256_storeu_si256((__m256i_u *)(dst + at), column_block(rows, at, high, low, axis->taps));
    if (at < n && n >= BLOCK) /* the last block overlaps the one before */
        _mm256_storeu_si256((__m256i_u *)(dst + n - BLOCK), column_block(rows, n - BLOCK, high, low, axis->taps));
    else
        down_plain_from(dst, rows, at, n, axis, y);
}

static const ResizeLoops RESIZE_AVX2 = {"avx2", across_avx2, down_avx2};
#endif

const ResizeLoops *resize_loops(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return &RESIZE_AVX2;
#endif
    return &RESIZE_PLAIN;
}
