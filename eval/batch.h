/* batch.h: answers a file of questions. */
#ifndef GENLLAVA_EVAL_BATCH_H
#define GENLLAVA_EVAL_BATCH_H

#include "train/infer/answer.h"

/* file ("-": standard input): a JSON object a line, or one JSON array of them. An object asks {"ask": text, "image": path or list of paths,
 * …} or is a LLaVA record {"image", "conversations": [human, gpt, …], …}, whose first question is asked and whose first answer becomes
 * "expected". A byte-order mark is accepted. Relative paths start at image_root or, when that is NULL, at the file's folder. Writes
 * out_dir/answers.jsonl: "ask", then what the object holds besides its conversations, then "expected" where known and "answer"; in order;
 * the file appears whole or not at all. A row that cannot be answered is left out and listed in out_dir/bad_rows.jsonl: {"file", "row"
 * (from 0, blank lines not counted), "id", "path" (its first picture), "message"}. Nothing that can be answered is an error.
 * system: what the model is told first with every question, in place of the template's own text. */
MUST_USE Status batch_answer(Answerer *a, const char *file, const char *image_root, const char *out_dir, RecordText system,
                             const Sampling *s);
#endif
