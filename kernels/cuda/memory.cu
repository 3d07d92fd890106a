/* memory.cu: memory of the device: what callers ask for, what operators need besides, and what there is. */
#include "kernels/cuda/backend.cuh"

#include <stdio.h>
#include <string.h>

static Status no_memory(size_t n_bytes)
{
    size_t available = 0, total = 0;
    cudaGetLastError(); /* not for ever: the next call starts clean */
    cudaMemGetInfo(&available, &total);
    return fail(ERR_DEVICE, "the device has %.3f GB free of %.3f GB, and %.3f GB more are needed: lower train.micro_tokens or set "
                            "train.recompute to \"block\", or end what else uses the device (nvidia-smi lists it)",
                                    1e-9 * (double)available, 1e-9 * (double)total, 1e-9 * (double)n_bytes);
}

Status memory_full(const char *what)
{
    size_t available = 0, total = 0;
    cudaGetLastError();
    cudaMemGetInfo(&available, &total);
    return fail(ERR_DEVICE, "%s: the device's memory is full, %.3f GB free of %.3f GB; kernels take some when they are first used, so "
                            "leave a few hundred MB: lower train.micro_tokens or set train.recompute to \"block\", or end what else uses "
                            "the device (nvidia-smi lists it)", what,
                1e-9 * (double)available, 1e-9 * (double)total);
}

static Status take(size_t n_bytes, const char *what, void **out)
{
    *out = nullptr;
    cudaError_t e = cudaMalloc(out, n_bytes ? n_bytes : 1);
    return e == cudaErrorMemoryAllocation ? no_memory(n_bytes) : cuda_check(e, what);
}

Status memory_create(Backend *b, size_t n_bytes, void **out)
{
    TRY(take(n_bytes, "device memory", out));
    return cuda_check(cudaMemsetAsync(*out, 0, n_bytes, cuda_state(&b->ctx)->stream), "zeroing device memory");
}

void memory_destroy(Backend *b, void *p)
{
    (void)b;
    cudaFree(p);
}

/* The first to ask gets what the largest of those measured needs. What an earlier operator left in it is still being read: the stream has
 * to come to rest before it can grow, which happens where nothing was measured. */
Status cuda_workspace(KernelCtx *ctx, const char *op, size_t n_bytes, void **out)
{
    CudaState *s = cuda_state(ctx);
    if (s->measures_for) {
        size_t *largest = &s->measures_for->workspace_measured;
        *largest = n_bytes > *largest ? n_bytes : *largest;
        *out = s; /* an address; nothing reads it */
        return OK;
    }
    if (n_bytes > s->n_partial) {
        if (s->partial)
            TRY(cuda_wait(s, op));
        cudaFree(s->partial);
        s->partial = nullptr;
        s->n_partial = 0;
        size_t wanted = n_bytes > s->workspace_measured ? n_bytes : s->workspace_measured;
        TRY(take(wanted, op, &s->partial));
        s->n_partial = wanted;
    }
    *out = s->partial;
    return OK;
}

Status memory_ask(Backend *b, DeviceMemory *out)
{
    const CudaState *s = cuda_state(&b->ctx);
    size_t available = 0, total = 0;
    TRY(cuda_check(cudaMemGetInfo(&available, &total), "memory of the device"));
    const size_t held = MATMUL_WORKSPACE + 2 * STAGING_HALF + s->n_partial;
    *out = DeviceMemory{total, available + held, held, 2 * STAGING_HALF + STAGING_DOWN};
    if (s->workspace_measured > s->n_partial)
        out->own += s->workspace_measured - s->n_partial;
    return OK;
}

/* ---- measuring: the operators' own launchers run, without launching ---- */

static Status count_memory(Backend *b, size_t n_bytes, void **out)
{
    *out = arena_push(&cuda_state(&b->ctx)->measured, n_bytes);
    return *out ? OK : fail(ERR_NOMEM, "null: more than the address space holds");
}

static void forget_memory(Backend *, void *) {}
static Status no_upload(Backend *, void *, const void *, size_t) { return OK; }
static Status no_download(Backend *, void *, const void *, size_t) { return OK; }

static void close_measuring(Backend *b)
{
    CudaState *s = cuda_state(&b->ctx);
    plain_share_tell(&s->plain_share);
    s->measures_for->plain_share.told |= s->plain_share.told;
    matmul_tables_free(s);
    mem_free(s);
    memset(b, 0, sizeof *b);
}

Status memory_measuring(Backend *b, Backend *null)
{
    CudaState *s = (CudaState *)mem_alloc(sizeof *s), *of = cuda_state(&b->ctx);
    Status made = s ? matmul_tables_create(s) : fail(ERR_NOMEM, "no memory to measure with");
    if (made != OK) {
        mem_free(s);
        return made;
    }
    s->stream = NO_STREAM;
    s->measures_for = of;
    s->scales_rows = of->scales_rows;
    s->shared_most = of->shared_most;
    s->cublas = of->cublas;
    s->lt = of->lt;
    s->preference = of->preference;
    arena_measure(&s->measured);
    memset(null, 0, sizeof *null);
    null->name = "null";
    null->ops = b->ops;
    null->ctx.device = s;
    null->mem_create = count_memory;
    null->mem_destroy = forget_memory;
    null->upload = no_upload;
    null->download = no_download;
    null->close = close_measuring;
    snprintf(null->description, sizeof null->description, "computes nothing, measures memory");
    return OK;
}
