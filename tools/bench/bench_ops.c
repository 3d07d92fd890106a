/* bench_ops.c: arguments of every operator for timing (bench_ops.h). Called by bench-kernels, bench-gpu and the tests of costs. */
#include "tools/bench/bench_ops.h"

#include <stdio.h>

static void *take(BenchOps *x, int64_t n_bytes)
{
    void *p = x->memory + x->used;
    x->used += ((size_t)n_bytes + 255) & ~(size_t)255;
    return p;
}

static Status taken(const BenchOps *x)
{
    return x->used <= x->size ? OK : fail(ERR_NOMEM, "%zu bytes are needed for the arrays, there are %zu", x->used, x->size);
}

/* to[i] = first + (i·multiply / divide) % period */
static Status indices(BenchOps *x, int32_t *to, int64_t n, int64_t first, int64_t multiply, int64_t divide, int64_t period)
{
    int32_t *host = mem_alloc((size_t)n * sizeof *host + 1);
    if (!host)
        return fail(ERR_NOMEM, "%lld indices: out of memory", (long long)n);
    for (int64_t i = 0; i < n; i++)
        host[i] = (int32_t)(first + i * multiply / divide % period);
    Status s = x->b->upload(x->b, to, host, (size_t)n * sizeof *host);
    int32_t last; /* a download waits, so that host may go */
    if (s == OK && n)
        s = x->b->download(x->b, &last, to, sizeof last);
    mem_free(host);
    return s;
}

