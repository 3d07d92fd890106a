/* model.h: what GenLlava is made of; for the files of this folder only. */
#ifndef GENLLAVA_TRAIN_MODELS_MODEL_H
#define GENLLAVA_TRAIN_MODELS_MODEL_H

#include "data/pictures/preprocessor.h"
#include "train/models/clip_text.h"
#include "train/models/diffusion.h"
#include "train/models/gen_head.h"
#include "train/models/genllava.h"
#include "train/models/lora.h"
#include "train/models/mistral.h"
#include "train/models/parts.h"
#include "train/models/projector.h"
#include "train/models/siglip.h"
#include "train/models/token_rows.h"
#include "train/models/unet.h"
#include "train/models/vae.h"

struct GenLlava {
    Params params;
    ModelSizes sizes;
    Mistral llm;
    TokenRows rows;
    Siglip vision;
    Projector projector;
    GenHead gen_head;
    ClipText text_encoder;
    Vae vae;
    Unet unet;
    Diffusion diffusion;
    Preprocessor preprocessor;
    bool has_loss[N_LOSSES];       /* the parts it needs are wanted */
    bool cached[N_CACHES];         /* losses read such results from the batch */
    const char *only;              /* the one part that is opened; NULL: those that the settings want */
    const ParamFill *fill;         /* sets what would be drawn; NULL: it is drawn */
    ImageLoss image_loss[N_TASKS]; /* of target images by the task of their row */
    Weights files[PARTS_MAX];      /* of parts that are folders; open as long as the model: weights are used in place */
};

LossFn genllava_text_loss;

/* Sets g->sizes from what parts_configure has read. */
MUST_USE Status genllava_set_sizes(GenLlava *g, const RunConfig *cfg);

/* What the tower and the projector make of the batch's pictures: [n_images·patches,D]. */
Tensor *genllava_features(Tape *t, const GenLlava *g, const Batch *b);
/* Token embeddings with image features spliced in, then all layers: [T,D] before the final norm. cache as in mistral_layers. seen: the
 * features, where they are known; NULL: of the batch's pictures. */
Tensor *genllava_states(Tape *t, const GenLlava *g, const Batch *b, Tensor *seen, const KvCache *cache);
#endif
