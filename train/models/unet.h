/* unet.h: diffusers' UNet2DConditionModel: latents of noisy pictures, timesteps and a context -> the noise in them. Spec: model.md 5.2.
 * Images are rows [images·height·width, channels]. Called by the noise loss (diffusion.c). */
#ifndef GENLLAVA_TRAIN_MODELS_UNET_H
#define GENLLAVA_TRAIN_MODELS_UNET_H

#include "data/formats/json_fields.h"
#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/models/names.h"
#include "train/nn/ops.h"

enum { UNET_LEVELS_MAX = 8, UNET_LAYERS_MAX = 32, UNET_SKIPS_MAX = UNET_LEVELS_MAX * (UNET_LAYERS_MAX + 1) + 1 };

/* What config.json means where it says nothing: diffusers' defaults, which the generation head reads too. */
enum { UNET_CHANNELS_DEFAULT = 4, UNET_CONTEXT_DEFAULT = 1280 };

/* A resolution, halved from one to the next. The way up has one layer more than the way down. */
typedef struct UnetLevel {
    int64_t channels, layers, heads;
    bool down_attends, up_attends; /* a transformer behind every residual block */
} UnetLevel;

typedef struct UnetConfig {
    int64_t in_channels, out_channels, context; /* context: width of its rows */
    UnetLevel level[UNET_LEVELS_MAX];
    int levels;
    int64_t groups, downsample_padding;
    double eps, freq_shift;
    bool cosine_first, linear_projection;
} UnetConfig;

/* Weight and bias of a norm. */
typedef struct UnetNorm {
    Param *w, *b;
} UnetNorm;

typedef struct UnetResnet {
    UnetNorm norm1, norm2;
    Conv conv1, conv2;
    Linear time, shortcut; /* shortcut.w NULL: x itself */
} UnetResnet;

typedef struct UnetTransformer {
    int64_t heads;
    UnetNorm norm, norm1, norm2, norm3;
    Linear proj_in, kqv[3], self_out, query, kv[2], cross_out, ff_in, ff_out, proj_out;
} UnetTransformer;

/* The network is a chain of units, of which some leave their result on a stack and some take from it. */
typedef enum UnetKind { UNET_RESNET, UNET_TRANSFORMER, UNET_DOWN, UNET_UP } UnetKind;
typedef struct UnetUnit {
    UnetKind kind;
    bool pushes, pops; /* pops: the skip is put behind the channels of x */
    union {
        UnetResnet resnet;
        UnetTransformer transformer;
        Conv conv; /* of the samplers */
    };
} UnetUnit;

typedef struct Unet {
    UnetConfig config;
    Linear time1, time2;
    Conv conv_in, conv_out;
    UnetNorm norm_out;
    UnetUnit *units;
    int n_units;
} Unet;

extern const NameTable UNET_NAMES;         /* we write "unet." before the published names */
extern const NameTable UNET_CONV_IN_NAMES; /* of conv_in alone, from the file of all */
extern const FieldClass UNET_FIELDS;       /* of config.json */
MUST_USE Status unet_read_config(UnetConfig *c, const char *folder);

typedef enum UnetPiece { UNET_ALL, UNET_CONV_IN, UNET_REST } UnetPiece;
/* Declares the weights of c in the group of p: all of them, conv_in alone, or all others. m->config is set. */
MUST_USE Status unet_declare_weights(Unet *m, Params *p, UnetPiece piece);
void unet_release(Unet *m);

/* What is left of latents at the end of the way down, of a UNet whose weights are declared. */
Plane unet_smallest(const Unet *m, Plane latents);

/* latents [images·height·width, in_channels], timestep [images] (host; NULL on a measuring tape), context [images·queries, context]
 * -> [images·height·width, out_channels]. */
Tensor *unet_forward(Tape *t, const Unet *m, Tensor *latents, Plane plane, const int32_t *timestep, Tensor *context);
#endif
