/* batch.h: generate --batch: answers a file of questions, draws and changes pictures. */
#ifndef GENLLAVA_EVAL_BATCH_H
#define GENLLAVA_EVAL_BATCH_H

#include "eval/session.h"

/* file ("-": standard input): a JSON object a line, or one JSON array of them. An object asks {"ask": text, "image": path or list of paths,
 * …}, has "draw" or "edit" in the place of "ask" (what is edited is the first picture), is a question of LLaVA's files ({"question_id",
 * "text", "image"}, whose text is asked), or is a record as rows of a mixture are (LLaVA's "conversations", or the unified "turns"), of
 * which every turn from human is asked, after the questions before it with their given answers; the answer given to it becomes "expected".
 * A byte-order mark is accepted. Relative paths start at image_root or, when that is NULL, at the file's folder. Writes
 * out_dir/answers.jsonl: a line each question, in order: "ask" ("draw", "edit"), then what the object holds besides its turns, of a record
 * "turn" (the question's number in it, from 0), then "expected" where known and "answer"; the file appears whole or not at all. A question
 * of a record of task generate or edit is drawn when it has no given answer, or one with a <gen>; what is drawn has the answer <gen>,
 * nothing expected, and "picture", the name of a PNG in out_dir: the number of the row and, of records of several questions, that of the
 * question. A question that cannot be answered is left out and listed in out_dir/bad_rows.jsonl: {"file", "row" (from 0, blank lines not
 * counted), "id" (or question_id), "turn" (absent where the whole row is meant), "path" (its first picture), "message"}. Nothing that can
 * be answered is an error. The session's system text stands where the row itself says nothing ("system"). */
MUST_USE Status batch_answer(const Session *session, const char *file, const char *image_root, const char *out_dir);
/* Whether a row of the file asks for a picture; of standard input and pipes that is assumed. */
MUST_USE Status batch_draws(const char *file, bool *draws);
#endif
