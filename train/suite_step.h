/* suite_step.h: the benchmarks of eval.suite, asked of the model as it is after a step. Called by the loop, on rank 0. */
#ifndef GENLLAVA_TRAIN_SUITE_STEP_H
#define GENLLAVA_TRAIN_SUITE_STEP_H

#include "train/log/runlog.h"
#include "train/setup.h"

/* Answers and scores go to RUN/suite/step-NNNNNN, where a later call for the same step goes on; scores also to the step's line of
 * train.jsonl, which is there already, and to TensorBoard. Nothing of the run changes, and it does not end for what is wrong with
 * a benchmark's files by then: that is a warning. *signal: the number of the signal that came first,
 * else 0. */
MUST_USE Status suite_step(Setup *s, RunLog *log, int64_t step, int32_t *signal);
/* Removes the answers of steps beyond this one: the run takes them again, and its weights may become others. */
MUST_USE Status suite_step_forget(const char *run_folder, int64_t step);
#endif
