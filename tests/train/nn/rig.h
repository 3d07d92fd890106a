/* rig.h: a tape over the ref backend in double, and central differences of anything built on it. */
#ifndef GENLLAVA_TESTS_TRAIN_NN_RIG_H
#define GENLLAVA_TESTS_TRAIN_NN_RIG_H

#include "tests/harness.h"
#include "train/nn/ops.h"

typedef struct Rig {
    Backend backend;
    Arena keep, scratch, kernel;
    Params params;
    Tape *tape;
    const void *arg; /* for the build function */
} Rig;

void rig_open(Rig *r, DType compute, Recompute recompute);
void rig_close(Rig *r);
/* A trainable matrix (cols > 0) or vector of normal values; frozen when !trainable. Declare all, then rig_create. */
Param *rig_param(Rig *r, const char *name, int64_t rows, int64_t cols, bool trainable);
void rig_create(Rig *r);
/* The rows of a parameter as an activation. */
Tensor *rig_rows(Tape *t, Param *p);
/* Packed segments of the given lengths; positions restart, items count segments. */
const PackedRows *rig_packed(Tape *t, const int32_t *lengths, int n);

/* In the pass that begins now, a parameter's gradient is final as soon as the tape says so (tape_watch). */
void rig_watch(Rig *r);

/* Builds something from the parameters; its loss is Σ gelu(out) over all elements, so that every element weighs differently. */
typedef Tensor *(*RigBuild)(Rig *r, Tape *t);
double rig_loss(Rig *r, RigBuild build, bool backward);
/* Central differences of every parameter (at most `samples` elements each) against the tape, 1e-6 of the largest. */
void rig_check(Rig *r, RigBuild build, int samples);
#endif
