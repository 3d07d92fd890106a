/* to_mmproj.h: vision tower and projector for llama.cpp, beside the language model. Called by to_gguf.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_TO_MMPROJ_H
#define GENLLAVA_TOOLS_CONVERT_TO_MMPROJ_H

#include "tools/convert/to.h"

/* Whether llama.cpp can hold the tower and the projector; a projector that it cannot is said. A tower of another kind is ERR_DATA. */
MUST_USE Status to_mmproj_check(const Model *m);
bool to_mmproj_fits(const Model *m);
/* Writes mmproj.gguf where they fit. */
MUST_USE Status to_mmproj(Model *m, const WriteOptions *o, const char *path);
#endif
