/* meeting.h: how the ranks of a run find one another: rank 0 listens at the address that all know, until all are in; then each is connected
 * with a few others. Strangers are turned away. Used by sockets.c. */
#ifndef GENLLAVA_TRAIN_DIST_MEETING_H
#define GENLLAVA_TRAIN_DIST_MEETING_H

#include "kernels/base/status.h"
#include "train/dist/place.h"

enum { MEETING_MOST_LINKS = 16 }; /* 2^16 ranks */

/* Connected sockets of rank r: to[k] leads to rank r - 2^k, from[k] comes from rank r + 2^k, modulo n_ranks. Bytes go one way. */
typedef struct Meeting {
    int n_links, to[MEETING_MOST_LINKS], from[MEETING_MOST_LINKS]; /* 2^k < n_ranks */
    int *control; /* of rank 0, [n_ranks]: to every other rank; of the others, [1]: to rank 0 */
} Meeting;

/* ERR_DEVICE with the ranks that have not come within place->join_s; ERR_USAGE where this one is turned away. */
MUST_USE Status meeting_join(Meeting *m, const Place *place);
/* Closes what is still open: those that are taken over are -1. */
void meeting_close(Meeting *m, const Place *place);
#endif
