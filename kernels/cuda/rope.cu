/* rope.cu: rotary embedding in place. A thread turns one pair (j, j+half) of every head of a row, so the angle is formed once. */
#include "kernels/cuda/device.cuh"

enum { ROPE_THREADS = 128, ROPE_MAX = 768 };

/* The angles of position 1, made on the host by the function all backends share. */
struct RopeTable {
    float theta[ROPE_MAX];
};

template <class T> __global__ void __launch_bounds__(ROPE_THREADS)
    rope_kernel(T *x, const int32_t *pos, int64_t rows, int heads, int half, int64_t ldx, float sign, RopeTable table)
{
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= half)
        return;
    for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
        float s, c;
        sincosf((float)load_int(pos + row) * table.theta[j], &s, &c);
        s *= sign;
        for (int h = 0; h < heads; h++) {
            T *p = x + row * ldx + (int64_t)h * 2 * half + j;
            float a = load(p), b = load(p + half);
            store(p, a * c - b * s);
            store(p + half, b * c + a * s);
        }
    }
}

static Status rope(KernelCtx *ctx, const Rope *a)
{
    TRY(check_rope(a));
    if (a->rows == 0 || a->heads == 0)
        return OK;
    int64_t half = a->head_dim / 2;
    if (half > (int64_t)ROPE_MAX)
        return fail(ERR_INTERNAL, "rope: head_dim is %lld; the cuda backend turns at most %d", (long long)a->head_dim, 2 * (int)ROPE_MAX);
    RopeTable table;
    for (int64_t j = 0; j < half; j++)
        table.theta[j] = rope_theta(a, j);
    dim3 grid(ceil_div(half, ROPE_THREADS), (unsigned)(a->rows < 65535 ? a->rows : 65535));
    WITH_TYPE(a->act, T, {
        LAUNCH_FLAT((rope_kernel<T>), grid, ROPE_THREADS, cuda_stream(ctx), (T *)a->x, a->pos, a->rows, (int)a->heads, (int)half, a->ldx,
                    a->inverse ? -1.0f : 1.0f, table);
    });
    return cuda_launched("rope");
}

void cuda_rope(KernelTable *t)
{
    t->rope = rope;
}
