/* loss.cu: cross entropy, one block a row of logits. The first sweep finds the largest logit and Σ exp together (online softmax, Milakov & Gimelshein
 * 2018), the second writes the gradient over the logits: two reads and one write of the row. */
#include "kernels/cuda/device.cuh"

enum { LOSS_THREADS = 512 };

/* (largest, Σ exp(z - largest)) of two parts joined. */
struct SoftmaxSum {
    float largest, total;
};
static __device__ __forceinline__ SoftmaxSum softmax_join(SoftmaxSum a, SoftmaxSum b)
{
    float largest = fmaxf(a.largest, b.largest);
    if (largest == -INFINITY)
        return {largest, 0.0f};
    return {largest, a.total * expf(a.largest - largest) + b.total * expf(b.largest - largest)};
}

/* Over the block, in a fixed order; the same in every thread. */
static __device__ SoftmaxSum softmax_block(SoftmaxSum s, float *slots)
{
    for (int m = WARP / 2; m; m >>= 1) {
        SoftmaxSum other = {warp_shfl_xor(s.largest, m), warp_shfl_xor(s.total, m)};
        s = warp_lane() & m ? softmax_join(other, s) : softmax_join(s, other); /* the lower lane's part first in both */
    }
    if (warp_lane() == 0) {
        slots[2 * (threadIdx.x / WARP)] = s.largest;
        slots[2 * (threadIdx.x / WARP) + 1] = s.total;
    }
    __syncthreads();
    SoftmaxSum all = {slots[0], slots[1]};
    for (int w = 1; w < (int)(blockDim.x / WARP); w++)
        all = softmax_join(all, {slots[2 * w], slots[2 * w + 1]});
    return all;
}

template <class T, bool ALIGNED> __global__ void __launch_bounds__(LOSS_THREADS)
    cross_entropy_kernel(T *logits, float *loss, const int32_t *label, const float *weight, int cols, int64_t ldz, bool backward)
{
    SHARED_MEMORY(float, slots);
    T *z = logits + blockIdx.x * ldz;
    int target = load_int(label + blockIdx.x);
    SoftmaxSum s = {-INFINITY, 0.0f};
    for (int at = threadIdx.x * VEC<T>; at < cols; at += blockDim.x * VEC<T>) {
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, z + at, cols - at);
        for (int i = 0; i < VEC<T>; i++)
            if (at + i < cols)
                s = softmax_join(s, {v[i], 1.0f});
    }
    s = softmax_block(s, slots);
    float lse = s.largest + logf(s.total);
    if (threadIdx.x == 0)
        store(loss + blockIdx.x, lse - load(z + target));
    if (!backward)
        return;
    __syncthreads(); /* the label's logit has been read */
    float w = load(weight + blockIdx.x);
    for (int at = threadIdx.x * VEC<T>; at < cols; at += blockDim.x * VEC<T>) {
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, z + at, cols - at);
        for (int i = 0; i < VEC<T>; i++)
            v[i] = w * (expf(v[i] - lse) - (at + i == target ? 1.0f : 0.0f));
        store_some<T, ALIGNED>(z + at, v, cols - at);
    }
}

extern "C" Status cuda_cross_entropy(KernelCtx *ctx, const CrossEntropy *a)
{
    if (a->rows <= 0)
        return OK;
    dim3 grid((unsigned)a->rows);
    size_t shared = 2 * LOSS_THREADS / WARP * sizeof(float);
    WITH_TYPE(a->act, T, {
        WITH_BOOL(is_aligned(a->logits) && is_aligned_stride(a->ldz, sizeof(T)), ALIGNED, {
            LAUNCH((cross_entropy_kernel<T, ALIGNED>), grid, LOSS_THREADS, shared, cuda_stream(ctx), (T *)a->logits, (float *)a->loss, a->label,
                   (const float *)a->weight, (int)a->cols, a->ldz, a->backward);
        });
    });
    return cuda_launched("cross_entropy");
}
