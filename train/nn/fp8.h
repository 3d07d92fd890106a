/* fp8.h: frozen weights as operands of 8 bits (kernels/ops/fp8.h), for model.llm.multiply = fp8.
 *
 * The weights of some linears of the same input are one matrix W [out, in], quantized twice, since operands lie along the sum and a row's
 * scale is that of a result's column:
 *      W8  [out, in], a scale for each output:  y  = x8·W8ᵀ
 *      W8T [in, out], a scale for each input:   dx = dy8·W8Tᵀ
 * x and dy are quantized row by row right before their product, a row of dy over all of the linears. Adapters stay as they are: u·Bᵀ and
 * du·A are added in the compute type. Where nothing is learned there is no W8T. The weights themselves are given back: what is read from
 * their Param afterwards is W8 times its scales. The Params own it. */
#ifndef GENLLAVA_TRAIN_NN_FP8_H
#define GENLLAVA_TRAIN_NN_FP8_H

#include "train/nn/params.h"

typedef struct Linear Linear;

typedef struct Fp8 {
    struct Fp8 *next;
    int n; /* linears */
    int64_t out, in;
    uint8_t *code, *code_t;
    float *scale, *scale_t;
} Fp8;

/* lin[0 … n-1] are frozen, have no bias, and their weights have values. */
MUST_USE Status fp8_create(Params *p, Linear *lin, int n);
#endif
