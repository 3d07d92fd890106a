/* genllava.h: the composition: vision tower → projector → splice into token embeddings → language model → losses, those of target
 * images through the generation head.
 * Its weights are declared in a Params registry; what trains follows from the config. */
#ifndef GENLLAVA_TRAIN_MODELS_GENLLAVA_H
#define GENLLAVA_TRAIN_MODELS_GENLLAVA_H

#include "data/loader/batch.h"
#include "train/config/config.h"
#include "train/config/sizes.h"
#include "train/models/losses.h"
#include "train/nn/params.h"
#include "train/nn/tape.h"

typedef struct GenLlava GenLlava;

/* Reads only the configs (no weights): for prepare and for checks. */
MUST_USE Status genllava_sizes(ModelSizes *out, const RunConfig *cfg);

/* Reads the configs, declares every weight, places and loads them: base folders, then starting points (lora/projector/tokens init), or,
 * with checkpoint_dir, the trained parts of that checkpoint. With the null backend weights are checked (names, shapes, types) but no value
 * is read. A tape over the null backend measures passes of an open model too: parameters are then only counted as reached. */
MUST_USE Status genllava_open(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const char *checkpoint_dir);
/* The same, but what would be drawn by its declaration alone is set by `set`, once for each weight: numbers from which nothing will be
 * learned, for benchmarks. */
typedef struct ParamFill {
    Status (*set)(void *arg, Params *p, Param *q);
    void *arg;
} ParamFill;
MUST_USE Status genllava_open_filled(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const ParamFill *fill);
/* The same for answering alone, in text or, with cfg->draws, in pictures: nothing can be learned, so there are neither gradients nor
 * moments. */
MUST_USE Status genllava_open_to_answer(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const char *checkpoint_dir);
/* One part alone, as the settings' folders have it, whether the run wants it or not, and frozen: for what is computed once and cached. */
MUST_USE Status genllava_open_part(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const char *part);
void genllava_close(GenLlava **g);
Params *genllava_params(GenLlava *g);
const ModelSizes *genllava_model_sizes(const GenLlava *g);
/* The table of token embeddings, of which a pass reads only the rows of its tokens; NULL where it is the head too. */
const Param *genllava_table(const GenLlava *g);
/* Parameters executed of a part (parts.h), by its name: of the vision tower those up to the feature layer. */
int64_t genllava_count(const GenLlava *g, const char *part);
/* After every optimiser step: derived copies, if the model keeps any; optional renormalisation of token rows. */
MUST_USE Status genllava_updated(GenLlava *g);

/* How the terms of a pass enter each loss: their Σ w·loss is multiplied by scale (loss_scale). */
typedef struct LossRequest {
    double scale[N_LOSSES];
    float *logits;  /* host, [n_labels, V+R] f32: filled when not NULL (dump) */
    float *context; /* host, [n_targets, queries, C] f32: the same */
    double *totals; /* [N_LOSSES] F64, backend memory: the sums are added to it, and nobody waits for them; NULL: they are waited for */
} LossRequest;
typedef struct LossResult {
    double sums[N_LOSSES];    /* Σ w·loss of the pass, unscaled; 0 with totals */
    Tensor *losses[N_LOSSES]; /* scaled; NULL where the pass has none, or nothing that it reaches is trained */
} LossResult;
/* One pass: forward, losses; the caller then calls tape_backward_all(t, result.losses, N_LOSSES, 1). */
MUST_USE Status genllava_loss(Tape *t, GenLlava *g, const Batch *b, const LossRequest *req, LossResult *result);

/* What the part "vae" makes of a picture [size,size,3], ModelSizes.moments numbers; and "text_encoder" of a prompt, queries·context
 * numbers. The losses compute the same, to the bit. Arrays are the host's; on a tape that measures they may be NULL. */
MUST_USE Status genllava_moments(Tape *t, const GenLlava *g, const uint8_t *pixels, int64_t size, float *moments);
MUST_USE Status genllava_prompt_states(Tape *t, const GenLlava *g, const char *prompt, float *states);

/* Text generation with key/value caches, of up to DECODER_SEQUENCES texts at a time. A text has the same bits whatever is beside it.
 * Prompts are unexpanded ids with ID_IMAGE; features of pictures are spliced as in training. */
typedef struct Decoder Decoder;
enum { DECODER_SEQUENCES = ROWS_ALIKE };
MUST_USE Status decoder_create(Decoder **out, GenLlava *g, int sequences, int64_t capacity /* positions of each */);
void decoder_free(Decoder **d);
/* Looks at pictures: prompts from here on are about them. */
MUST_USE Status decoder_look(Decoder *d, const uint8_t *pixels, int32_t n_images);
/* Runs the prompt from position 0 of a sequence (forgets what it was before) and leaves the logits of the next token, f32 host [V+R], in
 * decoder_logits. n_images: 0, or as many as were last looked at. */
MUST_USE Status decoder_prompt(Decoder *d, int sequence, const int32_t *ids, int64_t n, int32_t n_images);
/* Appends a token to each sequence: ids [sequences]; one below 0: that sequence is left alone, but its logits are lost. */
MUST_USE Status decoder_step(Decoder *d, const int32_t *ids);
const float *decoder_logits(const Decoder *d, int sequence);
/* The generation head's context of ids that end with the visual output tokens, host [queries,C]: what a training step makes of them. A pass
 * of its own, which leaves cache and logits as they are. */
MUST_USE Status decoder_context(Decoder *d, const int32_t *ids, int64_t n, int32_t n_images, float *context);
/* What decoder_create and this prompt, or this decoder_context, would take; nothing is computed. */
MUST_USE Status decoder_measure(size_t *n_bytes, GenLlava *g, int sequences, int64_t capacity, const int32_t *ids, int64_t n,
                                int32_t n_images, bool to_context);
size_t decoder_bytes(const Decoder *d); /* of the backend's memory that it has taken */
#endif
