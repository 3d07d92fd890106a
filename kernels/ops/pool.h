/* pool.h: windows of images, which are rows of a matrix [images·height·width, channels], to a pixel each. Of frozen networks: there is no
 * backward.
 *
 * pool2d_fwd  y[b,i,j,c] = the largest, or the mean, of x[b, i·stride+u-top, j·stride+v-left, c] over u < kernel_height, v < kernel_width
 *             Pixels outside of the image are not there: no maximum is theirs, and a mean divides by those inside. A NaN makes a mean NaN;
 *             beside a NaN any number of the window may be its maximum.
 * shape as of a convolution (conv.h) with as many channels out as in. Each window reaches the image: top and bottom are less than
 * kernel_height, left and right than kernel_width. x, y in act. Sums are rounded to act once. */
#ifndef GENLLAVA_KERNELS_OPS_POOL_H
#define GENLLAVA_KERNELS_OPS_POOL_H

#include "kernels/ops/conv.h"

typedef enum PoolKind { POOL_MAX, POOL_MEAN, N_POOL_KINDS } PoolKind;

typedef struct Pool2dFwd {
    ConvShape shape;
    DType act;
    PoolKind kind;
    const void *x;
    void *y;
} Pool2dFwd;

/* The pixels of a window along an axis: first … end-1 of a side of n. */
typedef struct PoolSpan {
    int64_t first, end;
} PoolSpan;
static inline PoolSpan pool_span(int64_t i, int64_t stride, int64_t before, int64_t kernel, int64_t n)
{
    const int64_t at = i * stride - before;
    return (PoolSpan){at > 0 ? at : 0, at + kernel < n ? at + kernel : n};
}
#endif
