/* rows.c: gathering, scattering and summing rows (ops/rows.h, column_sum of ops/matmul.h), compiled once for each instruction set. */
#include <string.h>

#include "kernels/cpu/isa/isa.h"

/* Nanoseconds an element, for parallel_for. */
static const double COPY_NS = 0.2;

ALWAYS void copy_elements(void *dst, DType dst_type, int64_t to, const void *src, DType src_type, int64_t from, int64_t n)
{
    if (dst_type == src_type)
        memcpy(at_mut(dst, dst_type, to), at(src, src_type, from), (size_t)n * (dst_type == BF16 ? sizeof(bf16) : sizeof(float)));
    else
        EACH_VECTOR(0, n, part_store(dst, dst_type, to + i, part, part_load(src, src_type, from + i, part)));
}

/* ---------------------------------------------------------------- gather, scatter */

static void gather_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const RowsGather *a = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        if (a->index[row] >= 0)
            copy_elements(a->y, a->y_type, row * a->ldy, a->src, a->src_type, a->index[row] * a->lds, a->cols);
}

static Status rows_gather(KernelCtx *ctx, const RowsGather *a)
{
    TRY(check_rows_gather(a));
    TRY(expect_single("rows_gather", a->src_type));
    TRY(expect_single("rows_gather", a->y_type));
    parallel_for(cpu_device(ctx), a->n, COPY_NS * (double)a->cols, gather_rows, a);
    return OK;
}

ALWAYS void add_vector(void *dst, DType dst_type, int64_t to, const void *src, DType src_type, int64_t from, Part part)
{
    part_store(dst, dst_type, to, part, v_add(part_load(dst, dst_type, to, part), part_load(src, src_type, from, part)));
}

/* Columns begin·VL … of every row, so that rows of one destination are added in order whatever the threads. */
static void scatter_columns(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const RowsScatter *a = args;
    (void)workspace;
    int64_t first = begin * VL, last = end * VL < a->cols ? end * VL : a->cols;
    for (int64_t row = 0; row < a->n; row++) {
        if (a->index[row] < 0)
            continue;
        int64_t from = row * a->ldx, to = a->index[row] * a->ldd;
        if (!a->accumulate)
            copy_elements(a->dst, a->dst_type, to + first, a->x, a->x_type, from + first, last - first);
        else
            EACH_VECTOR(first, last, add_vector(a->dst, a->dst_type, to + i, a->x, a->x_type, from + i, part));
    }
}

static Status rows_scatter(KernelCtx *ctx, const RowsScatter *a)
{
    TRY(check_rows_scatter(a));
    TRY(expect_single("rows_scatter", a->x_type));
    TRY(expect_single("rows_scatter", a->dst_type));
    TRY(check_below("rows_scatter", "index", a->index, a->n, a->n_dst));
    parallel_for(cpu_device(ctx), (a->cols + VL - 1) / VL, COPY_NS * VL * (double)a->n, scatter_columns, a);
    return OK;
}

/* ---------------------------------------------------------------- patches */

typedef struct Patches {
    const Patchify *a;
    float value[3][256]; /* of a pixel, by channel */
} Patches;

static void patch_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Patches *p = args;
    const Patchify *a = p->a;
    (void)workspace;
    const int64_t P = a->patch, pw = a->width / P, per_image = a->height / P * pw;
    for (int64_t patch = begin; patch < end; patch++) {
        int64_t image = patch / per_image, y0 = patch % per_image / pw * P, x0 = patch % pw * P;
        for (int64_t c = 0; c < 3; c++)
            for (int64_t y = 0; y < P; y++) {
                const uint8_t *pixel = a->pixels + ((image * a->height + y0 + y) * a->width + x0) * 3 + c;
                int64_t to = ((patch * 3 + c) * P + y) * P;
                for (int64_t x = 0; x < P; x++)
                    put(a->y, a->act, to + x, p->value[c][pixel[3 * x]]);
            }
    }
}

static Status patchify(KernelCtx *ctx, const Patchify *a)
{
    TRY(check_patchify(a));
    TRY(expect_single("patchify", a->act));
    Patches p = {.a = a};
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            p.value[c][v] = ((float)(v * a->rescale) - (float)a->mean[c]) / (float)a->std[c];
    const double pixel_ns = 3;
    int64_t patches = a->images * (a->height / a->patch) * (a->width / a->patch);
    parallel_for(cpu_device(ctx), patches, pixel_ns * (double)(a->patch * a->patch), patch_rows, &p);
    return OK;
}

/* ---------------------------------------------------------------- a table added to rows */

ALWAYS void add_row_vector(const AddRows *a, DType t, int64_t row, int64_t i, Part part)
{
    vf x = part_load(a->x, t, row * a->cols + i, part);
    part_store(a->y, t, row * a->cols + i, part, v_add(x, part_load(a->table, a->table_type, row % a->period * a->cols + i, part)));
}

static void add_table(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const AddRows *a = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        BY_TYPE(a->act, EACH_VECTOR(0, a->cols, add_row_vector(a, T, row, i, part)));
}

static Status add_rows(KernelCtx *ctx, const AddRows *a)
{
    TRY(check_add_rows(a));
    TRY(expect_single("add_rows", a->act));
    TRY(expect_single("add_rows", a->table_type));
    parallel_for(cpu_device(ctx), a->rows, COPY_NS * (double)a->cols, add_table, a);
    return OK;
}

/* ---------------------------------------------------------------- sums over rows */

/* out[i …] (+)= Σ x[row, i …] over row = first, first+step, … below rows; summed in double. */
typedef struct Sum {
    int64_t rows, step, cols, ldx;
    DType type;
    const void *x;
    float *out; /* [step][cols] */
    bool accumulate;
} Sum;

