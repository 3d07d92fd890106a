/* rows.h: moving rows between matrices: embedding lookup, splice of image features, supervised rows, image patches.
 *
 * rows_gather   y[i] = src[index[i]] for index[i] >= 0; a row with a negative index is left untouched.
 *               y [n, cols] in y_type with stride ldy, src [*, cols] in src_type with stride lds.
 * rows_scatter  dst[index[i]] (+)= x[i] for index[i] >= 0. Indices may repeat only with accumulate: the rows of one destination are
 *               then added in increasing i (deterministic). x in x_type, dst in dst_type, row strides ldx, ldd.
 *               n_dst = number of rows of dst.
 * patchify      pixels u8 [images, Y, X, 3] to patches [images, ph·pw, 3·P·P], ph = Y/P, pw = X/P (the rest is cut off),
 *               each patch flattened (channel, row, column), value (v/255 - mean[c]) / std[c] through a 256-entry table per channel
 *               computed as the SigLIP processor does: double multiply by `rescale`, round to f32, then f32 (x-mean)/std.
 * add_rows      y[i] = x[i] + table[i % period] (position embedding); x, y [rows, cols] in act, table [period, cols] in table_type.
 *               y may be x. Its backward for the table: add_rows_bwd: dtable[p] (+)= Σ_{i%period=p} dy[i], F32 (F64 on ref).
 * upsample_fwd  nearest neighbour: y[b,i,j] = x[b, ⌊i·from.height/to.height⌋, ⌊j·from.width/to.width⌋]; x, y: [from.images, …, cols] and
 *               [to.images, …, cols] in act, as many images. to may be smaller too.
 *               Sides are at most UPSAMPLE_MAX_SIDE, pixels less than 2^31.
 * upsample_bwd  dx (+)= the sum of dy over the pixels that have been made from each. */
#ifndef GENLLAVA_KERNELS_OPS_ROWS_H
#define GENLLAVA_KERNELS_OPS_ROWS_H

#include "kernels/ops/common.h"

typedef struct RowsGather {
    int64_t n, cols, lds, ldy;
    DType src_type, y_type;
    const int32_t *index; /* [n] */
    const void *src;
    void *y;
} RowsGather;

typedef struct RowsScatter {
    int64_t n, n_dst, cols, ldx, ldd;
    DType x_type, dst_type;
    const int32_t *index; /* [n], each < n_dst */
    const void *x;
    void *dst;
    bool accumulate;
} RowsScatter;

typedef struct Patchify {
    int64_t images, height, width, patch;
    DType act;
    double rescale, mean[3], std[3];
    const uint8_t *pixels;
    void *y;
} Patchify;

typedef struct AddRows {
    int64_t rows, cols, period;
    DType act, table_type;
    const void *x, *table;
    void *y;
} AddRows;

typedef struct AddRowsBwd {
    int64_t rows, cols, period;
    DType act, table_type;
    const void *dy;
    void *dtable;
    bool accumulate;
} AddRowsBwd;

enum { UPSAMPLE_MAX_SIDE = 1 << 15 };

typedef struct UpsampleFwd {
    Plane from, to;
    int64_t cols;
    DType act;
    const void *x;
    void *y;
} UpsampleFwd;

typedef struct UpsampleBwd {
    Plane from, to;
    int64_t cols;
    DType act;
    const void *dy;
    void *dx;
    bool accumulate;
} UpsampleBwd;

/* The first of `to` pixels of a line that is made from pixel i of `from` or a later one. */
static inline int64_t upsample_first(int64_t i, int64_t from, int64_t to) { return (i * to + from - 1) / from; }
#endif
