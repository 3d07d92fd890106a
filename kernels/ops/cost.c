/* cost.c: arithmetic and bytes of an operator, from its arguments (cost.h). Called by the tape, by benchmarks and by the tests of what
 * kernels move. */
#include "kernels/ops/check.h"
#include "kernels/ops/cost.h"

enum { INT = sizeof(int32_t) };

static double size_of(DType t) { return (double)dtype_size(t); }
static DType stat_type(DType act) { return act == F64 ? F64 : F32; }

static void shape(Cost *c, int64_t m, int64_t n, double bytes_read, double bytes_written)
{
    *c = (Cost){.m = m, .n = n, .bytes_read = bytes_read, .bytes_written = bytes_written};
}

/* ---------------------------------------------------------------- matrices */

void cost_matmul(const Matmul *a, Cost *c)
{
    double m = (double)a->m, n = (double)a->n, k = (double)(a->k + a->k2), out = m * n * size_of(a->c_type);
    double operands =
        m * k * size_of(a->a_type) + n * (double)a->k * size_of(a->b_type) + (a->k2 ? n * (double)a->k2 * size_of(a->b2_type) : 0);
    shape(c, a->m, a->n, operands + (a->bias ? n * size_of(a->bias_type) : 0) + (a->accumulate || a->add ? out : 0), out);
    c->k = a->k + a->k2;
    c->flops = 2 * m * n * k;
    c->narrow = a->a_type == BF16 && a->b_type == BF16;
}

void cost_column_sum(const ColumnSum *a, Cost *c)
{
    double out = (double)a->cols * size_of(a->out_type);
    shape(c, a->rows, a->cols, (double)(a->rows * a->cols) * size_of(a->x_type) + (a->accumulate ? out : 0), out);
}

void cost_dequantize(const Dequantize *a, Cost *c)
{
    const int64_t n = a->rows * a->cols;
    shape(c, a->rows, a->cols, (double)(codes_bytes(a->format, a->rows, a->cols) + 4 * codes_scales(a->format, a->rows, a->cols)),
          (double)n * size_of(a->y_type));
}

void cost_quantize_rows(const QuantizeRows *a, Cost *c)
{
    double n = (double)a->rows * (double)a->cols;
    shape(c, a->rows, a->cols, n * size_of(a->x_type), n + (double)a->rows * (double)sizeof(float));
}

/* Its products count as those of bf16. */
void cost_matmul_fp8(const MatmulFp8 *a, Cost *c)
{
    double m = (double)a->m, n = (double)a->n, k = (double)a->k, out = m * n * size_of(a->c_type);
    shape(c, a->m, a->n, (m + n) * (k + (double)sizeof(float)) + (a->accumulate || a->add ? out : 0), out);
    c->k = a->k;
    c->flops = 2 * m * n * k;
    c->narrow = true;
}

/* ---------------------------------------------------------------- norms */

/* matrices: how many [rows, cols] of the activations' type; weights: [cols] in w_type; statistics: [rows]; sums: [cols] in their type. */
static void norm_cost(Cost *c, int64_t rows, int64_t cols, DType act, DType w_type, const int read[4], const int written[4])
{
    const double part[4] = {(double)(rows * cols) * size_of(act), (double)cols * size_of(w_type), (double)rows * size_of(stat_type(act)),
                            (double)cols * size_of(stat_type(act))};
    shape(c, rows, cols, 0, 0);
    for (int i = 0; i < 4; i++) {
        c->bytes_read += read[i] * part[i];
        c->bytes_written += written[i] * part[i];
    }
}

void cost_rmsnorm_fwd(const RmsNormFwd *a, Cost *c)
{
    norm_cost(c, a->rows, a->cols, a->act, a->w_type, (const int[4]){1 + (a->add != NULL), 1, 0, 0},
              (const int[4]){1 + (a->sum != NULL), 0, a->rstd != NULL, 0});
}

void cost_rmsnorm_bwd(const RmsNormBwd *a, Cost *c)
{
    int sums = a->dw != NULL;
    norm_cost(c, a->rows, a->cols, a->act, a->w_type, (const int[4]){2 + a->accumulate, 1, 1, a->accumulate_w ? sums : 0},
              (const int[4]){1 + (a->y != NULL), 0, 0, sums});
}

