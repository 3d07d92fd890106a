/* bench_step.h: whole training steps of a config on an opened backend, over passes that were made up: forward, backward and update as train
 * does them, without data, files and log. */
#ifndef GENLLAVA_TOOLS_BENCH_BENCH_STEP_H
#define GENLLAVA_TOOLS_BENCH_BENCH_STEP_H

#include "train/measure/memory.h"
#include "train/measure/pass_shape.h"

typedef struct BenchStep {
    Backend *b;
    const RunConfig *cfg;
    MemoryPlan plan;
    MadePass pass;
    void *keep_memory, *scratch_memory, *numbers; /* backend memory; numbers: StepNumbers */
    Arena keep, scratch;
    Tape *tape;
    GenLlava *model;
    double loss; /* of the last step: mean over the labels */
} BenchStep;

/* What a pass of `tokens` holds: samples of `segment` tokens (0: the whole), each with a picture if there is room, and `labels` of them
 * supervised. Where the model draws, a third of the samples has a picture to generate instead, another third one to edit. */
MUST_USE Status bench_step_shape(PassShape *p, const RunConfig *cfg, int64_t tokens, int64_t segment, int64_t labels);
/* Fills or loads the weights. b->ctx.scratch is its scratch until it is closed. */
MUST_USE Status bench_step_open(BenchStep *s, Backend *b, const RunConfig *cfg, DType compute, const PassShape *shape);
/* Draws what begins as zeros (B of adapters), and would leave the gradients of its partner zero: for comparing gradients. */
MUST_USE Status bench_step_stir(BenchStep *s);
void bench_step_close(BenchStep *s); /* zeroed is fine */
/* One step; what it asks of the device may still be running on return. */
MUST_USE Status bench_step_run(BenchStep *s);
#endif
