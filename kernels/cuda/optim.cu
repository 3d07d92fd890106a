/* optim.cu: AdamW over spans of the flat buffers, and the sum of squares behind the gradient norm. */
#include "kernels/cuda/map.cuh"

struct AdamwOp {
    float *param, *m, *v;
    const float *grad;
    __nv_bfloat16 *copy;
    float beta1, rest1, beta2, rest2, eps, grad_scale, decay_factor, step_size, inv_bias2;
    int64_t begin;
    template <bool ALIGNED> __device__ void apply(int64_t, int64_t at, int n) const
    {
        float p[4], g[4], a[4], b[4];
        int64_t i = begin + at;
        load_some<float, ALIGNED>(p, param + i, n);
        load_some<float, ALIGNED>(g, grad + i, n);
        load_some<float, ALIGNED>(a, m + i, n);
        load_some<float, ALIGNED>(b, v + i, n);
        for (int k = 0; k < 4; k++) {
            float d = g[k] * grad_scale;
            a[k] = beta1 * a[k] + rest1 * d;
            b[k] = beta2 * b[k] + rest2 * d * d;
            p[k] = p[k] * decay_factor - step_size * a[k] / (sqrtf(b[k] * inv_bias2) + eps);
        }
        store_some<float, ALIGNED>(param + i, p, n);
        store_some<float, ALIGNED>(m + i, a, n);
        store_some<float, ALIGNED>(v + i, b, n);
        if (copy)
            for (int k = 0; k < 4; k++)
                if (k < n)
                    store(copy + i + k, p[k]);
    }
};

extern "C" Status cuda_adamw(KernelCtx *ctx, const Adamw *a)
{
    TRY(check_adamw(a));
    if (a->type != F32)
        return fail(ERR_INTERNAL, "adamw: the cuda backend keeps masters in F32, not %s", dtype_name(a->type));
    for (int64_t s = 0; s < a->n_spans; s++) {
        const AdamwSpan *span = &a->spans[s];
        double bias1 = 1.0 - pow(a->beta1, (double)span->t), bias2 = 1.0 - pow(a->beta2, (double)span->t);
        AdamwOp op = {(float *)a->param, (float *)a->m, (float *)a->v, (const float *)a->grad, (__nv_bfloat16 *)a->copy, (float)a->beta1,
                      (float)(1 - a->beta1), (float)a->beta2, (float)(1 - a->beta2), (float)a->eps, (float)a->grad_scale, (float)(1.0 - span->lr * span->decay), (float)(span->lr / bias1), (float)(1.0 / bias2), span->begin};
        bool aligned = is_aligned((float *)a->param + span->begin) && is_aligned((const float *)a->grad + span->begin) &&
                       is_aligned((float *)a->m + span->begin) && is_aligned((float *)a->v + span->begin);
        TRY(map_rows<float>(ctx, "adamw", op, 1, span->end - span->begin, aligned));
    }
    return OK;
}

/* ---- Σ x² in double: blocks as many as the size asks for, each a fixed share, then their sums in order ---- */

enum { SQUARES_THREADS = 256, SQUARES_BLOCKS = 256, SQUARES_EACH = 2048 };

template <class T> __global__ void __launch_bounds__(SQUARES_THREADS) sum_squares_kernel(const T *x, int64_t n, double *partial)
{
    SHARED_MEMORY(double, slots); /* [SQUARES_THREADS] */
    double total = 0;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) {
        double v = load(x + i);
        total += v * v;
    }
    slots[threadIdx.x] = total;
    for (int half = SQUARES_THREADS / 2; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half)
            slots[threadIdx.x] += slots[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        store(partial + blockIdx.x, slots[0]);
}

static __global__ void sum_partials(const double *partial, int n, double *out)
{
    double total = 0;
    for (int i = 0; i < n; i++)
        total += load(partial + i);
    store(out, total);
}

extern "C" Status cuda_sum_squares(KernelCtx *ctx, const SumSquares *a)
{
    TRY(check_sum_squares(a));
    void *memory;
    TRY(cuda_workspace(ctx, "sum_squares", SQUARES_BLOCKS * sizeof(double), &memory));
    double *partial = (double *)memory;
    int64_t wanted = (a->n + SQUARES_EACH - 1) / SQUARES_EACH;
    unsigned blocks = wanted < 1 ? 1 : wanted < (int64_t)SQUARES_BLOCKS ? (unsigned)wanted : (unsigned)SQUARES_BLOCKS;
    WITH_TYPE(a->type, T, {
        LAUNCH((sum_squares_kernel<T>), blocks, SQUARES_THREADS, SQUARES_THREADS * sizeof(double), cuda_stream(ctx), (const T *)a->x, a->n,
               partial);
    });
    LAUNCH_FLAT(sum_partials, 1, 1, cuda_stream(ctx), partial, (int)blocks, a->out);
    return cuda_launched("sum_squares");
}
