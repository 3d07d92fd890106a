/* fp8.c: quantize_rows and matmul_fp8 as ops/fp8.h defines them, in plain loops. The quotients are f32 in both compilations. */
#include "kernels/ref/real.h"

static float element(const QuantizeRows *a, int64_t i, int64_t j)
{
    return (float)get(a->x, a->x_type, a->transposed ? j * a->ldx + i : i * a->ldx + j);
}

Status REF_NAME(quantize_rows)(KernelCtx *ctx, const QuantizeRows *a)
{
    (void)ctx;
    TRY(check_quantize_rows(a));
    for (int64_t i = 0; i < a->rows; i++) {
        float largest = 0;
        for (int64_t j = 0; j < a->cols; j++) {
            float magnitude = fabs(element(a, i, j));
            largest = magnitude > largest || isnan(magnitude) ? (isfinite(magnitude) ? magnitude : INFINITY) : largest;
        }
        a->scale[i] = fp8_row_scale(largest);
        float factor = fp8_row_factor(largest);
        for (int64_t j = 0; j < a->cols; j++)
            a->code[i * a->cols + j] = factor == 0 ? 0 : f32_to_fp8(element(a, i, j) * factor);
    }
    return OK;
}

Status REF_NAME(matmul_fp8)(KernelCtx *ctx, const MatmulFp8 *a)
{
    (void)ctx;
    TRY(check_matmul_fp8(a));
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < a->n; j++) {
            real sum = 0;
            for (int64_t l = 0; l < a->k; l++)
                sum += (real)fp8_to_f32(a->a[i * a->k + l]) * (real)fp8_to_f32(a->b[j * a->k + l]);
            real c = (real)a->a_scale[i] * (real)a->b_scale[j] * sum;
            if (a->add)
                c += get(a->add, a->c_type, i * a->ldc + j);
            put_or_add(a->c, a->c_type, i * a->ldc + j, c, a->accumulate);
        }
    return OK;
}
