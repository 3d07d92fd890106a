/* act.cu: elementwise operators: activations, gated ones, scaled addition, dropout, fill. */
#include "kernels/base/philox.h"
#include "kernels/cuda/map.cuh"

/* ---- functions and their derivatives; K, the kind, is a constant of each instance, and T what the result is rounded to ---- */

static const float SQRT_2_OVER_PI = 0.7978845608028654f, SQRT_HALF = 0.7071067811865476f, INV_SQRT_2PI = 0.3989422804014327f;

/* A rounding to bf16 hides 2^15 ulps: there the device's fast functions do. */
template <class T> static __device__ __forceinline__ float exponential(float x) { return sizeof(T) == 2 ? fast_exp(x) : expf(x); }
template <class T> static __device__ __forceinline__ float reciprocal(float x) { return sizeof(T) == 2 ? fast_reciprocal(x) : 1.0f / x; }

template <class T> static __device__ __forceinline__ float sigmoid(float z) { return reciprocal<T>(1.0f + exponential<T>(-z)); }
/* Φ(z). Below -5.7 erf is -1 in f32; erff may be an ulp off, which a large z would make much of. */
static __device__ __forceinline__ float normal_cumulative(float z) { return z < -5.7f ? 0.0f : 0.5f * (1.0f + erff(z * SQRT_HALF)); }

/* sigmoid(2u) and 1 - sigmoid(2u), which are (1 + tanh u)/2 and (1 - tanh u)/2: the small one keeps its digits where tanh is almost ±1. */
struct Halves {
    float up, down;
};
template <class T> static __device__ __forceinline__ Halves tanh_halves(float u)
{
    float e = exponential<T>(-2.0f * fabsf(u)), large = reciprocal<T>(1.0f + e), small = e * large;
    return u > 0 ? Halves{large, small} : Halves{small, large};
}
/* The tanh form's argument. */
static __device__ __forceinline__ float gelu_inner(float z) { return SQRT_2_OVER_PI * (z + 0.044715f * z * z * z); }

/* What is multiplied with z inside of the sigmoid. */
template <ActKind K> constexpr float SIGMOID_FACTOR = K == ACT_GELU_QUICK ? 1.702f : 1.0f;

template <class T, ActKind K> static __device__ __forceinline__ float act_value(float z)
{
    if (K == ACT_GELU_ERF)
        return z * normal_cumulative(z);
    if (K == ACT_GELU_TANH)
        return z * tanh_halves<T>(gelu_inner(z)).up;
    if (K == ACT_RELU)
        return z < 0 ? 0.0f : z;
    return z * sigmoid<T>(SIGMOID_FACTOR<K> * z);
}

template <class T, ActKind K> static __device__ __forceinline__ float act_slope(float z)
{
    if (K == ACT_GELU_ERF)
        return normal_cumulative(z) + z * INV_SQRT_2PI * exponential<T>(-0.5f * z * z);
    if (K == ACT_GELU_TANH) {
        Halves t = tanh_halves<T>(gelu_inner(z));
        float bend = t.up * t.down; /* (1 - tanh²)/4; 0 far out, where z² may be infinite */
        return t.up + (bend == 0 ? 0.0f : 2.0f * z * bend * SQRT_2_OVER_PI * (1.0f + 0.134145f * z * z));
    }
    if (K == ACT_RELU)
        return z > 0 ? 1.0f : 0.0f;
    float s = sigmoid<T>(SIGMOID_FACTOR<K> * z);
    return s * (1.0f + SIGMOID_FACTOR<K> * z * (1.0f - s));
}

/* ---- act ---- */

template <class T, ActKind K> struct ActFwdOp {
    const T *x;
    T *y;
    template <bool ALIGNED> __device__ void apply(int64_t, int64_t at, int n) const
    {
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, x + at, n);
        for (int i = 0; i < VEC<T>; i++)
            v[i] = act_value<T, K>(v[i]);
        store_some<T, ALIGNED>(y + at, v, n);
    }
};

template <ActKind K> static Status launch_act_fwd(KernelCtx *ctx, const ActFwd *a)
{
    WITH_TYPE(a->act, T, {
        ActFwdOp<T, K> op = {(const T *)a->x, (T *)a->y};
        return map_rows<T>(ctx, "act_fwd", op, 1, a->n, is_aligned(a->x) && is_aligned(a->y));
    });
}

static Status act_fwd(KernelCtx *ctx, const ActFwd *a)
{
    TRY(check_act_fwd(a));
    switch (a->kind) {
    case ACT_GELU_ERF: return launch_act_fwd<ACT_GELU_ERF>(ctx, a);
    case ACT_GELU_TANH: return launch_act_fwd<ACT_GELU_TANH>(ctx, a);
    case ACT_GELU_QUICK: return launch_act_fwd<ACT_GELU_QUICK>(ctx, a);
    case ACT_RELU: return launch_act_fwd<ACT_RELU>(ctx, a);
    default: return launch_act_fwd<ACT_SILU>(ctx, a);
    }
}

template <class T, ActKind K> struct ActBwdOp {
    const T *x, *dy;
    T *dx;
    bool accumulate;
    template <bool ALIGNED> __device__ void apply(int64_t, int64_t at, int n) const
    {
        float v[VEC<T>], d[VEC<T>], r[VEC<T>];
        load_some<T, ALIGNED>(v, x + at, n);
        load_some<T, ALIGNED>(d, dy + at, n);
        for (int i = 0; i < VEC<T>; i++)
            d[i] *= act_slope<T, K>(v[i]);
        if (accumulate) {
            load_some<T, ALIGNED>(r, dx + at, n);
            for (int i = 0; i < VEC<T>; i++)
                d[i] += r[i];
        }
        store_some<T, ALIGNED>(dx + at, d, n);
    }
};

