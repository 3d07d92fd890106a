/* pulse.h: watches over the ranks of a run. A thread of each rank tells rank 0 that the rank lives and which call it has come to; rank 0
 * finds out who has ended, who gives no sign of life and for whom all others wait, and tells all. The threads do so whatever the ranks
 * themselves are busy with; a rank that is told, and does not come to a call soon, is ended by its thread. Used by sockets.c. */
#ifndef GENLLAVA_TRAIN_DIST_PULSE_H
#define GENLLAVA_TRAIN_DIST_PULSE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"
#include "train/dist/place.h"

typedef struct Pulse Pulse;

/* peers: of rank 0, [n_ranks] connections to the others, its own unused; of the others, one to rank 0. They go to the pulse. */
MUST_USE Status pulse_start(Pulse **out, const Place *place, int *peers);
/* The calls from here on are parts of this one. */
void pulse_enter(Pulse *p, const char *call, int64_t step, bool patient);
/* This rank waits for others; it waits no longer. */
void pulse_wait(Pulse *p);
void pulse_go_on(Pulse *p);
/* Readable once something has happened that ends the run. */
int pulse_fd(const Pulse *p);
/* … which is this; OK: nothing has. The rank that need not tell of it falls silent. */
MUST_USE Status pulse_verdict(Pulse *p);
/* Fails with a sentence, and makes all ranks fail with it. */
MUST_USE Status pulse_accuse(Pulse *p, const char *sentence);
/* Takes leave of the others: what happens from here on is no longer watched. failed: the run; then the others wait until rank 0 has ended,
 * or for 2 s. */
void pulse_stop(Pulse **p, bool failed);
/* From a signal handler that will end the process: all others end too, with ERR_PREEMPTED. Whether this is the rank that tells people. */
bool pulse_stop_now(void);
#endif
