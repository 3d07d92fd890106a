/* launch.h: train --ranks N: the ranks of a run on this machine, started by the program itself. Called by main before anything is opened.
 */
#ifndef GENLLAVA_TRAIN_DIST_LAUNCH_H
#define GENLLAVA_TRAIN_DIST_LAUNCH_H

#include <stdbool.h>

#include "kernels/base/status.h"

/* Makes this process n: the call returns in each of them, with *is_rank. In the process that called it, it returns when all have ended,
 * with the exit code of the run, of which its ranks have told. Signals that ask to stop go to the ranks. One rank is this process itself.
 * ERR_USAGE where a launcher has started several already. */
MUST_USE Status launch_ranks(int n, bool *is_rank, int *exit_code);
#endif
