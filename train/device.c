#include "train/device.h"

#include "kernels/base/log.h"

Status device_open(Backend *b, const RunConfig *cfg, DType *compute)
{
    TRY(cpu_open(b));
    bool automatic = cfg->train.compute == COMPUTE_AUTO;
    bool narrow = automatic ? b->native_bf16 : cfg->train.compute == COMPUTE_BF16;
    *compute = narrow ? BF16 : F32;
    log_info("device: %s, computing in %s%s", b->description, narrow ? "bf16" : "f32",
             !automatic ? "" : narrow ? " (auto: multiplied natively)" : " (auto: no native bf16)");
    return OK;
}
