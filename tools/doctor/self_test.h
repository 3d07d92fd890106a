/* self_test.h: one training step of a small model on each backend of this machine, held against the specification (kernels/ref). Called by
 * doctor. */
#ifndef GENLLAVA_TOOLS_DOCTOR_SELF_TEST_H
#define GENLLAVA_TOOLS_DOCTOR_SELF_TEST_H

#include "kernels/ops/table.h"

enum { SELF_TESTS_MOST = 4 };
typedef struct SelfTest {
    const char *backend; /* "cpu", "cuda" */
    DType compute;
    double loss_off, gradient_off;         /* relative, from those of ref in f32 */
    double loss_allowed, gradient_allowed; /* … and how far they may be off */
    double seconds;
    bool right;
    char failure[512]; /* of a step that could not be taken at all; else "" */
} SelfTest;

/* One row for each backend and type that it multiplies natively: those of the CPU, then those of the GPU (cuda NULL: there is none). A step
 * that fails, or comes to something else than ref, is a row; a Status other than OK means that nothing could be compared. */
MUST_USE Status self_test_run(SelfTest out[SELF_TESTS_MOST], int *n, Status (*cuda)(Backend *b, int device));
#endif
