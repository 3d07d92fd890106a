/* clip_tokenizer.h: the byte-level BPE of CLIP's text encoder, as transformers 5 (CLIPTokenizer) has it, from the tokenizer folder of a
 * diffusers model. Spec: model.md 5.1. Called by whoever needs a prompt's ids.
 *
 * Text becomes NFC, its characters lower case one by one (a text-fixing package is never used). Words are runs of letters, single numbers,
 * runs of anything else but white space, and 's 't 're 've 'm 'll 'd. A word's bytes are merged by rank. Tokens that the folder
 * names (start, end, padding, added ones) stand for their ids also where a text spells them. Characters that Unicode got after version 15
 * count as neither letters nor numbers. */
#ifndef GENLLAVA_DATA_TEXT_CLIP_TOKENIZER_H
#define GENLLAVA_DATA_TEXT_CLIP_TOKENIZER_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct ClipTokenizer ClipTokenizer;

typedef struct ClipTokenizerInfo {
    int32_t n_ids; /* every id is below it */
    int32_t start, end, pad;
    int32_t length; /* model_max_length of tokenizer_config.json; 0: it names none */
} ClipTokenizerInfo;

/* Reads vocab.json and merges.txt, or where they are missing tokenizer.json; special_tokens_map.json, tokenizer_config.json and
 * added_tokens.json where they are there. ERR_MISSING, ERR_DATA, ERR_NOMEM. */
MUST_USE Status clip_tokenizer_open(ClipTokenizer **out, const char *folder);
void clip_tokenizer_close(ClipTokenizer **t);
const ClipTokenizerInfo *clip_tokenizer_info(const ClipTokenizer *t);

/* The start token, the text's ids up to length-2 of them, the end token, padding up to `length` (2 at least). Fails for want of memory
 * alone. Thread-safe. */
MUST_USE Status clip_tokenize(const ClipTokenizer *t, const char *text, int32_t length, int32_t *id);
/* How many ids the whole text has, start and end included. */
MUST_USE Status clip_token_count(const ClipTokenizer *t, const char *text, int32_t *n);
#endif
