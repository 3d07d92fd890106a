/* published.h: scores that others have published (configs/published.json), for the table of a suite. */
#ifndef GENLLAVA_EVAL_PUBLISHED_H
#define GENLLAVA_EVAL_PUBLISHED_H

#include "data/formats/json.h"

MUST_USE Status published_read(JsonDoc **doc);
/* The i-th model, an object with "name" and "source"; NULL behind the last. */
const Json *published_model(const JsonDoc *doc, int i);
/* NaN: it has none. */
double published_score(const Json *model, const char *bench);
#endif