void cost_layernorm_fwd(const LayerNormFwd *a, Cost *c)
{
    norm_cost(c, a->rows, a->cols, a->act, a->w_type, (const int[4]){1 + (a->add != NULL), 2, 0, 0},
              (const int[4]){1 + (a->sum != NULL), 0, (a->rstd != NULL) + (a->mean != NULL), 0});
}

void cost_layernorm_bwd(const LayerNormBwd *a, Cost *c)
{
    int sums = (a->dw != NULL) + (a->db != NULL);
    norm_cost(c, a->rows, a->cols, a->act, a->w_type, (const int[4]){2 + a->accumulate, 1, 2, a->accumulate_w ? sums : 0},
              (const int[4]){1, 0, 0, sums});
}

/* Statistics: one of each kind for every group of an image. */
static void groupnorm_cost(Cost *c, const GroupNormBwd *a, int read, int written, int weights, int sums)
{
    double matrix = (double)(a->images * a->pixels * a->cols) * size_of(a->act), stat = size_of(stat_type(a->act));
    double sum = (double)a->cols * stat;
    shape(c, a->images * a->pixels, a->cols, read * matrix + weights * (double)a->cols * size_of(a->w_type), written * matrix);
    c->bytes_read += a->accumulate_w ? sums * sum : 0;
    c->bytes_written += sums * sum;
}

void cost_groupnorm_fwd(const GroupNormFwd *a, Cost *c)
{
    GroupNormBwd same = {
        .images = a->images, .pixels = a->pixels, .cols = a->cols, .groups = a->groups, .act = a->act, .w_type = a->w_type};
    groupnorm_cost(c, &same, 1, 1, 2, 0);
    c->bytes_written += 2 * (double)(a->images * a->groups) * size_of(stat_type(a->act));
}

void cost_groupnorm_bwd(const GroupNormBwd *a, Cost *c)
{
    groupnorm_cost(c, a, 2 + (a->dx && a->accumulate), a->dx != NULL, a->silu ? 2 : 1, (a->dw != NULL) + (a->db != NULL));
    c->bytes_read += 2 * (double)(a->images * a->groups) * size_of(stat_type(a->act));
}

/* ---------------------------------------------------------------- elementwise */

static void pointwise(Cost *c, int64_t rows, int64_t cols, DType act, int read, int written)
{
    double matrix = (double)(rows * cols) * size_of(act);
    shape(c, rows, cols, read * matrix, written * matrix);
}

void cost_glu_fwd(const GluFwd *a, Cost *c) { pointwise(c, a->rows, a->cols, a->act, 2, 1); }
void cost_glu_bwd(const GluBwd *a, Cost *c) { pointwise(c, a->rows, a->cols, a->act, 3, 2 + (a->y != NULL)); }
void cost_act_fwd(const ActFwd *a, Cost *c) { pointwise(c, 1, a->n, a->act, 1, 1); }
void cost_act_bwd(const ActBwd *a, Cost *c) { pointwise(c, 1, a->n, a->act, 2 + a->accumulate, 1); }

void cost_add_scaled(const AddScaled *a, Cost *c)
{
    double n = (double)a->n;
    shape(c, 1, a->n, n * (size_of(a->a_type) + (a->b ? size_of(a->b_type) : 0)), n * size_of(a->y_type));
}

/* Instructions of a mask. */
static double random_numbers(int64_t rows, int64_t cols)
{
    enum { GROUP = 8, ROUNDS = 10, ROUND = 6, COLUMN = 3 };
    return (double)rows * (double)((cols + GROUP - 1) / GROUP * ROUNDS * ROUND + cols * COLUMN);
}

void cost_dropout(const Dropout *a, Cost *c)
{
    pointwise(c, a->rows, a->cols, a->act, 1 + a->accumulate, 1);
    c->bytes_read += 2.0 * INT * (double)a->rows;
    c->integer = random_numbers(a->rows, a->cols);
}

/* Of the three operators alike: products, random numbers, du or u, where each row stands, and a matrix of the adapters; x is counted by the
 * callers. */
static double adapter_cost(Cost *c, const AdapterGroup *g, double matrix_size)
{
    double rows = (double)g->rows, in = (double)g->in, r = 0, matrices = 0;
    shape(c, g->rows, g->in, 2 * INT * rows, 0);
    for (int i = 0; i < g->n; i++) {
        const Adapter *a = &g->part[i];
        r += (double)a->r;
        matrices += (double)a->r * in * matrix_size;
        c->integer += a->r && a->p > 0 ? random_numbers(g->rows, g->in) : 0;
    }
    c->k = (int64_t)r;
    c->flops = 2 * rows * in * r;
    c->narrow = g->act == BF16 && g->a_type == BF16;
    c->bytes_read += matrices;
    return r * rows * size_of(g->act);
}

