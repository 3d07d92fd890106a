/* verify.h: whether what was written answers as the model that it was made of. Called by convert.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_VERIFY_H
#define GENLLAVA_TOOLS_CONVERT_VERIFY_H

#include "tools/convert/probe.h"
#include "tools/convert/to.h"

/* Asks both models the built-in prompts (text, and one with a picture where the writer holds a tower) and those of --probe, and prints the
 * largest difference of logits and how often the likeliest token is the same. ERR_INTERNAL where the difference is beyond that of the
 * type's rounding. */
MUST_USE Status verify_output(Model *m, Model *out, const Writer *w, const WriteOptions *o, const Probe *probe);
#endif
