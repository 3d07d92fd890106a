/* adapter.cu: launchers of the adapters with dropout. */
#include "kernels/cuda/adapter.cuh"

extern "C" Status cuda_adapter_down(KernelCtx *ctx, const AdapterDown *a)
{
    AdapterParts p;
    TRY(check_adapter_down(a));
    adapter_parts(&p, &a->g, true);
    if (p.rows <= 0 || !p.n)
        return OK;
    return adapter_down_plain(ctx, a, p);
}

extern "C" Status cuda_adapter_down_grad(KernelCtx *ctx, const AdapterDownGrad *a)
{
    AdapterParts p;
    TRY(check_adapter_down_grad(a));
    adapter_parts(&p, &a->g, false);
    if (p.in <= 0 || !p.n)
        return OK;
    return adapter_down_grad_plain(ctx, a, p);
}

extern "C" Status cuda_adapter_down_bwd(KernelCtx *ctx, const AdapterDownBwd *a)
{
    AdapterParts p;
    TRY(check_adapter_down_bwd(a));
    adapter_parts(&p, &a->g, false);
    if (p.rows <= 0 || p.in <= 0)
        return OK;
    return adapter_down_bwd_plain(ctx, a, p);
}
