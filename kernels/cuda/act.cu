/* act.cu: elementwise operators: SwiGLU, GELU, scaled addition, dropout, fill. */
#include "kernels/base/philox.h"
#include "kernels/cuda/map.cuh"

static __device__ __forceinline__ float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

/* ---- SwiGLU ---- */

template <class T> struct SwigluFwdOp {
    const T *g, *u;
    T *y;
    int64_t ldg, ldu, ldy;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        float a[VEC<T>], b[VEC<T>], r[VEC<T>];
        load_some<T, ALIGNED>(a, g + row * ldg + at, n);
        load_some<T, ALIGNED>(b, u + row * ldu + at, n);
        for (int i = 0; i < VEC<T>; i++)
            r[i] = a[i] * sigmoid(a[i]) * b[i];
        store_some<T, ALIGNED>(y + row * ldy + at, r, n);
    }
};

static Status swiglu_fwd(KernelCtx *ctx, const SwigluFwd *a)
{
    TRY(check_swiglu_fwd(a));
    WITH_TYPE(a->act, T, {
        SwigluFwdOp<T> op = {(const T *)a->g, (const T *)a->u, (T *)a->y, a->ldg, a->ldu, row_stride(a->ldy, a->cols)};
        bool aligned = is_aligned(a->g) && is_aligned(a->u) && is_aligned(a->y) && is_aligned_stride(a->ldg, sizeof(T)) &&
                       is_aligned_stride(a->ldu, sizeof(T)) && is_aligned_stride(op.ldy, sizeof(T));
        return map_rows<T>(ctx, "swiglu_fwd", op, a->rows, a->cols, aligned);
    });
}

template <class T> struct SwigluBwdOp {
    const T *g, *u, *dy;
    T *dg, *du, *y;
    int64_t ldg, ldu, lddg, lddu, cols, ldy;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        float a[VEC<T>], b[VEC<T>], d[VEC<T>], da[VEC<T>], db[VEC<T>], r[VEC<T>];
        load_some<T, ALIGNED>(a, g + row * ldg + at, n);
        load_some<T, ALIGNED>(b, u + row * ldu + at, n);
        load_some<T, ALIGNED>(d, dy + row * cols + at, n);
        for (int i = 0; i < VEC<T>; i++) {
            float s = sigmoid(a[i]);
            da[i] = d[i] * b[i] * s * (1.0f + a[i] * (1.0f - s));
            db[i] = d[i] * a[i] * s;
            r[i] = a[i] * s * b[i];
        }
        if (y)
            store_some<T, ALIGNED>(y + row * ldy + at, r, n);
        store_some<T, ALIGNED>(dg + row * lddg + at, da, n);
        store_some<T, ALIGNED>(du + row * lddu + at, db, n);
    }
};

static Status swiglu_bwd(KernelCtx *ctx, const SwigluBwd *a)
{
    TRY(check_swiglu_bwd(a));
    WITH_TYPE(a->act, T, {
        SwigluBwdOp<T> op = {(const T *)a->g, (const T *)a->u, (const T *)a->dy, (T *)a->dg, (T *)a->du, (T *)a->y, a->ldg,
                             a->ldu,          a->lddg,         a->lddu,           a->cols,    row_stride(a->ldy, a->cols)};
        bool aligned = is_aligned(a->g) && is_aligned(a->u) && is_aligned(a->dy) && is_aligned(a->dg) && is_aligned(a->du) &&
                       is_aligned_stride(a->ldg, sizeof(T)) && is_aligned_stride(a->ldu, sizeof(T)) &&
                       is_aligned_stride(a->lddg, sizeof(T)) && is_aligned_stride(a->lddu, sizeof(T)) &&
                       is_aligned(a->y) && is_aligned_stride(op.ldy, sizeof(T)) &&
                       is_aligned_stride(a->cols, sizeof(T));
        return map_rows<T>(ctx, "swiglu_bwd", op, a->rows, a->cols, aligned);
    });
}

/* ---- GELU ---- */

static const float SQRT_2_OVER_PI = 0.7978845608028654f, SQRT_HALF = 0.7071067811865476f, INV_SQRT_2PI = 0.3989422804014327f;

