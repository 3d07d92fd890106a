/* plan.h: what a run config means to the modules below: options of the encoder, of the shards and of the loader. */
#ifndef GENLLAVA_TRAIN_CONFIG_PLAN_H
#define GENLLAVA_TRAIN_CONFIG_PLAN_H

#include "data/text/encode.h"
#include "data/loader/loader.h"
#include "data/prepare/prepare.h"
#include "train/config/config.h"
#include "train/config/sizes.h"

/* Strings are borrowed from cfg. */
EncoderOptions plan_encoder(const RunConfig *cfg, const ModelSizes *sizes);
/* tokenizer_path: a buffer of PATH_MAX bytes that holds the path from then on. */
PrepareOptions plan_prepare(const RunConfig *cfg, const ModelSizes *sizes, const Mixture *mixture, char *tokenizer_path);
/* Whether a loss compares with the text encoder's states of prompts. */
bool plan_compares_prompts(const RunConfig *cfg);
/* Whether a loss predicts the noise in pictures. */
bool plan_predicts_noise(const RunConfig *cfg);
/* Whether UNet and VAE are needed, by such a loss or to draw. */
bool plan_diffuses(const RunConfig *cfg);
VisualLabels plan_visual_labels(const RunConfig *cfg);
/* Whether losses read results of this kind from files beside the shards, and do without the network that computes them. */
bool plan_caches(const RunConfig *cfg, CacheKind kind);
/* weights: [mixture->n_sources], filled and borrowed. preprocessor may be NULL (text only). */
LoaderOptions plan_loader(const RunConfig *cfg, const ModelSizes *sizes, const Mixture *mixture, const Preprocessor *preprocessor,
                          double *weights);
#endif
