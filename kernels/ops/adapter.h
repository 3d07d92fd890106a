/* adapter.h: the first halves of low-rank adapters (LoRA, Hu et al. 2021, section 4.1) that read their input with dropout, up to
 * ADAPTERS_MAX of the same x. The dropped x is nowhere in memory as a whole.
 *
 * adapter_down:      u_i = scale_i · (m_i∘x) A_iᵀ · s_i.
 *   x [rows, in], row stride ldx; A_i [r_i, in]; u [rows, Σ r], row stride ldu: u_0 u_1 ... side by side.
 * adapter_down_grad: dA_i (+)= du_iᵀ (m_i∘x) · s_i. du as u; dA_i [r_i, in] in grad_type, NULL: not wanted.
 * adapter_down_bwd:  dx (+)= Σ_i m_i∘(du_i A_i) · s_i. dx [rows, in], row stride lddx.
 * m_i is the mask (0 or 1) that dropout (act.h) draws for p_i and key_i at row_pos and row_item, s_i = 1/(1-p'_i) its scale: a factor of
 * sums of exact products, so that no element of x is rounded. p_i 0: no mask. A part with r 0 takes no part. row_pos and row_item may be
 * NULL where no p is above 0. Derivatives: checked against central differences. in is at most ADAPTER_IN_MAX. */
#ifndef GENLLAVA_KERNELS_OPS_ADAPTER_H
#define GENLLAVA_KERNELS_OPS_ADAPTER_H

#include "kernels/ops/act.h"

enum { ADAPTERS_MAX = 4, ADAPTER_IN_MAX = 1 << 18 };

typedef struct Adapter {
    int64_t r;
    double p; /* 0 <= p < 1 */
    uint64_t key;
    double scale;    /* of adapter_down alone */
    const void *a;   /* of adapter_down and adapter_down_bwd */
    void *da;        /* of adapter_down_grad */
    bool accumulate; /* dA */
} Adapter;

typedef struct AdapterGroup {
    int64_t rows, in, ldu; /* ldu: of u or du */
    int n;
    DType act, a_type;                 /* a_type: of every A */
    const int32_t *row_pos, *row_item; /* [rows] */
    Adapter part[ADAPTERS_MAX];
} AdapterGroup;

typedef struct AdapterDown {
    AdapterGroup g;
    int64_t ldx;
    const void *x;
    void *u;
} AdapterDown;

typedef struct AdapterDownGrad {
    AdapterGroup g;
    int64_t ldx;
    DType grad_type; /* F32 (F64 on ref) */
    const void *x, *du;
} AdapterDownGrad;

typedef struct AdapterDownBwd {
    AdapterGroup g;
    int64_t lddx;
    const void *du;
    void *dx;
    bool accumulate;
} AdapterDownBwd;

/* The second half of one adapter, y += u Bᵀ, backwards:  du = scale · dy B,  dB (+)= dyᵀ u.
 * dy [rows, out], row stride lddy; B [out, r] in b_type; u, du [rows, r], row strides ldu, lddu; dB [out, r] in grad_type, NULL: not
 * wanted, and neither is u. Of a small rank dy is nearly all that is read: from ADAPTER_UP_RANK down a backend may read it once for both.
 */
enum { ADAPTER_UP_RANK = 32 };
typedef struct AdapterUpBwd {
    int64_t rows, out, r, lddy, ldu, lddu;
    DType act, b_type, grad_type; /* grad_type: F32 (F64 on ref) */
    double scale;
    const void *dy, *b, *u;
    void *du, *db;
    bool accumulate; /* dB */
} AdapterUpBwd;

static inline int64_t adapter_columns(const AdapterGroup *g)
{
    int64_t sum = 0;
    for (int i = 0; i < g->n; i++)
        sum += g->part[i].r;
    return sum;
}
#endif
