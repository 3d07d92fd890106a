/* diffuser.h: the networks that draw, forward only, from host memory to host memory: the null context, the VAE's two halves, the UNet.
 * Called by train/infer/draw.c. */
#ifndef GENLLAVA_TRAIN_MODELS_DIFFUSER_H
#define GENLLAVA_TRAIN_MODELS_DIFFUSER_H

#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/models/noise_schedule.h"

enum { DIFFUSER_ITEMS = 3 }; /* evaluations of the UNet in one batch, at most */

typedef struct DiffuserSizes {
    int64_t side;           /* pixels */
    int64_t rows, channels; /* of the latents of a picture: positions, numbers at each */
    int64_t columns;        /* numbers at each position that the UNet sees: the latents and, where it sees sources, as many of theirs */
    int64_t queries, width; /* of a context */
    double scaling;         /* latents times this are what the UNet sees */
} DiffuserSizes;

typedef struct Diffuser Diffuser;

/* Of a model opened with cfg->draws. Measures all networks, then takes the memory that they work in. */
MUST_USE Status diffuser_open(Diffuser **out, GenLlava *g, const RunConfig *cfg, Backend *backend);
void diffuser_close(Diffuser **d);
/* Bytes of the backend's memory that diffuser_open takes, and of the host's that the networks take besides. null: an open backend that
 * computes nothing, on which the model may lie. */
MUST_USE Status diffuser_measure(size_t *device, size_t *host, const GenLlava *g, const RunConfig *cfg, Backend *null);
DiffuserSizes diffuser_sizes(const GenLlava *g, const RunConfig *cfg);
const NoiseSchedule *diffuser_schedule(const Diffuser *d);

/* What stands for no context [queries,width]: with IMAGE_LOSS_NOISE the head's of zero states, else the text encoder's of no words. */
MUST_USE Status diffuser_null_context(Diffuser *d, ImageLoss loss, float *context);
/* What the text encoder makes of a caption [queries,width]; of a model that has it. */
MUST_USE Status diffuser_caption_context(Diffuser *d, const char *caption, float *context);
/* Pixels [side,side,3] -> means and logarithms of variances [rows, 2·channels]. Not with EDIT_LLM_ONLY. */
MUST_USE Status diffuser_encode(Diffuser *d, const uint8_t *pixels, float *moments);
/* The noise [items·rows, channels] in latents [items·rows, columns] at a timestep, with contexts [items·queries, width]. */
MUST_USE Status diffuser_predict(Diffuser *d, int64_t items, const float *latents, int32_t timestep, const float *contexts, float *noise);
/* Latents [rows, channels], divided by scaling -> [side,side,3], from -1 to 1 and beyond. */
MUST_USE Status diffuser_decode(Diffuser *d, const float *latents, float *picture);
#endif
