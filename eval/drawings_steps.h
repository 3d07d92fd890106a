/* drawings_steps.h: evaluate BENCH ask and score of benchmarks of pictures, rows for the table of steps. Called by evaluate. */
#ifndef GENLLAVA_EVAL_DRAWINGS_STEPS_H
#define GENLLAVA_EVAL_DRAWINGS_STEPS_H

#include "eval/bench/commands.h"

extern const BenchStep ASK_DRAWINGS_STEP, SCORE_DRAWINGS_STEP;
#endif
