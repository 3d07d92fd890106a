/* meter.cu: times kernels and measures what the device reaches (meter.h). Called by bench-gpu. */
#include "kernels/cuda/meter.h"

#include "kernels/cuda/backend.cuh"

struct Meter {
    cudaStream_t stream;
    cudaEvent_t *events;
    int n;
};

extern "C" Status meter_open(Meter **out, Backend *b, int n_marks)
{
    Meter *m = (Meter *)mem_alloc(sizeof *m);
    *out = m;
    if (m)
        m->events = (cudaEvent_t *)mem_alloc((size_t)n_marks * sizeof *m->events);
    if (!m || !m->events) {
        meter_close(out);
        return fail(ERR_NOMEM, "no memory for %d moments", n_marks);
    }
    m->stream = cuda_state(&b->ctx)->stream;
    for (; m->n < n_marks; m->n++) {
        Status s = cuda_check(cudaEventCreate(&m->events[m->n]), "events");
        if (s != OK) {
            meter_close(out);
            return s;
        }
    }
    return OK;
}

extern "C" void meter_close(Meter **m)
{
    if (!*m)
        return;
    for (int i = 0; i < (*m)->n; i++)
        cudaEventDestroy((*m)->events[i]);
    mem_free((*m)->events);
    mem_free(*m);
    *m = nullptr;
}

extern "C" Status meter_mark(Meter *m, int mark)
{
    if (mark < 0 || mark >= m->n)
        return fail(ERR_INTERNAL, "moment %d of %d", mark, m->n);
    return cuda_check(cudaEventRecord(m->events[mark], m->stream), "events");
}

extern "C" Status meter_between(Meter *m, int from, int to, double *seconds)
{
    float ms = 0;
    TRY(cuda_check(cudaEventSynchronize(m->events[to]), "waiting for the device"));
    TRY(cuda_check(cudaEventElapsedTime(&ms, m->events[from], m->events[to]), "events"));
    *seconds = 1e-3 * (double)ms;
    return OK;
}

extern "C" Status meter_copy(Meter *m, void *dst, const void *src, size_t n_bytes)
{
    return cuda_check(cudaMemcpyAsync(dst, src, n_bytes, cudaMemcpyDeviceToDevice, m->stream), "copy on the device");
}

extern "C" Status meter_memory(size_t *used, size_t *total)
{
    size_t free_bytes = 0;
    TRY(cuda_check(cudaMemGetInfo(&free_bytes, total), "memory of the device"));
    *used = *total - free_bytes;
    return OK;
}

extern "C" Status meter_versions(int *driver, int *runtime)
{
    TRY(cuda_check(cudaDriverGetVersion(driver), "driver"));
    return cuda_check(cudaRuntimeGetVersion(runtime), "runtime");
}
