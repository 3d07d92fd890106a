/* cosine.h: cosines of features, row by row, and what CLIP scores make of them. Called by `evaluate clip-score` and by the
 * benchmarks of pictures. */
#ifndef GENLLAVA_EVAL_METRICS_COSINE_H
#define GENLLAVA_EVAL_METRICS_COSINE_H

#include "eval/metrics/feature_set.h"

/* Means over n pairs. score: 100·max(cos, 0), the "CLIP score"; clipscore: 2.5·max(cos, 0), CLIPScore (Hessel et al. 2021). */
typedef struct CosineScore {
    int64_t n;
    double score, clipscore;
} CosineScore;

/* The cosine of two rows of d numbers; NaN where one is all zeros, which has no direction. */
double cosine_of(const double *a, const double *b, int64_t d);
/* Pairs rows of the same name where both have names, else rows of the same number. Sums in the order of a. */
MUST_USE Status cosine_score(CosineScore *out, const FeatureSet *a, const FeatureSet *b);
#endif
