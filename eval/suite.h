/* suite.h: evaluate --suite: several benchmarks in one run, in one table beside published figures. */
#ifndef GENLLAVA_EVAL_SUITE_H
#define GENLLAVA_EVAL_SUITE_H

#include "kernels/base/status.h"

/* The whole command line of evaluate. */
MUST_USE Status suite_run(int argc, char **argv);
#endif
