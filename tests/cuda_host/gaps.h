/* gaps.h: what kernels/cuda has no kernel for; each is a decision. For the programs that compare it with ref, emulated or on a device. */
#ifndef GENLLAVA_TESTS_CUDA_HOST_GAPS_H
#define GENLLAVA_TESTS_CUDA_HOST_GAPS_H

#include <stddef.h>

#include "kernels/ops/op.h"

/* The sentence with which these arguments are refused, NULL when they are not. There are no gaps today. */
static inline const char *cuda_lacks(Op op, const void *args)
{
    (void)op, (void)args;
    return NULL;
}
#endif
