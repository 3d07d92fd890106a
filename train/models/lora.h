/* lora.h: adapters on linears of the language model, as PEFT defines and stores them. Spec: model.md 7. */
#ifndef GENLLAVA_TRAIN_MODELS_LORA_H
#define GENLLAVA_TRAIN_MODELS_LORA_H

#include "train/config/config.h"
#include "train/models/mistral.h"

/* Declares A and B of every linear that cfg's targets name (whole parts of the end of its path, as PEFT matches a list). A target that
 * names none is ERR_USAGE. */
MUST_USE Status lora_declare(Mistral *m, Params *p, const RunConfig *cfg);
/* A PEFT folder: its adapter_config.json must agree with cfg in r, alpha, rslora and targets (ERR_USAGE otherwise). */
MUST_USE Status lora_load(Mistral *m, Params *p, const RunConfig *cfg, const char *folder);
MUST_USE Status lora_draw(Mistral *m, Params *p, uint64_t seed);
#endif
