/* pool.cu: pooling (ops/pool.h). A thread makes a vector of neighbouring channels of one pixel (map.cuh). */
#include "kernels/cuda/map.cuh"

/* All fits 31 bits, which check.c sees to. */
template <class T> struct PoolOp {
    const T *x;
    T *y;
    int64_t cols;
    int from_height, from_width, to_height, to_width, kernel_height, kernel_width, stride, top, left;
    bool largest;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        const int line = (int)row / to_width, j = (int)row % to_width, image = line / to_height, i = line % to_height;
        const int y0 = i * stride - top, x0 = j * stride - left;
        const int y_first = max(y0, 0), y_end = min(y0 + kernel_height, from_height);
        const int x_first = max(x0, 0), x_end = min(x0 + kernel_width, from_width);
        float sum[VEC<T>], v[VEC<T>];
        for (int k = 0; k < VEC<T>; k++)
            sum[k] = largest ? -INFINITY : 0.0f;
        for (int h = y_first; h < y_end; h++)
            for (int w = x_first; w < x_end; w++) {
                load_some<T, ALIGNED>(v, x + ((int64_t)(image * from_height + h) * from_width + w) * cols + at, n);
                for (int k = 0; k < VEC<T>; k++)
                    sum[k] = largest ? fmaxf(sum[k], v[k]) : sum[k] + v[k];
            }
        const float inside = (float)((y_end - y_first) * (x_end - x_first));
        for (int k = 0; k < VEC<T>; k++)
            sum[k] = largest ? sum[k] : sum[k] / inside;
        store_some<T, ALIGNED>(y + row * cols + at, sum, n);
    }
};

static Status pool2d_fwd(KernelCtx *ctx, const Pool2dFwd *a)
{
    TRY(check_pool2d_fwd(a));
    const ConvShape *s = &a->shape;
    const Plane to = conv_to(s);
    WITH_TYPE(a->act, T, {
        PoolOp<T> op = {(const T *)a->x, (T *)a->y, s->in, (int)s->from.height, (int)s->from.width, (int)to.height, (int)to.width,
                        (int)s->kernel_height, (int)s->kernel_width, (int)s->stride, (int)s->top, (int)s->left, a->kind == POOL_MAX};
        return map_rows<T>(ctx, "pool2d_fwd", op, plane_rows(&to), s->in,
                           is_aligned(a->x) && is_aligned(a->y) && is_aligned_stride(s->in, sizeof(T)));
    });
}

void cuda_pool(KernelTable *t) { t->pool2d_fwd = pool2d_fwd; }
