/* fp8.h: frozen weights as operands of 8 bits (kernels/ops/fp8.h), for model.llm.multiply = fp8.
 *
 * The weights of some linears of the same input are one matrix W [out, in], quantized twice, since operands lie along the sum and a row's
 * scale is that of a result's column:
 *      W8  [out, in], a scale for each output:  y  = x8·W8ᵀ
 *      W8T [in, out], a scale for each input:   dx = dy8·W8Tᵀ
 * x and dy are quantized row by row right before their product, a row of dy over all of the linears. Adapters stay as they are: u·Bᵀ and
 * du·A are added in the compute type. Where nothing is learned there is no W8T.
 * A weight gets its values in memory that lasts until the last of those in its matrix has them (params.c): no more than one such matrix is
 * there as numbers. What is read from a Param afterwards is W8 times its scales. The Params own it. */
#ifndef GENLLAVA_TRAIN_NN_FP8_H
#define GENLLAVA_TRAIN_NN_FP8_H

#include "train/nn/params.h"

typedef struct Linear Linear;

typedef struct Fp8 {
    struct Fp8 *next;
    Linear *lin; /* [n] */
    int n;
    int64_t out, in;
    uint8_t *code, *code_t;
    float *scale, *scale_t;
    void *numbers;        /* W, while some of the weights have no values; NULL: none has, or all have had them */
    DType type;           /* of the numbers */
    unsigned have_values; /* a bit for each linear */
} Fp8;

/* lin[0 … n-1], which live as long as the Params, are frozen and have no bias; their weights have no values yet. */
MUST_USE Status fp8_declare(Params *p, Linear *lin, int n);
/* For params.c: gives q, of a declared matrix, memory for values of a type, the same for all weights of the matrix; and ends that when all
 * of those have them. */
MUST_USE Status fp8_begin(Params *p, Param *q, DType type);
MUST_USE Status fp8_end(Params *p, Param *q);
#endif