/* Each adapter has its own look at x. */
static double reads_of_x(const AdapterGroup *g)
{
    int n = 0;
    for (int i = 0; i < g->n; i++)
        n += g->part[i].r > 0;
    return (double)n * (double)(g->rows * g->in) * size_of(g->act);
}

void cost_adapter_down(const AdapterDown *a, Cost *c)
{
    c->bytes_written = adapter_cost(c, &a->g, size_of(a->g.a_type));
    c->bytes_read += reads_of_x(&a->g);
}

void cost_adapter_down_grad(const AdapterDownGrad *a, Cost *c)
{
    double du = adapter_cost(c, &a->g, 0);
    c->narrow = a->g.act == BF16;
    c->bytes_read += du + reads_of_x(&a->g);
    for (int i = 0; i < a->g.n; i++) {
        const Adapter *p = &a->g.part[i];
        double matrix = p->da ? (double)(p->r * a->g.in) * size_of(a->grad_type) : 0;
        c->bytes_written += matrix;
        c->bytes_read += p->accumulate ? matrix : 0;
    }
}

void cost_adapter_down_bwd(const AdapterDownBwd *a, Cost *c)
{
    double du = adapter_cost(c, &a->g, size_of(a->g.a_type)), dx = (double)(a->g.rows * a->g.in) * size_of(a->g.act);
    c->bytes_read += du + (a->accumulate ? dx : 0);
    c->bytes_written = dx;
}

void cost_adapter_up_bwd(const AdapterUpBwd *a, Cost *c)
{
    double rows = (double)a->rows, out = (double)a->out, r = (double)a->r, sums = a->db ? out * r * size_of(a->grad_type) : 0;
    shape(c, a->rows, a->out, rows * out * size_of(a->act) + out * r * size_of(a->b_type), rows * r * size_of(a->act) + sums);
    c->k = a->r;
    c->flops = 2 * rows * out * r * (a->db ? 2 : 1);
    c->narrow = a->act == BF16 && a->b_type == BF16;
    c->bytes_read += (a->db ? rows * r * size_of(a->act) : 0) + (a->accumulate ? sums : 0);
}

void cost_rope(const Rope *a, Cost *c)
{
    pointwise(c, a->rows, a->heads * a->head_dim, a->act, 1, 1);
    c->bytes_read += INT * (double)a->rows;
}

/* ---------------------------------------------------------------- attention */

/* Pairs of a query and a key that the mask lets through, in a segment of so many of both; causal: of as many. */
static double pairs_of(double queries, double keys, bool causal, int64_t window)
{
    if (!causal)
        return queries * keys;
    double w = window > 0 && (double)window < keys ? (double)window : keys;
    return w * (w + 1) / 2 + (keys - w) * w;
}

/* Over all segments; the longest of the queries is taken to meet the longest of the keys. */
static double pairs(const AttentionFwd *a)
{
    double sum = 0;
    for (int64_t s = 0; a->cu_host && s < a->n_segments; s++) {
        double rows = a->cu_host[s + 1] - a->cu_host[s];
        sum += pairs_of(rows, rows, a->causal, a->window);
    }
    if (a->cu_host)
        return sum;
    if (a->n_segments <= 1)
        return pairs_of((double)a->rows_q, (double)a->rows_k, a->causal, a->window);
    double others = (double)(a->n_segments - 1), queries = (double)(a->rows_q - a->max_q) / others,
           keys = (double)(a->rows_k - a->max_k) / others;
    return pairs_of((double)a->max_q, (double)a->max_k, a->causal, a->window) + others * pairs_of(queries, keys, a->causal, a->window);
}

/* products: matrix products over the pairs; bytes: of a matrix of queries (or outputs), a matrix of keys (or values), and of lse. */
static void attention_cost(const AttentionFwd *a, Cost *c, int products, double *q, double *k, double *lse)
{
    double width = (double)(a->heads * a->head_dim);
    *q = (double)a->rows_q * width * size_of(a->act);
    *k = (double)(a->rows_k * a->kv_heads * a->head_dim) * size_of(a->act);
    *lse = (double)(a->rows_q * a->heads) * size_of(stat_type(a->act));
    shape(c, a->rows_q, a->heads * a->head_dim, 0, 0);
    c->flops = 2 * products * pairs(a) * width;
    c->narrow = a->act == BF16;
}

