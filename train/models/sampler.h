/* sampler.h: samplers: how latents become less noisy from one evaluation of the UNet to the next, as diffusers' schedulers of these names
 * do it. Host mathematics alone: latents are f32, coefficients are computed in double. Spec: model.md 5.5. Called by draw.c. */
#ifndef GENLLAVA_TRAIN_MODELS_SAMPLER_H
#define GENLLAVA_TRAIN_MODELS_SAMPLER_H

#include "train/models/noise_schedule.h"

/* X(enum, name, class in diffusers) */
#define SAMPLER_LIST(X)                         \
    X(SAMPLER_DDIM, "ddim", "DDIMScheduler")    \
    X(SAMPLER_PNDM, "pndm", "PNDMScheduler")    \
    X(SAMPLER_DPM, "dpm++", "DPMSolverMultistepScheduler")

typedef enum SamplerKind {
    SAMPLER_OF_FOLDER, /* for DrawOptions: what sampler_of_folder says */
#define SAMPLER_ENUM(id, name, class) id,
    SAMPLER_LIST(SAMPLER_ENUM)
#undef SAMPLER_ENUM
    N_SAMPLERS
} SamplerKind;

const char *sampler_name(SamplerKind kind); /* "" for SAMPLER_OF_FOLDER */
/* ERR_USAGE with the names there are. */
MUST_USE Status sampler_find(SamplerKind *out, const char *name);
/* That of the class which scheduler_config.json names; DDIM, and a warning, where it has no sampler here. */
MUST_USE Status sampler_of_folder(SamplerKind *out, const char *folder);

typedef struct SamplerOptions {
    SamplerKind kind;   /* not SAMPLER_OF_FOLDER */
    const char *folder; /* that holds scheduler_config.json */
    const NoiseSchedule *schedule;
    int64_t steps;
    double strength; /* 1: from noise alone. Below, the last strength·steps of the steps, from a noisy picture, as diffusers' img2img */
    int64_t n;       /* numbers in the latents */
} SamplerOptions;

typedef struct Sampler Sampler;

/* A setting of the file that would change what this sampler computes, and that it does not know, is refused by name. */
MUST_USE Status sampler_create(Sampler **out, const SamplerOptions *options);
void sampler_free(Sampler **s);
size_t sampler_bytes(int64_t n);               /* of the host's memory, for latents of n numbers */
int64_t sampler_evaluations(const Sampler *s); /* how often the UNet is asked */
int32_t sampler_timestep(const Sampler *s);    /* of the next evaluation */
/* What the first evaluation sees: x [n] holds noise; picture [n]: latents as the UNet sees them, NULL with strength 1. */
void sampler_begin(const Sampler *s, const float *picture, float *x);
/* noise [n]: what the UNet found in x [n] at sampler_timestep; x becomes the latents of the next evaluation, at the end those to decode. */
void sampler_step(Sampler *s, const float *noise, float *x);
#endif
