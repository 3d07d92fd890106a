/* check.c: the limits of the contracts (check.h). Called by every backend before it computes. */
#include "kernels/ops/check.h"

#define EXPECT(cond, ...)                           \
    do {                                            \
        if (!(cond))                                \
            return fail(ERR_INTERNAL, __VA_ARGS__); \
    } while (0)

static Status size(const char *op, const char *what, int64_t n)
{
    EXPECT(n >= 0, "%s: %s is %lld, expected 0 or more", op, what, (long long)n);
    return OK;
}

static Status at_least(const char *op, const char *what, int64_t n, int64_t low)
{
    EXPECT(n >= low, "%s: %s is %lld, expected %lld or more", op, what, (long long)n, (long long)low);
    return OK;
}

static Status floating(const char *op, const char *what, DType t)
{
    EXPECT(t == F32 || t == BF16 || t == F64, "%s: %s is %s, expected F32, BF16 or F64", op, what,
           (unsigned)t < N_DTYPES ? dtype_name(t) : "no type");
    return OK;
}

/* Gradients of weights, statistics and optimiser state are F32, or F64 on ref. */
static Status wide(const char *op, const char *what, DType t)
{
    EXPECT(t == F32 || t == F64, "%s: %s is %s, expected F32 or F64", op, what, (unsigned)t < N_DTYPES ? dtype_name(t) : "no type");
    return OK;
}

Status check_range(const char *op, const char *what, const int32_t *value, int64_t n, int64_t low, int64_t high)
{
    for (int64_t i = 0; i < n; i++)
        if (value[i] < low || value[i] >= high)
            return fail(ERR_DATA, "%s: %s[%lld] is %d, expected %lld … %lld", op, what, (long long)i, value[i], (long long)low,
                        (long long)(high - 1));
    return OK;
}

Status check_below(const char *op, const char *what, const int32_t *value, int64_t n, int64_t high)
{
    for (int64_t i = 0; i < n; i++)
        if (value[i] >= high)
            return fail(ERR_DATA, "%s: %s[%lld] is %d, expected less than %lld", op, what, (long long)i, value[i], (long long)high);
    return OK;
}

Status check_segments(const char *op, const char *what, const int32_t *cu, int64_t n_segments, int64_t rows, int64_t longest)
{
    EXPECT(cu[0] == 0, "%s: %s[0] is %d, expected 0", op, what, cu[0]);
    for (int64_t s = 0; s < n_segments; s++) {
        int64_t length = (int64_t)cu[s + 1] - cu[s];
        EXPECT(length >= 0 && length <= longest, "%s: segment %lld of %s has %lld rows, expected 0 … %lld", op, (long long)s, what,
               (long long)length, (long long)longest);
    }
    EXPECT(cu[n_segments] == rows, "%s: %s[%lld] is %d, expected %lld rows", op, what, (long long)n_segments, cu[n_segments],
           (long long)rows);
    return OK;
}

Status check_matmul(const Matmul *a)
{
    const char *op = "matmul";
    TRY(size(op, "m", a->m));
    TRY(size(op, "n", a->n));
    TRY(size(op, "k", a->k));
    TRY(floating(op, "a_type", a->a_type));
    TRY(floating(op, "b_type", a->b_type));
    TRY(floating(op, "c_type", a->c_type));
    if (a->bias)
        TRY(floating(op, "bias_type", a->bias_type));
    TRY(at_least(op, "lda", a->lda, a->a_trans ? a->m : a->k));
    TRY(at_least(op, "ldb", a->ldb, a->b_trans ? a->k : a->n));
    TRY(at_least(op, "ldc", a->ldc, a->n));
    EXPECT(!a->add || !a->accumulate, "matmul: both C and another matrix are to be added");
    if (!a->k2)
        return OK;
    TRY(size(op, "k2", a->k2));
    EXPECT(!a->a_trans, "matmul: a second product beside a transposed A");
    TRY(floating(op, "b2_type", a->b2_type));
    TRY(at_least(op, "lda2", a->lda2, a->k2));
    return at_least(op, "ldb2", a->ldb2, a->b_trans ? a->k2 : a->n);
}

Status check_column_sum(const ColumnSum *a)
{
    const char *op = "column_sum";
    TRY(size(op, "rows", a->rows));
    TRY(size(op, "cols", a->cols));
    TRY(floating(op, "x_type", a->x_type));
    TRY(wide(op, "out_type", a->out_type));
    return at_least(op, "ldx", a->ldx, a->cols);
}

