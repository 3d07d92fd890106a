/* dequantize.cu: matrices from their codes (ops/dequantize.h). A thread makes 16 bytes of a row. */
#include "kernels/cuda/map.cuh"

static __device__ const float NF4_VALUE[NF4_CODES] = {NF4_VALUES};

static __device__ __forceinline__ float int8_value(uint8_t code, float scale) { return (float)(int8_t)code * scale * INT8_UNIT; }

/* N codes of a byte in one access; p is a multiple of N. */
template <int N> struct alignas(N) Codes {
    uint8_t v[N];
};
template <int N> static __device__ __forceinline__ Codes<N> load_codes(const uint8_t *p)
{
    count_read(p, N);
    return *reinterpret_cast<const Codes<N> *>(p);
}

template <class Y> struct Nf4Op {
    const uint8_t *codes;
    const float *scales;
    Y *y;
    int64_t first, cols, ldy;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        const int64_t from = (first + row) * cols + at;
        float v[VEC<Y>];
        if (ALIGNED) { /* rows are whole blocks */
            const Codes<VEC<Y> / 2> c = load_codes<VEC<Y> / 2>(codes + from / 2);
            const float scale = load(scales + from / NF4_BLOCK);
            for (int i = 0; i < VEC<Y>; i++)
                v[i] = NF4_VALUE[i % 2 ? c.v[i / 2] & 15 : c.v[i / 2] >> 4] * scale;
        } else
            for (int i = 0; i < VEC<Y>; i++) {
                if (i >= n) {
                    v[i] = 0;
                    continue;
                }
                const uint8_t pair = load_codes<1>(codes + (from + i) / 2).v[0];
                v[i] = NF4_VALUE[(from + i) % 2 ? pair & 15 : pair >> 4] * load(scales + (from + i) / NF4_BLOCK);
            }
        store_some<Y, ALIGNED>(y + row * ldy + at, v, n);
    }
};

template <class Y> struct Int8Op {
    const uint8_t *codes;
    const float *scales;
    Y *y;
    int64_t first, cols, ldy;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        const uint8_t *from = codes + (first + row) * cols + at;
        const float scale = load(scales + first + row);
        float v[VEC<Y>];
        if (ALIGNED) {
            const Codes<VEC<Y>> c = load_codes<VEC<Y>>(from);
            for (int i = 0; i < VEC<Y>; i++)
                v[i] = int8_value(c.v[i], scale);
        } else
            for (int i = 0; i < VEC<Y>; i++)
                v[i] = i < n ? int8_value(load_codes<1>(from + i).v[0], scale) : 0.0f;
        store_some<Y, ALIGNED>(y + row * ldy + at, v, n);
    }
};

static Status dequantize(KernelCtx *ctx, const Dequantize *a)
{
    TRY(check_dequantize(a));
    WITH_TYPE(a->y_type, Y, {
        const bool aligned = a->cols % NF4_BLOCK == 0 && is_aligned(a->codes) && is_aligned(a->y) && is_aligned_stride(a->ldy, sizeof(Y));
        if (a->format == CODES_NF4)
            return map_rows<Y>(ctx, "dequantize", Nf4Op<Y>{a->codes, a->scales, (Y *)a->y, a->first, a->cols, a->ldy}, a->rows, a->cols,
                               aligned);
        return map_rows<Y>(ctx, "dequantize", Int8Op<Y>{a->codes, a->scales, (Y *)a->y, a->first, a->cols, a->ldy}, a->rows, a->cols,
                           aligned);
    });
}

void cuda_dequantize(KernelTable *t)
{
    t->dequantize = dequantize;
}
