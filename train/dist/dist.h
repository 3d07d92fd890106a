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

/* How bytes travel between ranks. A rank that never comes is an error (ERR_DEVICE, naming it). */
typedef struct Transport {
    void *state;
    bool on_device; /* sum takes memory of a device */
    /* all [n_ranks, n_bytes]: what every rank gave, in the order of ranks. n_bytes is the same on all of them. */
    Status (*share)(void *state, const void *mine, size_t n_bytes, void *all);
    /* x [n], F32 or F64, becomes the sum over the ranks, in a fixed order: the same bits on all ranks and in every run. On a device the sum
     * is enqueued on `stream` (Backend.stream) and nobody waits for it. */
    Status (*sum)(void *state, void *x, int64_t n, DType type, void *stream);
    void (*close)(void *state);
} Transport;

/* Joins several ranks. NULL in a build that has no such transport: it trains with one rank. */
__attribute__((weak)) Status transport_open(Transport *out, int rank, int n_ranks);

typedef struct Dist {
    int rank, n_ranks;
    int local_rank; /* among those of this machine: chooses the device */
    Transport transport;
    void *notices; /* what all ranks said last */
    bool over;     /* a rank failed, or cannot be reached */
    bool told;     /* … and all ranks know why */
} Dist;

/* Finds this process's place in what the launcher (mpirun, torchrun, srun) left in the environment; without one it is the only rank.
 * Refuses more ranks than this build can join. */
MUST_USE Status dist_open(Dist *d);
/* The last call: `s` is how this rank ended. All ranks end with the same status; a failure that all know of is told by rank 0 alone. */
MUST_USE Status dist_close(Dist *d, Status s);
/* Rank 0 does work(arg); when it fails, it does so for all. The others wait, and get the n_bytes at `result` as rank 0 has them. */
MUST_USE Status dist_first(Dist *d, Status (*work)(void *arg), void *arg, void *result, size_t n_bytes);
/* x [n]: each becomes the largest of any rank. */
MUST_USE Status dist_agree(Dist *d, int32_t *x, int n);
/* Sums x [n] over all ranks, in place, in the order of the backend's stream: backend memory of type F32 or F64. */
MUST_USE Status dist_sum(Dist *d, Backend *b, void *x, int64_t n, DType type);
/* The same for small host arrays. */
MUST_USE Status dist_sum_host(Dist *d, double *x, int n);
/* Rank 0 receives the bytes of all ranks, one after the other in order of rank (n differs by rank); the others get NULL and 0.
 * The caller frees *all with mem_free. */
MUST_USE Status dist_gather(Dist *d, const void *mine, size_t n, void **all, size_t *n_all);
#endif
