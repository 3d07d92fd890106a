/* attention_large.h: attention of real sizes, where ref in plain loops would take minutes. Called by tests of a device and of its
 * emulation. */
#ifndef GENLLAVA_TESTS_KERNELS_ATTENTION_LARGE_H
#define GENLLAVA_TESTS_KERNELS_ATTENTION_LARGE_H

#include "kernels/ops/table.h"

enum { LARGE_SEGMENTS = 4 };

/* Causal, packed, in bf16. Segments of length 0 are empty. */
typedef struct LargeAttention {
    int64_t heads, kv_heads, head_dim, window, lengths[LARGE_SEGMENTS];
} LargeAttention;

/* Forward and backward on b against the CPU backend in f32, all of its rows by the rule of compare.h: twice what rounding the truth to bf16
 * costs, and an ulp. Two runs give the same bits. */
void attention_large(const LargeAttention *shape, Backend *b);
#endif
