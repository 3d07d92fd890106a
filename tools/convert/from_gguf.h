/* from_gguf.h: reads model.gguf and mmproj.gguf back, to verify them. Row "gguf" of convert.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_FROM_GGUF_H
#define GENLLAVA_TOOLS_CONVERT_FROM_GGUF_H

#include "tools/convert/model.h"

/* What FOLDER holds, as a model with the settings of m, which those of the files must be (ERR_INTERNAL). */
MUST_USE Status from_gguf(Model *out, const Model *m, const char *folder);
#endif
