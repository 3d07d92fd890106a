/* drawing.h: the half of a model that draws: generation head and Stable Diffusion, files that are copied. Called by to_parts.c and
 * to_diffusers.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_DRAWING_H
#define GENLLAVA_TOOLS_CONVERT_DRAWING_H

#include "tools/convert/model.h"

/* Writes FOLDER/gen_head.safetensors and gen_head_config.json where the model has a head; and with `base` FOLDER/diffusion whole, else
 * FOLDER/unet alone where it was trained: a first convolution that was trained stands in its place. */
MUST_USE Status drawing_write(const Model *m, const char *folder, bool base);
/* Whether a UNet, or its first convolution, was trained. */
bool drawing_trained_unet(const Model *m);
#endif