Status check_quantize_rows(const QuantizeRows *a)
{
    const char *op = "quantize_rows";
    TRY(size(op, "rows", a->rows));
    TRY(size(op, "cols", a->cols));
    TRY(floating(op, "x_type", a->x_type));
    return at_least(op, "ldx", a->ldx, a->transposed ? a->rows : a->cols);
}

Status check_matmul_fp8(const MatmulFp8 *a)
{
    const char *op = "matmul_fp8";
    TRY(size(op, "m", a->m));
    TRY(size(op, "n", a->n));
    TRY(size(op, "k", a->k));
    TRY(floating(op, "c_type", a->c_type));
    EXPECT(!a->add || !a->accumulate, "matmul_fp8: both C and another matrix are to be added");
    return at_least(op, "ldc", a->ldc, a->n);
}

static Status norm(const char *op, int64_t rows, int64_t cols, DType act, DType w_type)
{
    TRY(size(op, "rows", rows));
    TRY(size(op, "cols", cols));
    TRY(floating(op, "act", act));
    return floating(op, "w_type", w_type);
}

Status check_rmsnorm_fwd(const RmsNormFwd *a)
{
    TRY(norm("rmsnorm_fwd", a->rows, a->cols, a->act, a->w_type));
    return at_least("rmsnorm_fwd", "ldy", row_stride(a->ldy, a->cols), a->cols);
}

Status check_rmsnorm_bwd(const RmsNormBwd *a)
{
    TRY(norm("rmsnorm_bwd", a->rows, a->cols, a->act, a->w_type));
    TRY(at_least("rmsnorm_bwd", "lddx", row_stride(a->lddx, a->cols), a->cols));
    return at_least("rmsnorm_bwd", "ldy", row_stride(a->ldy, a->cols), a->cols);
}

Status check_layernorm_fwd(const LayerNormFwd *a) { return norm("layernorm_fwd", a->rows, a->cols, a->act, a->w_type); }
Status check_layernorm_bwd(const LayerNormBwd *a) { return norm("layernorm_bwd", a->rows, a->cols, a->act, a->w_type); }

static Status groupnorm(const char *op, int64_t images, int64_t pixels, int64_t cols, int64_t groups, DType act, DType w_type)
{
    TRY(size(op, "images", images));
    TRY(size(op, "pixels", pixels));
    TRY(at_least(op, "groups", groups, 1));
    EXPECT(!pixels || images <= INT32_MAX / pixels, "%s: %lld images of %lld pixels, expected less than 2^31 rows", op, (long long)images,
           (long long)pixels);
    TRY(norm(op, images * pixels, cols, act, w_type));
    EXPECT(cols <= GROUPNORM_MAX_COLS, "%s: cols is %lld, expected at most %d", op, (long long)cols, GROUPNORM_MAX_COLS);
    EXPECT(cols % groups == 0, "%s: %lld groups do not divide %lld channels", op, (long long)groups, (long long)cols);
    return OK;
}

Status check_groupnorm_fwd(const GroupNormFwd *a)
{
    return groupnorm("groupnorm_fwd", a->images, a->pixels, a->cols, a->groups, a->act, a->w_type);
}

Status check_groupnorm_bwd(const GroupNormBwd *a)
{
    return groupnorm("groupnorm_bwd", a->images, a->pixels, a->cols, a->groups, a->act, a->w_type);
}

static Status glu(const char *op, const GluBwd *a)
{
    TRY(size(op, "rows", a->rows));
    TRY(size(op, "cols", a->cols));
    TRY(floating(op, "act", a->act));
    EXPECT(a->kind == ACT_SILU || a->kind == ACT_GELU_ERF, "%s: kind is %d, expected ACT_SILU or ACT_GELU_ERF", op, (int)a->kind);
    TRY(at_least(op, "ldg", a->ldg, a->cols));
    TRY(at_least(op, "ldu", a->ldu, a->cols));
    return at_least(op, "ldy", row_stride(a->ldy, a->cols), a->cols);
}

Status check_glu_fwd(const GluFwd *a)
{
    return glu("glu_fwd", &(GluBwd){.rows = a->rows, .cols = a->cols, .ldg = a->ldg, .ldu = a->ldu, .act = a->act, .kind = a->kind,
                                    .ldy = a->ldy});
}

Status check_glu_bwd(const GluBwd *a)
{
    TRY(glu("glu_bwd", a));
    TRY(at_least("glu_bwd", "lddg", a->lddg, a->cols));
    return at_least("glu_bwd", "lddu", a->lddu, a->cols);
}