ALWAYS void sum_vector(const Sum *a, DType t, int64_t first, int64_t i, Part part)
{
    vd sum = vd_zero();
    for (int64_t row = first; row < a->rows; row += a->step)
        sum = vd_add(sum, part_load(a->x, t, row * a->ldx + i, part));
    if (a->accumulate)
        sum = vd_add(sum, part_load(a->out, F32, first * a->cols + i, part));
    part_store(a->out, F32, first * a->cols + i, part, vd_round(sum));
}

static void sum_columns(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Sum *a = args;
    (void)workspace;
    int64_t last = end * VL < a->cols ? end * VL : a->cols;
    for (int64_t first = 0; first < a->step; first++)
        BY_TYPE(a->type, EACH_VECTOR(begin * VL, last, sum_vector(a, T, first, i, part)));
}

static Status sum_rows(const KernelCtx *ctx, const char *op, DType out_type, const Sum *a)
{
    TRY(expect_single(op, a->type));
    if (out_type != F32)
        return fail(ERR_INTERNAL, "%s: the sums are %s, expected F32 on cpu", op, dtype_name(out_type));
    parallel_for(cpu_device(ctx), (a->cols + VL - 1) / VL, COPY_NS * VL * (double)a->rows, sum_columns, a);
    return OK;
}

static Status add_rows_bwd(KernelCtx *ctx, const AddRowsBwd *a)
{
    TRY(check_add_rows_bwd(a));
    return sum_rows(ctx, "add_rows_bwd", a->table_type,
                    &(Sum){.rows = a->rows, .step = a->period, .cols = a->cols, .ldx = a->cols, .type = a->act, .x = a->dy,
                           .out = a->dtable, .accumulate = a->accumulate});
}

static Status column_sum(KernelCtx *ctx, const ColumnSum *a)
{
    TRY(check_column_sum(a));
    return sum_rows(ctx, "column_sum", a->out_type,
                    &(Sum){.rows = a->rows, .step = 1, .cols = a->cols, .ldx = a->ldx, .type = a->x_type, .x = a->x, .out = a->out,
                           .accumulate = a->accumulate});
}

/* ---------------------------------------------------------------- nearest neighbours */

static void upsample_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const UpsampleFwd *a = args;
    (void)workspace;
    size_t n_bytes = (size_t)a->cols * dtype_size(a->act);
    for (int64_t line = begin; line < end; line++) {
        int64_t image = line / a->to.height, i = line % a->to.height * a->from.height / a->to.height;
        const char *x = at(a->x, a->act, (image * a->from.height + i) * a->from.width * a->cols);
        char *y = at_mut(a->y, a->act, line * a->to.width * a->cols);
        for (int64_t j = 0; j < a->to.width; j++)
            memcpy(y + (size_t)j * n_bytes, x + (size_t)(j * a->from.width / a->to.width) * n_bytes, n_bytes);
    }
}

static Status upsample_fwd(KernelCtx *ctx, const UpsampleFwd *a)
{
    TRY(check_upsample_fwd(a));
    TRY(expect_single("upsample_fwd", a->act));
    parallel_for(cpu_device(ctx), a->to.images * a->to.height, COPY_NS * (double)(a->to.width * a->cols), upsample_rows, a);
    return OK;
}

/* Rows of dy: the pixels that have been made from one of an image. */
typedef struct Made {
    int64_t first, lines, pixels; /* the first of them, how many lines, how many pixels of each */
} Made;

ALWAYS void upsample_sum(const UpsampleBwd *a, DType t, const Made *m, int64_t row, int64_t i, Part part)
{
    vf sum = a->accumulate ? part_load(a->dx, t, row * a->cols + i, part) : v_zero();
    for (int64_t line = 0; line < m->lines; line++)
        for (int64_t j = 0; j < m->pixels; j++)
            sum = v_add(sum, part_load(a->dy, t, (m->first + line * a->to.width + j) * a->cols + i, part));
    part_store(a->dx, t, row * a->cols + i, part, sum);
}

static void upsample_lines(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const UpsampleBwd *a = args;
    (void)workspace;
    for (int64_t line = begin; line < end; line++) {
        int64_t image = line / a->from.height, from = line % a->from.height;
        int64_t y = upsample_first(from, a->from.height, a->to.height), y_end = upsample_first(from + 1, a->from.height, a->to.height);
        for (int64_t j = 0; j < a->from.width; j++) {
            int64_t x = upsample_first(j, a->from.width, a->to.width), x_end = upsample_first(j + 1, a->from.width, a->to.width);
            Made m = {(image * a->to.height + y) * a->to.width + x, y_end - y, x_end - x};
            BY_TYPE(a->act, EACH_VECTOR(0, a->cols, upsample_sum(a, T, &m, line * a->from.width + j, i, part)));
        }
    }
}

static Status upsample_bwd(KernelCtx *ctx, const UpsampleBwd *a)
{
    TRY(check_upsample_bwd(a));
    TRY(expect_single("upsample_bwd", a->act));
    double ns = COPY_NS * (double)(a->to.width + a->from.width) * (double)a->cols;
    parallel_for(cpu_device(ctx), a->from.images * a->from.height, ns, upsample_lines, a);
    return OK;
}

void NAME(rows)(KernelTable *t)
{
    t->rows_gather = rows_gather;
    t->rows_scatter = rows_scatter;
    t->patchify = patchify;
    t->add_rows = add_rows;
    t->add_rows_bwd = add_rows_bwd;
    t->column_sum = column_sum;
    t->upsample_fwd = upsample_fwd;
    t->upsample_bwd = upsample_bwd;
}
