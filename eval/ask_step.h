/* ask_step.h: evaluate BENCH ask, a row for the table of steps. */
#ifndef GENLLAVA_EVAL_ASK_STEP_H
#define GENLLAVA_EVAL_ASK_STEP_H

#include "eval/bench/commands.h"

extern const BenchStep ASK_STEP;
/* Of the ranks that it has started, which have told of it; 0: none failed, or there are none. */
int ask_exit_code(void);
#endif
