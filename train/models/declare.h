/* declare.h: weights declared under the names of a checkpoint: where names begin, and the usual shapes behind that. Called by the networks
 * (encoder.c, siglip.c, clip_text.c, unet.c, vae.c, gen_head.c). */
#ifndef GENLLAVA_TRAIN_MODELS_DECLARE_H
#define GENLLAVA_TRAIN_MODELS_DECLARE_H

#include "train/models/names.h"
#include "train/nn/ops.h"

typedef struct Declare {
    Params *p;
    const char *ours;           /* before every name, but not in files: "unet."; NULL: nothing */
    char stem[WEIGHT_NAME_MAX]; /* behind it: "down_blocks.0.resnets.1." */
} Declare;

/* The same with a longer stem. */
Declare declare_under(const Declare *d, const char *format, ...) PRINTF_LIKE(2, 3);
/* spec.name is set here; NULL when memory is exhausted (params_create then says so). */
Param *declare_weight(const Declare *d, const char *name, ParamSpec spec);

/* NAME.weight, drawn as ones, and NAME.bias, as zeros. */
void declare_norm(const Declare *d, const char *name, int64_t n, Param **w, Param **b);
/* NAME.weight [out,in], NAME.bias [out]. drawn: uniform in ± these; the others are never drawn. */
Linear declare_linear(const Declare *d, const char *name, int64_t out, int64_t in);
Linear declare_linear_drawn(const Declare *d, const char *name, int64_t out, int64_t in, double weights, double biases);
Linear declare_linear_unbiased(const Declare *d, const char *name, int64_t out, int64_t in);
/* A convolution of 1x1, whose weight has two dimensions more. */
Linear declare_pointwise(const Declare *d, const char *name, int64_t out, int64_t in);
/* Of 3x3; padding: rows above and columns on the left; there is one below and on the right. */
Conv declare_conv(const Declare *d, const char *name, int64_t out, int64_t in, int64_t stride, int64_t padding);

/* Bounds of torch's initial values: Xavier uniform, and 1/√fan_in. */
double declare_xavier(int64_t out, int64_t in);
double declare_from_inputs(int64_t in);
#endif
