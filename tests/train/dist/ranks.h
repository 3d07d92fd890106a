/* ranks.h: several ranks on this machine, for tests of dist.h: forks of the test that dist_open joins. */
#ifndef GENLLAVA_TESTS_TRAIN_DIST_RANKS_H
#define GENLLAVA_TESTS_TRAIN_DIST_RANKS_H

enum { RANKS_MOST = 8 };

/* Starts n ranks. In each of them: its number, and dist_open will find its place. In the caller, when all have ended: -1, with their exit
 * codes (128 and more: of a signal). address: MASTER_ADDR (a port and a token go with it), or NULL: sockets inside the machine. */
int ranks_start(int n, const char *address, int codes[RANKS_MOST]);
#endif
