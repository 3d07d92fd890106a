/* mathvista_answer.h: from a reply to a question of MathVista to the text that is compared with the label. Called by mathvista.c. */
#ifndef GENLLAVA_EVAL_BENCH_MATHVISTA_ANSWER_H
#define GENLLAVA_EVAL_BENCH_MATHVISTA_ANSWER_H

#include "eval/bench/span.h"

typedef struct MathQuestion {
    bool is_choice;   /* question_type multi_choice */
    Span answer_type; /* text, integer, float, list */
    Spans choices;
    int precision; /* decimals of a float */
} MathQuestion;

/* Whether the reply is the answer as it stands, which then is *extraction; an empty one is too. */
bool mathvista_is_direct(Span reply, const MathQuestion *q, Span *extraction);
/* The answer in any other reply, by rules of ours in place of the authors' judge. */
Span mathvista_extract(Pool *pool, Span reply, const MathQuestion *q);
/* The extraction as the label is written: the choice most like it, the number as Python prints it. False: it is no number. */
bool mathvista_normalise(Pool *pool, Span extraction, const MathQuestion *q, Span *answer);
#endif