void cost_attention_fwd(const AttentionFwd *a, Cost *c)
{
    double q, k, lse;
    attention_cost(a, c, 2, &q, &k, &lse);
    c->bytes_read = q + 2 * k;
    c->bytes_written = q + (a->lse ? lse : 0);
}

void cost_attention_bwd(const AttentionBwd *a, Cost *c)
{
    double q, k, lse;
    AttentionFwd forward = attention_forward_of(a);
    attention_cost(&forward, c, 2 + (a->dq ? 1 : 0) + (a->dk ? 2 : 0), &q, &k, &lse); /* scores and dP besides */
    c->again = 2 * pairs(&forward) * (double)(a->heads * a->head_dim);
    c->bytes_read = 3 * q + 2 * k + lse;
    c->bytes_written = (a->dq ? q : 0) + (a->dk ? 2 * k : 0);
}

/* The lengths lie in device memory: the whole cache. */
void cost_attention_decode(const AttentionDecode *a, Cost *c)
{
    double keys = a->window > 0 && a->window < a->capacity ? (double)a->window : (double)a->capacity,
           q = (double)(a->n * a->heads * a->head_dim);
    shape(c, a->n, a->heads * a->head_dim, (q + 2 * (double)(a->n * a->kv_heads * a->head_dim) * keys) * size_of(a->act),
          q * size_of(a->act));
    c->flops = 4 * q * keys;
    c->narrow = a->act == BF16;
}

/* ---------------------------------------------------------------- convolutions */

/* Elements of x, y and w. The products with zeros outside of the image count, as they do for everybody. */
static void conv_cost(Cost *c, const ConvShape *s, DType act, DType other, double *x, double *y, double *w)
{
    Plane to = conv_to(s);
    *x = (double)(plane_rows(&s->from) * s->in);
    *y = (double)(plane_rows(&to) * s->out);
    *w = (double)(s->out * s->kernel_height * s->kernel_width * s->in);
    shape(c, plane_rows(&to), s->out, 0, 0);
    c->k = s->kernel_height * s->kernel_width * s->in;
    c->flops = 2 * *y * (double)c->k;
    c->narrow = act == BF16 && other == BF16;
}

void cost_conv2d_fwd(const Conv2dFwd *a, Cost *c)
{
    double x, y, w, out = (double)a->shape.out;
    conv_cost(c, &a->shape, a->act, a->w_type, &x, &y, &w);
    c->bytes_read = (x + (a->add ? y : 0) + (a->shift ? (double)a->shape.from.images * out : 0)) * size_of(a->act) +
                    w * size_of(a->w_type) + (a->bias ? out * size_of(a->bias_type) : 0);
    c->bytes_written = y * size_of(a->act);
}

void cost_conv2d_dx(const Conv2dDx *a, Cost *c)
{
    double x, y, w;
    conv_cost(c, &a->shape, a->act, a->w_type, &x, &y, &w);
    c->bytes_read = (y + (a->accumulate ? x : 0)) * size_of(a->act) + w * size_of(a->w_type);
    c->bytes_written = x * size_of(a->act);
}

void cost_conv2d_dw(const Conv2dDw *a, Cost *c)
{
    double x, y, w;
    conv_cost(c, &a->shape, a->act, a->act, &x, &y, &w);
    c->bytes_read = (x + y) * size_of(a->act) + (a->accumulate ? w : 0) * size_of(a->dw_type);
    c->bytes_written = w * size_of(a->dw_type);
}

void cost_pool2d_fwd(const Pool2dFwd *a, Cost *c)
{
    const ConvShape *s = &a->shape;
    const Plane to = conv_to(s);
    const double pixel = (double)s->in * size_of(a->act);
    shape(c, plane_rows(&to), s->in, (double)plane_rows(&s->from) * pixel, (double)plane_rows(&to) * pixel);
}

/* ---------------------------------------------------------------- rows */

void cost_rows_gather(const RowsGather *a, Cost *c)
{
    double n = (double)(a->n * a->cols);
    shape(c, a->n, a->cols, n * size_of(a->src_type) + INT * (double)a->n, n * size_of(a->y_type));
}