/* sigmoid(2u) and 1 - sigmoid(2u), which are (1 + tanh u)/2 and (1 - tanh u)/2: the small one keeps its digits where tanh is almost ±1. */
struct Halves {
    float up, down;
};
static __device__ __forceinline__ Halves tanh_halves(float u)
{
    float e = expf(-2.0f * fabsf(u)), large = 1.0f / (1.0f + e), small = e * large;
    return u > 0 ? Halves{large, small} : Halves{small, large};
}
/* The tanh form's argument. */
static __device__ __forceinline__ float gelu_inner(float z) { return SQRT_2_OVER_PI * (z + 0.044715f * z * z * z); }

static __device__ __forceinline__ float gelu(float z, bool erf_form)
{
    if (erf_form)
        return 0.5f * z * (1.0f + erff(z * SQRT_HALF));
    return z * tanh_halves(gelu_inner(z)).up;
}

static __device__ __forceinline__ float gelu_slope(float z, bool erf_form)
{
    if (erf_form)
        return 0.5f * (1.0f + erff(z * SQRT_HALF)) + z * INV_SQRT_2PI * expf(-0.5f * z * z);
    Halves t = tanh_halves(gelu_inner(z));
    float bend = t.up * t.down; /* (1 - tanh²)/4; 0 far out, where z² may be infinite */
    return t.up + (bend == 0 ? 0.0f : 2.0f * z * bend * SQRT_2_OVER_PI * (1.0f + 0.134145f * z * z));
}

template <class T> struct GeluFwdOp {
    const T *x;
    T *y;
    bool erf_form;
    template <bool ALIGNED> __device__ void apply(int64_t, int64_t at, int n) const
    {
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, x + at, n);
        for (int i = 0; i < VEC<T>; i++)
            v[i] = gelu(v[i], erf_form);
        store_some<T, ALIGNED>(y + at, v, n);
    }
};

static Status gelu_fwd(KernelCtx *ctx, const GeluFwd *a)
{
    TRY(check_gelu_fwd(a));
    WITH_TYPE(a->act, T, {
        GeluFwdOp<T> op = {(const T *)a->x, (T *)a->y, a->kind == GELU_ERF};
        return map_rows<T>(ctx, "gelu_fwd", op, 1, a->n, is_aligned(a->x) && is_aligned(a->y));
    });
}

template <class T> struct GeluBwdOp {
    const T *x, *dy;
    T *dx;
    bool erf_form, accumulate;
    template <bool ALIGNED> __device__ void apply(int64_t, int64_t at, int n) const
    {
        float v[VEC<T>], d[VEC<T>], r[VEC<T>];
        load_some<T, ALIGNED>(v, x + at, n);
        load_some<T, ALIGNED>(d, dy + at, n);
        for (int i = 0; i < VEC<T>; i++)
            d[i] *= gelu_slope(v[i], erf_form);
        if (accumulate) {
            load_some<T, ALIGNED>(r, dx + at, n);
            for (int i = 0; i < VEC<T>; i++)
                d[i] += r[i];
        }
        store_some<T, ALIGNED>(dx + at, d, n);
    }
};

static Status gelu_bwd(KernelCtx *ctx, const GeluBwd *a)
{
    TRY(check_gelu_bwd(a));
    WITH_TYPE(a->act, T, {
        GeluBwdOp<T> op = {(const T *)a->x, (const T *)a->dy, (T *)a->dx, a->kind == GELU_ERF, a->accumulate};
        return map_rows<T>(ctx, "gelu_bwd", op, 1, a->n, is_aligned(a->x) && is_aligned(a->dy) && is_aligned(a->dx));
    });
}

/* ---- y = alpha·a + beta·b; the three may differ in type, so a step is as wide as the widest vector of Y allows ---- */

