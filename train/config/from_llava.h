/* from_llava.h: what a command line of LLaVA's train.py means as settings of a run, for people who come from there (train --from-llava). */
#ifndef GENLLAVA_TRAIN_CONFIG_FROM_LLAVA_H
#define GENLLAVA_TRAIN_CONFIG_FROM_LLAVA_H

#include <stdio.h>

#include "kernels/base/status.h"

/* words: the flags, with or without what stands before them ("deepspeed --num_gpus 8 llava/train/train_mem.py"); or one word, a shell
 * script
 * (.sh) that holds such a command. *settings: a JSON file of a run (mem_free). Flags without a counterpart, and what was assumed, are told
 * by log_info. A flag that LLaVA does not have, or a choice that is not computed here: ERR_USAGE. */
MUST_USE Status from_llava(char **settings, const char *const *words, int n);
/* The key that stands for what LLaVA, and transformers, call so ("learning_rate"); NULL: none does. */
const char *from_llava_key(const char *name);
/* The flags and the keys they become, as a table in Markdown, a row a line. */
void from_llava_table(FILE *out);
#endif
