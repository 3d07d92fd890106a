/* dropout.c: dropout of rows (dropout.h), VL groups of eight columns at once: vector i of their words holds, as numbers of 16 bits, the
 * columns 2i·VL … in order. */
#include "kernels/cpu/isa/dropout.h"

enum { WORDS = 4, BLOCK_COLS = 2 * WORDS * VL };

void NAME(dropping)(Dropping *d, double p, uint64_t key)
{
    d->threshold = dropout_threshold(p);
    philox_lanes(&d->random, key);
}

ALWAYS void drop_vector(const Dropping *d, DType xt, DType yt, DType at_, vu number, int64_t row, int64_t col, Part part)
{
    vf y = vu_keep(number, d->threshold, v_mul(part_load(d->x, xt, row * d->ldx + col, part), v_set(d->scale)));
    if (d->add)
        y = v_add(y, part_load(d->add, at_, row * d->ld_add + col, part));
    part_store(d->y, yt, row * d->ldy + col, part, y);
}

ALWAYS void drop_row(const Dropping *d, DType xt, DType yt, DType at_, int64_t row)
{
    for (int64_t col = 0; col < d->cols; col += BLOCK_COLS) {
        vu word[WORDS] = {vu_set(0), vu_set(0), vu_set(0), vu_set(0)};
        if (d->threshold) /* else all are kept */
            philox_words(&d->random, (uint32_t)(col / 8), (uint32_t)d->row_pos[row], (uint32_t)d->row_item[row], word);
        UNROLL for (int v = 0; v < 2 * WORDS; v++) {
            int64_t first = col + v * VL;
            vu number = vu_widen(word[v / 2], v % 2);
            const Part all = part_whole();
            if (first + VL <= d->cols)
                drop_vector(d, xt, yt, at_, number, row, first, all);
            else if (first < d->cols)
                drop_vector(d, xt, yt, at_, number, row, first, part_first(d->cols - first));
        }
    }
}

static void drop_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Dropping *d = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        if (d->x_type == d->y_type && (!d->add || d->add_type == d->y_type))
            BY_TYPE(d->x_type, drop_row(d, T, T, T, row));
        else
            drop_row(d, d->x_type, d->y_type, d->add_type, row);
}

void NAME(drop)(CpuDevice *device, const Dropping *d, int64_t rows)
{
    const double element_ns = 0.4;
    parallel_for(device, rows, element_ns * (double)d->cols, drop_range, d);
}

static Status dropout(KernelCtx *ctx, const Dropout *a)
{
    TRY(check_dropout(a));
    TRY(expect_single("dropout", a->act));
    Dropping d = {.cols = a->cols, .ldx = a->cols, .ldy = a->cols, .ld_add = a->cols, .x_type = a->act, .y_type = a->act,
                  .add_type = a->act,
                  .row_pos = a->row_pos, .row_item = a->row_item, .x = a->x, .y = a->y, .add = a->accumulate ? a->y : NULL,
                  .scale = (float)dropout_scale(a->p)};
    NAME(dropping)(&d, a->p, a->key);
    NAME(drop)(cpu_device(ctx), &d, a->rows);
    return OK;
}

void NAME(dropout)(KernelTable *t)
{
    t->dropout = dropout;
}
