/* suite_line.h: a benchmark of a suite, its answers in a folder, and its score. Called by evaluate --suite and by what asks a suite while a
 * run trains. */
#ifndef GENLLAVA_EVAL_SUITE_LINE_H
#define GENLLAVA_EVAL_SUITE_LINE_H

#include <limits.h>

#include "eval/ask_drawings.h"
#include "eval/bench/commands.h"
#include "eval/suite_file.h"
#include "train/dist/dist.h"
#include "train/infer/answer.h"

typedef struct SuiteLine {
    const SuiteEntry *entry;
    char name[NAME_MAX + 1]; /* BENCH, or BENCH-SPLIT where the split is not the usual one */
    char answers[PATH_MAX], requests[PATH_MAX];
    Scores scores;
    int64_t n_duplicate;
    bool whole;        /* answers or drawings are there, so nothing is asked */
    bool judged_later; /* its judge has not replied: no score */
} SuiteLine;

/* Names its files in `folder`: NAME.jsonl and NAME.requests.jsonl; of a limited number of questions NAME-first-N. Drawings are in a folder,
 * which has no ending. */
void suite_line_place(SuiteLine *l, const SuiteEntry *e, const char *folder);
/* Asks its questions, unless the answers are whole. model: what they call the model; dist: the ranks that share them, which all make this
 * call, NULL: none. */
MUST_USE Status suite_line_ask(const SuiteLine *l, Answerer *a, const char *model, Dist *dist);
/* Draws its pictures, where it is a benchmark of such; o's out, model and dist are its own. */
MUST_USE Status suite_line_draw(const SuiteLine *l, const DrawingModel *m, DrawingsOptions o, Dist *dist);
/* Scores the answers or drawings, or writes requests for a judge that has not replied. */
MUST_USE Status suite_line_score(SuiteLine *l, BenchFiles replies, bool allow_missing);
/* scores_json, with where its requests are and what differs from published figures. */
MUST_USE Status suite_line_json(cJSON **out, const SuiteLine *l);
/* NaN: it has none. */
double suite_line_number(const SuiteLine *l);
#endif
