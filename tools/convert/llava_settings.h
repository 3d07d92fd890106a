/* llava_settings.h: what the config.json of a LLaVA model says of its vision tower and its projector, in the two ways of writing it:
 * transformers' (text_config, vision_config) and LLaVA's own (mm_vision_tower, …). Called by from_hf.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_LLAVA_SETTINGS_H
#define GENLLAVA_TOOLS_CONVERT_LLAVA_SETTINGS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct LlavaSettings {
    bool has_tower;       /* false: a language model, and nothing else is set */
    char tower[PATH_MAX]; /* the folder that holds the tower's settings, and in LLaVA's own layout its weights, too */
    int64_t layer;        /* model.vision.layer */
    bool pad;             /* model.vision.aspect */
    char projector[32];   /* model.projector.type */
} LlavaSettings;

/* ERR_DATA where the model is none of those that are known or computes what ours do not; ERR_MISSING where its tower is not a folder. */
MUST_USE Status llava_settings_read(LlavaSettings *s, const char *folder);
#endif
