/* device.c: opens the device that a config asks for (device.h). Called by train, generate, evaluate and doctor. */
#include "train/dist/device.h"

#include <stdio.h>

#include "kernels/base/log.h"

/* Linked in where the CUDA toolkit was found; NULL elsewhere. */
__attribute__((weak)) Status cuda_open(Backend *b, int device);

Status device_check(const RunConfig *cfg)
{
    if (cfg->device == DEVICE_CUDA && !cuda_open)
        return fail(ERR_DEVICE, "device: this build has no CUDA backend; set it to \"auto\" or \"cpu\"");
    return OK;
}

Status device_pick(Backend *b, DeviceChoice device, int local_rank, char *why, size_t n)
{
    *why = 0;
    if (device == DEVICE_CPU || !cuda_open)
        return cpu_open(b);
    Status s = cuda_open(b, local_rank);
    if (s == OK || s == ERR_USAGE) /* a setting of the environment that nobody understands */
        return s;
    if (device == DEVICE_CUDA)
        return fail(s, "device: %s; \"device\": \"cpu\" runs without one", status_message());
    snprintf(why, n, "%s", status_message());
    return cpu_open(b);
}

Status device_open(Backend *b, const RunConfig *cfg, int local_rank, DType *compute)
{
    char why[1024];
    TRY(device_check(cfg));
    TRY(device_pick(b, cfg->device, local_rank, why, sizeof why));
    if (*why)
        log_info("no GPU is used: %s", why);
    if (cfg->model.llm.multiply == MULTIPLY_FP8 && !b->multiplies_fp8) {
        Status s = fail(ERR_DEVICE, "model.llm.multiply is \"fp8\", which needs compute capability 8.9 or newer; this is %s: set it to "
                                    "\"compute\", or device to \"cpu\"", b->description);
        b->close(b);
        return s;
    }
    bool automatic = cfg->train.compute == COMPUTE_AUTO;
    bool narrow = automatic ? b->native_bf16 : cfg->train.compute == COMPUTE_BF16;
    *compute = narrow ? BF16 : F32;
    log_info("device: %s, computing in %s%s", b->description, narrow ? "bf16" : "f32",
             !automatic ? ""
             : narrow   ? " (auto: multiplied natively)"
                        : " (auto: no native bf16)");
    return OK;
}

Status device_arena_create(Arena *a, Backend *b, size_t n_bytes)
{
    void *base;
    if (b->host_memory)
        return arena_create(a, n_bytes);
    TRY(b->mem_create(b, n_bytes, &base));
    arena_borrow(a, base, n_bytes);
    return OK;
}

void device_arena_free(Arena *a, Backend *b)
{
    if (!a->owns && a->base)
        b->mem_destroy(b, a->base);
    arena_free(a);
}
