/* runner.h: a backend, and the memory that passes of frozen networks work in on it. Called by picture_net.c and lpips.c. */
#ifndef GENLLAVA_EVAL_FEATURES_RUNNER_H
#define GENLLAVA_EVAL_FEATURES_RUNNER_H

#include "train/config/config.h"
#include "train/nn/ops.h"

typedef struct Runner {
    Backend backend; /* zeroed: not open */
    Arena keep, scratch;
    Tape *tape;
} Runner;

MUST_USE Status runner_open(Runner *r, DeviceChoice device);
void runner_close(Runner *r); /* zeroed is fine */
/* Takes the memory of a pass, unless what was taken before suffices. who: for the message where there is too little; besides: bytes of
 * the host's memory that the caller will take. fn is called without values: it must not read its arguments' arrays. */
MUST_USE Status runner_reserve(Runner *r, const char *who, int64_t besides, EvaluateFn fn, const void *arg);
/* What fn gives, to the host; NULL: nothing. */
MUST_USE Status runner_run(Runner *r, EvaluateFn fn, const void *arg, float *out);
#endif
