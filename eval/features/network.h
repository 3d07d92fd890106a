/* network.h: what a PictureNet is made of, and what each kind of network does for it (picture_net.h). For the files of this folder only. */
#ifndef GENLLAVA_EVAL_FEATURES_NETWORK_H
#define GENLLAVA_EVAL_FEATURES_NETWORK_H

#include <limits.h>

#include "data/pictures/preprocessor.h"
#include "eval/features/picture_net.h"
#include "eval/features/runner.h"
#include "train/models/clip_text.h"
#include "train/models/siglip.h"

typedef struct NetworkKind {
    const char *type; /* model_type of its config.json */
    bool reads_texts;
    /* Reads the settings and how pictures are prepared: sets the preprocessor, or picture_bytes and preparation. config: NULL for a file of
     * weights. */
    Status (*configure)(PictureNet *n, JsonFields *config);
    Status (*declare)(PictureNet *n); /* every weight, in n->params */
    Status (*load)(PictureNet *n);
    /* A picture as the network takes it: n->picture_bytes. */
    Status (*prepare)(const PictureNet *n, const Image *in, void *out);
    Tensor *(*pictures)(Tape *t, const PictureNet *n, const void *pictures, int64_t items); /* [items,width]; pictures: host, may be NULL */
    Tensor *(*texts)(Tape *t, const PictureNet *n, const int32_t *ids, int64_t items);      /* [items,width]; ids: host, may be NULL */
} NetworkKind;
extern const NetworkKind CLIP_NET, VIT_NET, INCEPTION_NET;

struct PictureNet {
    const NetworkKind *kind;
    char path[PATH_MAX]; /* the folder, or a file of weights */
    bool is_file;
    char preparation[256];
    PictureNetInfo info;
    Runner runner;
    Params params;
    Weights weights;
    Preprocessor preprocessor;
    size_t picture_bytes;
    Siglip tower; /* of CLIP and ViT */
    ClipText text;
    struct Inception *inception; /* mem_free */
    int64_t end_token;           /* of texts; CLIP_HIGHEST_ID: the highest id of the text */
    Param *norm_w, *norm_b;
    Linear picture_projection, text_projection;
    uint8_t *staging; /* [PICTURE_NET_BATCH] pictures */
    int32_t *ids;     /* [PICTURE_NET_BATCH, text length] */
};

enum { CLIP_HIGHEST_ID = 2 };

/* A width of a network that its file says: the rows of a tensor. expected: what the file should be, in words. */
MUST_USE Status network_width(const Weights *w, const char *tensor, const char *expected, int64_t *out);
/* The tower's pictures, prepared as n->preprocessor says: of CLIP and ViT. */
Status tower_prepare(const PictureNet *n, const Image *in, void *out);
PatchSpec tower_pixels(Tape *t, const PictureNet *n, const void *pictures, int64_t items);
/* The class tokens' rows [items,D] of the tower's rows behind its last block. */
Tensor *tower_class_rows(Tape *t, const PictureNet *n, Tensor *rows, int64_t items);
#endif
