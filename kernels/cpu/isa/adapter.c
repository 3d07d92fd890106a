/* Block by block of rows that stays in the cache: dropped, multiplied; or multiplied, dropped. Blocks are cut by the shape alone, so sums
 * have the same order for any number of threads. */
#include "kernels/ops/adapter.h"

#include <string.h>

#include "kernels/cpu/isa/dropout.h"

/* Of the dropped x or of dx at a time: it stays in the cache. */
enum { BLOCK_BYTES = 8 << 20 };
_Static_assert((int)BLOCK_BYTES <= (int)SHARED_BYTES, "a block of adapters");
_Static_assert((size_t)ADAPTERS_MAX * ADAPTER_IN_MAX * sizeof(float) <= BLOCK_BYTES, "a block has a row at least");

/* Memory for n matrices of *rows rows at a time, or of all there are. */
static void *take_block(CpuDevice *d, const AdapterGroup *g, int n, DType t, int64_t *rows)
{
    int64_t row = g->in * (int64_t)dtype_size(t), fit = row ? BLOCK_BYTES / (row * (n > 0 ? n : 1)) : 1;
    *rows = fit;
    return cpu_shared(d, (g->rows < fit ? g->rows : fit) * row * n);
}

/* The block of an input that is dropped before it is multiplied. */
static void *take_input(CpuDevice *d, const AdapterGroup *g, int64_t *rows)
{
    int drops = 0;
    for (int i = 0; i < g->n; i++)
        drops |= g->part[i].r && g->part[i].p > 0;
    return take_block(d, g, drops, g->act, rows);
}

static const void *row_of(const void *x, DType t, int64_t i) { return (const char *)x + (size_t)i * dtype_size(t); }
static void *row_of_mut(void *x, DType t, int64_t i) { return (char *)x + (size_t)i * dtype_size(t); }

/* Rows `first` … of x, as adapter p reads them but for the scale: x itself, or the block. */
static const void *dropped(CpuDevice *d, const AdapterGroup *g, const Adapter *p, const void *x, int64_t ldx, int64_t first, int64_t rows,
                           void *block, int64_t *ld)
{
    const void *from = row_of(x, g->act, first * ldx);
    *ld = ldx;
    if (p->p <= 0)
        return from;
    Dropping drop = {.cols = g->in, .ldx = ldx, .ldy = g->in, .x_type = g->act, .y_type = g->act, .row_pos = g->row_pos + first,
                     .row_item = g->row_item + first, .x = from, .y = block, .scale = 1};
    NAME(dropping)(&drop, p->p, p->key);
    NAME(drop)(d, &drop, rows);
    *ld = g->in;
    return block;
}

static Status single(const char *op, const AdapterGroup *g)
{
    TRY(expect_single(op, g->act));
    return expect_single(op, g->a_type);
}

static Status adapter_down(KernelCtx *ctx, const AdapterDown *a)
{
    const AdapterGroup *g = &a->g;
    TRY(check_adapter_down(a));
    TRY(single("adapter_down", g));
    int64_t block;
    void *memory = take_input(cpu_device(ctx), g, &block);
    for (int64_t first = 0; memory && first < g->rows; first += block) {
        int64_t rows = g->rows - first < block ? g->rows - first : block, at = 0, ld;
        for (int i = 0; i < g->n; at += g->part[i++].r) {
            const Adapter *p = &g->part[i];
            if (!p->r)
                continue;
            const void *x = dropped(cpu_device(ctx), g, p, a->x, a->ldx, first, rows, memory, &ld);
            Matmul m = {.m = rows, .n = p->r, .k = g->in, .a_type = g->act, .b_type = g->a_type, .c_type = g->act, .b_trans = true,
                        .lda = ld,
                        .ldb = g->in, .ldc = g->ldu, .a = x, .b = p->a, .c = row_of_mut(a->u, g->act, first * g->ldu + at),
                        .alpha = p->scale * dropout_scale(p->p)};
            TRY(cpu_device(ctx)->ops.matmul(ctx, &m));
        }
    }
    return OK;
}

