/* transport.h: how bytes travel between ranks. Implemented by sockets.c, and over it by mpi.c and nccl.c; used by dist.c. */
#ifndef GENLLAVA_TRAIN_DIST_TRANSPORT_H
#define GENLLAVA_TRAIN_DIST_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/dtype.h"
#include "kernels/base/status.h"
#include "train/dist/place.h"

/* A rank that cannot be reached, or does not come, is an error (ERR_DEVICE, naming it). */
typedef struct Transport {
    void *state;
    bool on_device; /* sum takes memory of a device */
    /* all [n_ranks, n_bytes]: what every rank gave, in the order of ranks. n_bytes is the same on all of them. */
    Status (*share)(void *state, const void *mine, size_t n_bytes, void *all);
    /* x [n], F32 or F64, becomes the sum over the ranks, in a fixed order: the same bits on all ranks and in every run. On a device the sum
     * is enqueued on `stream` (Backend.stream) and nobody waits for it. */
    Status (*sum)(void *state, void *x, int64_t n, DType type, void *stream);
    /* What the next calls belong to, for the sentence about a rank that does not come. patient: rank 0 may take hours. NULL: not told. */
    void (*enter)(void *state, const char *call, int64_t step, bool patient);
    /* Sums are on their way on a device, or by another carrier: they are waited for until the next call, or until they have arrived. */
    void (*enqueued)(void *state);
    void (*arrived)(void *state);
    /* Waits so many microseconds for a verdict that ends the run, and fails with it: for what itself waits without an end. */
    Status (*watch)(void *state, int64_t us);
    /* Makes all ranks fail with the sentence, also those that wait for a device. */
    Status (*accuse)(void *state, const char *sentence);
    void (*close)(void *state, bool failed); /* failed: the run */
} Transport;

/* Meets the other ranks at place->address. */
MUST_USE Status sockets_open(Transport *out, const Place *place);
#endif
