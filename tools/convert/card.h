/* card.h: the model card (README.md) of an exported folder. Called by convert.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_CARD_H
#define GENLLAVA_TOOLS_CONVERT_CARD_H

#include "tools/convert/to.h"

/* Writes FOLDER/README.md: what it is and how it is read, the base models, the data and the licenses that its rows name (of shards that are
 * still there), settings that are not the defaults, the last losses. */
MUST_USE Status card_write(const Model *m, const Writer *w, const WriteOptions *o, const char *folder);
#endif