void cost_rows_scatter(const RowsScatter *a, Cost *c)
{
    double n = (double)(a->n * a->cols);
    shape(c, a->n, a->cols, n * (size_of(a->x_type) + (a->accumulate ? size_of(a->dst_type) : 0)) + INT * (double)a->n,
          n * size_of(a->dst_type));
}

void cost_patchify(const Patchify *a, Cost *c)
{
    int64_t rows = a->images * (a->height / a->patch) * (a->width / a->patch), cols = 3 * a->patch * a->patch;
    shape(c, rows, cols, (double)(rows * cols), (double)(rows * cols) * size_of(a->act));
}

void cost_add_rows(const AddRows *a, Cost *c)
{
    pointwise(c, a->rows, a->cols, a->act, 1, 1);
    c->bytes_read += (double)(a->period * a->cols) * size_of(a->table_type);
}

void cost_add_rows_bwd(const AddRowsBwd *a, Cost *c)
{
    double table = (double)(a->period * a->cols) * size_of(a->table_type);
    shape(c, a->rows, a->cols, (double)(a->rows * a->cols) * size_of(a->act) + (a->accumulate ? table : 0), table);
}

void cost_cross_entropy(const CrossEntropy *a, Cost *c)
{
    double row = size_of(stat_type(a->act));
    pointwise(c, a->rows, a->cols, a->act, 1 + a->backward, a->backward);
    c->bytes_read += (double)a->rows * (INT + (a->backward ? row : 0));
    c->bytes_written += (double)a->rows * row;
}

void cost_weighted_sum(const WeightedSum *a, Cost *c)
{
    double total = sizeof(double);
    shape(c, 1, a->n, (double)a->n * (size_of(F32) + size_of(a->type)) + (a->accumulate ? total : 0),
          total + (a->scaled ? size_of(a->act) : 0));
}

void cost_upsample_fwd(const UpsampleFwd *a, Cost *c)
{
    double pixel = (double)a->cols * size_of(a->act);
    shape(c, plane_rows(&a->to), a->cols, (double)plane_rows(&a->from) * pixel, (double)plane_rows(&a->to) * pixel);
}

void cost_upsample_bwd(const UpsampleBwd *a, Cost *c)
{
    double pixel = (double)a->cols * size_of(a->act), dx = (double)plane_rows(&a->from) * pixel;
    shape(c, plane_rows(&a->to), a->cols, (double)plane_rows(&a->to) * pixel + (a->accumulate ? dx : 0), dx);
}

void cost_difference_fwd(const DifferenceFwd *a, Cost *c)
{
    pointwise(c, a->items * a->rows, a->cols, a->act, 1, 0);
    c->bytes_read += (double)(a->items * a->rows * a->cols) * size_of(stat_type(a->act));
    c->bytes_written += (double)a->items * size_of(stat_type(a->act));
}

void cost_difference_bwd(const DifferenceBwd *a, Cost *c)
{
    pointwise(c, a->items * a->rows, a->cols, a->act, 1 + a->accumulate, 1);
    c->bytes_read += (double)(a->items * a->rows * a->cols) * size_of(stat_type(a->act));
    c->bytes_read += (double)a->items * size_of(F32) + size_of(a->act);
}

/* ---------------------------------------------------------------- optimiser */

void cost_adamw(const Adamw *a, Cost *c)
{
    int64_t n = 0;
    for (int64_t i = 0; i < a->n_spans; i++)
        n += a->spans[i].end - a->spans[i].begin;
    double moments = 2 * size_of(a->moments);
    shape(c, 1, n, (double)n * (2 * size_of(a->type) + moments), (double)n * (size_of(a->type) + moments + (a->copy ? size_of(BF16) : 0)));
}

void cost_sum_squares(const SumSquares *a, Cost *c) { shape(c, 1, a->n, (double)a->n * size_of(a->type), sizeof(double)); }
void cost_fill(const Fill *a, Cost *c) { shape(c, 1, a->n, 0, (double)a->n * size_of(a->type)); }

#define COST_CALL(name, Args) \
    static void call_##name(const void *args, Cost *c) { cost_##name(args, c); }
KERNEL_LIST(COST_CALL)
#undef COST_CALL

void op_cost(Op op, const void *args, Cost *c)
{
    static void (*const COSTS[N_OPS])(const void *args, Cost *c) = {
#define COST_ENTRY(name, Args) call_##name,
        KERNEL_LIST(COST_ENTRY)
#undef COST_ENTRY
    };
    COSTS[op](args, c);
}
