/* dist.h: the ranks of a run. Every rank issues the same calls in the same order, whatever its share of a step holds.
 * Sums have a fixed order, so equal ranks give equal bits. */
#ifndef GENLLAVA_TRAIN_DIST_DIST_H
#define GENLLAVA_TRAIN_DIST_DIST_H

#include <stdbool.h>

#include "kernels/ops/table.h"

typedef struct Dist {
    int rank, n_ranks;
} Dist;

/* Refuses a launcher that started more ranks than this build can join. */
MUST_USE Status dist_open(Dist *d);
void dist_close(Dist *d);
/* Sums x [n] over all ranks, in place: backend memory of type F32 or F64. */
MUST_USE Status dist_sum(const Dist *d, Backend *b, void *x, int64_t n, DType type);
/* The same for small host arrays. */
MUST_USE Status dist_sum_host(const Dist *d, double *x, int n);
MUST_USE Status dist_max_host(const Dist *d, int32_t *x, int n);
/* Rank 0 receives the bytes of all ranks, one after the other in order of rank (n differs by rank); the others get NULL and 0.
 * The caller frees *all with mem_free. */
MUST_USE Status dist_gather(const Dist *d, const void *mine, size_t n, void **all, size_t *n_all);
#endif
