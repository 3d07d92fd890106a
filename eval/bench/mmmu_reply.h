/* mmmu_reply.h: what a reply to a question of MMMU answers. Called by mmmu.c. */
#ifndef GENLLAVA_EVAL_BENCH_MMMU_REPLY_H
#define GENLLAVA_EVAL_BENCH_MMMU_REPLY_H

#include "eval/bench/span.h"

/* The letter that a reply chooses among options A, B, …; 0: none can be read (where the authors' script draws one at random). */
char mmmu_letter(Pool *pool, Span reply, Spans options);
/* Whether a free reply gives one of the answers. */
bool mmmu_is_right(Pool *pool, Span reply, Spans answers);
#endif
