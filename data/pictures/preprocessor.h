/* preprocessor.h: how a vision folder prepares its pictures, and the sizes of its config.json that data needs. */
#ifndef GENLLAVA_DATA_PICTURES_PREPROCESSOR_H
#define GENLLAVA_DATA_PICTURES_PREPROCESSOR_H

#include "data/formats/json_fields.h"
#include "data/pictures/image.h"

/* The settings of the tower in a vision folder's config.json: the whole document, or what a whole model (SigLIP, CLIP, LLaVA) has under
 * vision_config. */
typedef struct TowerSettings {
    const Json *object;
    const char *type; /* its model_type, "siglip_vision_model" or "clip_vision_model"; other values are the caller's to refuse */
    bool clip, nested;
} TowerSettings;
TowerSettings preprocessor_tower(JsonFields *config);

typedef struct Preprocessor {
    ImagePrep prep; /* size, filter, fill = int(mean·255); pad as the run's aspect says; else a CLIP processor's own resize and crop */
    double rescale, mean[3], std[3];
    int32_t patch;   /* patch_size of the tower */
    int32_t patches; /* (height/patch)·(width/patch) */
} Preprocessor;
/* The file that says it: processor_config.json with an image_processor in it, as transformers 5 writes, or else preprocessor_config.json;
 * NULL: there is none. */
const char *preprocessor_file(const char *vision_folder);
extern const FieldClass PREPROCESSOR_FIELDS; /* its keys */
/* Whatever would make other pictures is refused by name. */
MUST_USE Status preprocessor_load(Preprocessor *p, const char *vision_folder, bool pad);
#endif
