/* feature_set.h: what a network made of pictures or texts, a row of numbers each, from a file: .npy [n,d] (a list of names may lie beside
 * it, FILE.txt for FILE.npy, one a line), or .h5 with /feat [n,d] f32 and, where it knows them, /name and /source_sha256. Called by what
 * compares features. */
#ifndef GENLLAVA_EVAL_METRICS_FEATURE_SET_H
#define GENLLAVA_EVAL_METRICS_FEATURE_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct FeatureSet {
    int64_t n, d;
    char **names;     /* [n], or NULL: nobody says */
    char **sources;   /* [n] SHA-256 of what each row was made of; NULL: nobody says */
    char network[65]; /* SHA-256 of the network's weights; "": nobody says */
    const char *path; /* borrowed */
    struct FeatureFile *file;
} FeatureSet;

bool feature_set_ends(const char *path, const char *ending); /* ".npz" */
MUST_USE Status feature_set_open(FeatureSet *out, const char *path);
/* Row i into out[d]; what is not finite is ERR_DATA. */
MUST_USE Status feature_set_row(const FeatureSet *f, int64_t i, double *out);
/* ERR_DATA where both say which network made them, and it is not the same. */
MUST_USE Status feature_set_same_network(const char *path_a, const char *network_a, const char *path_b, const char *network_b);
void feature_set_close(FeatureSet *f); /* zeroed is fine */
#endif
