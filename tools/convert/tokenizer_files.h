/* tokenizer_files.h: the tokenizer of an exported model as transformers reads it: tokenizer.json, tokenizer.model, added_tokens.json,
 * special_tokens_map.json, tokenizer_config.json, chat_template.jinja. Called by the writers of folders for Hugging Face and LLaVA. */
#ifndef GENLLAVA_TOOLS_CONVERT_TOKENIZER_FILES_H
#define GENLLAVA_TOOLS_CONVERT_TOKENIZER_FILES_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct TokenizerFiles {
    const char *model_path;   /* tokenizer.model of the base; its bytes are kept */
    const char *model_type;   /* of the config.json beside them */
    int32_t vocab_size;       /* V: added tokens have the ids V, V+1, … */
    const char *const *added; /* task tokens and [IMGk]: blanks beside them vanish, as in training */
    int n_added;
    const char *image, *pad;   /* tokens of the export alone, behind these; NULL: none */
    int64_t max_length;        /* tokens of a text */
    const char *chat_template; /* chat_template.h; NULL: none */
} TokenizerFiles;

/* Ids of texts are those of SentencePiece, also beside added tokens; a text that spells one is that token. Every file is synced. Refuses
 * (ERR_DATA) what vocabulary_make refuses, before anything is written. */
MUST_USE Status tokenizer_files_write(const char *folder, const TokenizerFiles *x);
#endif
