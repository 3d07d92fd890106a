/* noise_schedule.h: how much of a picture and how much noise there is at each step of a diffusion, as a diffusers folder's
 * scheduler/scheduler_config.json says. Spec: model.md 5.4. And noise itself. Called by the noise loss (diffusion.c) and
 * by what draws. */
#ifndef GENLLAVA_TRAIN_MODELS_NOISE_SCHEDULE_H
#define GENLLAVA_TRAIN_MODELS_NOISE_SCHEDULE_H

#include "data/formats/json_fields.h"

typedef struct NoiseSchedule {
    int32_t n;      /* steps 0 … n-1, from the picture to noise */
    double *signal; /* [n] √ᾱ */
    double *noise;  /* [n] √(1-ᾱ) */
} NoiseSchedule;

extern const FieldClass SCHEDULER_FIELDS;
MUST_USE Status noise_schedule_load(NoiseSchedule *s, const char *folder);
void noise_schedule_free(NoiseSchedule *s);
/* n standard normals of the stream of random numbers that has this key; (a, b): which of its pictures. */
void noise_normals(uint64_t key, uint32_t a, uint32_t b, float *to, int64_t n);
#endif
