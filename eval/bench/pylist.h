/* pylist.h: a list of texts as Python writes it ("['a', \"b\", 'c\\n']"). Called by mmmu.c. */
#ifndef GENLLAVA_EVAL_BENCH_PYLIST_H
#define GENLLAVA_EVAL_BENCH_PYLIST_H

#include "eval/bench/span.h"

/* As ast.literal_eval reads it; false: it is none, or holds other things than texts. */
bool py_list(Pool *pool, Span text, Spans *out);
#endif
