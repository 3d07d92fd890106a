/* gaps.h: what kernels/cuda has no kernel for; each is a decision. For the programs that compare it with ref, emulated or on a device. */
#ifndef GENLLAVA_TESTS_CUDA_HOST_GAPS_H
#define GENLLAVA_TESTS_CUDA_HOST_GAPS_H

#include <stdio.h>

#include "kernels/ops/op.h"

/* The sentence with which these arguments are refused, NULL when they are not. */
static inline const char *cuda_lacks(Op op, const void *args)
{
    enum { WIDEST_HEAD = 256 }; /* wider ones want another kernel than one warp a row */
    static char sentence[128];
    int64_t head_dim = op == OP_attention_fwd      ? ((const AttentionFwd *)args)->head_dim
                       : op == OP_attention_bwd    ? ((const AttentionBwd *)args)->head_dim
                       : op == OP_attention_decode ? ((const AttentionDecode *)args)->head_dim
                                                   : 0;
    if (op == OP_conv2d_fwd || op == OP_conv2d_dx || op == OP_conv2d_dw || op == OP_groupnorm_fwd || op == OP_groupnorm_bwd ||
        op == OP_upsample_fwd || op == OP_upsample_bwd || op == OP_difference_fwd || op == OP_difference_bwd) {
        snprintf(sentence, sizeof sentence, "%s: the cuda backend has no kernel for it; \"device\": \"cpu\" has", op_name(op));
        return sentence;
    }
    if (head_dim <= WIDEST_HEAD)
        return NULL;
    snprintf(sentence, sizeof sentence, "%s: the cuda backend has kernels for heads of at most %d, not of %lld; \"device\": \"cpu\" has",
             op_name(op), (int)WIDEST_HEAD, (long long)head_dim);
    return sentence;
}
#endif
