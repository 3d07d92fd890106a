/* golden.h: what tests of benchmarks share: a fixture tests/fixtures/bench/NAME (official files, answers.jsonl, scores.txt with a key and a
 * value a line, as the script in tests/oracle wrote them), scored and held against its numbers. */
#ifndef GENLLAVA_TESTS_EVAL_BENCH_GOLDEN_H
#define GENLLAVA_TESTS_EVAL_BENCH_GOLDEN_H

#include <limits.h>

#include "eval/bench/bench.h"
#include "tests/harness.h"

/* The folder tests/fixtures/NAME, copied into the folder of this test, so that it may be changed. */
void golden_copy(const char *name);
/* That of a benchmark. Returns the path of the copy. */
const char *golden_world(const char *bench);
/* PATH/NAME of that folder. */
const char *golden_path(const char *name);
void golden_write(const char *name, const char *text);

/* Scores answers.jsonl of the folder, or replies.jsonl of a benchmark that is scored by its judge alone; the caller frees the scores.
 * split: NULL: the benchmark's own. */
MUST_USE Status golden_score(Scores *s, const char *bench, const char *split);
/* Every number of scores.txt is there, and no other; "parse/KEY" is a count. */
void golden_check(const Scores *s);
double golden_value(const Scores *s, const char *key);
/* golden_world, golden_score and golden_check. */
void golden(const char *bench);

/* Each of these files cut in half is ERR_DATA, and the message names it. Ends with NULL. */
void golden_halves(const char *bench, const char *const *files);
/* Writes the submission and holds it against a file of the fixture. */
void golden_submission(const char *bench, const char *split, const char *wanted);

/* The questions, one after the other, as "ID|PROMPT|SUFFIX|IMAGE\n". */
MUST_USE Status golden_questions(char *out, size_t room, const char *bench, const char *split);
#endif
