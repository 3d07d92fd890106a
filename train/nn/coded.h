/* coded.h: frozen matrices of linears held in codes of 4 or 8 bits (Param.coded, kernels/ops/dequantize.h).
 *
 * Right before a product the codes become its operand, in scratch memory: the product is the one that a run would compute whose weights
 * were dequantised beforehand, to the bit. What a file holds in other types is quantised while it is read. */
#ifndef GENLLAVA_TRAIN_NN_CODED_H
#define GENLLAVA_TRAIN_NN_CODED_H

#include "train/nn/params.h"

int64_t coded_bytes(const Param *q); /* of codes and scales */
/* Memory for codes and scales, unless it has some; its operand's type is that of the computation. */
MUST_USE Status coded_create(Params *p, Param *q);
/* From host memory: values of any float type, quantised as bitsandbytes would; or codes and scales as they are. */
MUST_USE Status coded_set(Params *p, Param *q, const void *host, DType type);
MUST_USE Status coded_set_codes(Params *p, Param *q, const void *codes, const float *scales);
/* Elements at … at+n-1, dequantised, to host memory. */
MUST_USE Status coded_get(Params *p, const Param *q, int64_t at, int64_t n, float *host);

/* Rows first … first+rows-1 of q, as an operand of type q->t.type. */
static inline Dequantize coded_rows(const Param *q, int64_t first, int64_t rows, void *y, int64_t ldy)
{
    return (Dequantize){.rows = rows,
                        .cols = q->t.shape[1],
                        .first = first,
                        .ldy = ldy,
                        .format = q->coded.format,
                        .y_type = q->t.type,
                        .codes = (const uint8_t *)q->coded.codes,
                        .scales = (const float *)q->coded.scales,
                        .y = y};
}
#endif
