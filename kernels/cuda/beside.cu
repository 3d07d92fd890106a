/* beside.cu: a second stream, for what others enqueue beside the kernels (Backend.fork): sums over the ranks. Made when it is first asked
 * for. */
#include "kernels/cuda/backend.cuh"

/* Times are taken of `forked` and `joined`, both in the stream of the kernels. */
static Status create(Beside *g)
{
    TRY(cuda_check(cudaEventCreate(&g->forked), "creating an event"));
    TRY(cuda_check(cudaEventCreateWithFlags(&g->ended, cudaEventDisableTiming), "creating an event"));
    TRY(cuda_check(cudaEventCreate(&g->joined), "creating an event"));
    return cuda_check(cudaStreamCreateWithFlags(&g->stream, cudaStreamNonBlocking), "creating a second stream");
}

void beside_destroy(Beside *g)
{
    if (g->stream) {
        cudaStreamSynchronize(g->stream);
        cudaStreamDestroy(g->stream);
    }
    for (cudaEvent_t e : {g->forked, g->ended, g->joined})
        if (e)
            cudaEventDestroy(e);
}

Status beside_fork(Backend *b, void **stream)
{
    CudaState *s = cuda_state(&b->ctx);
    Beside *g = &s->beside;
    if (!g->stream)
        TRY(create(g));
    TRY(cuda_check(cudaEventRecord(g->forked, s->stream), "going on in a second stream"));
    TRY(cuda_check(cudaStreamWaitEvent(g->stream, g->forked, 0), "going on in a second stream"));
    *stream = g->stream;
    return OK;
}

Status beside_join(Backend *b)
{
    CudaState *s = cuda_state(&b->ctx);
    Beside *g = &s->beside;
    TRY(cuda_check(cudaEventRecord(g->ended, g->stream), "joining the second stream"));
    TRY(cuda_check(cudaStreamWaitEvent(s->stream, g->ended, 0), "joining the second stream"));
    g->is_joined = true;
    return cuda_check(cudaEventRecord(g->joined, s->stream), "joining the second stream");
}

Status beside_waited(Backend *b, double *seconds)
{
    Beside *g = &cuda_state(&b->ctx)->beside;
    float ms = 0;
    if (g->is_joined)
        TRY(cuda_check(cudaEventElapsedTime(&ms, g->forked, g->joined), "the time that the device waited"));
    g->is_joined = false;
    *seconds = 1e-3 * (double)ms;
    return OK;
}
