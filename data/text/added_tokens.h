/* added_tokens.h: the tokens that a model's folder adds to its vocabulary, as Hugging Face writes them. `convert` asks, for models that
 * come from elsewhere. */
#ifndef GENLLAVA_DATA_TEXT_ADDED_TOKENS_H
#define GENLLAVA_DATA_TEXT_ADDED_TOKENS_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct AddedToken {
    char *text;
    int32_t id;
} AddedToken;

typedef struct AddedTokens {
    AddedToken *item; /* by rising id; each id and each text once */
    int32_t n;
} AddedTokens;

/* What added_tokens.json ({text: id}) and the added_tokens of tokenizer.json say together, the latter's control pieces ("<s>") included; a
 * folder without these files has none. Two ids of one text, or two texts of one id, are an error. */
MUST_USE Status added_tokens_read(AddedTokens *out, const char *folder);
void added_tokens_free(AddedTokens *a);
#endif
