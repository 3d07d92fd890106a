/* adapter.h: what an adapter of PEFT changes besides linears: rows of tokens and whole modules of the base (adapter_rows.c), and scales by
 * patterns (adapter_alpha.c). Called by from_adapter.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_ADAPTER_H
#define GENLLAVA_TOOLS_CONVERT_ADAPTER_H

#include "data/formats/json_fields.h"
#include "data/text/added_tokens.h"
#include "tools/convert/model.h"

/* Beginnings of names, before that of the tensor which is changed: rows of it, or all of it. */
#define ADAPTER_ROWS "adapter_rows."
#define ADAPTER_SAVED "adapter_saved."

typedef struct PeftAdapter {
    Model *m; /* its tensors are sorted */
    const char *folder, *base;
    JsonFields fields;     /* adapter_config.json: */
    int64_t r;             /* r */
    double alpha;          /* lora_alpha */
    double dropout;        /* lora_dropout */
    bool rslora, dora;     /* use_rslora, use_dora */
    const Json *alphas;    /* alpha_pattern; NULL: none */
    const Json *ids;       /* trainable_token_indices; NULL: none */
    int64_t vocab, layers; /* of the base: V, and layers */
} PeftAdapter;

/* lora_alpha of the module of a tensor's key. */
MUST_USE Status adapter_alpha(const PeftAdapter *a, const char *key, double *out);

/* Whether rows of embeddings or head are added or replaced. */
bool adapter_changes_tokens(const PeftAdapter *a);
/* Whether anything of the base is replaced, so that the base alone is another one. */
bool adapter_changes_base(const PeftAdapter *a);
/* The tokens that are added, V, V+1, …: named by the files beside, else "<added_ID>". */
MUST_USE Status adapter_tokens(const PeftAdapter *a, AddedTokens *out);
/* Once the base's tensors are there too: puts rows and modules in the place of the base's, and added rows beside. */
MUST_USE Status adapter_change_base(const PeftAdapter *a);
#endif
