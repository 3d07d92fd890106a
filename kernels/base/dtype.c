/* dtype.c: names, sizes and conversions of element types (dtype.h). */
#include "kernels/base/dtype.h"

#include <assert.h>
#include <math.h>

static const struct {
    const char *name;
    size_t size;
} TYPES[N_DTYPES] = {
    [F32] = {"F32", 4}, [BF16] = {"BF16", 2}, [F64] = {"F64", 8}, [F16] = {"F16", 2}, [I64] = {"I64", 8},
    [I32] = {"I32", 4}, [I16] = {"I16", 2},   [I8] = {"I8", 1},   [U8] = {"U8", 1},   [BOOL8] = {"BOOL", 1},
};

size_t dtype_size(DType t) { return TYPES[t].size; }
const char *dtype_name(DType t) { return TYPES[t].name; }

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1fu, fraction = h & 0x3ffu, bits;
    if (exponent == 0x1f)
        bits = sign | 0x7f800000u | fraction << 13;
    else if (exponent)
        bits = sign | (exponent + 112u) << 23 | fraction << 13;
    else { /* zero or subnormal: fraction · 2^-24 is exact in f32 */
        float f = (float)fraction * 0x1p-24f;
        memcpy(&bits, &f, sizeof bits);
        bits |= sign;
    }
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static double load(const void *src, DType t, size_t i)
{
    const char *p = (const char *)src + i * dtype_size(t); /* sources in files may be misaligned */
    switch (t) {
    case F32: {
        float f;
        memcpy(&f, p, sizeof f);
        return f;
    }
    case F64: {
        double d;
        memcpy(&d, p, sizeof d);
        return d;
    }
    case BF16: {
        bf16 h;
        memcpy(&h, p, sizeof h);
        return bf16_to_f32(h);
    }
    case F16: {
        uint16_t h;
        memcpy(&h, p, sizeof h);
        return f16_to_f32(h);
    }
    default: assert(!"dtype_convert: not a floating type"); return 0;
    }
}

void dtype_convert(void *dst, DType dst_type, const void *src, DType src_type, size_t n_elems)
{
    if (dst_type == src_type) {
        memcpy(dst, src, n_elems * dtype_size(dst_type));
        return;
    }
    for (size_t i = 0; i < n_elems; i++) {
        double v = load(src, src_type, i);
        char *p = (char *)dst + i * dtype_size(dst_type);
        switch (dst_type) {
        case F32: {
            float f = (float)v;
            memcpy(p, &f, sizeof f);
            break;
        }
        case F64: memcpy(p, &v, sizeof v); break;
        case BF16: {
            bf16 h = f32_to_bf16((float)v);
            memcpy(p, &h, sizeof h);
            break;
        }
        case F16: {
            uint16_t h = f32_to_f16((float)v);
            memcpy(p, &h, sizeof h);
            break;
        }
        default: assert(!"dtype_convert: not a floating type");
        }
    }
}

size_t dtype_find_unfit(const float *x, size_t n, float most)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= most))
            return i;
    return n;
}
