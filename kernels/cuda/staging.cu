/* staging.cu: copies between host and device through pinned memory.
 *
 * To the device: the bytes are copied into pinned memory, so the caller goes on at once; the copy stream brings them into a buffer on the
 * device, beside what the compute stream is doing; the compute stream, when it gets there, copies them to where they belong, in its own
 * order, so that whatever used that place before has ended. Both buffers are two halves, filled in turn; a half is filled anew when what
 * was in it has been consumed. */
#include "kernels/cuda/backend.cuh"

#include <string.h>

static size_t padded(size_t n) { return (n + 255) & ~(size_t)255; }

Status staging_create(CudaState *s)
{
    Staging *g = &s->staging;
    TRY(cuda_check(cudaStreamCreateWithFlags(&g->stream, cudaStreamNonBlocking), "creating the stream of copies"));
    TRY(cuda_check(cudaEventCreateWithFlags(&g->arrived, cudaEventDisableTiming), "creating an event"));
    for (int i = 0; i < 2; i++)
        TRY(cuda_check(cudaEventCreateWithFlags(&g->consumed[i], cudaEventDisableTiming), "creating an event"));
    TRY(cuda_check(cudaHostAlloc((void **)&g->pinned, 2 * STAGING_HALF + STAGING_DOWN, cudaHostAllocDefault), "pinned memory of the host"));
    return cuda_check(cudaMalloc((void **)&g->device, 2 * STAGING_HALF), "device memory for copies");
}

void staging_destroy(CudaState *s)
{
    Staging *g = &s->staging;
    if (g->stream)
        cudaStreamSynchronize(g->stream);
    cudaFree(g->device);
    cudaFreeHost(g->pinned);
    if (g->arrived)
        cudaEventDestroy(g->arrived);
    for (int i = 0; i < 2; i++)
        if (g->consumed[i])
            cudaEventDestroy(g->consumed[i]);
    if (g->stream)
        cudaStreamDestroy(g->stream);
}

/* The other half, once the device is done with what was in it. */
static Status turn(CudaState *s)
{
    Staging *g = &s->staging;
    TRY(cuda_check(cudaEventRecord(g->consumed[g->half], s->stream), "copy to the device"));
    g->in_use[g->half] = true;
    g->half ^= 1;
    g->used = 0;
    if (!g->in_use[g->half])
        return OK;
    cudaError_t e = cudaEventQuery(g->consumed[g->half]);
    if (e == cudaErrorNotReady) {
        cudaGetLastError(); /* it is no failure */
        e = cudaEventSynchronize(g->consumed[g->half]);
    }
    g->in_use[g->half] = false;
    return cuda_check(e, "copy to the device");
}

static Status upload_piece(CudaState *s, char *dst, const char *src, size_t n_bytes)
{
    Staging *g = &s->staging;
    if (g->used + padded(n_bytes) > STAGING_HALF)
        TRY(turn(s));
    size_t at = (size_t)g->half * STAGING_HALF + g->used;
    g->used += padded(n_bytes);
    memcpy(g->pinned + at, src, n_bytes);
    TRY(cuda_check(cudaMemcpyAsync(g->device + at, g->pinned + at, n_bytes, cudaMemcpyHostToDevice, g->stream), "copy to the device"));
    TRY(cuda_check(cudaEventRecord(g->arrived, g->stream), "copy to the device"));
    TRY(cuda_check(cudaStreamWaitEvent(s->stream, g->arrived, 0), "copy to the device"));
    return cuda_check(cudaMemcpyAsync(dst, g->device + at, n_bytes, cudaMemcpyDeviceToDevice, s->stream), "copy to the device");
}

Status staging_upload(Backend *b, void *dst, const void *src, size_t n_bytes)
{
    CudaState *s = cuda_state(&b->ctx);
    for (size_t at = 0; at < n_bytes; at += STAGING_HALF) {
        size_t n = n_bytes - at < STAGING_HALF ? n_bytes - at : STAGING_HALF;
        TRY(upload_piece(s, (char *)dst + at, (const char *)src + at, n));
    }
    return OK;
}

Status staging_download(Backend *b, void *dst, const void *src, size_t n_bytes)
{
    CudaState *s = cuda_state(&b->ctx);
    char *down = s->staging.pinned + 2 * STAGING_HALF;
    for (size_t at = 0; at < n_bytes; at += STAGING_DOWN) {
        size_t n = n_bytes - at < STAGING_DOWN ? n_bytes - at : STAGING_DOWN;
        TRY(cuda_check(cudaMemcpyAsync(down, (const char *)src + at, n, cudaMemcpyDeviceToHost, s->stream), "copy from the device"));
        TRY(cuda_wait(s, "waiting for the device"));
        memcpy((char *)dst + at, down, n);
    }
    plain_share_tell(&s->plain_share);
    return OK;
}
