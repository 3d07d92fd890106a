/* tape.h: eager reverse-mode differentiation of hand-derived operator pairs.
 *
 * An operator (ops.h) checks shapes, takes its output from an arena, calls the kernel table, and records a node only if some input
 * needs a gradient. tape_backward walks the nodes in reverse. The first error sticks: later operators return NULL at once, operators
 * given NULL return NULL, so model code has no error branches; tape_status tells.
 * Two arenas: `keep` lives a step (one micro-batch), `scratch` a block or an operator. */
#ifndef GENLLAVA_TRAIN_NN_TAPE_H
#define GENLLAVA_TRAIN_NN_TAPE_H

#include "kernels/base/philox.h"
#include "kernels/ops/table.h"
#include "train/nn/tensor.h"

typedef enum Recompute { RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_BLOCK } Recompute;

typedef struct Tape Tape;

/* Backward of one operator: reads self's saved fields. Writes gradients through grad_dst. */
typedef struct Node Node;
typedef Status (*NodeBackward)(Tape *t, Node *self);

typedef struct TapeOptions {
    Backend *backend;
    Arena *keep, *scratch; /* backend memory, or measuring */
    DType compute;         /* type of activations */
    Recompute recompute;
    uint64_t seed, step; /* keys of Philox */
    bool winograd;       /* convolutions may be computed so (kernels/ops/conv.h) */
} TapeOptions;

MUST_USE Status tape_create(Tape **out, const TapeOptions *opt);
void tape_free(Tape **t);
/* Forgets all nodes, releases both arenas, clears the error; recording is on. */
void tape_reset(Tape *t, uint64_t step);
/* false: forward only (generation, evaluation). Returns what it was. */
bool tape_record(Tape *t, bool on);
bool tape_records(const Tape *t);
/* The key of a stream of random numbers: of the tape's seed and step, what they are for, and where. */
uint64_t tape_key(const Tape *t, RandomPurpose purpose, uint64_t where);
/* The arithmetic of matrix products (kernels/ops/cost.h) since the last call, across tape_reset: what the mathematics asks, forward and
 * backward, without what was computed once more to save memory. */
double tape_take_flops(Tape *t);
Status tape_status(const Tape *t);
Status tape_fail(Tape *t, Status s); /* makes `s` stick unless an error already does */
/* Seeds d loss = `seed` for the scalar (or any tensor: every element) and runs backwards. Also for a part of a pass (nn_chunks). */
MUST_USE Status tape_backward(Tape *t, Tensor *loss, double seed);
/* The same for a whole pass, from several losses at once, each seeded alike; NULL stands for none. */
MUST_USE Status tape_backward_all(Tape *t, Tensor *const *losses, int n, double seed);
/* Until the next tape_reset, tape_backward_all calls watch(arg, from) after each node of the pass, and before the first: all nodes numbered
 * `from` and higher have gone backwards. Nodes are numbered in the order of the forward, across passes. A parameter whose first_node is no
 * lower, or -1, gets no more gradient from the pass. */
typedef Status (*TapeWatch)(void *arg, int64_t from);
void tape_watch(Tape *t, TapeWatch watch, void *arg);
#endif
