/* errors.cu: the runtime's errors as sentences.
 *
 * A kernel that fails is noticed late: launches return at once, and the error is handed out by the next call that asks, when others have
 * been launched after it. So the sentence names the last launch and says how many others may be to blame; with CUDA_LAUNCH_BLOCKING=1 every
 * launch waits, and the name is exact. */
#include "kernels/cuda/backend.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *last_kernel = "";
static long long launches; /* since the device was last known to be well */

void launch_note(const char *kernel)
{
    last_kernel = kernel;
    launches++;
}

/* "(norm_fwd_kernel<T, 4>)" is spoken of as norm_fwd_kernel. */
static const char *spoken(char out[64])
{
    const char *from = last_kernel + (*last_kernel == '(');
    snprintf(out, 64, "%.*s", (int)strcspn(from, "<)"), from);
    return out;
}

static bool launches_wait(void)
{
    const char *set = getenv("CUDA_LAUNCH_BLOCKING");
    return set && !strcmp(set, "1");
}

/* After these the device does nothing more for this process. */
static bool is_fatal(cudaError_t e)
{
    enum { UNCORRECTABLE_MEMORY = 214, FIRST_FATAL = 700 };
    return ((int)e >= (int)FIRST_FATAL && e != cudaErrorLaunchOutOfResources) || (int)e == (int)UNCORRECTABLE_MEMORY;
}

Status cuda_check(cudaError_t e, const char *what)
{
    char kernel[64];
    if (e == cudaSuccess)
        return OK;
    if (e == cudaErrorMemoryAllocation)
        return memory_full(what);
    if (!is_fatal(e) || !launches)
        return fail(ERR_DEVICE, "%s: %s", what, cudaGetErrorString(e));
    if (launches == 1)
        return fail(ERR_DEVICE, "kernel %s: %s", spoken(kernel), cudaGetErrorString(e));
    return fail(ERR_DEVICE, "kernel %s or an earlier one (%lld were launched since the device was last waited for): %s; found late, in "
                            "%s: with CUDA_LAUNCH_BLOCKING=1 in the environment a run names the kernel", spoken(kernel), launches,
                                    cudaGetErrorString(e), what);
}

Status cuda_wait(CudaState *s, const char *what)
{
    TRY(cuda_check(cudaStreamSynchronize(s->stream), what));
    launches = 0;
    return OK;
}

Status cuda_launched(const char *op)
{
    TRY(cuda_check(cudaGetLastError(), op));
    if (launches_wait())
        launches = 0;
    return OK;
}
