/* diffusion.h: the noise loss: how well the UNet, told by the generation head what to draw, finds the noise in noisy target pictures. Spec:
 * model.md 4.5. Called by the losses of images (image_losses.c). */
#ifndef GENLLAVA_TRAIN_MODELS_DIFFUSION_H
#define GENLLAVA_TRAIN_MODELS_DIFFUSION_H

#include "train/models/genllava.h"
#include "train/models/noise_schedule.h"
#include "train/models/replay.h"

typedef struct Diffusion {
    NoiseSchedule schedule;
    double dropout;       /* d of spec 4.5: of the context 2d, of the source d alone and d with the context */
    int64_t micro_images; /* pictures that go through the networks at one time */
    Replay *replay;       /* NULL: numbers are drawn */
} Diffusion;

/* The part "unet" (parts.h), and "unet_conv_in", which trains conv_in alone: the UNet of model.diffusion.path, with the noise schedule
 * beside it and the numbers of debug.replay. */
MUST_USE Status diffusion_configure(GenLlava *g, const RunConfig *cfg);
MUST_USE Status diffusion_declare(GenLlava *g, const RunConfig *cfg);
MUST_USE Status diffusion_declare_conv_in(GenLlava *g, const RunConfig *cfg);
MUST_USE Status diffusion_describe(const GenLlava *g, const RunConfig *cfg, const char *folder);
void diffusion_free(GenLlava *g);

/* Σ w·l of n targets of the batch, scaled and summed as LossFn says; l is the mean square of the error over the elements of the noise.
 * context [n·queries,C]: what the head makes of each target; target [n]: which of the pass's targets (anything where the batch has no
 * arrays). Noise, timesteps and what is dropped depend on seed, step and sample alone. Latents, noise and schedule are f32; what the UNet
 * is given is rounded to the tape's type, the noise it should find is not. */
Tensor *diffusion_noise_loss(Tape *t, const GenLlava *g, const LossPass *pass, Tensor *context, const int32_t *target, int64_t n);
#endif
