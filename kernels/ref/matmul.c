/* matmul.c: matmul and column_sum as ops/matmul.h defines them, in plain loops. */
#include "kernels/ref/real.h"

Status REF_NAME(matmul)(KernelCtx *ctx, const Matmul *a)
{
    (void)ctx;
    TRY(check_matmul(a));
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < a->n; j++) {
            real sum = 0;
            for (int64_t l = 0; l < a->k; l++)
                sum += get(a->a, a->a_type, a->a_trans ? l * a->lda + i : i * a->lda + l) *
                       get(a->b, a->b_type, a->b_trans ? j * a->ldb + l : l * a->ldb + j);
            real c = (real)a->alpha * sum;
            for (int64_t l = 0; l < a->k2; l++)
                c += get(a->a2, a->a_type, i * a->lda2 + l) * get(a->b2, a->b2_type, a->b_trans ? j * a->ldb2 + l : l * a->ldb2 + j);
            if (a->bias)
                c += get(a->bias, a->bias_type, j);
            if (a->add)
                c += get(a->add, a->c_type, i * a->ldc + j);
            put_or_add(a->c, a->c_type, i * a->ldc + j, c, a->accumulate);
        }
    return OK;
}

Status REF_NAME(column_sum)(KernelCtx *ctx, const ColumnSum *a)
{
    (void)ctx;
    TRY(check_column_sum(a));
    for (int64_t j = 0; j < a->cols; j++) {
        real sum = 0;
        for (int64_t i = 0; i < a->rows; i++)
            sum += get(a->x, a->x_type, i * a->ldx + j);
        put_or_add(a->out, a->out_type, j, sum, a->accumulate);
    }
    return OK;
}
