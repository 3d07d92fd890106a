/* winograd.h: 3×3 convolutions of stride 1 in F32 by minimal filtering, for conv.c. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_WINOGRAD_H
#define GENLLAVA_KERNELS_CPU_ISA_WINOGRAD_H

#include "kernels/cpu/isa/isa.h"

/* y[b,i,j,o] = Σ_{u,v,c} w(o,u,v,c) · x[b, i+u-top, j+v-left, c] + bias[o] + shift[b,o] + add[b,i,j,o]; the last three may be NULL, add may
 * be y. w(o,u,v,c) is w[o·w_out + (3u+v)·w_tap + c·w_in]; w_in or w_out is 1. */
typedef struct Filtering {
    Plane from, to;
    int64_t in, out, top, left, w_out, w_tap, w_in;
    DType w_type, bias_type;
    const float *x, *shift, *add;
    const void *w, *bias;
    float *y;
} Filtering;

/* Whether it is faster than products tap by tap. */
bool NAME(winograd_pays)(const Filtering *f);
void NAME(winograd)(CpuDevice *d, const Filtering *f);
#endif
