/* stream.h: what a model answers to a prompt, computed a layer at a time from weights that somebody supplies, so that a model of any size
 * in any format can be asked in the memory of one layer: convert compares what it has written with what it was made of. */
#ifndef GENLLAVA_TRAIN_MODELS_STREAM_H
#define GENLLAVA_TRAIN_MODELS_STREAM_H

#include "data/pictures/preprocessor.h"
#include "train/config/config.h"
#include "train/config/sizes.h"
#include "train/models/mistral.h"
#include "train/models/siglip.h"

typedef struct Stream Stream;

/* Reads the settings of the folders that cfg names; no weights. backend: with host memory, borrowed. */
MUST_USE Status stream_open(Stream **out, const RunConfig *cfg, Backend *backend);
void stream_close(Stream **s);
const MistralConfig *stream_llm(const Stream *s);
const SiglipConfig *stream_vision(const Stream *s); /* NULL: there is no tower */
const Preprocessor *stream_preprocessor(const Stream *s);
const ModelSizes *stream_sizes(const Stream *s);

typedef struct StreamWeights {
    /* Rows first … first+n-1 of the weight that the models have declared under this name, as f32. */
    Status (*rows)(void *arg, const char *name, int64_t first, int64_t n, float *out);
    void *arg;
    int64_t n_rows; /* of embed_tokens and the head */
    bool tied;      /* the embeddings are the head */
    bool adapters;  /* `rows` has those of cfg.model.lora; else nothing is added to the linears */
} StreamWeights;

/* ids [n], ID_IMAGE for each of n_images pictures, pixels as for decoder_prompt. logits: host [those that are no pictures, n_rows], of the
 * token behind each. */
typedef struct StreamPrompt {
    const int32_t *ids;
    int64_t n;
    const uint8_t *pixels;
    int32_t n_images;
} StreamPrompt;
MUST_USE Status stream_logits(Stream *s, const StreamWeights *w, const StreamPrompt *prompt, float *logits);
#endif
