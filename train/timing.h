/* timing.h: a run's first step chooses algorithms by the clock, where the backend can (Backend.time_choices). All ranks go on with those of
 * rank 0: they are what its checkpoints hold, so a resumed run computes with the same. Called by the loop. */
#ifndef GENLLAVA_TRAIN_TIMING_H
#define GENLLAVA_TRAIN_TIMING_H

#include "train/dist/dist.h"

/* Before a checkpoint is read, which ends it at once where it holds algorithms for this device. */
void timing_begin(Backend *b);
/* After the first step of this process, by every rank. */
MUST_USE Status timing_end(Dist *d, Backend *b);
#endif
