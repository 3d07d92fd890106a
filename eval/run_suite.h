/* run_suite.h: eval.suite: benchmarks that are asked while a run trains, as `evaluate --suite` would ask the checkpoint of that step. The
 * program train hands it to the run. */
#ifndef GENLLAVA_EVAL_RUN_SUITE_H
#define GENLLAVA_EVAL_RUN_SUITE_H

#include "train/infer/suite.h"

/* Replies of a judge that the suite names are about other answers and are not read: a benchmark that is scored by them alone gets its
 * requests written instead of a score. */
extern const SuiteKind RUN_SUITE;
#endif
