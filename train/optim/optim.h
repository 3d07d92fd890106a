/* optim.h: from the flat gradient of a rank to new weights: sum over ranks, norm, clip, AdamW per tensor. */
#ifndef GENLLAVA_TRAIN_OPTIM_OPTIM_H
#define GENLLAVA_TRAIN_OPTIM_OPTIM_H

#include "train/config/config.h"
#include "train/dist/dist.h"
#include "train/nn/params.h"

typedef struct OptimResult {
    double grad_norm; /* of all trainable gradients, before clipping */
    bool skipped;     /* loss or gradient were not finite (or beyond what f32 moments hold): nothing was changed */
} OptimResult;

/* Sums gradients and `reached` over ranks. */
MUST_USE Status optim_reduce(Params *p, Dist *dist);
/* After optim_reduce: *squares (F64, backend memory) = Σ g². Nobody waits for it. */
MUST_USE Status optim_squares(Params *p, double *squares);
/* result->grad_norm is given, the root of what optim_squares found. The gradient itself stays as it is. A tensor that no rank reached is
 * skipped whole. `loss` is the step's. */
MUST_USE Status optim_update(Params *p, const RunConfig *cfg, double factor, double loss, OptimResult *result);
/* Both, waiting for the norm. */
MUST_USE Status optim_step(Params *p, const RunConfig *cfg, double factor, double loss, OptimResult *result);
#endif