static Status act(const char *op, int64_t n, DType type, ActKind kind)
{
    TRY(size(op, "n", n));
    TRY(floating(op, "act", type));
    EXPECT((unsigned)kind < N_ACT_KINDS, "%s: kind is %d, expected 0 … %d", op, (int)kind, N_ACT_KINDS - 1);
    return OK;
}

Status check_act_fwd(const ActFwd *a) { return act("act_fwd", a->n, a->act, a->kind); }
Status check_act_bwd(const ActBwd *a) { return act("act_bwd", a->n, a->act, a->kind); }

Status check_add_scaled(const AddScaled *a)
{
    const char *op = "add_scaled";
    TRY(size(op, "n", a->n));
    TRY(floating(op, "a_type", a->a_type));
    if (a->b)
        TRY(floating(op, "b_type", a->b_type));
    return floating(op, "y_type", a->y_type);
}

Status check_dropout(const Dropout *a)
{
    const char *op = "dropout";
    TRY(size(op, "rows", a->rows));
    TRY(size(op, "cols", a->cols));
    TRY(floating(op, "act", a->act));
    EXPECT(a->p >= 0 && a->p < 1, "%s: p is %g, expected 0 <= p < 1", op, a->p);
    return OK;
}

static Status adapters(const char *op, const AdapterGroup *g)
{
    TRY(size(op, "rows", g->rows));
    TRY(size(op, "in", g->in));
    EXPECT(g->in <= ADAPTER_IN_MAX, "%s: in is %lld, expected at most %d", op, (long long)g->in, ADAPTER_IN_MAX);
    TRY(floating(op, "act", g->act));
    EXPECT(g->n >= 0 && g->n <= ADAPTERS_MAX, "%s: n is %d, expected 0 … %d", op, g->n, ADAPTERS_MAX);
    for (int i = 0; i < g->n; i++) {
        const Adapter *a = &g->part[i];
        TRY(size(op, "r", a->r));
        EXPECT(a->p >= 0 && a->p < 1, "%s: p is %g, expected 0 <= p < 1", op, a->p);
        EXPECT(a->p <= 0 || !g->rows || (g->row_pos && g->row_item), "%s: dropout without row_pos and row_item", op);
    }
    return at_least(op, "ldu", g->ldu, adapter_columns(g));
}

Status check_adapter_down(const AdapterDown *a)
{
    TRY(adapters("adapter_down", &a->g));
    TRY(floating("adapter_down", "a_type", a->g.a_type));
    return at_least("adapter_down", "ldx", a->ldx, a->g.in);
}

Status check_adapter_down_grad(const AdapterDownGrad *a)
{
    TRY(adapters("adapter_down_grad", &a->g));
    TRY(wide("adapter_down_grad", "grad_type", a->grad_type));
    return at_least("adapter_down_grad", "ldx", a->ldx, a->g.in);
}

Status check_adapter_down_bwd(const AdapterDownBwd *a)
{
    TRY(adapters("adapter_down_bwd", &a->g));
    TRY(floating("adapter_down_bwd", "a_type", a->g.a_type));
    return at_least("adapter_down_bwd", "lddx", row_stride(a->lddx, a->g.in), a->g.in);
}

Status check_adapter_up_bwd(const AdapterUpBwd *a)
{
    TRY(size("adapter_up_bwd", "rows", a->rows));
    TRY(size("adapter_up_bwd", "out", a->out));
    TRY(size("adapter_up_bwd", "r", a->r));
    TRY(floating("adapter_up_bwd", "act", a->act));
    TRY(floating("adapter_up_bwd", "b_type", a->b_type));
    if (a->db) {
        TRY(wide("adapter_up_bwd", "grad_type", a->grad_type));
        TRY(at_least("adapter_up_bwd", "ldu", a->ldu, a->r));
    }
    TRY(at_least("adapter_up_bwd", "lddy", a->lddy, a->out));
    return at_least("adapter_up_bwd", "lddu", a->lddu, a->r);
}

Status check_rope(const Rope *a)
{
    const char *op = "rope";
    TRY(size(op, "rows", a->rows));
    TRY(size(op, "heads", a->heads));
    TRY(floating(op, "act", a->act));
    EXPECT(a->head_dim >= 2 && a->head_dim % 2 == 0, "%s: head_dim is %lld, expected an even number", op, (long long)a->head_dim);
    EXPECT(a->base > 0, "%s: base is %g, expected more than 0", op, a->base);
    EXPECT(a->factor == 0 || a->factor >= 1, "%s: factor is %g, expected 1 or more, or 0", op, a->factor);
    return at_least(op, "ldx", a->ldx, a->heads * a->head_dim);
}

