/* norm.cu: RMSNorm and LayerNorm, one block a row. A thread takes every blockDim-th vector of the row. Rows that are aligned and short
 * enough are kept in registers (NV vectors a thread), so every input is read once; others are read again for each sum (NV = 0). */
#include "kernels/cuda/device.cuh"

enum { NORM_THREADS = 512, NV_SHORT = 2, NV_LONG = 4 };

struct NormShape {
    int64_t rows, cols;
    int vectors; /* of a row */
};

template <class T> static NormShape norm_shape(int64_t rows, int64_t cols)
{
    NormShape s = {rows, cols, (int)ceil_div(cols, VEC<T>)};
    return s;
}

static unsigned norm_threads(const NormShape &s)
{
    unsigned whole_warps = ceil_div(s.vectors, WARP) * WARP;
    return whole_warps < (unsigned)NORM_THREADS ? whole_warps : (unsigned)NORM_THREADS;
}

/* The smallest instance that holds a row in registers; 0 when none does or vectors cannot be used. */
static int norm_register_vectors(const NormShape &s, bool aligned)
{
    int each = (int)ceil_div(s.vectors, norm_threads(s));
    return !aligned || each > (int)NV_LONG ? 0 : each > (int)NV_SHORT ? (int)NV_LONG : (int)NV_SHORT;
}

/* Weights or biases beside vector i of a row in T; beyond the row's end zero. */
template <class T, class W, bool ALIGNED>
static __device__ __forceinline__ void load_weights(float out[VEC<T>], const void *w, int at, int n)
{
    if (ALIGNED)
        load_as_vector<T>(out, (const W *)w + at);
    else
        for (int j = 0; j < VEC<T>; j++)
            out[j] = j < n ? load((const W *)w + at + j) : 0.0f;
}

/* One row's vectors as a thread sees them: from registers, or fetched anew. FETCH gives vector i of the row. */
template <class T, int NV, class Fetch> struct RowVectors {
    Fetch fetch;
    int vectors;
    float kept[NV ? NV : 1][VEC<T>];

    __device__ RowVectors(const Fetch &f, int n) : fetch(f), vectors(n)
    {
        if (NV) {
            UNROLL
            for (int k = 0; k < NV; k++)
                if ((int)threadIdx.x + k * (int)blockDim.x < vectors)
                    fetch(kept[k], threadIdx.x + k * blockDim.x, true);
        }
    }
    /* visit(vector index, values) for this thread's vectors; `first`: the first sweep, when NV = 0 has not stored anything yet. */
    template <class Visit> __device__ void each(bool first, const Visit &visit)
    {
        if (NV) {
            UNROLL
            for (int k = 0; k < NV; k++)
                if ((int)threadIdx.x + k * (int)blockDim.x < vectors)
                    visit((int)(threadIdx.x + k * blockDim.x), kept[k]);
        } else {
            for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
                fetch(kept[0], i, first);
                visit(i, kept[0]);
            }
        }
    }
};

/* ---- forward ---- */

template <class T> struct NormFwdArgs {
    const T *x, *add;
    T *sum, *y;
    const void *w, *b;
    float *mean, *rstd;
    double eps;
    NormShape shape;
    int64_t ldy;
};

/* s = x + add rounded to T; stored on the first sweep when a sum is wanted, and then read back from there. */
template <class T, bool ALIGNED> struct FetchSum {
    const T *x, *add;
    T *sum;
    int cols;
    __device__ void operator()(float s[VEC<T>], int i, bool first) const
    {
        int at = i * VEC<T>, n = cols - at;
        if (!first && sum) {
            load_some<T, ALIGNED>(s, sum + at, n);
            return;
        }
        load_some<T, ALIGNED>(s, x + at, n);
        if (add) {
            float a[VEC<T>];
            load_some<T, ALIGNED>(a, add + at, n);
            for (int j = 0; j < VEC<T>; j++)
                s[j] = rounded<T>(s[j] + a[j]);
        }
        if (sum)
            store_some<T, ALIGNED>(sum + at, s, n);
    }
};

