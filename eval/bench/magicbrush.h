/* magicbrush.h: where MagicBrush's files lie, and what it asks for (magicbrush_ask.c). Called by magicbrush.c. */
#ifndef GENLLAVA_EVAL_BENCH_MAGICBRUSH_H
#define GENLLAVA_EVAL_BENCH_MAGICBRUSH_H

#include "eval/bench/bench.h"

/* DIR/images where edit_sessions.json lies beside it, else DIR itself: the folder of ID/…, as a path below DIR ("images/" or ""). */
const char *magicbrush_images(const BenchData *d);
MUST_USE Status magicbrush_drawings(const BenchData *d, DrawingVisit visit, void *arg);
#endif
