/* large_step.h: a step of a model of real width on one backend beside the CPU. Called by tests of a device and of its emulation. */
#ifndef GENLLAVA_TESTS_TRAIN_LARGE_STEP_H
#define GENLLAVA_TESTS_TRAIN_LARGE_STEP_H

#include "kernels/ops/table.h"

typedef struct LargeStep {
    const char *config, *sets[4]; /* sets: of it, ended by NULL */
    int64_t tokens, segment, labels;
} LargeStep;

/* One step in f32 on b and on the CPU: loss and every gradient agree. Then in bf16 on both: on b they are at most twice as far from the
 * CPU's in f32 as in bf16 on the CPU. */
void large_step(const LargeStep *l, Status (*open)(Backend *b));
#endif