template <class T, class W, bool LAYER, int NV> __global__ void __launch_bounds__(NORM_THREADS) norm_fwd_kernel(NormFwdArgs<T> a)
{
    constexpr bool ALIGNED = NV != 0;
    SHARED_MEMORY(double, slots);
    int cols = (int)a.shape.cols;
    int64_t row = blockIdx.x, start = row * a.shape.cols;
    FetchSum<T, ALIGNED> fetch = {a.x + start, a.add ? a.add + start : nullptr, a.sum ? a.sum + start : nullptr, cols};
    RowVectors<T, NV, FetchSum<T, ALIGNED>> s(fetch, a.shape.vectors);
    double total = 0;
    float mean = 0;
    if (LAYER) {
        s.each(true, [&](int, const float *v) {
            for (int j = 0; j < VEC<T>; j++)
                total += v[j];
        });
        mean = (float)(block_sum(total, slots) / cols);
        total = 0;
    }
    s.each(!LAYER, [&](int i, const float *v) {
        for (int j = 0; j < VEC<T>; j++)
            if (i * VEC<T> + j < cols)
                total = fma((double)v[j] - mean, (double)v[j] - mean, total);
    });
    float rstd = (float)(1 / sqrt(block_sum(total, slots) / cols + a.eps));
    s.each(false, [&](int i, const float *v) {
        int at = i * VEC<T>;
        float y[VEC<T>], w[VEC<T>], b[VEC<T>] = {};
        load_weights<T, W, ALIGNED>(w, a.w, at, cols - at);
        if (LAYER)
            load_weights<T, W, ALIGNED>(b, a.b, at, cols - at);
        for (int j = 0; j < VEC<T>; j++)
            y[j] = w[j] * ((v[j] - mean) * rstd) + b[j];
        store_some<T, ALIGNED>(a.y + row * a.ldy + at, y, cols - at);
    });
    if (threadIdx.x == 0) {
        if (LAYER && a.mean)
            store(a.mean + row, mean);
        if (a.rstd)
            store(a.rstd + row, rstd);
    }
}

template <class T, bool LAYER> static Status norm_fwd(KernelCtx *ctx, const char *name, const NormFwdArgs<T> &a, DType w_type)
{
    if (a.shape.rows <= 0 || a.shape.cols <= 0)
        return OK;
    bool aligned = is_aligned(a.x) && is_aligned(a.add) && is_aligned(a.sum) && is_aligned(a.y) && is_aligned(a.w) && is_aligned(a.b) &&
                   is_aligned_stride(a.shape.cols, sizeof(T)) && is_aligned_stride(a.ldy, sizeof(T));
    int nv = norm_register_vectors(a.shape, aligned);
    dim3 grid((unsigned)a.shape.rows);
    unsigned threads = norm_threads(a.shape);
    size_t shared = WARP * sizeof(double);
    WITH_TYPE(w_type, W, {
        if (nv == (int)NV_SHORT)
            LAUNCH((norm_fwd_kernel<T, W, LAYER, NV_SHORT>), grid, threads, shared, cuda_stream(ctx), a);
        else if (nv)
            LAUNCH((norm_fwd_kernel<T, W, LAYER, NV_LONG>), grid, threads, shared, cuda_stream(ctx), a);
        else
            LAUNCH((norm_fwd_kernel<T, W, LAYER, 0>), grid, threads, shared, cuda_stream(ctx), a);
    });
    return cuda_launched(name);
}

