/* mpi.h: bytes between ranks that mpirun has started, by Open MPI where it is found. Used by dist.c; no header of MPI is needed. */
#ifndef GENLLAVA_TRAIN_DIST_MPI_H
#define GENLLAVA_TRAIN_DIST_MPI_H

#include <stdbool.h>

#include "train/dist/transport.h"

/* Whether the library is there (GENLLAVA_MPI names its file; "none": it is not used). */
bool mpi_load(void);
/* "Open MPI v4.1.4", of a library that is there. */
const char *mpi_version(void);
/* Sums and large shares of *t go by MPI from here on, with the same bits. To be called by all ranks, once in a process. Where the library
 * is not that of the mpirun which has started the ranks, *t stays as it is, with a warning. */
MUST_USE Status mpi_add(Transport *t, int rank, int n_ranks);
#endif