static Status adapter_down_grad(KernelCtx *ctx, const AdapterDownGrad *a)
{
    const AdapterGroup *g = &a->g;
    TRY(check_adapter_down_grad(a));
    TRY(expect_single("adapter_down_grad", g->act));
    TRY(expect_single("adapter_down_grad", a->grad_type));
    int64_t block, first = 0;
    void *memory = take_input(cpu_device(ctx), g, &block);
    if (!memory)
        return OK;
    do { /* without any rows, sums are empty */
        int64_t rows = g->rows - first < block ? g->rows - first : block, at = 0, ld;
        for (int i = 0; i < g->n; at += g->part[i++].r) {
            const Adapter *p = &g->part[i];
            if (!p->r || !p->da)
                continue;
            const void *x = dropped(cpu_device(ctx), g, p, a->x, a->ldx, first, rows, memory, &ld);
            Matmul m = {.m = p->r, .n = g->in, .k = rows, .a_type = g->act, .b_type = g->act, .c_type = a->grad_type, .a_trans = true,
                        .accumulate = first || p->accumulate, .lda = g->ldu, .ldb = ld, .ldc = g->in,
                                .a = row_of(a->du, g->act, first * g->ldu + at),
                        .b = x, .c = p->da, .alpha = dropout_scale(p->p)};
            TRY(cpu_device(ctx)->ops.matmul(ctx, &m));
        }
        first += block;
    } while (first < g->rows);
    return OK;
}

/* dx (+)= Σ m_i∘product_i, rounded once: the sum of all but the last is gathered where the first product is. */
static void sum_up(CpuDevice *d, const AdapterDownBwd *a, const Adapter *const *parts, int n, float *products, int64_t first, int64_t rows)
{
    const AdapterGroup *g = &a->g;
    int64_t ld = row_stride(a->lddx, g->in);
    char *dx = row_of_mut(a->dx, g->act, first * ld);
    for (int64_t row = 0; row < rows && !n && !a->accumulate; row++)
        memset(dx + (size_t)(row * ld) * dtype_size(g->act), 0, (size_t)g->in * dtype_size(g->act));
    for (int i = 0; i < n; i++) {
        const Adapter *p = parts[i];
        Dropping drop = {.cols = g->in, .ldx = g->in, .ldy = g->in, .x_type = F32, .y_type = F32,
                         .row_pos = g->row_pos ? g->row_pos + first : NULL,
                         .row_item = g->row_item ? g->row_item + first : NULL, .x = products + i * rows * g->in, .y = products,
                         .scale = 1};
        if (i)
            drop.add = products, drop.add_type = F32, drop.ld_add = g->in;
        else if (a->accumulate)
            drop.add = dx, drop.add_type = g->act, drop.ld_add = ld;
        if (i == n - 1)
            drop.y = dx, drop.y_type = g->act, drop.ldy = ld;
        NAME(dropping)(&drop, p->p, p->key);
        NAME(drop)(d, &drop, rows);
    }
}

static Status adapter_down_bwd(KernelCtx *ctx, const AdapterDownBwd *a)
{
    const AdapterGroup *g = &a->g;
    const Adapter *parts[ADAPTERS_MAX];
    int n = 0;
    TRY(check_adapter_down_bwd(a));
    TRY(single("adapter_down_bwd", g));
    for (int i = 0; i < g->n; i++)
        if (g->part[i].r)
            parts[n++] = &g->part[i];
    int64_t block;
    float *products = take_block(cpu_device(ctx), g, n, F32, &block);
    for (int64_t first = 0; products && first < g->rows; first += block) {
        int64_t rows = g->rows - first < block ? g->rows - first : block, at = 0;
        float *to = products;
        for (int i = 0; i < n; at += parts[i++]->r, to += rows * g->in) {
            const Adapter *p = parts[i];
            Matmul m = {.m = rows, .n = g->in, .k = p->r, .a_type = g->act, .b_type = g->a_type, .c_type = F32, .lda = g->ldu,
                        .ldb = g->in, .ldc = g->in,
                        .a = row_of(a->du, g->act, first * g->ldu + at), .b = p->a, .c = to, .alpha = dropout_scale(p->p)};
            TRY(cpu_device(ctx)->ops.matmul(ctx, &m));
        }
        sum_up(cpu_device(ctx), a, parts, n, products, first, rows);
    }
    return OK;
}

void NAME(adapter)(KernelTable *t)
{
    t->adapter_down = adapter_down;
    t->adapter_down_grad = adapter_down_grad;
    t->adapter_down_bwd = adapter_down_bwd;
}