static Status rmsnorm_fwd(KernelCtx *ctx, const RmsNormFwd *a)
{
    TRY(check_rmsnorm_fwd(a));
    WITH_TYPE(a->act, T, {
        NormFwdArgs<T> args = {(const T *)a->x, (const T *)a->add,  (T *)a->sum,    (T *)a->y, a->w, nullptr, nullptr,
                               (float *)a->rstd, a->eps, norm_shape<T>(a->rows, a->cols), row_stride(a->ldy, a->cols)};
        return norm_fwd<T, false>(ctx, "rmsnorm_fwd", args, a->w_type);
    });
}

static Status layernorm_fwd(KernelCtx *ctx, const LayerNormFwd *a)
{
    TRY(check_layernorm_fwd(a));
    WITH_TYPE(a->act, T, {
        NormFwdArgs<T> args = {(const T *)a->x,  (const T *)a->add, (T *)a->sum,    (T *)a->y, a->w, a->b, (float *)a->mean,
                               (float *)a->rstd, a->eps, norm_shape<T>(a->rows, a->cols), a->cols};
        return norm_fwd<T, true>(ctx, "layernorm_fwd", args, a->w_type);
    });
}

/* ---- backward ---- */

template <class T> struct NormBwdArgs {
    const T *x, *dy;
    T *dx;
    const void *w;
    const float *mean, *rstd;
    bool accumulate;
    NormShape shape;
    int64_t lddx;
    T *y; /* NULL: not wanted */
    int64_t ldy;
};

/* x̂ and g = dy∘w, side by side: elements 0 … VEC-1 and VEC … 2·VEC-1. */
template <class T, class W, bool LAYER, int NV> __global__ void __launch_bounds__(NORM_THREADS) norm_bwd_kernel(NormBwdArgs<T> a)
{
    constexpr bool ALIGNED = NV != 0;
    SHARED_MEMORY(double, slots);
    int cols = (int)a.shape.cols;
    int64_t row = blockIdx.x, start = row * a.shape.cols;
    float rstd = load(a.rstd + row), mean = LAYER ? load(a.mean + row) : 0.0f;
    auto fetch = [&](float *x_hat, float *g, int i, bool first) {
        int at = i * VEC<T>, n = cols - at;
        float y[VEC<T>], w[VEC<T>];
        load_some<T, ALIGNED>(x_hat, a.x + start + at, n);
        load_some<T, ALIGNED>(g, a.dy + start + at, n);
        load_weights<T, W, ALIGNED>(w, a.w, at, n);
        for (int j = 0; j < VEC<T>; j++) {
            bool inside = j < n;
            x_hat[j] = inside ? (x_hat[j] - mean) * rstd : 0.0f;
            g[j] = inside ? g[j] * w[j] : 0.0f;
            y[j] = w[j] * x_hat[j] + 0.0f; /* as the forward's */
        }
        if (!LAYER && first && a.y)
            store_some<T, ALIGNED>(a.y + row * a.ldy + at, y, n);
    };
    float x_hat[NV ? NV : 1][VEC<T>], g[NV ? NV : 1][VEC<T>];
    double sum_g = 0, sum_gx = 0;
    auto add_up = [&](const float *xs, const float *gs) {
        for (int j = 0; j < VEC<T>; j++) {
            sum_g += gs[j];
            sum_gx = fma((double)gs[j], (double)xs[j], sum_gx);
        }
    };
    if (NV) {
            UNROLL
        for (int k = 0; k < NV; k++) {
            int i = threadIdx.x + k * blockDim.x;
            if (i < a.shape.vectors) {
                fetch(x_hat[k], g[k], i, true);
                add_up(x_hat[k], g[k]);
            }
        }
    } else {
        for (int i = threadIdx.x; i < a.shape.vectors; i += blockDim.x) {
            fetch(x_hat[0], g[0], i, true);
            add_up(x_hat[0], g[0]);
        }
    }
    float mean_g = LAYER ? (float)(block_sum(sum_g, slots) / cols) : 0.0f, mean_gx = (float)(block_sum(sum_gx, slots) / cols);
    auto finish = [&](const float *xs, const float *gs, int i) {
        int at = i * VEC<T>, n = cols - at;
        float d[VEC<T>], old[VEC<T>];
        if (a.accumulate)
            load_some<T, ALIGNED>(old, a.dx + row * a.lddx + at, n);
        for (int j = 0; j < VEC<T>; j++) {
            d[j] = rstd * (gs[j] - mean_g - xs[j] * mean_gx);
            if (a.accumulate)
                d[j] += old[j];
        }
        store_some<T, ALIGNED>(a.dx + row * a.lddx + at, d, n);
    };
    if (NV) {
            UNROLL
        for (int k = 0; k < NV; k++)
            if ((int)(threadIdx.x + k * blockDim.x) < a.shape.vectors)
                finish(x_hat[k], g[k], threadIdx.x + k * blockDim.x);
    } else {
        for (int i = threadIdx.x; i < a.shape.vectors; i += blockDim.x) {
            fetch(x_hat[0], g[0], i, false);
            finish(x_hat[0], g[0], i);
        }
    }
}

