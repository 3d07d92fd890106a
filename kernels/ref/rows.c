/* rows.c: gathering, scattering and adding rows as ops/rows.h defines it, in plain loops. */
#include "kernels/ref/real.h"

Status REF_NAME(rows_gather)(KernelCtx *ctx, const RowsGather *a)
{
    (void)ctx;
    TRY(check_rows_gather(a));
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t j = 0; j < a->cols && a->index[i] >= 0; j++)
            put(a->y, a->y_type, i * a->ldy + j, get(a->src, a->src_type, a->index[i] * a->lds + j));
    return OK;
}

Status REF_NAME(rows_scatter)(KernelCtx *ctx, const RowsScatter *a)
{
    (void)ctx;
    TRY(check_rows_scatter(a));
    TRY(check_below("rows_scatter", "index", a->index, a->n, a->n_dst));
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t j = 0; j < a->cols && a->index[i] >= 0; j++)
            put_or_add(a->dst, a->dst_type, a->index[i] * a->ldd + j, get(a->x, a->x_type, i * a->ldx + j), a->accumulate);
    return OK;
}

/* Exactly what the image processor computes, whatever `real` is: pixel·rescale in double, the rest in f32. */
static float pixel_value(const Patchify *a, uint8_t v, int64_t channel)
{
    float scaled = (float)(v * a->rescale);
    return (scaled - (float)a->mean[channel]) / (float)a->std[channel];
}

Status REF_NAME(patchify)(KernelCtx *ctx, const Patchify *a)
{
    (void)ctx;
    TRY(check_patchify(a));
    int64_t P = a->patch, ph = a->height / P, pw = a->width / P, at = 0;
    for (int64_t image = 0; image < a->images; image++)
        for (int64_t patch_y = 0; patch_y < ph; patch_y++)
            for (int64_t patch_x = 0; patch_x < pw; patch_x++)
                for (int64_t channel = 0; channel < 3; channel++)
                    for (int64_t y = patch_y * P; y < (patch_y + 1) * P; y++)
                        for (int64_t x = patch_x * P; x < (patch_x + 1) * P; x++) {
                            uint8_t v = a->pixels[((image * a->height + y) * a->width + x) * 3 + channel];
                            put(a->y, a->act, at++, pixel_value(a, v, channel));
                        }
    return OK;
}

Status REF_NAME(add_rows)(KernelCtx *ctx, const AddRows *a)
{
    (void)ctx;
    TRY(check_add_rows(a));
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++)
            put(a->y, a->act, i * a->cols + j,
                get(a->x, a->act, i * a->cols + j) + get(a->table, a->table_type, i % a->period * a->cols + j));
    return OK;
}

Status REF_NAME(add_rows_bwd)(KernelCtx *ctx, const AddRowsBwd *a)
{
    (void)ctx;
    TRY(check_add_rows_bwd(a));
    for (int64_t p = 0; p < a->period; p++)
        for (int64_t j = 0; j < a->cols; j++) {
            real sum = 0;
            for (int64_t i = p; i < a->rows; i += a->period)
                sum += get(a->dy, a->act, i * a->cols + j);
            put_or_add(a->dtable, a->table_type, p * a->cols + j, sum, a->accumulate);
        }
    return OK;
}
