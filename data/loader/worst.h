/* worst.h: the largest passes of a run. Memory grows with every measure of a pass, at rates that differ from model to model: each pass that
 * no other equals or exceeds in all measures at once may be the one that needs most. */
#ifndef GENLLAVA_DATA_LOADER_WORST_H
#define GENLLAVA_DATA_LOADER_WORST_H

#include <stdint.h>

/* All that the memory of a pass may depend on: a model takes no more for one whose measures are all as large or smaller, wherever its
 * segments begin. The plan of a run's memory knows no more. */
typedef struct PassShape {
    int32_t tokens, segments, images, labels, max_segment;
    int32_t generate, edit;                                /* target images of rows of these tasks */
    int32_t target_pictures, source_pictures, target_size; /* as in Batch */
} PassShape;

enum { WORST_MOST = 256 };
typedef struct WorstPasses {
    PassShape list[WORST_MOST];
    int n;
} WorstPasses;
/* A pass of the run. Beyond WORST_MOST candidates the last one is no pass, but the largest of every measure of all the rest. */
void worst_add(WorstPasses *w, const PassShape *s);
/* One candidate takes the place of all: the largest of every measure of them and s. */
void worst_merge(WorstPasses *w, const PassShape *s);
#endif
