/* dist.h: the ranks of a run, which are processes that share its steps, each with its own device. Used by the loop and by setup, and by
 * whatever sums or gathers.
 *
 * Every rank makes the same calls in the same order, whatever its share of a step holds. A rank that fails goes to dist_close; the others
 * learn of it in the call they come to next, fail there with its status and its sentence ("rank 1: …"), and go to dist_close too: nobody
 * waits for a rank that has ended. The run folder, the shards and the inputs lie where all ranks see them. */
#ifndef GENLLAVA_TRAIN_DIST_DIST_H
#define GENLLAVA_TRAIN_DIST_DIST_H

#include <stdbool.h>

#include "kernels/ops/table.h"
#include "train/dist/transport.h"

typedef struct Dist {
    int rank, n_ranks;
    int local_rank; /* among those of this machine: chooses the device */
    int64_t step;   /* the caller's, for the sentence about a rank that does not come; 0: before the first */
    bool joined;    /* the devices, if they can be */
    int64_t bucket; /* > 0: a device's memory is summed beside its other work, so many elements at a time … */
    bool overlaps;  /* … and dist_sum_early is of use */
    int64_t sent;   /* elements that it has sent since the last dist_sum */
    double waited;  /* seconds in the calls since the caller has set it to 0: for other ranks, and for what they send */
    Transport transport;
    void *notices; /* what all ranks said last */
    bool over;     /* a rank failed, or cannot be reached */
    bool told;     /* … and all ranks know why */
} Dist;

/* Finds this process's place in what the launcher (mpirun, torchrun, srun, launch.c) left in the environment, and the other ranks; without
 * a launcher it is the only rank. Ranks that share the processors of a machine get a part of them each, unless OMP_NUM_THREADS says
 * otherwise: to be called before threads are used. */
MUST_USE Status dist_open(Dist *d);
/* The last call: `s` is how this rank ended. All ranks end with the same status; a failure that all know of is told by rank 0 alone. */
MUST_USE Status dist_close(Dist *d, Status s);
/* Rank 0 does work(arg); when it fails, it does so for all. The others wait, and get the n_bytes at `result` as rank 0 has them. */
MUST_USE Status dist_first(Dist *d, Status (*work)(void *arg), void *arg, void *result, size_t n_bytes);
/* x [n]: each becomes the largest of any rank. */
MUST_USE Status dist_agree(Dist *d, int32_t *x, int n);
/* *n: ranks on this machine. */
MUST_USE Status dist_processes(Dist *d, int *n);
/* Sums x [n] over all ranks, in place, in the order of the backend's stream: backend memory of type F32 or F64. Between GPUs by NCCL, which
 * is looked for, and takes its memory, the first time: in buckets from the end of x to its beginning, which n alone says, so that it does
 * not change a bit when they are sent. GENLLAVA_BUCKET=BYTES of rank 0 says how large they are. */
MUST_USE Status dist_sum(Dist *d, Backend *b, void *x, int64_t n, DType type);
/* x from `from` on is what it will be when dist_sum is called for it, next of all that is summed: sends the buckets that lie there whole,
 * and returns. The ranks need not meet for that: each has its own `from`, but the order of buckets is the same, and dist_sum sends what a
 * rank has left. Does nothing where sums are made on the host: they would take the cores from what the rank still computes. */
MUST_USE Status dist_sum_early(Dist *d, Backend *b, void *x, int64_t n, DType type, int64_t from);
/* The same for small host arrays. */
MUST_USE Status dist_sum_host(Dist *d, double *x, int n);
/* Rank 0 receives the bytes of all ranks, one after the other in order of rank (n differs by rank); the others get NULL and 0.
 * The caller frees *all with mem_free. */
MUST_USE Status dist_gather(Dist *d, const void *mine, size_t n, void **all, size_t *n_all);
#endif
