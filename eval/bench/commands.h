/* commands.h: evaluate BENCH STEP: the steps that all benchmarks share. */
#ifndef GENLLAVA_EVAL_BENCH_COMMANDS_H
#define GENLLAVA_EVAL_BENCH_COMMANDS_H

#include <stdbool.h>
#include <stdio.h>

#include "kernels/base/status.h"

bool bench_is(const char *word);               /* the name of a benchmark */
int bench_names(const char **names, int room); /* returns how many */
MUST_USE Status bench_list(FILE *out);
/* argv[0]: the benchmark's name; then the step and its options. */
MUST_USE Status bench_run(int argc, char **argv);
#endif