template <class A, class B, class Y> struct AddScaledOp {
    const A *a;
    const B *b;
    Y *y;
    float alpha, beta;
    template <bool ALIGNED> __device__ void apply(int64_t, int64_t at, int n) const
    {
        float r[VEC<Y>];
        if (ALIGNED && sizeof(A) == sizeof(Y) && sizeof(B) == sizeof(Y)) {
            float v[VEC<Y>];
            load_some<A, ALIGNED>(r, a + at, n);
            if (b)
                load_some<B, ALIGNED>(v, b + at, n);
            for (int i = 0; i < VEC<Y>; i++)
                r[i] = alpha * r[i] + (b ? beta * v[i] : 0.0f);
        } else {
            for (int i = 0; i < VEC<Y>; i++)
                r[i] = i < n ? alpha * load(a + at + i) + (b ? beta * load(b + at + i) : 0.0f) : 0.0f;
        }
        store_some<Y, ALIGNED>(y + at, r, n);
    }
};

static Status add_scaled(KernelCtx *ctx, const AddScaled *a)
{
    TRY(check_add_scaled(a));
    DType b_type = a->b ? a->b_type : a->a_type;
    WITH_TYPE(a->a_type, A, {
        WITH_TYPE(b_type, B, {
            WITH_TYPE(a->y_type, Y, {
                AddScaledOp<A, B, Y> op = {(const A *)a->a, (const B *)a->b, (Y *)a->y, (float)a->alpha, (float)a->beta};
                return map_rows<Y>(ctx, "add_scaled", op, 1, a->n, is_aligned(a->a) && is_aligned(a->b) && is_aligned(a->y));
            });
        });
    });
}

/* ---- dropout: halves of the words of Philox at (column/8, position, item, 0) ---- */

template <class T> struct DropoutOp {
    const T *x;
    T *y;
    const int32_t *row_pos, *row_item;
    int64_t cols;
    uint64_t key;
    uint32_t threshold;
    float scale;
    bool accumulate;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        float v[VEC<T>], r[VEC<T>];
        uint32_t pos = (uint32_t)load_int(row_pos + row), item = (uint32_t)load_int(row_item + row);
        load_some<T, ALIGNED>(v, x + row * cols + at, n);
        if (accumulate)
            load_some<T, ALIGNED>(r, y + row * cols + at, n);
        Philox4 words = philox4x32(key, (uint32_t)(at / 8), pos, item, 0);
        if (VEC<T> == 4 && at % 8) { /* half of them */
            words.v[0] = words.v[2];
            words.v[1] = words.v[3];
        }
        for (int i = 0; i < VEC<T>; i++) {
            float kept = philox_half(&words, i) >= threshold ? v[i] * scale : 0.0f;
            v[i] = accumulate ? r[i] + kept : kept;
        }
        store_some<T, ALIGNED>(y + row * cols + at, v, n);
    }
};

static Status dropout(KernelCtx *ctx, const Dropout *a)
{
    TRY(check_dropout(a));
    WITH_TYPE(a->act, T, {
        DropoutOp<T> op = {(const T *)a->x, (T *)a->y, a->row_pos,   a->row_item, a->cols,
                           a->key,          dropout_threshold(a->p), (float)dropout_scale(a->p), a->accumulate};
        return map_rows<T>(ctx, "dropout", op, a->rows, a->cols,
                           is_aligned(a->x) && is_aligned(a->y) && is_aligned_stride(a->cols, sizeof(T)));
    });
}

/* ---- fill ---- */

template <class T> struct FillOp {
    T *x;
    float value;
    template <bool ALIGNED> __device__ void apply(int64_t, int64_t at, int n) const
    {
        float v[VEC<T>];
        for (int i = 0; i < VEC<T>; i++)
            v[i] = value;
        store_some<T, ALIGNED>(x + at, v, n);
    }
};

static Status fill(KernelCtx *ctx, const Fill *a)
{
    TRY(check_fill(a));
    WITH_TYPE(a->type, T, {
        FillOp<T> op = {(T *)a->x, (float)a->value};
        return map_rows<T>(ctx, "fill", op, 1, a->n, is_aligned(a->x));
    });
}

void cuda_act(KernelTable *t)
{
    t->swiglu_fwd = swiglu_fwd;
    t->swiglu_bwd = swiglu_bwd;
    t->gelu_fwd = gelu_fwd;
    t->gelu_bwd = gelu_bwd;
    t->add_scaled = add_scaled;
    t->dropout = dropout;
    t->fill = fill;
}
