/* soft.h: the soft accuracy of VQAv2, VizWiz and TextVQA: an answer that three of the other annotators gave is right. */
#ifndef GENLLAVA_EVAL_BENCH_SOFT_H
#define GENLLAVA_EVAL_BENCH_SOFT_H

#include "data/formats/json.h"
#include "eval/bench/scores.h"

/* The mean over annotators of min(1, equal answers of all the others / 3). The others are told by their place, not by what they said. */
double soft_accuracy(Spans truths, Span answer);
/* "answers" of a question: texts, or objects with a text "answer". Absent: ERR_DATA, for the split has no labels. */
MUST_USE Status soft_truths(Pool *p, Spans *out, const Json *question, const char *where);

typedef struct SoftSums {
    double *value; /* by question */
    int64_t n, room;
    Groups answer_type, question_type;
} SoftSums;
/* Counts a question, also for its "answer_type" and "question_type" where it has them. found: it has an answer. */
MUST_USE Status soft_count(SoftSums *sums, Scores *s, const Json *question, bool found, double value);
/* Adds "overall" and the groups, and frees the sums. */
void soft_end(SoftSums *sums, Scores *s);
#endif
