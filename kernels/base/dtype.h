/* dtype.h: element types and the conversions between them. */
#ifndef GENLLAVA_KERNELS_BASE_DTYPE_H
#define GENLLAVA_KERNELS_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* F64 exists for the ref backend and its tests only; F16 in files only (training widens it to F32 on load). */
typedef enum DType { F32, BF16, F64, F16, I64, I32, I16, I8, U8, BOOL8, N_DTYPES } DType;

size_t dtype_size(DType t);      /* bytes of one element */
const char *dtype_name(DType t); /* safetensors spelling: "F32", "BF16", … */

typedef uint16_t bf16;

static inline float bf16_to_f32(bf16 h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Round to nearest, ties to even; NaN stays a NaN. */
static inline bf16 f32_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (bf16)((bits >> 16) | 0x40u);
    return (bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#define F16_MOST 65504.0f /* the largest number of half precision */

/* IEEE half precision to f32, exact. */
float f16_to_f32(uint16_t h);

/* Round to nearest, ties to even; from 65520 on infinity; NaN stays a NaN. */
static inline uint16_t f32_to_f16(float f)
{
    uint32_t bits, magnitude;
    memcpy(&bits, &f, sizeof bits);
    magnitude = bits & 0x7fffffffu;
    const uint32_t sign = bits >> 16 & 0x8000u;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x47800000u) /* 2^16 */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: the sum with 1/2 is rounded to the unit of subnormals, 2^-24 */
        float sum;
        memcpy(&sum, &magnitude, sizeof sum);
        sum += 0.5f;
        memcpy(&magnitude, &sum, sizeof magnitude);
        return (uint16_t)(sign | (magnitude - 0x3f000000u));
    }
    return (uint16_t)(sign | (magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13);
}

/* dst[i] = src[i] for n elements between F64, F32, BF16 and F16. */
void dtype_convert(void *dst, DType dst_type, const void *src, DType src_type, size_t n_elems);
/* The first element that is NaN, infinite or larger in magnitude than `most`, a finite number; n when there is none. */
size_t dtype_find_unfit(const float *x, size_t n, float most);

#ifdef __cplusplus
}
#endif
#endif
