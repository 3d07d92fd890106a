/* tensor.h: contiguous arrays on a backend, and their gradients. Shapes in memory order, last axis contiguous. Rows of matrices may have
 * room behind them, for what extends a product (joint.h): only where their one reader wants it. */
#ifndef GENLLAVA_TRAIN_NN_TENSOR_H
#define GENLLAVA_TRAIN_NN_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/dtype.h"

enum { TENSOR_MAX_DIMS = 4 };

struct Param;
struct Node;
struct Uses;

typedef struct Tensor {
    DType type;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    int64_t n_elems;
    void *data;              /* backend memory */
    void *grad;              /* same shape; type `grad_type`; NULL until somebody writes it */
    DType grad_type;         /* activations: as `type`; parameters: F32 (F64 on ref) */
    bool needs_grad;         /* somebody wants d loss / d this */
    bool grad_written;       /* the first writer overwrites, later ones accumulate */
    struct Param *param;     /* the parameter this is, or NULL */
    int64_t room, grad_room; /* columns behind every row of data, of grad (a wish until grad has memory) */

    /* The tape's own book-keeping (node.h). */
    uint8_t depth, grad_depth; /* memory of data, of grad: 0 lives as long as the step, 1 as long as its block */
    bool in_scratch;           /* data lies in scratch and goes when its block ends */
    bool cheap;                /* selective recompute would drop it in a block, whatever this run does */
    bool remade;               /* … and is computed again before the block's backward, if `needed` */
    bool needed;               /* some backward reads data … */
    bool needed_late;          /* … or only something that can wait for the backward of what made it (tape_wait), */
    bool again;                /* which gives data once more */
    struct Node *late;         /* what waits */
    bool waits;                /* its own operator's backward has run, but for what waits: grad will be read again */
    bool read;                 /* some operator has said that it reads this (tape_reads) */
    bool replaced;             /* nn_block_inplace has given its memory away */
    struct Uses *uses;         /* who reads it in its block; NULL outside of blocks: nobody knows */
    struct Tensor *sharer;     /* next of those whose gradients have the same memory and are still to be read, in a ring; NULL: none */
} Tensor;

/* Product of all dimensions but the last; the last dimension. */
static inline int64_t tensor_cols(const Tensor *x) { return x->n_dims ? x->shape[x->n_dims - 1] : 1; }
static inline int64_t tensor_rows(const Tensor *x) { return tensor_cols(x) ? x->n_elems / tensor_cols(x) : 0; }
/* Elements from row to row. */
static inline int64_t tensor_ld(const Tensor *x) { return tensor_cols(x) + x->room; }
static inline int64_t tensor_grad_ld(const Tensor *x) { return tensor_cols(x) + x->grad_room; }
#endif
