/* drawing.h: how a program is told to draw: --steps, --guidance and the others, and whether a run's settings take them. For generate and
 * evaluate. */
#ifndef GENLLAVA_EVAL_DRAWING_H
#define GENLLAVA_EVAL_DRAWING_H

#include "eval/opening.h"
#include "train/infer/painter.h"

/* Numbers that were not given are below what can be given. */
enum { NOT_GIVEN = -1 };

typedef struct DrawingArgs {
    int64_t steps;
    double guidance, image_guidance, strength;
    int sampler;
    bool captions;
} DrawingArgs;
#define DRAWING_NOT_GIVEN \
    {.steps = NOT_GIVEN, .guidance = NOT_GIVEN, .image_guidance = NOT_GIVEN, .strength = NOT_GIVEN, .sampler = NOT_GIVEN}

extern const char *const DRAWING_SAMPLERS[];

/* Rows of a program's options, for DrawingArgs `d`. */
#define DRAWING_OPTIONS(d)                                                                                                               \
    {"--steps", CLI_INT, &(d).steps, "N", "steps of the sampler (default 50)", 1, 1000, NULL, false},                                    \
        {"--guidance", CLI_REAL, &(d).guidance, "W", "how much the text counts (default 7.5; up to 1: without guidance)", 0, 1e6, NULL,   \
         false},                                                                                                                         \
        {"--image-guidance", CLI_REAL, &(d).image_guidance, "W",                                                                         \
         "how much the picture to change counts, where the UNet sees it (default 1.5)", 0, 1e6, NULL, false},                            \
        {"--strength", CLI_REAL, &(d).strength, "S",                                                                                     \
         "with model.diffusion.edit \"sdedit\": how much of the picture is drawn anew (default 0.8)", 1e-9, 1, NULL, false},             \
        {"--sampler", CLI_CHOICE, &(d).sampler, "NAME", "ddim, pndm or dpm++ (default: as the scheduler of model.diffusion.path says)",   \
         0, 0, DRAWING_SAMPLERS, false},                                                                                                 \
        {"--captions", CLI_FLAG, &(d).captions, NULL,                                                                                    \
         "for comparison: what is drawn is what Stable Diffusion's own text encoder makes of the text, past the language model; of a "   \
         "record, of its sd.prompt, else sd.instruction", 0, 0, NULL, false}

/* The defaults where nothing else was given; progress is logged. */
DrawOptions drawing_options(const DrawingArgs *d);
/* flag: what asks for pictures, for messages; absent: why none can be drawn (painter_absent). ERR_MISSING, ERR_USAGE: this run's settings
 * do not draw, or do not take what was given. */
MUST_USE Status drawing_check(const DrawingArgs *d, const RunConfig *cfg, const char *program, const char *flag, const char *absent);
/* Opens a model that draws, and what draws with it: opening_read, drawing_check, then both. flag: as for drawing_check; how: what
 * drawing_options says, and more. drawing_close also after an error. */
typedef struct DrawingModel {
    RunConfig cfg;
    char checkpoint[PATH_MAX], name[PATH_MAX];
    Answerer *answerer;
    Painter *painter;
} DrawingModel;
MUST_USE Status drawing_open(DrawingModel *m, const Opening *o, const DrawingArgs *d, const char *flag, const DrawOptions *how);
void drawing_close(DrawingModel *m); /* zeroed is fine */
/* Warns where the head that says what to draw has learned nothing. trained: the head comes from a checkpoint. */
void drawing_warn_random(const RunConfig *cfg, bool trained);
#endif