template <class T, bool LAYER> static Status norm_bwd(KernelCtx *ctx, const char *name, const NormBwdArgs<T> &a, DType w_type)
{
    bool aligned = is_aligned(a.x) && is_aligned(a.dy) && is_aligned(a.dx) && is_aligned(a.y) && is_aligned(a.w) &&
                   is_aligned_stride(a.shape.cols, sizeof(T)) && is_aligned_stride(a.lddx, sizeof(T)) &&
                   is_aligned_stride(a.ldy, sizeof(T));
    int nv = norm_register_vectors(a.shape, aligned);
    dim3 grid((unsigned)a.shape.rows);
    unsigned threads = norm_threads(a.shape);
    size_t shared = WARP * sizeof(double);
    WITH_TYPE(w_type, W, {
        if (nv == (int)NV_SHORT)
            LAUNCH((norm_bwd_kernel<T, W, LAYER, NV_SHORT>), grid, threads, shared, cuda_stream(ctx), a);
        else if (nv)
            LAUNCH((norm_bwd_kernel<T, W, LAYER, NV_LONG>), grid, threads, shared, cuda_stream(ctx), a);
        else
            LAUNCH((norm_bwd_kernel<T, W, LAYER, 0>), grid, threads, shared, cuda_stream(ctx), a);
    });
    return cuda_launched(name);
}

/* ---- gradients of w and b: partial sums over chunks of rows, then over the chunks, both in order ---- */

enum { WEIGHT_THREADS = 128, WEIGHT_CHUNKS = 64 };

template <class T> struct NormWeightArgs {
    const T *x, *dy;
    const float *mean, *rstd;
    double *partial; /* [chunks, 2, cols]: of dw, then of db */
    int64_t rows, cols, rows_each;
};

template <class T, bool LAYER> __global__ void __launch_bounds__(WEIGHT_THREADS) norm_weight_partial(NormWeightArgs<T> a)
{
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, begin = blockIdx.y * a.rows_each;
    if (c >= a.cols)
        return;
    int64_t end = begin + a.rows_each < a.rows ? begin + a.rows_each : a.rows;
    double dw = 0, db = 0;
    for (int64_t r = begin; r < end; r++) {
        float dy = load(a.dy + r * a.cols + c), x = load(a.x + r * a.cols + c);
        dw += (double)dy * (x - (LAYER ? load(a.mean + r) : 0.0f)) * load(a.rstd + r);
        db += dy;
    }
    store(a.partial + (2 * blockIdx.y) * a.cols + c, dw);
    store(a.partial + (2 * blockIdx.y + 1) * a.cols + c, db);
}

