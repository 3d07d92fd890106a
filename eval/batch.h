/* batch.h: answers a file of questions. */
#ifndef GENLLAVA_EVAL_BATCH_H
#define GENLLAVA_EVAL_BATCH_H

#include "eval/answer.h"

/* file ("-": standard input): a JSON object a line, {"ask": text, "image": path or list of paths, …}; relative paths start at the file's folder. Writes
 * out_dir/answers.jsonl, the same objects with "answer" added, in order; the file appears whole or not at all. */
MUST_USE Status batch_answer(Answerer *a, const char *file, const char *out_dir, const Sampling *s);
#endif
