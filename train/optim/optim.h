/* optim.h: from the flat gradient of a rank to new weights: sum over ranks, norm, clip, AdamW per tensor. */
#ifndef GENLLAVA_TRAIN_OPTIM_OPTIM_H
#define GENLLAVA_TRAIN_OPTIM_OPTIM_H

#include "train/config/config.h"
#include "train/dist/dist.h"
#include "train/nn/params.h"
#include "train/nn/tape.h"

typedef struct OptimResult {
    double grad_norm; /* of all trainable gradients, before clipping */
    bool skipped;     /* loss or gradient were not finite (or beyond what f32 moments hold): nothing was changed */
} OptimResult;

/* What of a step's gradient is summed over ranks while its last pass still goes backwards. */
typedef struct EarlySum {
    Params *params;
    Dist *dist;
    int open;     /* so many parameters, the first ones of all, may still get more gradient */
    int64_t from; /* where in the flat gradient those begin that do not */
} EarlySum;
/* To be called before the last pass of a step is computed, once its tape is reset: the rest of the pass finds `s`. Does nothing where ranks
 * cannot do so (dist_sum_early). */
void optim_reduce_early(EarlySum *s, Params *p, Dist *dist, Tape *tape);
/* Sums gradients and `reached` over ranks. */
MUST_USE Status optim_reduce(Params *p, Dist *dist);
/* After optim_reduce: *squares (F64, backend memory) = Σ g². Nobody waits for it. */
MUST_USE Status optim_squares(Params *p, double *squares);
/* result->grad_norm is given, the root of what optim_squares found. The gradient itself stays as it is. A tensor that no rank reached is
 * skipped whole. `loss` is the step's, `step` its number in the run: what moments in BF16 are rounded by follows from it and the seed. */
MUST_USE Status optim_update(Params *p, const RunConfig *cfg, int64_t step, double factor, double loss, OptimResult *result);
/* Both, waiting for the norm. */
MUST_USE Status optim_step(Params *p, const RunConfig *cfg, int64_t step, double factor, double loss, OptimResult *result);
#endif
