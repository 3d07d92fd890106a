/* token_rows.h: the added rows of embed_tokens and lm_head as compact blocks [R,D]; row i has id V+i. Spec: model.md 1.7, 4.7. */
#ifndef GENLLAVA_TRAIN_MODELS_TOKEN_ROWS_H
#define GENLLAVA_TRAIN_MODELS_TOKEN_ROWS_H

#include "train/config/config.h"
#include "train/models/mistral.h"

typedef struct TokenRows {
    int64_t n, visual;    /* R; the last `visual` rows are [IMG] tokens */
    Param *embed, *head;  /* [R,D] each, also when the model ties its embeddings; NULL when R is 0 */
    double norms[2];      /* Σ of the row norms of a frozen base matrix (embed, head); 0: not summed yet */
} TokenRows;

/* How many rows cfg adds: task tokens that are set, then image tokens. */
int64_t token_rows_count(const RunConfig *cfg);
MUST_USE Status token_rows_declare(TokenRows *m, Params *p, const Mistral *llm, const RunConfig *cfg);
/* Mean of the old rows plus noise of 0.02 of their root mean square. The language model's values must be there. */
MUST_USE Status token_rows_draw(TokenRows *m, Params *p, const Mistral *llm, uint64_t seed);
MUST_USE Status token_rows_load(TokenRows *m, Params *p, const char *file);
/* GILL's renormalisation: every [IMG] row gets the mean norm of all other rows of its matrix. */
MUST_USE Status token_rows_renormalise(TokenRows *m, Params *p, const Mistral *llm);
#endif
