/* rounds.h: shares and sums over ranks, made of moves of bytes between two of them. Used by the transports that can move bytes: sockets.c
 * and mpi.c, which thereby give the same bits. */
#ifndef GENLLAVA_TRAIN_DIST_ROUNDS_H
#define GENLLAVA_TRAIN_DIST_ROUNDS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/dtype.h"
#include "kernels/base/status.h"

/* Bytes still to be sent or filled, in two places one after the other. */
typedef struct Span {
    char *at;
    size_t n;
} Span;
typedef struct Flow {
    Span part[2];
} Flow;

/* The part that has bytes left; both empty: the second. Takes n bytes off a part. */
Span *flow_present(Flow *f);
void span_advance(Span *s, size_t n);

typedef struct Rounds {
    int rank, n_ranks;
    int n_links; /* 2^k < n_ranks */
    void *state; /* of the transport */
    /* Sends `out` to rank r - 2^k while `in` comes from rank r + 2^k, over what stands there or (add) added to it. Both ends of a move cut
     * it into the same two parts, each of whole numbers. */
    Status (*move)(void *state, int k, Flow out, Flow in, const DType *add);
} Rounds;

/* The rank so many places further on, round the ring. */
int rounds_neighbour(const Rounds *r, int offset);
/* As Transport.share and Transport.sum. */
MUST_USE Status rounds_share(const Rounds *r, const void *mine, size_t n_bytes, void *all);
MUST_USE Status rounds_sum(const Rounds *r, void *x, int64_t n, DType type);
/* x += y, whole numbers of `type`. */
void rounds_add(char *x, const char *y, size_t n_bytes, DType type);
#endif