static Status heads(const char *op, int64_t n_heads, int64_t kv_heads, int64_t head_dim, int64_t window, DType act)
{
    TRY(at_least(op, "heads", n_heads, 1));
    TRY(at_least(op, "kv_heads", kv_heads, 1));
    EXPECT(n_heads % kv_heads == 0, "%s: %lld kv_heads do not divide %lld heads", op, (long long)kv_heads, (long long)n_heads);
    EXPECT(head_dim >= 1 && head_dim <= ATTENTION_MAX_HEAD_DIM, "%s: head_dim is %lld, expected 1 … %d", op, (long long)head_dim,
           ATTENTION_MAX_HEAD_DIM);
    TRY(size(op, "window", window));
    return floating(op, "act", act);
}

/* What both directions have. */
static Status attention(const char *op, const AttentionFwd *a)
{
    int64_t q_width = a->heads * a->head_dim, kv_width = a->kv_heads * a->head_dim;
    bool one_list = a->cu_q == a->cu_k;
    TRY(heads(op, a->heads, a->kv_heads, a->head_dim, a->window, a->act));
    TRY(size(op, "n_segments", a->n_segments));
    TRY(size(op, "rows_q", a->rows_q));
    TRY(size(op, "rows_k", a->rows_k));
    TRY(size(op, "max_q", a->max_q));
    TRY(size(op, "max_k", a->max_k));
    EXPECT(one_list || !a->causal, "%s: causal, but the keys have segments of their own", op);
    EXPECT(!one_list || (a->rows_q == a->rows_k && a->max_q == a->max_k),
           "%s: one list of segments for %lld queries and %lld keys (longest %lld, %lld)", op, (long long)a->rows_q, (long long)a->rows_k,
           (long long)a->max_q, (long long)a->max_k);
    TRY(at_least(op, "ldq", a->ldq, q_width));
    TRY(at_least(op, "ldk", a->ldk, kv_width));
    TRY(at_least(op, "ldv", a->ldv, kv_width));
    return at_least(op, "ldo", a->ldo, q_width);
}

Status check_attention_fwd(const AttentionFwd *a) { return attention("attention_fwd", a); }

AttentionFwd attention_forward_of(const AttentionBwd *a)
{
    return (AttentionFwd){.n_segments = a->n_segments, .rows_q = a->rows_q, .rows_k = a->rows_k, .max_q = a->max_q, .max_k = a->max_k,
                          .heads = a->heads,
                          .kv_heads = a->kv_heads, .head_dim = a->head_dim, .window = a->window, .ldq = a->ldq, .ldk = a->ldk,
                                  .ldv = a->ldv,
                          .ldo = a->ldo, .causal = a->causal, .act = a->act, .scale = a->scale, .cu_q = a->cu_q, .cu_k = a->cu_k,
                          .cu_host = a->cu_host};
}

Status check_attention_bwd(const AttentionBwd *a)
{
    const char *op = "attention_bwd";
    int64_t q_width = a->heads * a->head_dim, kv_width = a->kv_heads * a->head_dim;
    AttentionFwd forward = attention_forward_of(a);
    TRY(attention(op, &forward));
    EXPECT(!a->dk == !a->dv, "%s: one of dk and dv is wanted, the other is not", op);
    TRY(at_least(op, "lddo", a->lddo, q_width));
    if (a->dq)
        TRY(at_least(op, "lddq", a->lddq, q_width));
    if (a->dk) {
        TRY(at_least(op, "lddk", a->lddk, kv_width));
        TRY(at_least(op, "lddv", a->lddv, kv_width));
    }
    return OK;
}

Status check_attention_decode(const AttentionDecode *a)
{
    const char *op = "attention_decode";
    TRY(heads(op, a->heads, a->kv_heads, a->head_dim, a->window, a->act));
    TRY(size(op, "n", a->n));
    TRY(at_least(op, "ldq", row_stride(a->ldq, a->heads * a->head_dim), a->heads * a->head_dim));
    TRY(at_least(op, "ldo", row_stride(a->ldo, a->heads * a->head_dim), a->heads * a->head_dim));
    return size(op, "capacity", a->capacity);
}