#define LINE(x, what, name, Args, ...)                                    \
    do {                                                                  \
        Args args_ = {__VA_ARGS__};                                       \
        TRY((x)->line((x)->arg, OP_##name, what, &args_));                \
    } while (0)

/* What the operators below share. */
typedef struct Arrays {
    void *a, *b, *c, *d, *e; /* [rows, cols] */
    void *wide;              /* [rows, cols] F32 */
    float *w, *dw, *db, *mean, *rstd, *loss;
    int32_t *pos, *item, *label, *iota;
} Arrays;

static Status arrays_take(BenchOps *x, Arrays *v, DType t, int64_t rows, int64_t cols)
{
    int64_t size = rows * cols * (int64_t)dtype_size(t), row = rows * 4, column = cols * 4;
    x->used = 0;
    *v = (Arrays){take(x, size), take(x, size), take(x, size), take(x, size), take(x, size), take(x, rows * column), take(x, column),
                  take(x, column),
                  take(x, column), take(x, row), take(x, row), take(x, row), take(x, row), take(x, row), take(x, row), take(x, row)};
    TRY(taken(x));
    TRY(indices(x, v->pos, rows, 0, 1, 1, 1024));
    TRY(indices(x, v->item, rows, 0, 1, 1024, rows));
    TRY(indices(x, v->label, rows, 0, 1, 1, cols));
    return indices(x, v->iota, rows, 0, 1, 1, rows);
}

static Status norms(BenchOps *x, const Arrays *v, const char *what, DType t, int64_t rows, int64_t cols)
{
    LINE(x, what, rmsnorm_fwd, RmsNormFwd, .rows = rows, .cols = cols, .act = t, .w_type = F32, .eps = 1e-5, .x = v->a, .add = v->b,
         .w = v->w, .sum = v->c, .y = v->d, .rstd = v->rstd);
    LINE(x, what, rmsnorm_bwd, RmsNormBwd, .rows = rows, .cols = cols, .act = t, .w_type = F32, .x = v->a, .w = v->w, .rstd = v->rstd,
         .dy = v->b, .dx = v->c);
    LINE(x, what, layernorm_fwd, LayerNormFwd, .rows = rows, .cols = cols, .act = t, .w_type = F32, .eps = 1e-5, .x = v->a, .w = v->w,
         .b = v->w, .y = v->d, .mean = v->mean, .rstd = v->rstd);
    LINE(x, what, layernorm_bwd, LayerNormBwd, .rows = rows, .cols = cols, .act = t, .w_type = F32, .x = v->a, .w = v->w, .mean = v->mean,
         .rstd = v->rstd, .dy = v->b, .dx = v->c, .dw = v->dw, .db = v->db);
    return OK;
}

static Status pointwise(BenchOps *x, const Arrays *v, const char *what, DType t, int64_t rows, int64_t cols)
{
    int64_t n = rows * cols, head = cols % 128 ? 16 : 128;
    static const char *const KINDS[N_ACT_KINDS] = {"erf", "tanh", "quick", "relu", "silu"};
    char text[96];
    for (int i = 0; i < 2; i++) {
        ActKind kind = i ? ACT_GELU_ERF : ACT_SILU;
        snprintf(text, sizeof text, "%s %s", what, KINDS[kind]);
        LINE(x, text, glu_fwd, GluFwd, .rows = rows, .cols = cols, .ldg = cols, .ldu = cols, .act = t, .kind = kind, .g = v->a, .u = v->b,
             .y = v->c);
        LINE(x, text, glu_bwd, GluBwd, .rows = rows, .cols = cols, .ldg = cols, .ldu = cols, .lddg = cols, .lddu = cols, .act = t,
             .kind = kind, .g = v->a, .u = v->b, .dy = v->c, .dg = v->d, .du = v->e);
    }
    for (int kind = 0; kind < N_ACT_KINDS; kind++) {
        snprintf(text, sizeof text, "%s %s", what, KINDS[kind]);
        LINE(x, text, act_fwd, ActFwd, .n = n, .act = t, .kind = (ActKind)kind, .x = v->a, .y = v->c);
        LINE(x, text, act_bwd, ActBwd, .n = n, .act = t, .kind = (ActKind)kind, .x = v->a, .dy = v->b, .dx = v->c);
    }
    LINE(x, what, add_scaled, AddScaled, .n = n, .a_type = t, .b_type = t, .y_type = t, .alpha = 1, .beta = 1, .a = v->a, .b = v->b,
         .y = v->c);
    LINE(x, what, dropout, Dropout, .rows = rows, .cols = cols, .act = t, .p = 0.05, .key = 7, .row_pos = v->pos, .row_item = v->item,
         .x = v->a, .y = v->c);
    if (cols % head == 0)
        LINE(x, what, rope, Rope, .rows = rows, .heads = cols / head, .head_dim = head, .ldx = cols, .act = t, .base = 10000, .pos = v->pos,
             .x = v->a);
    LINE(x, what, quantize_rows, QuantizeRows, .rows = rows, .cols = cols, .ldx = cols, .x_type = t, .x = v->a, .code = v->c,
         .scale = v->loss);
    LINE(x, what, fill, Fill, .n = n, .type = t, .x = v->e);
    return OK;
}

static Status rows_and_sums(BenchOps *x, const Arrays *v, const char *what, DType t, int64_t rows, int64_t cols)
{
    int64_t period = rows < 256 ? rows : 256;
    LINE(x, what, rows_gather, RowsGather, .n = rows, .cols = cols, .lds = cols, .ldy = cols, .src_type = t, .y_type = t, .index = v->iota,
         .src = v->a, .y = v->c);
    LINE(x, what, rows_scatter, RowsScatter, .n = rows, .n_dst = rows, .cols = cols, .ldx = cols, .ldd = cols, .x_type = t, .dst_type = t,
         .index = v->iota, .x = v->a, .dst = v->c);
    LINE(x, "nf4", dequantize, Dequantize, .rows = rows, .cols = cols, .ldy = cols, .format = CODES_NF4, .y_type = t, .codes = v->b,
         .scales = v->b, .y = v->c);
    LINE(x, "int8", dequantize, Dequantize, .rows = rows, .cols = cols, .ldy = cols, .format = CODES_INT8, .y_type = t, .codes = v->b,
         .scales = v->b, .y = v->c);
    LINE(x, what, add_rows, AddRows, .rows = rows, .cols = cols, .period = period, .act = t, .table_type = t, .x = v->a, .table = v->b,
         .y = v->c);
    LINE(x, what, add_rows_bwd, AddRowsBwd, .rows = rows, .cols = cols, .period = period, .act = t, .table_type = F32, .dy = v->a,
         .dtable = v->wide);
    LINE(x, what, column_sum, ColumnSum, .rows = rows, .cols = cols, .ldx = cols, .x_type = t, .out_type = F32, .x = v->a, .out = v->dw);
    LINE(x, what, cross_entropy, CrossEntropy, .rows = rows, .cols = cols, .ldz = cols, .act = t, .label = v->label, .weight = v->mean,
         .logits = v->c, .loss = v->loss, .backward = true);
    LINE(x, what, weighted_sum, WeightedSum, .n = rows, .type = F32, .act = t, .scale = 1, .weight = v->mean, .x = v->loss, .scaled = v->e,
         .total = v->wide);
    LINE(x, what, difference_fwd, DifferenceFwd, .items = 1, .rows = rows, .cols = cols, .act = t, .kind = DIFFERENCE_L2NORM, .u = v->a,
         .v = v->wide, .loss = v->loss);
    LINE(x, what, difference_bwd, DifferenceBwd, .items = 1, .rows = rows, .cols = cols, .act = t, .kind = DIFFERENCE_L2NORM, .scale = 1,
         .weight = v->mean, .u = v->a, .v = v->wide, .dloss = v->d, .du = v->c);
    return OK;
}

/* Pictures of about as many bytes as the other operators take elements. */
static Status patches(BenchOps *x, const Arrays *v, DType t, int64_t n)
{
    enum { SIDE = 56, PATCH = 14 };
    char what[64];
    int64_t images = n / (3 * SIDE * SIDE);
    if (!images)
        return OK;
    snprintf(what, sizeof what, "%s %lld pictures", dtype_name(t), (long long)images);
    LINE(x, what, patchify, Patchify, .images = images, .height = SIDE, .width = SIDE, .patch = PATCH, .act = t, .rescale = 1 / 255.0,
         .mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}, .pixels = (const uint8_t *)v->a, .y = v->c);
    return OK;
}

Status bench_elementwise(BenchOps *x, DType t, int64_t rows, int64_t cols)
{
    Arrays v;
    char what[64];
    snprintf(what, sizeof what, "%s [%lld,%lld]", dtype_name(t), (long long)rows, (long long)cols);
    TRY(arrays_take(x, &v, t, rows, cols));
    TRY(norms(x, &v, what, t, rows, cols));
    TRY(pointwise(x, &v, what, t, rows, cols));
    TRY(rows_and_sums(x, &v, what, t, rows, cols));
    return patches(x, &v, t, rows * cols);
}

Status bench_optimiser(BenchOps *x, int64_t n)
{
    char what[64];
    x->used = 0;
    float *p = take(x, n * 4), *g = take(x, n * 4), *m = take(x, n * 4), *v = take(x, n * 4);
    bf16 *copy = take(x, n * 2);
    double *sum = take(x, sizeof *sum);
    AdamwSpan span = {.end = n, .lr = 1e-4, .t = 1};
    TRY(taken(x));
    snprintf(what, sizeof what, "F32 [%lld]", (long long)n);
    LINE(x, what, adamw, Adamw, .n_spans = 1, .type = F32, .spans = &span, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 1,
         .grad = g, .param = p, .m = m, .v = v, .copy = copy);
    LINE(x, what, sum_squares, SumSquares, .n = n, .type = F32, .x = g, .out = sum);
    return OK;
}

Status bench_adapters(BenchOps *x, DType t, int64_t rows, int64_t cols, int64_t r)
{
    enum { ADAPTERS = 3 };
    char what[64];
    int64_t size = (int64_t)dtype_size(t);
    x->used = 0;
    void *in = take(x, rows * cols * size), *dx = take(x, rows * cols * size), *u = take(x, rows * ADAPTERS * r * size);
    void *b = take(x, cols * r * size), *db = take(x, cols * r * 4);
    int32_t *pos = take(x, rows * 4), *item = take(x, rows * 4);
    AdapterGroup g = {.rows = rows, .in = cols, .ldu = ADAPTERS * r, .n = ADAPTERS, .act = t, .a_type = t, .row_pos = pos,
                      .row_item = item};
    for (int i = 0; i < ADAPTERS; i++)
        g.part[i] = (Adapter){.r = r, .p = 0.05, .key = (uint64_t)i, .scale = 2, .a = take(x, r * cols * size),
                              .da = take(x, r * cols * 4)};
    TRY(taken(x));
    TRY(indices(x, pos, rows, 0, 1, 1, 1024));
    TRY(indices(x, item, rows, 0, 1, 1024, rows));
    snprintf(what, sizeof what, "%s [%lld,%lld] 3x r%lld", dtype_name(t), (long long)rows, (long long)cols, (long long)r);
    LINE(x, what, adapter_down, AdapterDown, .g = g, .ldx = cols, .x = in, .u = u);
    LINE(x, what, adapter_down_grad, AdapterDownGrad, .g = g, .ldx = cols, .grad_type = F32, .x = in, .du = u);
    LINE(x, what, adapter_down_bwd, AdapterDownBwd, .g = g, .du = u, .dx = dx);
    snprintf(what, sizeof what, "%s [%lld,%lld] r%lld", dtype_name(t), (long long)rows, (long long)cols, (long long)r);
    LINE(x, what, adapter_up_bwd, AdapterUpBwd, .rows = rows, .out = cols, .r = r, .lddy = cols, .ldu = r, .lddu = r, .act = t, .b_type = t,
         .grad_type = F32, .scale = 2, .dy = in, .b = b, .u = u, .du = dx, .db = db);
    return OK;
}

Status bench_images(BenchOps *x, DType t, int64_t images, int64_t side, int64_t cols)
{
    char what[64];
    const Plane from = {images, side, side}, to = {images, 2 * side, 2 * side};
    int64_t pixels = side * side, size = plane_rows(&from) * cols * (int64_t)dtype_size(t), groups = cols % 32 ? 1 : 32;
    x->used = 0;
    void *in = take(x, size), *dy = take(x, size), *out = take(x, size), *large = take(x, 4 * size), *w = take(x, cols * 4),
         *dw = take(x, cols * 4), *db = take(x, cols * 4), *mean = take(x, images * groups * 4), *rstd = take(x, images * groups * 4);
    TRY(taken(x));
    snprintf(what, sizeof what, "%s %lldx%lldx%lld %lld", dtype_name(t), (long long)images, (long long)side, (long long)side,
             (long long)cols);
    LINE(x, what, groupnorm_fwd, GroupNormFwd, .images = images, .pixels = pixels, .cols = cols, .groups = groups, .act = t, .w_type = F32,
         .eps = 1e-5, .silu = true, .x = in, .w = w, .b = w, .y = out, .mean = mean, .rstd = rstd);
    LINE(x, what, groupnorm_bwd, GroupNormBwd, .images = images, .pixels = pixels, .cols = cols, .groups = groups, .act = t, .w_type = F32,
         .silu = true, .x = in, .w = w, .b = w, .mean = mean, .rstd = rstd, .dy = dy, .dx = out, .dw = dw, .db = db);
    LINE(x, what, upsample_fwd, UpsampleFwd, .from = from, .to = to, .cols = cols, .act = t, .x = in, .y = large);
    LINE(x, what, upsample_bwd, UpsampleBwd, .from = from, .to = to, .cols = cols, .act = t, .dy = large, .dx = out);
    const ConvShape window = {.from = from, .in = cols, .out = cols, .kernel_height = 3, .kernel_width = 3, .stride = 1,
                              .top = 1, .left = 1, .bottom = 1, .right = 1};
    LINE(x, what, pool2d_fwd, Pool2dFwd, .shape = window, .act = t, .kind = POOL_MEAN, .x = in, .y = out);
    return OK;
}

Status bench_conv(BenchOps *x, DType t, int64_t images, int64_t side, int64_t in, int64_t out)
{
    char what[64];
    const ConvShape s = {.from = {images, side, side}, .in = in, .out = out, .kernel_height = 3, .kernel_width = 3, .stride = 1,
                         .top = 1, .left = 1, .bottom = 1, .right = 1};
    int64_t rows = images * side * side, size = (int64_t)dtype_size(t), weights = 9 * in * out;
    x->used = 0;
    void *in_images = take(x, rows * in * size), *out_images = take(x, rows * out * size), *w = take(x, weights * size),
         *dw = take(x, weights * 4), *shift = take(x, images * out * size), *bias = take(x, out * 4);
    TRY(taken(x));
    snprintf(what, sizeof what, "%s %lldx%lldx%lld %lld to %lld", dtype_name(t), (long long)images, (long long)side, (long long)side,
             (long long)in, (long long)out);
    LINE(x, what, conv2d_fwd, Conv2dFwd, .shape = s, .act = t, .w_type = t, .bias_type = F32, .winograd = true, .x = in_images, .w = w,
         .bias = bias, .shift = shift, .y = out_images);
    LINE(x, what, conv2d_dx, Conv2dDx, .shape = s, .act = t, .w_type = t, .winograd = true, .dy = out_images, .w = w, .dx = in_images);
    LINE(x, what, conv2d_dw, Conv2dDw, .shape = s, .act = t, .dw_type = F32, .x = in_images, .dy = out_images, .dw = dw);
    return OK;
}

Status bench_attention(BenchOps *x, DType t, int64_t segments, int64_t length, int64_t heads, int64_t kv_heads, int64_t head_dim)
{
    char what[64];
    int64_t rows = segments * length, ld = heads * head_dim, kv = kv_heads * head_dim;
    int64_t size = rows * ld * (int64_t)dtype_size(t), small = rows * kv * (int64_t)dtype_size(t);
    x->used = 0;
    void *q = take(x, size), *k = take(x, small), *v = take(x, small), *o = take(x, size), *d_o = take(x, size), *dq = take(x, size);
    void *dk = take(x, small), *dv = take(x, small), *lse = take(x, rows * heads * 4);
    int32_t *cu = take(x, (segments + 1) * 4), *lengths = take(x, segments * 4);
    TRY(taken(x));
    TRY(indices(x, cu, segments + 1, 0, length, 1, rows + 1));
    TRY(indices(x, lengths, segments, length, 0, 1, 1));
    snprintf(what, sizeof what, "%s %lldx%lld h%lld/%lld d%lld", dtype_name(t), (long long)segments, (long long)length, (long long)heads,
             (long long)kv_heads, (long long)head_dim);
    LINE(x, what, attention_fwd, AttentionFwd, .n_segments = segments, .rows_q = rows, .rows_k = rows, .heads = heads, .kv_heads = kv_heads,
         .head_dim = head_dim, .max_q = length, .max_k = length, .ldq = ld, .ldk = kv, .ldv = kv, .ldo = ld, .causal = true, .act = t,
         .scale = 0.1, .cu_q = cu, .cu_k = cu, .q = q, .k = k, .v = v, .o = o, .lse = lse);
    LINE(x, what, attention_bwd, AttentionBwd, .n_segments = segments, .rows_q = rows, .rows_k = rows, .heads = heads, .kv_heads = kv_heads,
         .head_dim = head_dim, .max_q = length, .max_k = length, .ldq = ld, .ldk = kv, .ldv = kv, .ldo = ld, .lddo = ld, .lddq = ld,
         .lddk = kv, .lddv = kv, .causal = true, .act = t, .scale = 0.1, .cu_q = cu, .cu_k = cu, .q = q, .k = k, .v = v, .o = o, .lse = lse,
         .d_o = d_o, .dq = dq, .dk = dk, .dv = dv);
    LINE(x, what, attention_decode, AttentionDecode, .n = segments, .capacity = length, .heads = heads, .kv_heads = kv_heads,
         .head_dim = head_dim, .act = t, .scale = 0.1, .length = lengths, .q = q, .k = k, .v = v, .o = o);
    return OK;
}
