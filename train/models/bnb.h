/* bnb.h: language models whose linears bitsandbytes has quantised, as transformers saves them: what config.json says of it, and a matrix in
 * codes (train/nn/coded.h) from its tensors. NF4 in blocks of 64, with scales in f32 or quantised once more, and int8; other formats are
 * refused by name. Called by mistral.c and weights.c. */
#ifndef GENLLAVA_TRAIN_MODELS_BNB_H
#define GENLLAVA_TRAIN_MODELS_BNB_H

#include "data/formats/json_fields.h"
#include "data/formats/safetensors.h"
#include "train/nn/params.h"

/* The format that quantization_config of an object names; CODES_NONE where it has none. */
CodeFormat bnb_format(JsonFields *f, const Json *object);
/* Sets q, which is held in codes, from the tensor `found`, which is of no float type, and those that belong to it; used: of st's tensors,
 * marked for each. */
MUST_USE Status bnb_load(const SafeTensors *st, bool *used, Params *p, Param *q, const StTensor *found);
#endif
