/* prompts.h: prompts that the text encoder cuts. Called by setup.c before a run and by a dry run. */
#ifndef GENLLAVA_TRAIN_PROMPTS_H
#define GENLLAVA_TRAIN_PROMPTS_H

#include "data/loader/loader.h"
#include "train/config/config.h"

/* A warning where rows whose loss compares with their prompts have longer ones than `length`, the tokens that the text encoder of
 * model.diffusion.path takes: how many, and which is the first. Without the folder of its tokenizer, which a run needs that encodes prompts
 * itself, nothing is said. */
MUST_USE Status prompts_say_cut(const Loader *ld, const RunConfig *cfg, int32_t length);
#endif
