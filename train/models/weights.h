/* weights.h: fills parameters from safetensors. The first missing or misshapen tensor is named with both shapes and its file; what nobody
 * reads is an error. */
#ifndef GENLLAVA_TRAIN_MODELS_WEIGHTS_H
#define GENLLAVA_TRAIN_MODELS_WEIGHTS_H

#include "train/models/names.h"
#include "train/nn/params.h"

/* An open file or folder and which of its tensors were used. */
typedef struct Weights {
    SafeTensors *st;
    char *path;
    bool *used;
    bool among_others;   /* the file may be of more than this part: what stays unread is a warning */
    const char *widened; /* a convolution that may have half its input channels in the file: the others begin at zero; NULL: none */
    bool in_place;       /* frozen matrices may point into it: it stays open as long as the model */
} Weights;

MUST_USE Status weights_open(Weights *w, const char *file);                            /* weights are copied */
MUST_USE Status weights_open_folder(Weights *w, const char *folder, const char *stem); /* in place; STEM.safetensors or its shards */
void weights_close(Weights *w);

/* Sets the parameters of a part from the tensors that `names` (NULL: ours) finds for them, then refuses the file for tensors that nobody
 * read, but for those left out on purpose (names.h). */
MUST_USE Status weights_load_part(Weights *w, Params *p, const char *part, const NameTable *names);
#endif