Status check_dequantize(const Dequantize *a)
{
    const char *op = "dequantize";
    TRY(size(op, "rows", a->rows));
    TRY(size(op, "cols", a->cols));
    TRY(size(op, "first", a->first));
    TRY(floating(op, "y_type", a->y_type));
    if (a->format != CODES_INT8 && a->format != CODES_NF4)
        return fail(ERR_INTERNAL, "dequantize: format is %d, expected int8 or nf4", (int)a->format);
    return at_least(op, "ldy", a->ldy, a->cols);
}

Status check_rows_gather(const RowsGather *a)
{
    const char *op = "rows_gather";
    TRY(size(op, "n", a->n));
    TRY(size(op, "cols", a->cols));
    TRY(floating(op, "src_type", a->src_type));
    TRY(floating(op, "y_type", a->y_type));
    TRY(at_least(op, "lds", a->lds, a->cols));
    return at_least(op, "ldy", a->ldy, a->cols);
}

Status check_rows_scatter(const RowsScatter *a)
{
    const char *op = "rows_scatter";
    TRY(size(op, "n", a->n));
    TRY(size(op, "n_dst", a->n_dst));
    TRY(size(op, "cols", a->cols));
    TRY(floating(op, "x_type", a->x_type));
    TRY(floating(op, "dst_type", a->dst_type));
    TRY(at_least(op, "ldx", a->ldx, a->cols));
    return at_least(op, "ldd", a->ldd, a->cols);
}

static Status conv(const char *op, const ConvShape *s, DType act)
{
    TRY(size(op, "images", s->from.images));
    TRY(size(op, "height", s->from.height));
    TRY(size(op, "width", s->from.width));
    TRY(size(op, "in", s->in));
    TRY(size(op, "out", s->out));
    TRY(at_least(op, "kernel_height", s->kernel_height, 1));
    TRY(at_least(op, "kernel_width", s->kernel_width, 1));
    TRY(at_least(op, "stride", s->stride, 1));
    TRY(size(op, "top", s->top));
    TRY(size(op, "left", s->left));
    TRY(size(op, "bottom", s->bottom));
    TRY(size(op, "right", s->right));
    return floating(op, "act", act);
}

Status check_conv2d_fwd(const Conv2dFwd *a)
{
    TRY(conv("conv2d_fwd", &a->shape, a->act));
    if (a->bias)
        TRY(floating("conv2d_fwd", "bias_type", a->bias_type));
    return floating("conv2d_fwd", "w_type", a->w_type);
}

Status check_conv2d_dx(const Conv2dDx *a)
{
    TRY(conv("conv2d_dx", &a->shape, a->act));
    return floating("conv2d_dx", "w_type", a->w_type);
}

Status check_conv2d_dw(const Conv2dDw *a)
{
    TRY(conv("conv2d_dw", &a->shape, a->act));
    return wide("conv2d_dw", "dw_type", a->dw_type);
}

Status check_pool2d_fwd(const Pool2dFwd *a)
{
    const char *op = "pool2d_fwd";
    const ConvShape *s = &a->shape;
    TRY(conv(op, s, a->act));
    EXPECT(s->in == s->out, "%s: %lld channels become %lld", op, (long long)s->in, (long long)s->out);
    EXPECT(s->top < s->kernel_height && s->bottom < s->kernel_height && s->left < s->kernel_width && s->right < s->kernel_width,
           "%s: windows of %lldx%lld beside the image: %lld, %lld, %lld, %lld rows and columns around it", op, (long long)s->kernel_height,
           (long long)s->kernel_width, (long long)s->top, (long long)s->bottom, (long long)s->left, (long long)s->right);
    EXPECT(plane_rows(&s->from) <= INT32_MAX, "%s: 2^31 pixels or more", op);
    return OK;
}

Status check_patchify(const Patchify *a)
{
    const char *op = "patchify";
    TRY(size(op, "images", a->images));
    TRY(size(op, "height", a->height));
    TRY(size(op, "width", a->width));
    TRY(at_least(op, "patch", a->patch, 1));
    return floating(op, "act", a->act);
}

Status check_add_rows(const AddRows *a)
{
    const char *op = "add_rows";
    TRY(size(op, "rows", a->rows));
    TRY(size(op, "cols", a->cols));
    TRY(at_least(op, "period", a->period, 1));
    TRY(floating(op, "act", a->act));
    return floating(op, "table_type", a->table_type);
}

