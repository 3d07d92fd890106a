/* folders.h: folders and files that formats share: the language model's base, the vision tower, and copies of what is not looked into.
 * Called by the writers (to_*.c). */
#ifndef GENLLAVA_TOOLS_CONVERT_FOLDERS_H
#define GENLLAVA_TOOLS_CONVERT_FOLDERS_H

#include "data/formats/json_write.h"
#include "tools/convert/out.h"
#include "tools/convert/to.h"

/* Adds the stored tensors whose names begin so, under these names and in the types that they have, or in `type` (N_DTYPES: as they are).
 * cut: so much of the beginning is left out there. */
MUST_USE Status folder_add(OutList *l, const Model *m, const char *beginning, size_t cut, DType type);
/* Copies a file of a folder where it is there. */
MUST_USE Status folder_copy_file(const char *from, const char *to, const char *name);
/* Copies a folder with all that lies in it, but for the names in `but` at its top (ends with NULL). Links are followed, what is neither a
 * file nor a folder is ERR_DATA. */
MUST_USE Status folder_copy(const char *from, const char *to, const char *const *but);
/* The vision tower as a folder of its own: config.json, how pictures are prepared, weights. type: N_DTYPES: as stored. */
MUST_USE Status folder_write_vision(const Model *m, const char *folder, DType type, int64_t max_shard);
/* How many layers the tower's weights hold: a little base, or one that was trained, has none behind its features. Which layer these come
 * from, so counted; of the last one from the front, as -1 means the last block here and something else in some versions. */
int64_t folder_vision_layers(const Model *m);
int64_t folder_vision_layer(const Model *m);
/* The tower's norm behind the last block, which no feature layer sees but loaders miss, where the model has none. */
MUST_USE Status folder_add_last_norm(OutList *l, const Model *m, const char *before, DType type);
/* What settings of Hugging Face call a type: "bfloat16", …. */
const char *folder_type_name(DType type);
/* The type that the settings of weights like this one say that they have, where they say it. */
void folder_tell_type(cJSON *config, DType type);
/* PATH of FOLDER/NAME, made. */
MUST_USE Status folder_make(char path[PATH_MAX], const char *folder, const char *name);
#endif
