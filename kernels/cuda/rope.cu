/* rope.cu: rotary embedding in place. A thread turns one pair (j, j+half) of every head of a row, so the angle is formed once. */
#include "kernels/cuda/device.cuh"

enum { ROPE_THREADS = 128 };

template <class T> __global__ void __launch_bounds__(ROPE_THREADS)
    rope_kernel(T *x, const int32_t *pos, int64_t rows, int heads, int head_dim, int64_t ldx, float base, float sign)
{
    int half = head_dim / 2, j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= half)
        return;
    float theta = powf(base, -2.0f * (float)j / (float)head_dim);
    for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
        float s, c;
        sincosf((float)load_int(pos + row) * theta, &s, &c);
        s *= sign;
        for (int h = 0; h < heads; h++) {
            T *p = x + row * ldx + (int64_t)h * head_dim + j;
            float a = load(p), b = load(p + half);
            store(p, a * c - b * s);
            store(p + half, b * c + a * s);
        }
    }
}

extern "C" Status cuda_rope(KernelCtx *ctx, const Rope *a)
{
    if (a->rows <= 0 || a->heads <= 0 || a->head_dim <= 0)
        return OK;
    dim3 grid(ceil_div(a->head_dim / 2, ROPE_THREADS), (unsigned)(a->rows < 65535 ? a->rows : 65535));
    WITH_TYPE(a->act, T, {
        LAUNCH_FLAT((rope_kernel<T>), grid, ROPE_THREADS, cuda_stream(ctx), (T *)a->x, a->pos, a->rows, (int)a->heads, (int)a->head_dim,
                    a->ldx, (float)a->base, a->inverse ? -1.0f : 1.0f);
    });
    return cuda_launched("rope");
}
