/* kept_features.h: a file of features that is kept from one score to the next: a row whose picture or text is still the same is taken over,
 * the others are computed. Called by network_files.c. */
#ifndef GENLLAVA_EVAL_KEPT_FEATURES_H
#define GENLLAVA_EVAL_KEPT_FEATURES_H

#include "eval/features/feature_file.h"

/* What the file is to hold, in this order. */
typedef struct KeptRows {
    const char *const *name;   /* [n], each once */
    const char *const *source; /* [n] SHA-256 of each picture or text; an element NULL: it is not there, so a row of its name will do */
    int64_t n;
} KeptRows;

enum { KEPT_BLOCK = 8 * PICTURE_NET_BATCH };
/* Computes rows[n] of those, n up to KEPT_BLOCK, into features [n,width]. */
typedef Status (*ComputeRows)(void *arg, const int64_t *rows, int64_t n, float *features);

/* Has path hold these rows, in /feat. A file that does not say what its rows were made of is taken as it is. ERR_USAGE: other weights made
 * the file; weights: what the message calls those that are given. what: for the progress line. */
MUST_USE Status kept_features_make(const char *path, const FeatureMaker *maker, const KeptRows *rows, ComputeRows compute, void *arg,
                                   const char *weights, const char *what);
/* Where nothing can be computed: ERR_DATA names the first row that was made of another picture or text. flag: what would make it anew. */
MUST_USE Status kept_features_check(const char *path, const KeptRows *rows, const char *flag);
#endif
