/* painter.h: what is asked for becomes a picture in a file: the context of a question, the picture to edit, drawing, a PNG that says how it
 * was made. Called by generate and by samples of a run. */
#ifndef GENLLAVA_TRAIN_INFER_PAINTER_H
#define GENLLAVA_TRAIN_INFER_PAINTER_H

#include "data/formats/rows.h"
#include "train/infer/answer.h"
#include "train/infer/draw.h"

typedef struct Painter Painter;

/* A picture to be drawn. */
typedef struct Picture {
    Task task;                 /* TASK_GENERATE or TASK_EDIT */
    RecordText prompt;         /* what was asked for, for the file */
    const float *context;      /* [queries,C]; NULL: the question's */
    const Question *question;  /* may be NULL with a context */
    const char *caption;       /* with cfg->captions, in place of the question */
    const char *root, *source; /* file of the picture to edit, as picture_load takes it; NULL: none … */
    const uint8_t *pixels;     /* … or what painter_source gave for it */
    uint64_t seed, index;      /* index: separates the noise of the pictures of a batch */
    int64_t grid;              /* from 2 on: so many pictures of the seeds seed, seed+1, … on one sheet */
} Picture;

/* Borrows what answers, a model that was opened with cfg->draws. how: seed and index are a picture's own. checkpoint: as files name it. */
MUST_USE Status painter_open(Painter **out, Answerer *a, const RunConfig *cfg, const DrawOptions *how, const char *checkpoint);
void painter_close(Painter **p); /* NULL is fine */
/* Reads a picture to edit as the diffusion model is to see it: [S,S,3], S = model.diffusion.size; mem_free. */
MUST_USE Status painter_source(const RunConfig *cfg, const char *root, const char *path, uint8_t **pixels);
/* image_free */
MUST_USE Status painter_draw(Painter *p, const Picture *what, Image *picture);
/* A PNG with texts: prompt, seed, sampler, steps, guidance, of edits image_guidance or strength where they count, checkpoint; with
 * cfg->captions the caption as prompt, and in place of the checkpoint text_encoder, the name of the folder that read it. */
MUST_USE Status painter_save(const Painter *p, const Picture *what, const Image *picture, const char *path);
/* Why this run's settings do not draw, NULL where they do: no model.diffusion.path, or a folder without a part that draws. */
const char *painter_absent(const RunConfig *cfg);
/* Whether a row of a file of questions asks for a picture: has "draw" or "edit", or another task than understand. */
MUST_USE Status painter_asked(const char *file, RowsForm form, bool *asked);
#endif
