/* gaps.h: what kernels/cuda has no kernel for; each is a decision. For the programs that compare it with ref, emulated or on a device. */
#ifndef GENLLAVA_TESTS_CUDA_HOST_GAPS_H
#define GENLLAVA_TESTS_CUDA_HOST_GAPS_H

#include <stdio.h>

#include "kernels/ops/op.h"

/* The sentence with which these arguments are refused, NULL when they are not. */
static inline const char *cuda_lacks(Op op, const void *args)
{
    static char sentence[128];
    (void)args;
    if (op == OP_conv2d_fwd || op == OP_conv2d_dx || op == OP_conv2d_dw) {
        snprintf(sentence, sizeof sentence, "%s: the cuda backend has no kernel for it; \"device\": \"cpu\" has", op_name(op));
        return sentence;
    }
    return NULL;
}
#endif
