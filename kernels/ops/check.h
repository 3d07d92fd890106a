/* check.h: the limits of the contracts, checked once and alike for every backend.
 *
 * check_NAME(args) refuses what can be read off the arguments themselves: types, sizes, strides, divisibility (ERR_INTERNAL: the
 * caller is wrong). What stands in index arrays can be wrong because data are wrong (ERR_DATA); backends whose arrays the CPU
 * can read check it with check_range, check_below and check_segments. */
#ifndef GENLLAVA_KERNELS_OPS_CHECK_H
#define GENLLAVA_KERNELS_OPS_CHECK_H

#include "kernels/ops/table.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CHECK_DECLARE(name, Args) MUST_USE Status check_##name(const Args *a);
KERNEL_LIST(CHECK_DECLARE)
#undef CHECK_DECLARE

/* Every value[i] is in low … high-1: "cross_entropy: label[3] is 320, expected 0 … 319". */
MUST_USE Status check_range(const char *op, const char *what, const int32_t *value, int64_t n, int64_t low, int64_t high);
/* Every value[i] is less than high; negative ones mean something. */
MUST_USE Status check_below(const char *op, const char *what, const int32_t *value, int64_t n, int64_t high);
/* The forward pass that a backward one belongs to, as far as its shape goes. */
AttentionFwd attention_forward_of(const AttentionBwd *a);
/* The list of segments `what` rises from 0 to rows in n_segments steps of at most `longest`. */
MUST_USE Status check_segments(const char *op, const char *what, const int32_t *cu, int64_t n_segments, int64_t rows, int64_t longest);

#ifdef __cplusplus
}
#endif
#endif
