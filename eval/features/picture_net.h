/* picture_net.h: the networks by which pictures and texts are compared: CLIP, DINO (ViT) and FID's Inception-v3, frozen, forward only, in
 * f32. Called by `evaluate features` and by the metrics that need features. */
#ifndef GENLLAVA_EVAL_FEATURES_PICTURE_NET_H
#define GENLLAVA_EVAL_FEATURES_PICTURE_NET_H

#include "data/pictures/image.h"
#include "train/config/config.h"

typedef struct PictureNet PictureNet;

extern const char *const PICTURE_NET_DEVICES[]; /* names of DeviceChoice for command lines, ended by NULL */
typedef struct PictureNetOptions {
    DeviceChoice device;
    bool crops_as_openai; /* CLIP's pictures: the crop begins where OpenAI's own code rounds to, not where transformers does */
} PictureNetOptions;

typedef struct PictureNetInfo {
    const char *kind;        /* "clip", "vit" or "inception" */
    const char *preparation; /* what becomes of a picture, in words */
    int64_t width;           /* numbers of a feature */
    bool reads_texts;
} PictureNetInfo;

/* folder: as transformers writes it for CLIPModel or ViTModel; of Inception-v3 a file of safetensors with pytorch-fid's names, or a folder
 * with that as model.safetensors and a config.json that says {"model_type": "inception"}. ERR_MISSING, ERR_DATA (a sentence names what is
 * wrong), ERR_NOMEM, ERR_DEVICE. options: NULL is fine. */
MUST_USE Status picture_net_open(PictureNet **out, const char *folder, const PictureNetOptions *options);
void picture_net_close(PictureNet **net); /* NULL is fine */
const PictureNetInfo *picture_net_info(const PictureNet *net);
/* SHA-256 of the file of weights; of several that of their digests' hex digits, in the order of the files' names. Reads all of them. */
MUST_USE Status picture_net_digest(const PictureNet *net, char out[65]);
enum { PICTURE_NET_BATCH = 8 }; /* pictures or texts that are computed at a time */

/* Features [n,width] of picture files. The same list gives the same bits; what else is in it changes a feature by rounding at most. root:
 * as picture_load takes it. A picture that cannot be read is ERR_DATA or ERR_MISSING, with its name. Any n: pictures are read and computed
 * a few at a time. */
MUST_USE Status picture_net_pictures(PictureNet *net, const char *root, const char *const *paths, int64_t n, float *features);
/* The same of pictures in memory. */
MUST_USE Status picture_net_images(PictureNet *net, const Image *images, int64_t n, float *features);
/* The same of texts; *truncated grows by how many had more tokens than the network takes. ERR_USAGE where !info->reads_texts. */
MUST_USE Status picture_net_texts(PictureNet *net, const char *const *texts, int64_t n, float *features, int64_t *truncated);
#endif
