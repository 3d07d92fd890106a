/* lpips.h: LPIPS (Zhang et al. 2018), version 0.1 with AlexNet: how different two pictures look to a network. In f32, sums in double.
 * Called by `evaluate pixels` and by the benchmarks of drawing and editing. */
#ifndef GENLLAVA_EVAL_FEATURES_LPIPS_H
#define GENLLAVA_EVAL_FEATURES_LPIPS_H

#include "data/pictures/image.h"
#include "train/config/config.h"

typedef struct Lpips Lpips;

/* file: safetensors of the state of the lpips package's LPIPS(net="alex"). ERR_MISSING, ERR_DATA, ERR_NOMEM, ERR_DEVICE. */
MUST_USE Status lpips_open(Lpips **out, const char *file, DeviceChoice device);
void lpips_close(Lpips **l); /* NULL is fine */
/* Of picture `a` and its goal `b`; a takes b's size first (Pillow's bicubic). ERR_DATA for a side below 31 pixels. */
MUST_USE Status lpips_pair(Lpips *l, const Image *a, const Image *b, double *distance);
/* The same of two files. */
MUST_USE Status lpips_files(Lpips *l, const char *a, const char *b, double *distance);
#endif
