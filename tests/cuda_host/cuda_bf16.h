/* cuda_bf16.h: __nv_bfloat16 on the host, with the roundings of the device. */
#ifndef GENLLAVA_TESTS_CUDA_HOST_CUDA_BF16_H
#define GENLLAVA_TESTS_CUDA_HOST_CUDA_BF16_H

#include "kernels/base/dtype.h"

struct __nv_bfloat16 {
    bf16 bits;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
inline float __bfloat162float(__nv_bfloat16 h) { return bf16_to_f32(h.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float f) { return {f32_to_bf16(f)}; }
inline __nv_bfloat16 __float2bfloat16(float f) { return {f32_to_bf16(f)}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {{f32_to_bf16(a)}, {f32_to_bf16(b)}}; }
#endif
