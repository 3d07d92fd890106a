/* extra_rows.h: rows of embeddings and head for tokens that exist in an export alone: the mean of the base's rows, which greedy decoding
 * never chooses. Called by to_hf_llava.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_EXTRA_ROWS_H
#define GENLLAVA_TOOLS_CONVERT_EXTRA_ROWS_H

#include "tools/convert/model.h"

/* *out: `table` of m->whole with n rows more, each the mean of its first V rows in f32. It is m's, as long as m is open. */
MUST_USE Status extra_rows_add(Model *m, const Stored *table, int64_t n, Stored *out);
#endif
