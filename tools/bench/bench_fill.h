/* bench_fill.h: weights for benchmarks of the real size: one block of normal numbers, drawn once and repeated, in seconds where drawing
 * each weight takes half a minute. For genllava_open_filled; called by bench_step.c and unet_step.c. */
#ifndef GENLLAVA_TOOLS_BENCH_BENCH_FILL_H
#define GENLLAVA_TOOLS_BENCH_BENCH_FILL_H

#include "train/models/genllava.h"

/* Divides no row that a model has, so that neighbouring rows differ. */
enum { BENCH_BLOCK = 1000003 };

typedef struct BenchFill {
    const RunConfig *cfg; /* or NULL */
    float *normal;        /* [BENCH_BLOCK] */
    char *values;         /* the block times `scale` as `type`, over and over: n of them, in memory for `room` */
    int64_t n, room;
    double scale;
    DType type;
} BenchFill;

/* type: of frozen matrices. cfg: whose seed it is, and which folders hold no weights; NULL: weights are as they were declared. */
MUST_USE Status bench_fill_make(BenchFill *b, const RunConfig *cfg, DType type);
void bench_fill_free(BenchFill *b); /* zeroed is fine */
/* ParamFill.set: frozen matrices from the block, each from a place of its own, as large as their declaration says; what is trained, and
 * vectors, are drawn. A frozen weight whose folder holds none is filled, too: over zeros a device draws less power and is faster. */
MUST_USE Status bench_fill_set(void *fill, Params *p, Param *q);
#endif
