/* kid.h: kernel inception distance (Bińkowski et al. 2018, "Demystifying MMD GANs") of two sets of features. Called by `evaluate kid`. */
#ifndef GENLLAVA_EVAL_METRICS_KID_H
#define GENLLAVA_EVAL_METRICS_KID_H

#include "eval/metrics/feature_set.h"

typedef struct KidOptions {
    int64_t subsets, size; /* so many subsets of so many rows of each set; of smaller sets subsets are as large as the smaller one */
    int64_t seed;          /* of which rows are in them */
} KidOptions;

/* The unbiased estimate of MMD² with the kernel (x·y/d + 1)³: the mean over the subsets, and their standard deviation (divided by how
 * many they are). Negative numbers are possible. */
typedef struct Kid {
    double mean, deviation;
    int64_t subsets, size; /* those that were taken: one, where both sets are as large as a subset */
} Kid;

/* In double. ERR_DATA: the sets do not come from one network, or one of them has a single row. */
MUST_USE Status kid_distance(Kid *out, const FeatureSet *a, const FeatureSet *b, const KidOptions *o);
#endif
