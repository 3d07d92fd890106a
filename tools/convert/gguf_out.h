/* gguf_out.h: a list of tensors into a GGUF file, in llama.cpp's types. Called by to_gguf.c and to_mmproj.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_GGUF_OUT_H
#define GENLLAVA_TOOLS_CONVERT_GGUF_OUT_H

#include "data/formats/gguf.h"
#include "tools/convert/out.h"
#include "tools/convert/to.h"

/* Writes the tensors of a list behind the metadata that w has. Those of one dimension are F32; q8_0: matrices whose rows are whole blocks
 * are quantised. Closes w, also after an error. */
MUST_USE Status gguf_out_write(GgufWriter *w, const OutList *l, bool q8_0);
/* general.file_type. */
uint32_t gguf_out_file_type(OutType t);
#endif
