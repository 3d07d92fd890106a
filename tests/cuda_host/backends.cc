/* The backend that test-cuda-host compares with ref: kernels/cuda on the host emulation. */
#include <cstdio>
#include <cstdlib>

#include "tests/cuda_host/cuda_host.h"

extern "C" {
#include "tests/cuda_host/gaps.h"
#include "tests/kernels/compare.h"

/* CUDA_HOST_SEED: another order of the warps. */
static Status open_emulated(Backend *b)
{
    const char *seed = getenv("CUDA_HOST_SEED");
    cuda_host_errs = true;
    cuda_host_seed(seed ? strtoull(seed, nullptr, 10) : 1);
    return cuda_open(b, 0);
}

static const char *fault(void)
{
    static char told[512];
    cuda_host_verify_memory();
    snprintf(told, sizeof told, "%s", cuda_host_error());
    cuda_host_clear();
    return told;
}

const TestedBackend TESTED_BACKENDS[] = {
    {"cuda on the host", open_emulated, fault, cuda_lacks, true, nullptr},
    {nullptr, nullptr, nullptr, nullptr, false, nullptr},
};
}
