/* adapter.cuh: adapters that read their input with dropout (kernels/ops/adapter.h), as the kernels take them. The masks are made where an
 * element is used, eight neighbouring columns from one call of Philox. */
#ifndef GENLLAVA_KERNELS_CUDA_ADAPTER_CUH
#define GENLLAVA_KERNELS_CUDA_ADAPTER_CUH

#include "kernels/base/philox.h"
#include "kernels/cuda/device.cuh"

enum { MASK_GROUP = 8 };

struct AdapterPart {
    int64_t r, at;      /* columns of u or du: at … at+r-1 */
    uint64_t key;
    uint32_t threshold; /* 0: no mask */
    float factor;       /* of the sums */
    const void *a;
    float *da;
    bool accumulate;
};

struct AdapterParts {
    int64_t rows, in, ldu;
    const int32_t *row_pos, *row_item;
    int n;
    AdapterPart part[ADAPTERS_MAX];
};

/* Those that take part; `scaled`: with adapter_down's scale. Returns how many columns u has. */
static inline int64_t adapter_parts(AdapterParts *out, const AdapterGroup *g, bool scaled)
{
    int64_t at = 0;
    *out = {};
    out->rows = g->rows, out->in = g->in, out->ldu = g->ldu;
    out->row_pos = g->row_pos, out->row_item = g->row_item;
    for (int i = 0; i < g->n; i++) {
        const Adapter *a = &g->part[i];
        if (a->r)
            out->part[out->n++] = {a->r, at, a->key, dropout_threshold(a->p), (float)((scaled ? a->scale : 1.0) * dropout_scale(a->p)),
                                   a->a, (float *)a->da, a->accumulate};
        at += a->r;
    }
    return at;
}

Status adapter_up_bwd(KernelCtx *ctx, const AdapterUpBwd *a); /* adapter_up.cu */
/* For every type, stride and alignment: adapter_plain.cu. */
Status adapter_down_plain(KernelCtx *ctx, const AdapterDown *a, const AdapterParts &p);
Status adapter_down_grad_plain(KernelCtx *ctx, const AdapterDownGrad *a, const AdapterParts &p);
Status adapter_down_bwd_plain(KernelCtx *ctx, const AdapterDownBwd *a, const AdapterParts &p);
#endif
