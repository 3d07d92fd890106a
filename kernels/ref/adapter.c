/* adapter.c: adapters with dropout as ops/adapter.h defines them, in plain loops. */
#include "kernels/ref/real.h"

static bool kept(const AdapterGroup *g, const Adapter *p, int64_t row, int64_t c)
{
    return p->p <= 0 || keeps(p->key, p->p, c, g->row_pos[row], g->row_item[row]);
}

Status REF_NAME(adapter_down)(KernelCtx *ctx, const AdapterDown *a)
{
    (void)ctx;
    TRY(check_adapter_down(a));
    const AdapterGroup *g = &a->g;
    int64_t at = 0;
    for (int i = 0; i < g->n; i++) {
        const Adapter *p = &g->part[i];
        for (int64_t row = 0; row < g->rows; row++)
            for (int64_t j = 0; j < p->r; j++) {
                real sum = 0;
                for (int64_t c = 0; c < g->in; c++)
                    if (kept(g, p, row, c))
                        sum += get(a->x, g->act, row * a->ldx + c) * get(p->a, g->a_type, j * g->in + c);
                put(a->u, g->act, row * g->ldu + at + j, (real)(p->scale * dropout_scale(p->p)) * sum);
            }
        at += p->r;
    }
    return OK;
}

Status REF_NAME(adapter_down_grad)(KernelCtx *ctx, const AdapterDownGrad *a)
{
    (void)ctx;
    TRY(check_adapter_down_grad(a));
    const AdapterGroup *g = &a->g;
    int64_t at = 0;
    for (int i = 0; i < g->n; i++) {
        const Adapter *p = &g->part[i];
        for (int64_t j = 0; j < p->r && p->da; j++)
            for (int64_t c = 0; c < g->in; c++) {
                real sum = 0;
                for (int64_t row = 0; row < g->rows; row++)
                    if (kept(g, p, row, c))
                        sum += get(a->du, g->act, row * g->ldu + at + j) * get(a->x, g->act, row * a->ldx + c);
                put_or_add(p->da, a->grad_type, j * g->in + c, (real)dropout_scale(p->p) * sum, p->accumulate);
            }
        at += p->r;
    }
    return OK;
}

Status REF_NAME(adapter_down_bwd)(KernelCtx *ctx, const AdapterDownBwd *a)
{
    (void)ctx;
    TRY(check_adapter_down_bwd(a));
    const AdapterGroup *g = &a->g;
    for (int64_t row = 0; row < g->rows; row++)
        for (int64_t c = 0; c < g->in; c++) {
            real dx = 0;
            int64_t at = 0;
            for (int i = 0; i < g->n; i++) {
                const Adapter *p = &g->part[i];
                real sum = 0;
                for (int64_t j = 0; j < p->r; j++)
                    sum += get(a->du, g->act, row * g->ldu + at + j) * get(p->a, g->a_type, j * g->in + c);
                if (kept(g, p, row, c))
                    dx += (real)dropout_scale(p->p) * sum;
                at += p->r;
            }
            put_or_add(a->dx, g->act, row * row_stride(a->lddx, g->in) + c, dx, a->accumulate);
        }
    return OK;
}

Status REF_NAME(adapter_up_bwd)(KernelCtx *ctx, const AdapterUpBwd *a)
{
    (void)ctx;
    TRY(check_adapter_up_bwd(a));
    for (int64_t row = 0; row < a->rows; row++)
        for (int64_t j = 0; j < a->r; j++) {
            real sum = 0;
            for (int64_t c = 0; c < a->out; c++)
                sum += get(a->dy, a->act, row * a->lddy + c) * get(a->b, a->b_type, c * a->r + j);
            put(a->du, a->act, row * a->lddu + j, (real)a->scale * sum);
        }
    for (int64_t c = 0; c < a->out && a->db; c++)
        for (int64_t j = 0; j < a->r; j++) {
            real sum = 0;
            for (int64_t row = 0; row < a->rows; row++)
                sum += get(a->dy, a->act, row * a->lddy + c) * get(a->u, a->act, row * a->ldu + j);
            put_or_add(a->db, a->grad_type, c * a->r + j, sum, a->accumulate);
        }
    return OK;
}
