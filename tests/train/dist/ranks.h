/* ranks.h: several ranks on this machine, for tests: processes over one piece of shared memory. Linked into test-unit and into train-ranks,
 * which with TEST_RANKS=N in the environment starts as N ranks; ranks.c says what else it reads and how it ends. */
#ifndef GENLLAVA_TESTS_TRAIN_DIST_RANKS_H
#define GENLLAVA_TESTS_TRAIN_DIST_RANKS_H

enum { RANKS_MOST = 8 };

/* Starts n ranks. In each of them: its number, and dist_open will find its place. In the caller, when all have ended: -1, with their exit
 * codes (128 and more: of a signal). */
int ranks_start(int n, int codes[RANKS_MOST]);
#endif