template <ActKind K> static Status launch_act_bwd(KernelCtx *ctx, const ActBwd *a)
{
    WITH_TYPE(a->act, T, {
        ActBwdOp<T, K> op = {(const T *)a->x, (const T *)a->dy, (T *)a->dx, a->accumulate};
        return map_rows<T>(ctx, "act_bwd", op, 1, a->n, is_aligned(a->x) && is_aligned(a->dy) && is_aligned(a->dx));
    });
}

static Status act_bwd(KernelCtx *ctx, const ActBwd *a)
{
    TRY(check_act_bwd(a));
    switch (a->kind) {
    case ACT_GELU_ERF: return launch_act_bwd<ACT_GELU_ERF>(ctx, a);
    case ACT_GELU_TANH: return launch_act_bwd<ACT_GELU_TANH>(ctx, a);
    case ACT_GELU_QUICK: return launch_act_bwd<ACT_GELU_QUICK>(ctx, a);
    case ACT_RELU: return launch_act_bwd<ACT_RELU>(ctx, a);
    default: return launch_act_bwd<ACT_SILU>(ctx, a);
    }
}

/* ---- glu ---- */

template <class T, ActKind K> struct GluFwdOp {
    const T *g, *u;
    T *y;
    int64_t ldg, ldu, ldy;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        float a[VEC<T>], b[VEC<T>], r[VEC<T>];
        load_some<T, ALIGNED>(a, g + row * ldg + at, n);
        load_some<T, ALIGNED>(b, u + row * ldu + at, n);
        for (int i = 0; i < VEC<T>; i++)
            r[i] = act_value<T, K>(a[i]) * b[i];
        store_some<T, ALIGNED>(y + row * ldy + at, r, n);
    }
};

template <ActKind K> static Status launch_glu_fwd(KernelCtx *ctx, const GluFwd *a)
{
    WITH_TYPE(a->act, T, {
        GluFwdOp<T, K> op = {(const T *)a->g, (const T *)a->u, (T *)a->y, a->ldg, a->ldu, row_stride(a->ldy, a->cols)};
        bool aligned = is_aligned(a->g) && is_aligned(a->u) && is_aligned(a->y) && is_aligned_stride(a->ldg, sizeof(T)) &&
                       is_aligned_stride(a->ldu, sizeof(T)) && is_aligned_stride(op.ldy, sizeof(T));
        return map_rows<T>(ctx, "glu_fwd", op, a->rows, a->cols, aligned);
    });
}

static Status glu_fwd(KernelCtx *ctx, const GluFwd *a)
{
    TRY(check_glu_fwd(a));
    return a->kind == ACT_SILU ? launch_glu_fwd<ACT_SILU>(ctx, a) : launch_glu_fwd<ACT_GELU_ERF>(ctx, a);
}

template <class T, ActKind K> struct GluBwdOp {
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
            float value = act_value<T, K>(a[i]);
            da[i] = d[i] * b[i] * act_slope<T, K>(a[i]);
            db[i] = d[i] * value;
            r[i] = value * b[i];
        }
        if (y)
            store_some<T, ALIGNED>(y + row * ldy + at, r, n);
        store_some<T, ALIGNED>(dg + row * lddg + at, da, n);
        store_some<T, ALIGNED>(du + row * lddu + at, db, n);
    }
};

template <ActKind K> static Status launch_glu_bwd(KernelCtx *ctx, const GluBwd *a)
{
    WITH_TYPE(a->act, T, {
        GluBwdOp<T, K> op = {(const T *)a->g, (const T *)a->u, (const T *)a->dy, (T *)a->dg, (T *)a->du, (T *)a->y, a->ldg,
                             a->ldu,          a->lddg,         a->lddu,           a->cols,    row_stride(a->ldy, a->cols)};
        bool aligned = is_aligned(a->g) && is_aligned(a->u) && is_aligned(a->dy) && is_aligned(a->dg) && is_aligned(a->du) &&
                       is_aligned_stride(a->ldg, sizeof(T)) && is_aligned_stride(a->ldu, sizeof(T)) &&
                       is_aligned_stride(a->lddg, sizeof(T)) && is_aligned_stride(a->lddu, sizeof(T)) &&
                       is_aligned(a->y) && is_aligned_stride(op.ldy, sizeof(T)) &&
                       is_aligned_stride(a->cols, sizeof(T));
        return map_rows<T>(ctx, "glu_bwd", op, a->rows, a->cols, aligned);
    });
}

static Status glu_bwd(KernelCtx *ctx, const GluBwd *a)
{
    TRY(check_glu_bwd(a));
    return a->kind == ACT_SILU ? launch_glu_bwd<ACT_SILU>(ctx, a) : launch_glu_bwd<ACT_GELU_ERF>(ctx, a);
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
    t->glu_fwd = glu_fwd;
    t->glu_bwd = glu_bwd;
    t->act_fwd = act_fwd;
    t->act_bwd = act_bwd;
    t->add_scaled = add_scaled;
    t->dropout = dropout;
    t->fill = fill;
}
