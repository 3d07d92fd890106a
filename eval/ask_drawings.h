/* ask_drawings.h: has a model draw the pictures of a benchmark. Called by evaluate. */
#ifndef GENLLAVA_EVAL_ASK_DRAWINGS_H
#define GENLLAVA_EVAL_ASK_DRAWINGS_H

#include "eval/bench/bench.h"
#include "eval/drawing.h"
#include "train/dist/dist.h"
#include "train/infer/painter.h"

typedef struct DrawingsOptions {
    const char *out;     /* the folder of the drawings */
    const char *model;   /* what they call the model */
    const char *request; /* a text with {caption} once, in whose place each prompt is asked; NULL: the prompt alone */
    uint64_t seed;
    int chunk, n_chunks; /* the chunk-th piece of ⌈units/n_chunks⌉, from 1; n_chunks 0: all */
    DrawOptions how;
    Dist *dist; /* the ranks that share the units, each with a model; all make this call. NULL: this process alone */
} DrawingsOptions;

/* drawing_options, for many drawings: a signal stops them. */
DrawOptions ask_drawings_how(const DrawingArgs *d);
/* Before a model is opened: that the benchmark's files are whole, and that drawings can be put there. *whole: all are there. */
MUST_USE Status ask_drawings_check(const Bench *b, const BenchData *d, const DrawingsOptions *o, bool *whole);
/* Draws what is not there yet. A drawing appears whole or not at all, and depends on nothing but its prompt, its pictures and its seed,
 * which is made of o->seed and its id. Beside them lie drawings.jsonl, what was asked for, and how.json, how it was drawn: another model or
 * other settings are ERR_USAGE. What cannot be drawn (a picture is missing) is said and left out. ERR_PREEMPTED after a signal. */
MUST_USE Status bench_draw(const Bench *b, const BenchData *d, Painter *p, const RunConfig *cfg, const DrawingsOptions *o);
#endif
