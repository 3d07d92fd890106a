/* generation.h: what a language model's folder says of generating: the tokens that end an answer, and settings that other programs would
 * follow. Called by infer/answer.c; the keys are also those of older config.json. */
#ifndef GENLLAVA_TRAIN_MODELS_GENERATION_H
#define GENLLAVA_TRAIN_MODELS_GENERATION_H

#include "data/formats/json_fields.h"

extern const FieldRule GENERATION_RULES[]; /* the keys of transformers' GenerationConfig, harmless where greedy answers stay the same */

enum { END_TOKENS_MAX = 64 };
typedef struct EndTokens {
    int32_t id[END_TOKENS_MAX];
    int n;
} EndTokens;
/* Adds eos_token_id of config.json and generation_config.json, numbers or lists of them. warn: of each setting that would give other
 * answers and is not followed. */
MUST_USE Status generation_read(EndTokens *e, const char *folder, bool warn);
bool generation_ends_at(const EndTokens *e, int32_t id);
#endif
