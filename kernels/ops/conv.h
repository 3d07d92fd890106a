/* conv.h: convolutions of images, which are rows of a matrix: [images·height·width, channels].
 *
 * conv2d_fwd  y[b,i,j,o] = bias[o] + shift[b,o] + add[b,i,j,o] + Σ_{u,v,c} w[o,u,v,c] · x[b, i·stride+u-top, j·stride+v-left, c]
 *             Outside of the image x is 0: `top` … `right` say how many rows and columns of zeros surround it. bias, shift and add may be
 *             NULL: the shift is that of a diffusion step (ResNet blocks of Rombach et al. 2021), add a skip. Cross-correlation, as torch's
 *             conv2d. The output has ⌊(height+top+bottom-kernel_height)/stride⌋+1 rows, columns likewise.
 * conv2d_dx   dx[b,y,z,c] (+)= Σ_{u,v,o} w[o,u,v,c] · dy[b,i,j,o]   over the i, j with y = i·stride+u-top, z = j·stride+v-left
 * conv2d_dw   dw[o,u,v,c] (+)= Σ_{b,i,j} dy[b,i,j,o] · x[b, i·stride+u-top, j·stride+v-left, c]
 * x [images·height·width, in], y, add [images·out_height·out_width, out] and shift [images, out] in act; w [out, kernel_height,
 * kernel_width, in] in w_type; bias [out] in bias_type; dw as w, in F32 (F64 on ref). As in a matmul, the products of BF16 with BF16 are
 * those of the bf16 values and accumulated in f32. A backend may round the sums to act before it adds to them. y may be add. `winograd`
 * allows a backend to compute in F32 by way of Winograd's minimal filtering (Lavin & Gray 2015, F(4×4,3×3)): up to three times the
 * rounding error of a direct sum, at most 3e-5 of a row's largest, where the pixels of a tile have one scale; else that of its largest.
 */
#ifndef GENLLAVA_KERNELS_OPS_CONV_H
#define GENLLAVA_KERNELS_OPS_CONV_H

#include "kernels/ops/common.h"

typedef struct ConvShape {
    Plane from; /* x */
    int64_t in, out, kernel_height, kernel_width, stride, top, left, bottom, right;
} ConvShape;

/* The images of y. */
static inline Plane conv_to(const ConvShape *s)
{
    Plane p = {.images = s->from.images, .height = s->from.height + s->top + s->bottom - s->kernel_height,
               .width = s->from.width + s->left + s->right - s->kernel_width};
    p.height = s->stride > 0 && p.height >= 0 ? p.height / s->stride + 1 : 0;
    p.width = s->stride > 0 && p.width >= 0 ? p.width / s->stride + 1 : 0;
    return p;
}

typedef struct Conv2dFwd {
    ConvShape shape;
    DType act, w_type, bias_type;
    bool winograd;
    const void *x, *w, *bias, *shift, *add;
    void *y;
} Conv2dFwd;

typedef struct Conv2dDx {
    ConvShape shape;
    DType act, w_type;
    bool winograd, accumulate;
    const void *dy, *w;
    void *dx;
} Conv2dDx;

typedef struct Conv2dDw {
    ConvShape shape;
    DType act, dw_type;
    bool accumulate;
    const void *x, *dy;
    void *dw;
} Conv2dDw;
#endif
