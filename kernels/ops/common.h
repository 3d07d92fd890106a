/* common.h: what every operator's contract shares.
 *
 * An operator is called as  table->NAME(ctx, &(Args){ .field = … })  and returns a Status.
 * Unless a contract says otherwise: arrays are contiguous and row-major in the order the shape is written; inputs and
 * outputs do not overlap; row strides count elements, and one that is said to be optional is the row's length when 0; elements need their
 * own alignment and no more; a size of 0 is fine (an empty sum is 0); `act` is the type of activations (F32 or BF16, and F64 on the ref
 * backend), of their gradients and of nothing else; arithmetic is done in f32 or better and rounded once, when stored; subnormal numbers
 * may be taken for zero; sums have a fixed order, so equal inputs give equal bits.
 * `accumulate` false overwrites the output, true adds to what is there. */
#ifndef GENLLAVA_KERNELS_OPS_COMMON_H
#define GENLLAVA_KERNELS_OPS_COMMON_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/arena.h"
#include "kernels/base/dtype.h"
#include "kernels/base/status.h"

typedef struct KernelCtx {
    Arena *scratch; /* device memory an operator may use until it returns (marked and released by it) */
    void *device;   /* the backend's own state: stream, handles, caches */
} KernelCtx;

/* Images as rows of a matrix: [images·height·width, channels]. */
typedef struct Plane {
    int64_t images, height, width;
} Plane;
static inline int64_t plane_rows(const Plane *p) { return p->images * p->height * p->width; }

/* An optional row stride. */
static inline int64_t row_stride(int64_t ld, int64_t cols) { return ld ? ld : cols; }

#endif
