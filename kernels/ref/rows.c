/* rows.c: gathering, scattering, adding and repeating rows as ops/rows.h defines it, in plain loops. */
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

Status REF_NAME(upsample_fwd)(KernelCtx *ctx, const UpsampleFwd *a)
{
    (void)ctx;
    TRY(check_upsample_fwd(a));
    for (int64_t b = 0; b < a->to.images; b++)
        for (int64_t i = 0; i < a->to.height; i++)
            for (int64_t j = 0; j < a->to.width; j++) {
                int64_t y = (b * a->to.height + i) * a->to.width + j, row = b * a->from.height + i * a->from.height / a->to.height;
                int64_t x = row * a->from.width + j * a->from.width / a->to.width;
                for (int64_t k = 0; k < a->cols; k++)
                    put(a->y, a->act, y * a->cols + k, get(a->x, a->act, x * a->cols + k));
            }
    return OK;
}

/* dx of channel k of one pixel. */
static real upsample_sum(const UpsampleBwd *a, int64_t b, int64_t i, int64_t j, int64_t k)
{
    real sum = 0;
    for (int64_t y = 0; y < a->to.height; y++)
        for (int64_t x = 0; x < a->to.width; x++)
            if (y * a->from.height / a->to.height == i && x * a->from.width / a->to.width == j)
                sum += get(a->dy, a->act, ((b * a->to.height + y) * a->to.width + x) * a->cols + k);
    return sum;
}

Status REF_NAME(upsample_bwd)(KernelCtx *ctx, const UpsampleBwd *a)
{
    (void)ctx;
    TRY(check_upsample_bwd(a));
    int64_t at = 0;
    for (int64_t b = 0; b < a->from.images; b++)
        for (int64_t i = 0; i < a->from.height; i++)
            for (int64_t j = 0; j < a->from.width; j++)
                for (int64_t k = 0; k < a->cols; k++, at++)
                    put_or_add(a->dx, a->act, at, upsample_sum(a, b, i, j, k), a->accumulate);
    return OK;
}
