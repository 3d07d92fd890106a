/* answer.h: the object that a reply's text holds, and whether its texts are what the recipe asked for (the stages parse, schema and
 * consistency). Called by replies.c. */
#ifndef GENLLAVA_DATA_CURATE_ANSWER_H
#define GENLLAVA_DATA_CURATE_ANSWER_H

#include "data/curate/recipe.h"
#include "data/curate/verdict.h"
#include "data/formats/json.h"

typedef struct AnswerText {
    int key;          /* index among the keys of the recipe's kind */
    const char *text; /* UTF-8, stripped, may hold NUL; the answer's */
    size_t n;
} AnswerText;

/* In the order of the keys, once for each object of a kind with a list. Optional ones may be missing. */
typedef struct Answer {
    JsonDoc *doc;
    AnswerText *texts;
    int n;
} Answer;

/* The object: the whole text; else from the first '{' to its match, prose and fences around it falling away; else that of the text with
 * straight double quotes for curly ones and without commas before '}' and ']'. Then checks its texts; src_prompt: what an edited picture
 * showed before, or NULL. v stays without a reason when all is well. */
MUST_USE Status answer_read(Answer *a, Verdict *v, const Recipe *recipe, const char *src_prompt, const char *text, size_t n);
void answer_free(Answer *a);
/* The text of a key of a kind without a list, or NULL. */
const AnswerText *answer_find(const Answer *a, int key);
/* Where the object that begins at text[0] ends: the bytes up to its closing brace, that included; 0: it does not. */
size_t answer_object_bytes(const char *text, size_t n);
#endif
