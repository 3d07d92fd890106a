/* foreign.h: weights of others' folders, in whatever of the known ways they spell names. Called by the readers (from_hf.c,
 * from_adapter.c). */
#ifndef GENLLAVA_TOOLS_CONVERT_FOREIGN_H
#define GENLLAVA_TOOLS_CONVERT_FOREIGN_H

#include "tools/convert/model.h"

/* Adds FOLDER/STEM.safetensors or its shards, else FOLDER/TORCH_STEM.bin or its shards, under our names. A tensor that is known by no
 * spelling is ERR_DATA; neither file ERR_MISSING. */
MUST_USE Status foreign_add(Model *m, const char *folder, const char *stem, const char *torch_stem);

/* Our name of a tensor of a language model, a LLaVA model, its tower or its projector, in any spelling of transformers and LLaVA.
 * FOREIGN_LEFT_OUT: it is part of no function (frequencies, pooling head, the text half of a CLIP). */
typedef enum ForeignName { FOREIGN_NAMED, FOREIGN_LEFT_OUT, FOREIGN_UNKNOWN } ForeignName;
ForeignName foreign_name(char ours[WEIGHT_NAME_MAX], const char *theirs);
#endif
