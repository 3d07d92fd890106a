/* config_keys.h: keys that transformers writes into every model's config.json. Its readers (mistral.c, siglip.c) add those of the class. */
#ifndef GENLLAVA_TRAIN_MODELS_CONFIG_KEYS_H
#define GENLLAVA_TRAIN_MODELS_CONFIG_KEYS_H

#include "data/formats/json_fields.h"

extern const FieldRule CONFIG_RULES[];
#endif
