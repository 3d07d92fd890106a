/* session.h: the model that generate has opened and how it answers, for each of the things it does (chat.c, draw.c, batch.c). */
#ifndef GENLLAVA_EVAL_SESSION_H
#define GENLLAVA_EVAL_SESSION_H

#include <stdio.h>

#include "train/infer/painter.h"

typedef struct Session {
    Answerer *answerer;
    Painter *painter;   /* NULL: no pictures are drawn … */
    const char *absent; /* … and why, for a sentence */
    RecordText system;  /* what the model is told first; none: the template's own text */
    Sampling sampling;
    uint64_t seed; /* of pictures */
    bool captions; /* pictures are drawn of captions, past the language model */
    FILE *results; /* answers, names of pictures */
} Session;
#endif
