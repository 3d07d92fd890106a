/* fid.h: Fréchet inception distance (Heusel et al. 2017) of two sets of features. Called by `evaluate fid` and by
 * COCO. */
#ifndef GENLLAVA_EVAL_METRICS_FID_H
#define GENLLAVA_EVAL_METRICS_FID_H

#include <stdint.h>

#include "kernels/base/status.h"

/* Mean and covariance (divided by n-1) of features, in double. */
typedef struct FidStatistics {
    const char *path;   /* borrowed */
    int64_t n, d;       /* n 0: the file does not say */
    double *mu, *sigma; /* [d], [d,d] */
    char network[65];   /* as of a FeatureSet; "" of statistics */
} FidStatistics;

/* Of a file of features (feature_set.h), in two passes; or from an .npz that holds them as `mu` and `sigma`. */
MUST_USE Status fid_statistics(FidStatistics *out, const char *path);
void fid_free(FidStatistics *s); /* zeroed is fine */
/* Says so where there are as many pictures as features or fewer: the covariance lacks directions then, and the distance depends on how many
 * there are. */
void fid_warn_of_few(const FidStatistics *s);
/* |mu1-mu2|² + tr S1 + tr S2 - 2 tr √(S1·S2) */
MUST_USE Status fid_distance(double *out, const FidStatistics *a, const FidStatistics *b);
#endif
