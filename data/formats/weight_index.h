/* weight_index.h: the index of a model whose weights lie in several files, as transformers writes it: {"weight_map": {tensor: file}}. For
 * safetensors.c and torch_bin.c. */
#ifndef GENLLAVA_DATA_FORMATS_WEIGHT_INDEX_H
#define GENLLAVA_DATA_FORMATS_WEIGHT_INDEX_H

#include "data/formats/json.h"
#include "data/formats/safetensors.h"

typedef struct WeightIndex {
    const char *path; /* the caller's */
    JsonDoc *doc;
    const Json *map;
    const char **files; /* each once, sorted; names of files beside the index */
    int n_files;
} WeightIndex;

/* weight_index_free is due after an error too. */
MUST_USE Status weight_index_read(WeightIndex *w, const char *path);
void weight_index_free(WeightIndex *w);
/* s: how files[i] could be opened. When it is missing, the sentence gets a tensor that the index puts there. Returns s. */
MUST_USE Status weight_index_explain(Status s, const WeightIndex *w, int i);
/* Every tensor of the index must be among the weights, in the file that the index names. */
typedef const StTensor *FindTensor(const void *weights, const char *name);
MUST_USE Status weight_index_check(const WeightIndex *w, const char *folder, FindTensor *find, const void *weights);
#endif
