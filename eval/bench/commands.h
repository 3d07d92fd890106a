/* commands.h: evaluate BENCH STEP: the steps that all benchmarks share. */
#ifndef GENLLAVA_EVAL_BENCH_COMMANDS_H
#define GENLLAVA_EVAL_BENCH_COMMANDS_H

#include <stdbool.h>
#include <stdio.h>

#include "eval/bench/bench.h"
#include "kernels/base/cli.h"

/* What can be done with a benchmark: a word behind its name. */
typedef struct BenchStep {
    const char *name, *usage, *summary;
    const CliOption *options;
    Status (*run)(const Bench *b);
} BenchStep;

bool bench_is(const char *word);               /* the name of a benchmark */
int bench_names(const char **names, int room); /* returns how many */
MUST_USE Status bench_list(FILE *out);
/* argv[0]: the benchmark's name; then the step and its options. ask: the step that needs a model. */
MUST_USE Status bench_run(int argc, char **argv, const BenchStep *ask);
#endif
