/* pass_shape.h: a pass of a given shape without data: for measuring memory and time. */
#ifndef GENLLAVA_TRAIN_MEASURE_PASS_SHAPE_H
#define GENLLAVA_TRAIN_MEASURE_PASS_SHAPE_H

#include "data/loader/batch.h"
#include "data/loader/loader.h"
#include "train/models/genllava.h"

typedef struct MadePass {
    Batch batch;
    int32_t *ints; /* all index arrays */
    float *floats;
    uint8_t *pixels;
    const char **prompts;
} MadePass;

/* The largest pass that the settings allow, for want of data: as many samples as a step has, each with a picture and a short text, or as
 * long as its tokens allow, each with a target where the model draws. */
PassShape pass_fullest(const RunConfig *cfg, const ModelSizes *sizes);
/* A pass that the model takes: black pictures first, then ids of the base vocabulary; labels and targets spread evenly. */
MUST_USE Status pass_make(MadePass *m, const PassShape *p, const ModelSizes *sizes);
void pass_free(MadePass *m);
#endif