static __global__ void __launch_bounds__(WEIGHT_THREADS)
    norm_weight_total(const double *partial, float *dw, float *db, int64_t chunks, int64_t cols, bool accumulate)
{
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols)
        return;
    for (int which = 0; which < 2; which++) {
        float *out = which ? db : dw;
        double total = 0;
        if (!out)
            continue;
        for (int64_t k = 0; k < chunks; k++)
            total += load(partial + (2 * k + which) * cols + c);
        store(out + c, (float)(accumulate ? load(out + c) + total : total));
    }
}

template <class T, bool LAYER>
static Status norm_weight_gradient(KernelCtx *ctx, const char *name, const T *x, const T *dy, const float *mean, const float *rstd,
                                   float *dw,
                                   float *db, int64_t rows, int64_t cols, bool accumulate)
{
    if (!dw && !db)
        return OK;
    int64_t chunks = rows < (int64_t)WEIGHT_CHUNKS ? rows : (int64_t)WEIGHT_CHUNKS;
    void *memory;
    TRY(cuda_workspace(ctx, name, (size_t)(2 * chunks * cols) * sizeof(double), &memory));
    double *partial = (double *)memory;
    NormWeightArgs<T> a = {x, dy, mean, rstd, partial, rows, cols, chunks ? (rows + chunks - 1) / chunks : 0};
    dim3 grid(ceil_div(cols, WEIGHT_THREADS), (unsigned)chunks);
    if (chunks)
        LAUNCH_FLAT((norm_weight_partial<T, LAYER>), grid, WEIGHT_THREADS, cuda_stream(ctx), a);
    LAUNCH_FLAT(norm_weight_total, dim3(grid.x), WEIGHT_THREADS, cuda_stream(ctx), partial, dw, db, chunks, cols, accumulate);
    return cuda_launched(name);
}

static Status rmsnorm_bwd(KernelCtx *ctx, const RmsNormBwd *a)
{
    TRY(check_rmsnorm_bwd(a));
    if (a->cols == 0)
        return OK;
    WITH_TYPE(a->act, T, {
        const T *x = (const T *)a->x, *dy = (const T *)a->dy;
        const float *rstd = (const float *)a->rstd;
        TRY((norm_weight_gradient<T, false>(ctx, "rmsnorm_bwd", x, dy, nullptr, rstd, (float *)a->dw, nullptr, a->rows, a->cols,
                                            a->accumulate_w)));
        NormBwdArgs<T> args = {x, dy, (T *)a->dx, a->w, nullptr, rstd, a->accumulate, norm_shape<T>(a->rows, a->cols),
                               row_stride(a->lddx, a->cols),
                               (T *)a->y, row_stride(a->ldy, a->cols)};
        return a->dx && a->rows ? norm_bwd<T, false>(ctx, "rmsnorm_bwd", args, a->w_type) : OK;
    });
}

static Status layernorm_bwd(KernelCtx *ctx, const LayerNormBwd *a)
{
    TRY(check_layernorm_bwd(a));
    if (a->cols == 0)
        return OK;
    WITH_TYPE(a->act, T, {
        const T *x = (const T *)a->x, *dy = (const T *)a->dy;
        const float *mean = (const float *)a->mean, *rstd = (const float *)a->rstd;
        TRY((norm_weight_gradient<T, true>(ctx, "layernorm_bwd", x, dy, mean, rstd, (float *)a->dw, (float *)a->db, a->rows, a->cols,
                                           a->accumulate_w)));
        NormBwdArgs<T> args = {x, dy, (T *)a->dx, a->w, mean, rstd, a->accumulate, norm_shape<T>(a->rows, a->cols), a->cols, nullptr,
                               a->cols};
        return a->dx && a->rows ? norm_bwd<T, true>(ctx, "layernorm_bwd", args, a->w_type) : OK;
    });
}

void cuda_norm(KernelTable *t)
{
    t->rmsnorm_fwd = rmsnorm_fwd;
    t->layernorm_fwd = layernorm_fwd;
    t->rmsnorm_bwd = rmsnorm_bwd;
    t->layernorm_bwd = layernorm_bwd;
}
