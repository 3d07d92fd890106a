/* sum.h: a sum as an operator, for tests alone: it shows how gradients are shared, and what a node must say. */
#ifndef GENLLAVA_TESTS_TRAIN_NN_SUM_H
#define GENLLAVA_TESTS_TRAIN_NN_SUM_H

#include "tests/train/nn/rig.h"
#include "train/nn/node.h"

typedef struct SumNode {
    Node node;
    Tensor *a, *b;
} SumNode;

/* a + b, or a alone where b is NULL, as [rows, cols]. */
Tensor *nn_sum(Tape *t, Tensor *a, Tensor *b, int64_t rows, int64_t cols);
Status sum_bwd(Tape *t, Node *self);
#endif
