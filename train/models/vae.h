/* vae.h: the autoencoder of a Stable Diffusion folder (AutoencoderKL): pictures to latents and back. Always frozen. Spec: model.md 5.3. */
#ifndef GENLLAVA_TRAIN_MODELS_VAE_H
#define GENLLAVA_TRAIN_MODELS_VAE_H

#include <math.h>

#include "data/formats/json_fields.h"
#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/models/weights.h"
#include "train/nn/ops.h"

enum { VAE_LEVELS_MAX = 8, VAE_PIXEL_CHANNELS = 3 };

typedef struct VaeConfig {
    int64_t latent, groups, resnets, levels; /* latent: channels; resnets: of a level of the encoder, the decoder has one more */
    int64_t channels[VAE_LEVELS_MAX];
    double scaling; /* latents times this are what the UNet sees */
} VaeConfig;

typedef struct VaeResnet {
    Param *norm1_w, *norm1_b, *norm2_w, *norm2_b;
    Conv conv1, conv2;
    Linear shortcut; /* w NULL: input and output have the same channels */
} VaeResnet;

typedef struct VaeAttention {
    Param *norm_w, *norm_b;
    Linear kqv[3], out;
    int64_t channels;
} VaeAttention;

/* In the order in which they run. */
typedef struct VaeLevel {
    VaeResnet *resnets;
    int64_t n;
    Conv sampler; /* halves or doubles height and width; w NULL: none */
} VaeLevel;

/* Encoder or decoder. */
typedef struct VaeHalf {
    Conv conv_in, conv_out;
    VaeResnet mid[2];
    VaeAttention attention;
    VaeLevel levels[VAE_LEVELS_MAX]; /* in the order in which they run */
    Param *norm_w, *norm_b;
    Linear quant; /* quant_conv behind the encoder, post_quant_conv before the decoder */
} VaeHalf;

typedef struct Vae {
    VaeConfig config;
    VaeHalf encoder, decoder;
} Vae;

/* The parts "vae", which is the encoder, and "vae_decoder" (parts.h), whose folder is vae in that of model.diffusion.path. */
extern const NameTable VAE_NAMES, VAE_DECODER_NAMES;
extern const FieldClass VAE_FIELDS; /* of its config.json */
MUST_USE Status vae_configure(GenLlava *g, const RunConfig *cfg);
MUST_USE Status vae_declare(GenLlava *g, const RunConfig *cfg);
MUST_USE Status vae_declare_decoder(GenLlava *g, const RunConfig *cfg);
MUST_USE Status vae_count_decoder(const GenLlava *g, int64_t *n);
void vae_free(GenLlava *g);

/* The latents of pictures of this size. */
Plane vae_latents(const Vae *m, Plane pictures);
/* Pixels [images,height,width,3] (host; NULL when measuring) -> moments [rows of vae_latents, 2·latent]: means, then logarithms of the
 * variances. */
Tensor *vae_moments(Tape *t, const Vae *m, const uint8_t *pixels, Plane pictures);
/* The same of one picture, for the host, which is all that stays: what is made of a picture depends on no other, to the bit, so it can be
 * cached. pixels [size,size,3]. */
void vae_encode(Tape *t, const Vae *m, const uint8_t *pixels, int64_t size, float *moments);
/* Latents, divided by `scaling`, [images·height·width, latent] -> pictures [rows of *pictures, 3]: -1 is black and 1 white, values beyond
 * occur. */
Tensor *vae_decode(Tape *t, const Vae *m, Tensor *latents, Plane plane, Plane *pictures);

/* A pixel as the encoder sees it, from -1 to 1: in f32 and in these steps, as diffusers' VaeImageProcessor has it. */
static inline float vae_pixel(uint8_t value) { return 2 * ((float)value / 255) - 1; }

/* The latent that a standard normal number n picks of its distribution; its mode is the mean. */
static inline float vae_sample(float mean, float log_variance, float n)
{
    const float least = -30, most = 20;
    float clamped = log_variance < least ? least : log_variance > most ? most : log_variance;
    return mean + expf(clamped / 2) * n;
}
#endif
