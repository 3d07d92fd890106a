/* lora.h: adapters on linears of the language model, as PEFT defines and stores them. Spec: model.md 7. */
#ifndef GENLLAVA_TRAIN_MODELS_LORA_H
#define GENLLAVA_TRAIN_MODELS_LORA_H

#include "data/formats/json_fields.h"
#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/models/names.h"

#define LORA_FILE "adapter_model.safetensors"

/* The part "lora" (parts.h). Declares A and B of every linear that the settings' targets name (whole parts of the end of its path, as PEFT
 * matches a list). A target that names none is ERR_USAGE. */
extern const NameTable LORA_NAMES;
extern const FieldClass LORA_FIELDS; /* of adapter_config.json */
MUST_USE Status lora_declare(GenLlava *g, const RunConfig *cfg);
/* A PEFT folder: its adapter_config.json must agree with cfg in r, alpha, rslora and targets (ERR_USAGE otherwise); what it asks for
 * besides is supported or refused by name (ERR_DATA). */
MUST_USE Status lora_load(GenLlava *g, const RunConfig *cfg, const char *folder);
/* Writes FOLDER/adapter_config.json. */
MUST_USE Status lora_describe(const GenLlava *g, const RunConfig *cfg, const char *folder);
#endif
