/* weights.h: fills parameters from safetensors. The first missing or misshapen tensor is named with both shapes and its file; what nobody
 * asked for is listed. */
#ifndef GENLLAVA_TRAIN_MODELS_WEIGHTS_H
#define GENLLAVA_TRAIN_MODELS_WEIGHTS_H

#include "data/formats/safetensors.h"
#include "train/nn/params.h"

enum { WEIGHT_NAME_MAX = 256 };

/* An open file or folder and which of its tensors were used. */
typedef struct Weights {
    SafeTensors *st;
    char *path;
    bool *used;
    bool in_place; /* frozen weights may point into it: it stays open as long as the model */
} Weights;

MUST_USE Status weights_open(Weights *w, const char *file);          /* weights are copied */
MUST_USE Status weights_open_folder(Weights *w, const char *folder); /* in place; model.safetensors or its shards */
void weights_close(Weights *w);

/* The tensor under the first of the names that is there, else NULL. Marks it as used. */
const StTensor *weights_find(Weights *w, const char *const *names, int n);
/* Sets q from the tensor under the first name that is there. */
MUST_USE Status weights_load(Weights *w, Params *p, Param *q, const char *const *names, int n);
/* Sets every parameter of a module; `map` turns its name into the file's (WEIGHT_NAME_MAX bytes). */
typedef void (*WeightNameMap)(char *out, const char *name, const void *arg);
MUST_USE Status weights_load_module(Weights *w, Params *p, ParamModule m, WeightNameMap map, const void *arg);
/* Warns once about tensors nobody used, but for those that `quiet` knows (NULL: none). */
void weights_report_unused(const Weights *w, bool (*quiet)(const char *name, const void *arg), const void *arg);
/* Does `name` end with `suffix` (begin with `prefix`)? */
bool name_ends(const char *name, const char *suffix);
bool name_begins(const char *name, const char *prefix);
#endif
