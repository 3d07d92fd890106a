/* preprocessor.h: a vision folder's preprocessor_config.json and the sizes of its config.json that data needs. */
#ifndef GENLLAVA_DATA_PICTURES_PREPROCESSOR_H
#define GENLLAVA_DATA_PICTURES_PREPROCESSOR_H

#include "data/pictures/image.h"

typedef struct Preprocessor {
    ImagePrep prep; /* size, filter, fill = int(mean·255); pad as the run's aspect says */
    double rescale, mean[3], std[3];
    int32_t patch;   /* patch_size of the tower */
    int32_t patches; /* (height/patch)·(width/patch) */
} Preprocessor;
MUST_USE Status preprocessor_load(Preprocessor *p, const char *vision_folder, bool pad);
#endif
