/* loss.cu: cross entropy, one block a row of logits. The first sweep finds the largest logit and Σ exp together (online softmax, Milakov &
 * Gimelshein 2018), the second writes the gradient over the logits: two reads and one write of the row. */
#include "kernels/cuda/device.cuh"

enum { LOSS_THREADS = 512 };

/* (largest, Σ exp(z - largest)) of a part of the row; nothing finite seen yet: (-inf, 0). */
struct SoftmaxSum {
    float largest;
    double total;
};
static __device__ __forceinline__ SoftmaxSum softmax_join(SoftmaxSum a, SoftmaxSum b)
{
    SoftmaxSum low = a.largest < b.largest ? a : b, high = a.largest < b.largest ? b : a;
    if (low.largest != high.largest)
        low.total *= expf(low.largest - high.largest);
    return {high.largest, high.total + low.total};
}

/* Over the block, in a fixed order; the same in every thread. */
static __device__ SoftmaxSum softmax_block(SoftmaxSum s, SoftmaxSum *slots)
{
    for (int m = WARP / 2; m; m >>= 1) {
        SoftmaxSum other = {warp_shfl_xor(s.largest, m), warp_shfl_xor(s.total, m)};
        s = softmax_join(s, other);
    }
    if (warp_lane() == 0)
        slots[threadIdx.x / WARP] = s;
    __syncthreads();
    SoftmaxSum all = slots[0];
    for (int w = 1; w < (int)(blockDim.x / WARP); w++)
        all = softmax_join(all, slots[w]);
    return all;
}

template <class T, bool ALIGNED> __global__ void __launch_bounds__(LOSS_THREADS)
    cross_entropy_kernel(T *logits, float *loss, const int32_t *label, const float *weight, int cols, int64_t ldz, bool backward)
{
    SHARED_MEMORY(SoftmaxSum, slots);
    T *z = logits + blockIdx.x * ldz;
    int target = load_int(label + blockIdx.x);
    SoftmaxSum s = {-INFINITY, 0.0};
    for (int at = threadIdx.x * VEC<T>; at < cols; at += blockDim.x * VEC<T>) {
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, z + at, cols - at);
        SoftmaxSum part = {-INFINITY, 0.0};
        for (int i = 0; i < VEC<T>; i++)
            if (at + i < cols)
                part.largest = fmaxf(part.largest, v[i]);
        for (int i = 0; i < VEC<T>; i++)
            if (at + i < cols && v[i] != -INFINITY)
                part.total += expf(v[i] - part.largest);
        s = softmax_join(s, part);
    }
    s = softmax_block(s, slots);
    if (s.largest == -INFINITY)
        s.total = NAN; /* a row of -inf has no softmax */
    float at_target = load(z + target);
    if (threadIdx.x == 0)
        store(loss + blockIdx.x, (float)((double)s.largest - at_target + log(s.total)));
    if (!backward)
        return;
    __syncthreads(); /* the label's logit has been read */
    float w = load(weight + blockIdx.x), scale = (float)(1 / s.total);
    /* In double: 1 - softmax loses its digits when one class takes all. */
    float of_target = (float)(w * (exp((double)at_target - s.largest) / s.total - 1));
    for (int at = threadIdx.x * VEC<T>; at < cols; at += blockDim.x * VEC<T>) {
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, z + at, cols - at);
        for (int i = 0; i < VEC<T>; i++)
            v[i] = at + i == target ? of_target : w * (expf(v[i] - s.largest) * scale);
        store_some<T, ALIGNED>(z + at, v, cols - at);
    }
}

static Status cross_entropy(KernelCtx *ctx, const CrossEntropy *a)
{
    TRY(check_cross_entropy(a));
    if (a->rows == 0)
        return OK;
    dim3 grid((unsigned)a->rows);
    size_t shared = LOSS_THREADS / WARP * sizeof(SoftmaxSum);
    WITH_TYPE(a->act, T, {
        WITH_BOOL(is_aligned(a->logits) && is_aligned_stride(a->ldz, sizeof(T)), ALIGNED, {
            LAUNCH((cross_entropy_kernel<T, ALIGNED>), grid, LOSS_THREADS, shared, cuda_stream(ctx), (T *)a->logits, (float *)a->loss,
                   a->label,
                   (const float *)a->weight, (int)a->cols, a->ldz, a->backward);
        });
    });
    return cuda_launched("cross_entropy");
}

/* ---- Σ w x: one block, whose threads take every SUM_THREADS-th element; there are no more of them than labels in a pass ---- */

enum { SUM_THREADS = 512 };

template <class T> __global__ void __launch_bounds__(SUM_THREADS)
    weighted_sum_kernel(const float *weight, const float *x, int64_t n, double scale, T *scaled, double *total, bool accumulate)
{
    SHARED_MEMORY(double, slots);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += SUM_THREADS)
        sum = fma((double)load(weight + i), (double)load(x + i), sum);
    sum = block_sum(sum, slots);
    if (threadIdx.x)
        return;
    store(total, accumulate ? load(total) + sum : sum);
    if (scaled)
        store(scaled, (float)(scale * sum));
}

static Status weighted_sum(KernelCtx *ctx, const WeightedSum *a)
{
    TRY(check_weighted_sum(a));
    if (a->type != F32)
        return fail(ERR_INTERNAL, "weighted_sum: the cuda backend takes F32, not %s", dtype_name(a->type));
    WITH_TYPE(a->act, T, {
        LAUNCH((weighted_sum_kernel<T>), 1, SUM_THREADS, SUM_THREADS / WARP * sizeof(double), cuda_stream(ctx), a->weight,
               (const float *)a->x, a->n,
               a->scale, (T *)a->scaled, a->total, a->accumulate);
    });
    return cuda_launched("weighted_sum");
}

void cuda_loss(KernelTable *t)
{
    t->cross_entropy = cross_entropy;
    t->weighted_sum = weighted_sum;
}
