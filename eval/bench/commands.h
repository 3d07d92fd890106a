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
bool bench_draws(const char *word);            /* … of pictures */
int bench_names(const char **names, int room); /* returns how many */
MUST_USE Status bench_list(FILE *out);
/* split NULL: the usual one. ERR_USAGE: the benchmark has no other. */
MUST_USE Status bench_data(BenchData *out, const Bench *b, const char *dir, const char *split);
/* --chunk "2/8": chunk 2 of 8; NULL: 0 of 0. */
MUST_USE Status bench_chunk(int *chunk, int *n_chunks, const char *text);
/* Whether what --out names can be made or replaced, a folder or a file: it is no standard output, nor another kind of thing. */
MUST_USE Status bench_check_out(const char *out, bool folder);
typedef struct BenchFiles {
    const char *const *name;
    int n;
} BenchFiles;
/* Scores answer files; a benchmark that is judged by replies alone takes only these, of one whose judge only reads what answers say both or
 * answers alone. ERR_DATA: an answer to no question, or more than 1 % missing unless allow_missing. scores_free also after an error. */
MUST_USE Status bench_score(Scores *scores, int64_t *n_duplicate, const Bench *b, const BenchData *d, BenchFiles answers,
                            BenchFiles replies, bool allow_missing);
/* Writes a judge's requests about answer files. model NULL: whom the authors asked. */
MUST_USE Status bench_requests(const Bench *b, const BenchData *d, BenchFiles answers, const char *out, const char *model,
                               bool allow_missing);
/* The same of the drawings of a benchmark of pictures, in a folder. n: what networks make of them, NULL: nothing is known; some benchmarks
 * have no score then. */
MUST_USE Status bench_score_drawings(Scores *scores, const Bench *b, const BenchData *d, const char *made, Networks *n, bool allow_missing);
/* Prints scores: a table, or one JSON object. */
MUST_USE Status bench_tell(const Bench *b, const BenchData *d, const Scores *s, int64_t n_duplicate, bool json);
/* argv[0]: the benchmark's name; then the step and its options. callers: steps that need a model or networks, up to 4, ended by NULL; they
 * come before those of the same names here. */
MUST_USE Status bench_run(int argc, char **argv, const BenchStep *const *callers);
#endif
