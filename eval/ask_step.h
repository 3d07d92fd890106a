/* ask_step.h: evaluate BENCH ask, a row for the table of steps. */
#ifndef GENLLAVA_EVAL_ASK_STEP_H
#define GENLLAVA_EVAL_ASK_STEP_H

#include "eval/bench/commands.h"

extern const BenchStep ASK_STEP;
#endif
