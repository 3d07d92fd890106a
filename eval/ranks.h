/* ranks.h: --ranks N of what asks a model: processes that share what is asked. Called by ask_step.c, suite.c and evaluate. */
#ifndef GENLLAVA_EVAL_RANKS_H
#define GENLLAVA_EVAL_RANKS_H

#include "eval/opening.h"
#include "train/dist/dist.h"

/* A row of a command's options, for the int64_t `n`. */
#define RANKS_OPTION(n)                                                                                                             \
    {"--ranks", CLI_INT, &(n), "N",                                                                                                 \
     "start N ranks on this machine, which share what is asked: a GPU each, or a part of the processors; torchrun, srun and mpirun " \
     "start them on several", 1, 1024, NULL, false}

/* Starts n ranks (0: none, though a launcher may have), and finds this one's place. *is_rank false: this process has started the others,
 * and all have ended; else dist_close. */
MUST_USE Status ranks_open(Dist *d, int64_t n, bool *is_rank);
/* Has a rank's model be opened on its own device. */
MUST_USE Status ranks_place(Dist *d, Opening *o);
/* Of the ranks that this process has started, which have told of it; 0: none failed, or there are none. */
int ranks_exit_code(void);
#endif
