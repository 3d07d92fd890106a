/* dequantize.c: matrices from their codes, as ops/dequantize.h defines it. */
#include "kernels/ref/real.h"

Status REF_NAME(dequantize)(KernelCtx *ctx, const Dequantize *a)
{
    (void)ctx;
    TRY(check_dequantize(a));
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++)
            put(a->y, a->y_type, i * a->ldy + j, codes_value(a->format, a->codes, a->scales, a->cols, (a->first + i) * a->cols + j));
    return OK;
}
