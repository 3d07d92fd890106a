/* place.h: this process's place among the ranks of a run, from what a launcher left in the environment. Called by dist_open, and by
 * launch.c, which leaves it there. */
#ifndef GENLLAVA_TRAIN_DIST_PLACE_H
#define GENLLAVA_TRAIN_DIST_PLACE_H

#include <stdbool.h>

#include "kernels/base/status.h"

enum { PLACE_ADDRESS_BYTES = 256, PLACE_TOKEN_BYTES = 256, PLACE_MOST_RANKS = 1 << 16 };

typedef struct Place {
    int rank, n_ranks;
    int local_rank;                    /* among those of this machine */
    const char *launcher;              /* the variable by which it tells the number of ranks; NULL: there is none */
    bool open_mpi;                     /* … it is mpirun of Open MPI */
    char address[PLACE_ADDRESS_BYTES]; /* where rank 0 waits for the others: of a machine, or "@NAME", a socket inside this one */
    int port;                          /* of a machine's address */
    const char *token;                 /* what only the ranks of this run know; "" on one machine, where they must belong to one user */
    int join_s;                        /* how long ranks wait for one another at the start, */
    int silence_s;                     /* … for a sign of life, */
    int patience_s;                    /* … in a call that others have not come to */
} Place;

/* Without a launcher: the only rank. Half a set of variables, two sets that disagree, and ranks on several machines without an address or
 * a token are ERR_USAGE, naming the variables. */
MUST_USE Status place_find(Place *p);
/* Leaves nothing in the environment that place_find would find. */
void place_clear(void);
#endif
