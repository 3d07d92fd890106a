/* token_rows.h: the added rows of embed_tokens and lm_head as compact blocks [R,D]; row i has id V+i. Spec: model.md 1.7, 4.7. */
#ifndef GENLLAVA_TRAIN_MODELS_TOKEN_ROWS_H
#define GENLLAVA_TRAIN_MODELS_TOKEN_ROWS_H

#include "train/config/config.h"
#include "train/models/genllava.h"

typedef struct TokenRows {
    int64_t n, visual;   /* R; the last `visual` rows are [IMG] tokens */
    Param *embed, *head; /* [R,D] each, also when the model ties its embeddings; NULL when R is 0 */
    bool renorm;         /* after every step */
    double norms[2];     /* Σ of the row norms of a frozen base matrix (embed, head); 0: not summed yet */
} TokenRows;

/* How many rows cfg adds: task tokens that are set, then image tokens. */
int64_t token_rows_count(const RunConfig *cfg);
/* The part "tokens" (parts.h). */
MUST_USE Status token_rows_declare(GenLlava *g, const RunConfig *cfg);
/* Mean of the old rows plus noise of 0.02 of their root mean square. The language model's values must be there. */
MUST_USE Status token_rows_draw(GenLlava *g, uint64_t seed);
/* Writes FOLDER/token_rows.json: text to id. */
MUST_USE Status token_rows_describe(const GenLlava *g, const RunConfig *cfg, const char *folder);
/* GILL's renormalisation, where model.tokens.renorm asks for it: every [IMG] row gets the mean norm of all other rows of its matrix. */
MUST_USE Status token_rows_updated(GenLlava *g);
#endif