Status check_add_rows_bwd(const AddRowsBwd *a)
{
    const char *op = "add_rows_bwd";
    TRY(size(op, "rows", a->rows));
    TRY(size(op, "cols", a->cols));
    TRY(at_least(op, "period", a->period, 1));
    TRY(floating(op, "act", a->act));
    return wide(op, "table_type", a->table_type);
}

static Status upsample(const char *op, Plane from, Plane to, int64_t cols, DType act)
{
    const int64_t least = to.images > 0 && to.height > 0 && to.width > 0; /* what is made is made from something */
    TRY(size(op, "to.images", to.images));
    TRY(size(op, "to.height", to.height));
    TRY(size(op, "to.width", to.width));
    EXPECT(from.height <= UPSAMPLE_MAX_SIDE && from.width <= UPSAMPLE_MAX_SIDE && to.height <= UPSAMPLE_MAX_SIDE &&
               to.width <= UPSAMPLE_MAX_SIDE,
           "%s: %lld·%lld pixels become %lld·%lld, expected at most %d on a side", op, (long long)from.height, (long long)from.width,
           (long long)to.height, (long long)to.width, UPSAMPLE_MAX_SIDE);
    EXPECT(plane_rows(&from) <= INT32_MAX && plane_rows(&to) <= INT32_MAX, "%s: 2^31 pixels or more", op);
    TRY(at_least(op, "from.height", from.height, least));
    TRY(at_least(op, "from.width", from.width, least));
    EXPECT(from.images == to.images, "%s: %lld images become %lld", op, (long long)from.images, (long long)to.images);
    TRY(size(op, "cols", cols));
    return floating(op, "act", act);
}

Status check_upsample_fwd(const UpsampleFwd *a) { return upsample("upsample_fwd", a->from, a->to, a->cols, a->act); }
Status check_upsample_bwd(const UpsampleBwd *a) { return upsample("upsample_bwd", a->from, a->to, a->cols, a->act); }

static Status difference(const char *op, int64_t items, int64_t rows, int64_t cols, DType act, DifferenceKind kind)
{
    TRY(size(op, "items", items));
    TRY(size(op, "rows", rows));
    TRY(size(op, "cols", cols));
    EXPECT(kind == DIFFERENCE_MSE || kind == DIFFERENCE_L2NORM, "%s: kind is %d, expected DIFFERENCE_MSE or DIFFERENCE_L2NORM", op,
           (int)kind);
    return floating(op, "act", act);
}

Status check_difference_fwd(const DifferenceFwd *a) { return difference("difference_fwd", a->items, a->rows, a->cols, a->act, a->kind); }

Status check_difference_bwd(const DifferenceBwd *a) { return difference("difference_bwd", a->items, a->rows, a->cols, a->act, a->kind); }

Status check_cross_entropy(const CrossEntropy *a)
{
    const char *op = "cross_entropy";
    TRY(size(op, "rows", a->rows));
    TRY(size(op, "cols", a->cols));
    TRY(floating(op, "act", a->act));
    return at_least(op, "ldz", a->ldz, a->cols);
}

Status check_weighted_sum(const WeightedSum *a)
{
    TRY(size("weighted_sum", "n", a->n));
    TRY(wide("weighted_sum", "type", a->type));
    return floating("weighted_sum", "act", a->act);
}

Status check_adamw(const Adamw *a)
{
    const char *op = "adamw";
    TRY(size(op, "n_spans", a->n_spans));
    TRY(wide(op, "type", a->type));
    EXPECT(a->moments == a->type || (a->type == F32 && a->moments == BF16), "%s: moments are %s beside weights in %s, expected %s", op,
           dtype_name(a->moments), dtype_name(a->type), a->type == F32 ? "F32 or BF16" : dtype_name(a->type));
    for (int64_t i = 0; i < a->n_spans; i++) {
        const AdamwSpan *s = &a->spans[i];
        EXPECT(s->begin >= 0 && s->begin <= s->end, "%s: span %lld is %lld … %lld, expected 0 <= begin <= end", op, (long long)i,
               (long long)s->begin, (long long)s->end);
        EXPECT(s->t >= 1, "%s: span %lld is at update %lld, expected 1 or more", op, (long long)i, (long long)s->t);
    }
    return OK;
}

Status check_sum_squares(const SumSquares *a)
{
    TRY(size("sum_squares", "n", a->n));
    return floating("sum_squares", "type", a->type);
}

Status check_fill(const Fill *a)
{
    TRY(size("fill", "n", a->n));
    return floating("fill", "type", a->type);
}
