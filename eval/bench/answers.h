/* answers.h: the answers to a benchmark's questions, from LLaVA's answer files, found by key. */
#ifndef GENLLAVA_EVAL_BENCH_ANSWERS_H
#define GENLLAVA_EVAL_BENCH_ANSWERS_H

#include "data/formats/json.h"
#include "eval/bench/span.h"

typedef struct Answers Answers;
typedef Status (*AnswerKey)(Pool *pool, const Json *row, Span *key);

/* Reads {"question_id", "prompt", "text", ...} a line, over several files ("-": standard input). key NULL: the id alone, as text. Of
 * several answers to a key the last counts. A torn last line is left out and told; any other line that is no JSON object with an id and a
 * text "text" is ERR_DATA, FILE:LINE. */
MUST_USE Status answers_read(Answers **out, const char *const *files, int n, AnswerKey key);
/* Lines of a batch's results ({"custom_id", "response"…}); failed ones are as if not there. */
MUST_USE Status answers_read_replies(Answers **out, const char *const *files, int n);
void answers_free(Answers **a);
/* The text of the answer to a question; false: there is none. Marks it as known. */
bool answers_find(Answers *a, Span key, Span *text);
/* These answer the first questions alone (BenchData.limit), or are replies about them: a question without an answer was not asked, unless
 * answers_expect has named it. */
void answers_limit(Answers *a);
/* This question was asked. *missing: it has no answer. */
MUST_USE Status answers_expect(Answers *a, Span key, bool *missing);
/* Whether a question leaves the score as it is, for it was not asked. found: what answers_find said of it just now. */
bool answers_not_asked(const Answers *a, bool found);
/* What the answers say themselves: "metadata": {ANSWER_NO_PICTURE: true} of one whose picture could not be read. */
#define ANSWER_NO_PICTURE "no_picture"
bool answer_has_no_picture(const Json *row);
int64_t answers_without_picture(const Answers *a);
/* Whether so many of n are more than a few percent. */
bool answers_lack_pictures(int64_t n_without, int64_t n);
/* Answers over which a later one to the same question counts. */
int64_t answers_duplicate(const Answers *a);
/* ERR_DATA naming the first answer that no answers_find asked for, with its FILE:LINE. */
MUST_USE Status answers_all_known(const Answers *a);
#endif
