/* exact.h: evaluate exact: how many answers are the expected ones. */
#ifndef GENLLAVA_EVAL_EXACT_H
#define GENLLAVA_EVAL_EXACT_H

#include "kernels/base/status.h"

/* The command line, from the word behind "evaluate" on, where there is one that is no flag. */
MUST_USE Status exact_run(int argc, char **argv);
#endif
