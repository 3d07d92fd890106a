/* suite.h: benchmarks that a run asks at every validation (eval.suite). A run knows these functions alone: eval has them
 * (eval/run_suite.h), and the program hands them to the run, so that neither includes the other. */
#ifndef GENLLAVA_TRAIN_INFER_SUITE_H
#define GENLLAVA_TRAIN_INFER_SUITE_H

#include "train/infer/answer.h"

typedef struct SuiteScore {
    const char *name; /* BENCH, or BENCH-SPLIT where the split is not the usual one; the suite's own */
    double value;     /* of the benchmark's first number, as evaluate tells it */
} SuiteScore;

typedef struct SuiteKind {
    /* Reads cfg->eval.suite: all mistakes at once, ERR_USAGE. cfg and preprocessor (of a model that sees) are borrowed. */
    Status (*open)(void **suite, const RunConfig *cfg, const Preprocessor *preprocessor);
    /* Looks whether the files of benchmark i are there and whole (ERR_MISSING, ERR_DATA), and that this model can be asked (ERR_USAGE);
     * *end: there is no such benchmark, all have been looked at. */
    Status (*check)(void *suite, int i, bool *end);
    /* Bytes that asking takes besides the model: of the backend's memory, and of the host's besides. g: opened on null, a backend that
     * computes nothing. */
    Status (*memory)(void *suite, GenLlava *g, Backend *null, int64_t *n_bytes, int64_t *host);
    /* Asks what has no whole answers in `folder` yet, scores all, and writes scores.json beside them. model: what answers call the model.
     * *scores [*n]: of benchmarks that have one without a judge, the suite's own. ERR_PREEMPTED: a signal came first; a later call goes
     * on. */
    Status (*ask)(void *suite, Answerer *a, const char *folder, const char *model, const SuiteScore **scores, int *n);
    void (*close)(void **suite); /* NULL is fine */
} SuiteKind;

/* A run's, and what it is of; of NULL: there is none. */
typedef struct RunSuite {
    const SuiteKind *kind;
    void *of;
} RunSuite;
#endif
