/* unet_step.h: a UNet forwards and back to its context, over pictures and weights that were made up, on an opened backend: what a frozen
 * UNet costs a step of the noise loss. Called by bench-unet and bench-gpu. */
#ifndef GENLLAVA_TOOLS_BENCH_UNET_STEP_H
#define GENLLAVA_TOOLS_BENCH_UNET_STEP_H

#include "train/models/unet.h"

typedef struct UnetStep {
    Backend *b;
    Unet unet;
    Params params;
    Param *context;
    void *keep_memory, *scratch_memory, *total; /* backend memory; total: the loss, for which nobody waits */
    Arena keep, scratch;
    Tape *tape;
    Plane latents;
    int32_t *timestep; /* [images] */
    float *weight;     /* [images] */
} UnetStep;

/* folder: the UNet's config.json; latents of side x side. b->ctx.scratch is its scratch until it is closed. */
MUST_USE Status unet_step_open(UnetStep *s, Backend *b, const char *folder, DType compute, int64_t images, int64_t side);
void unet_step_close(UnetStep *s); /* zeroed is fine */
MUST_USE Status unet_step_run(UnetStep *s);
#endif
