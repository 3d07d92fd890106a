/* draw.h: draws pictures with a model: the generation head's context and, to edit, a source picture -> a picture. Spec: model.md 4.8, 4.9,
 * 5.5 and 5.6. Called by generate and the loop's samples. */
#ifndef GENLLAVA_TRAIN_INFER_DRAW_H
#define GENLLAVA_TRAIN_INFER_DRAW_H

#include "data/kinds.h"
#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/models/sampler.h"

typedef struct DrawOptions {
    SamplerKind sampler;
    int64_t steps;
    double guidance;       /* of the context; up to 1: none, and one evaluation a step in place of two or three */
    double image_guidance; /* of the source, where the UNet sees it beside the latents; below 1 there is no guidance there at all */
    double strength;       /* with model.diffusion.edit "sdedit": how much noise the source starts with, from 0 to 1 */
    uint64_t seed, index;  /* index: separates the noise of the pictures of a batch */
    void (*progress)(void *user, int64_t done, int64_t of); /* evaluations; may be NULL */
    void *user;
    const char *(*stopped)(void); /* may be NULL; asked before every evaluation: why to give up (ERR_PREEMPTED), or NULL to go on */
} DrawOptions;
extern const DrawOptions DRAW_DEFAULTS; /* the folder's sampler, 50 steps, guidance 7.5 and 1.5, strength 0.8, seed 42 */

typedef struct Drawer Drawer;

/* Borrows a model that was opened with cfg->draws, its settings and its backend. Its memory is taken here: ERR_NOMEM when it is not there.
 */
MUST_USE Status drawer_open(Drawer **out, GenLlava *model, const RunConfig *cfg, Backend *backend);
void drawer_close(Drawer **d);
/* Bytes that drawer_open would take: of the backend's memory, and of the host's besides. null: an open backend that computes nothing, on
 * which the model may lie. */
MUST_USE Status drawer_measure(size_t *device, size_t *host, const GenLlava *model, const RunConfig *cfg, Backend *null);

/* The context of a caption, for draw_picture, as the folder's own text encoder has it: [queries,C]. With cfg->captions. */
MUST_USE Status drawer_caption(Drawer *d, const char *caption, float *context);

/* task: TASK_GENERATE or TASK_EDIT, whose loss says what stands for no context (with cfg->captions no words do); context [queries,C]: of
 * the generation head, host; source [S,S,3] (S = model.diffusion.size) or NULL; rgb [S,S,3]. The same model, options, build and backend
 * give the same bytes. */
MUST_USE Status draw_picture(Drawer *d, Task task, const float *context, const uint8_t *source, const DrawOptions *o, uint8_t *rgb);
#endif
