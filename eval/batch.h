/* batch.h: answers a file of questions. */
#ifndef GENLLAVA_EVAL_BATCH_H
#define GENLLAVA_EVAL_BATCH_H

#include "train/infer/answer.h"

/* file ("-": standard input): a JSON object a line, or one JSON array of them. An object asks {"ask": text, "image": path or list of paths,
 * …} or is a record as rows of a mixture are (LLaVA's "conversations", or the unified "turns"), of which every turn from human is asked,
 * after the questions before it with their given answers; the answer given to it becomes "expected". A byte-order mark is accepted.
 * Relative paths start at image_root or, when that is NULL, at the file's folder. Writes out_dir/answers.jsonl: a line each question, in
 * order: "ask", then what the object holds besides its turns, of a record "turn" (the question's number in it, from 0), then "expected"
 * where known and "answer"; the file appears whole or not at all. A question that cannot be answered is left out and listed in
 * out_dir/bad_rows.jsonl: {"file", "row" (from 0, blank lines not counted), "id", "turn" (absent where the whole row is meant), "path" (its
 * first picture), "message"}. Nothing that can be answered is an error. system: what the model is told first, in place of the template's
 * own text, where the row itself says nothing ("system"). */
MUST_USE Status batch_answer(Answerer *a, const char *file, const char *image_root, const char *out_dir, RecordText system,
                             const Sampling *s);
#endif
