/* choice.h: which of up to four options a free text chooses, as VLMEvalKit decides it without a judge model. Called by mmbench.c. */
#ifndef GENLLAVA_EVAL_BENCH_CHOICE_H
#define GENLLAVA_EVAL_BENCH_CHOICE_H

#include "eval/bench/span.h"

enum { CHOICES = 4 };
/* 'A' to 'D'; 'Z': decided, and none of them; 0: undecided. option[i].s NULL: there is no such option. */
char choice_of(Pool *pool, Span answer, const Span option[CHOICES]);
#endif
