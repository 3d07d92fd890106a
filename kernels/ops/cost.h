/* cost.h: what an operator has to do at the least: arithmetic, and bytes between the device and its memory, read off its arguments alone.
 *
 * Every input is read once and every output written once; what is added to is read too. Weights and tables that all rows share count once
 * (they stay in the cache), but the logits of the cross entropy twice: a row is summed before it can be differentiated. Arithmetic is that
 * of the matrix products alone; attention counts what its mask lets through, and its backward's five products. Random numbers count in
 * instructions of 32 bits: ten rounds of Philox for eight columns, each two wide products (of two instructions) and two xors of three
 * operands; and three a column to take its number out, compare and select. How many rows an index array names is
 * not known here: all n. Where segments are known only as the longest and their number, the others share the rest evenly. */
#ifndef GENLLAVA_KERNELS_OPS_COST_H
#define GENLLAVA_KERNELS_OPS_COST_H

#include "kernels/ops/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Cost {
    double flops;   /* 2 for a multiply-add of a matrix product */
    double again;   /* … of them for what the forward had computed: the scores in attention's backward */
    double integer; /* instructions for random numbers */
    double bytes_read, bytes_written;
    int64_t m, n, k; /* of a matmul; rows and columns of other operators, k 0 */
    bool narrow;     /* the products take bf16 operands */
} Cost;

#define COST_DECLARE(name, Args) void cost_##name(const Args *a, Cost *c);
KERNEL_LIST(COST_DECLARE)
#undef COST_DECLARE
void op_cost(Op op, const void *args, Cost *c);

#ifdef __cplusplus
}
#endif
#endif
