/* merge.h: the language model as one: adapters merged into their linears in f32, added rows behind those of the base. */
#ifndef GENLLAVA_TOOLS_CONVERT_MERGE_H
#define GENLLAVA_TOOLS_CONVERT_MERGE_H

#include "tools/convert/model.h"

/* Fills m->whole, once everything else is there: embed_tokens, the layers, the norm, and a head unless it is that of the embeddings (base
 * and added rows alike). What nothing is added to is the stored tensor itself. Shapes that do not fit are ERR_DATA with both. */
MUST_USE Status merge_model(Model *m);
/* Whether the embeddings are the head too. */
bool merge_ties(const Model *m);
#endif
