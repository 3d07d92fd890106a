/* normalise.h: answers as VQA's scorers compare them. Official: vqaEval.py of VQA (answer_trim, answer_words) and the processor of EvalAI
 * that M4C and LLaVA use (answer_m4c). */
#ifndef GENLLAVA_EVAL_BENCH_NORMALISE_H
#define GENLLAVA_EVAL_BENCH_NORMALISE_H

#include "eval/bench/span.h"

/* Line breaks and tabs are blanks; none at the ends. */
Span answer_trim(Pool *p, Span text);
/* Without punctuation, articles and capitals; numbers up to ten as digits, contractions with their apostrophes. */
Span answer_words(Pool *p, Span text);
/* Both, after commas, question marks and "'s" are set apart. */
Span answer_m4c(Pool *p, Span text);
#endif
