/* attention.c: attention as ops/attention.h defines it, in plain loops. */
#include "kernels/ref/real.h"

/* One head of a matrix [rows, heads, head_dim]: where its element (row, 0) lies. */
typedef struct Head {
    const void *data;
    DType act;
    int64_t first, ld, head_dim;
} Head;

static Head head(const void *data, DType act, int64_t h, int64_t head_dim, int64_t ld)
{
    return (Head){.data = data, .act = act, .first = h * head_dim, .ld = ld, .head_dim = head_dim};
}

static real element(const Head *x, int64_t row, int64_t d) { return get(x->data, x->act, x->first + row * x->ld + d); }

static real dot(const Head *x, int64_t i, const Head *y, int64_t j)
{
    real sum = 0;
    for (int64_t d = 0; d < x->head_dim; d++)
        sum += element(x, i, d) * element(y, j, d);
    return sum;
}

/* Does query row i see key row j of its segment? */
static bool sees(bool causal, int64_t window, int64_t i, int64_t j) { return !causal || (j <= i && (window == 0 || i - j < window)); }

/* o = softmax(scale·q_i·k) v over the keys low … high-1 that row i sees; returns log Σ exp(S). Without keys 0 and -inf. */
static real attend(const Head *q, int64_t i, const Head *k, const Head *v, int64_t low, int64_t high, bool causal, int64_t window,
                   real scale, int64_t position, real *o)
{
    real largest = -(real)INFINITY, total = 0;
    for (int64_t j = low; j < high; j++)
        if (sees(causal, window, position, j))
            largest = fmax(largest, scale * dot(q, i, k, j));
    for (int64_t d = 0; d < v->head_dim; d++)
        o[d] = 0;
    for (int64_t j = low; j < high; j++)
        if (sees(causal, window, position, j)) {
            real p = exp(scale * dot(q, i, k, j) - largest);
            total += p;
            for (int64_t d = 0; d < v->head_dim; d++)
                o[d] += p * element(v, j, d);
        }
    for (int64_t d = 0; d < v->head_dim; d++)
        o[d] = total == 0 ? 0 : o[d] / total;
    return largest + log(total);
}

Status REF_NAME(attention_fwd)(KernelCtx *ctx, const AttentionFwd *a)
{
    (void)ctx;
    TRY(check_attention_fwd(a));
    TRY(check_segments("attention_fwd", "cu_q", a->cu_q, a->n_segments, a->rows_q, a->max_q));
    TRY(check_segments("attention_fwd", "cu_k", a->cu_k, a->n_segments, a->rows_k, a->max_k));
    int64_t group = a->heads / a->kv_heads;
    for (int64_t h = 0; h < a->heads; h++) {
        Head q = head(a->q, a->act, h, a->head_dim, a->ldq);
        Head k = head(a->k, a->act, h / group, a->head_dim, a->ldk), v = head(a->v, a->act, h / group, a->head_dim, a->ldv);
        for (int64_t s = 0; s < a->n_segments; s++)
            for (int64_t i = a->cu_q[s]; i < a->cu_q[s + 1]; i++) {
                real o[ATTENTION_MAX_HEAD_DIM];
                real lse = attend(&q, i, &k, &v, a->cu_k[s], a->cu_k[s + 1], a->causal, a->window, (real)a->scale, i, o);
                for (int64_t d = 0; d < a->head_dim; d++)
                    put(a->o, a->act, i * a->ldo + h * a->head_dim + d, o[d]);
                if (a->lse)
                    put(a->lse, stat_type(a->act), h * a->rows_q + i, lse);
            }
    }
    return OK;
}

/* Query head h of a backward pass and the key/value head it reads. */
typedef struct HeadGradient {
    const AttentionBwd *a;
    int64_t h;
    Head q, k, v, o, d_o;
} HeadGradient;

static HeadGradient head_gradient(const AttentionBwd *a, int64_t h)
{
    int64_t kv = h / (a->heads / a->kv_heads);
    return (HeadGradient){
        .a = a,
        .h = h,
        .q = head(a->q, a->act, h, a->head_dim, a->ldq),
        .k = head(a->k, a->act, kv, a->head_dim, a->ldk),
        .v = head(a->v, a->act, kv, a->head_dim, a->ldv),
        .o = head(a->o, a->act, h, a->head_dim, a->ldo),
        .d_o = head(a->d_o, a->act, h, a->head_dim, a->lddo),
    };
}

static real probability(const HeadGradient *g, int64_t i, int64_t j)
{
    real lse = get(g->a->lse, stat_type(g->a->act), g->h * g->a->rows_q + i);
    return exp((real)g->a->scale * dot(&g->q, i, &g->k, j) - lse);
}

/* dS_ij = P_ij (do_i·v_j - do_i·o_i) */
static real score_gradient(const HeadGradient *g, int64_t i, int64_t j)
{
    return probability(g, i, j) * (dot(&g->d_o, i, &g->v, j) - dot(&g->d_o, i, &g->o, i));
}

/* dq_i = scale Σ_j dS_ij k_j */
static void query_gradient(const HeadGradient *g, int64_t i, int64_t begin, int64_t end)
{
    const AttentionBwd *a = g->a;
    real dq[ATTENTION_MAX_HEAD_DIM] = {0};
    for (int64_t j = begin; j < end; j++)
        if (sees(a->causal, a->window, i, j)) {
            real ds = score_gradient(g, i, j);
            for (int64_t d = 0; d < a->head_dim; d++)
                dq[d] += (real)a->scale * ds * element(&g->k, j, d);
        }
    for (int64_t d = 0; d < a->head_dim; d++)
        put(a->dq, a->act, i * a->lddq + g->h * a->head_dim + d, dq[d]);
}

/* dv_j = Σ_i P_ij do_i,  dk_j = scale Σ_i dS_ij q_i; both also over the query heads of key/value head kv. */
static void key_gradient(const AttentionBwd *a, int64_t kv, int64_t j, int64_t begin, int64_t end)
{
    int64_t group = a->heads / a->kv_heads;
    real dk[ATTENTION_MAX_HEAD_DIM] = {0}, dv[ATTENTION_MAX_HEAD_DIM] = {0};
    for (int64_t h = kv * group; h < (kv + 1) * group; h++) {
        HeadGradient g = head_gradient(a, h);
        for (int64_t i = begin; i < end; i++)
            if (sees(a->causal, a->window, i, j)) {
                real p = probability(&g, i, j), ds = score_gradient(&g, i, j);
                for (int64_t d = 0; d < a->head_dim; d++) {
                    dk[d] += (real)a->scale * ds * element(&g.q, i, d);
                    dv[d] += p * element(&g.d_o, i, d);
                }
            }
    }
    for (int64_t d = 0; d < a->head_dim; d++) {
        put(a->dk, a->act, j * a->lddk + kv * a->head_dim + d, dk[d]);
        put(a->dv, a->act, j * a->lddv + kv * a->head_dim + d, dv[d]);
    }
}

Status REF_NAME(attention_bwd)(KernelCtx *ctx, const AttentionBwd *a)
{
    (void)ctx;
    TRY(check_attention_bwd(a));
    TRY(check_segments("attention_bwd", "cu_q", a->cu_q, a->n_segments, a->rows_q, a->max_q));
    TRY(check_segments("attention_bwd", "cu_k", a->cu_k, a->n_segments, a->rows_k, a->max_k));
    for (int64_t s = 0; s < a->n_segments; s++) {
        for (int64_t i = a->cu_q[s]; a->dq && i < a->cu_q[s + 1]; i++)
            for (int64_t h = 0; h < a->heads; h++) {
                HeadGradient g = head_gradient(a, h);
                query_gradient(&g, i, a->cu_k[s], a->cu_k[s + 1]);
            }
        for (int64_t j = a->cu_k[s]; a->dk && j < a->cu_k[s + 1]; j++)
            for (int64_t kv = 0; kv < a->kv_heads; kv++)
                key_gradient(a, kv, j, a->cu_q[s], a->cu_q[s + 1]);
    }
    return OK;
}

Status REF_NAME(attention_decode)(KernelCtx *ctx, const AttentionDecode *a)
{
    (void)ctx;
    TRY(check_attention_decode(a));
    TRY(check_range("attention_decode", "length", a->length, a->n, 1, a->capacity + 1));
    int64_t group = a->heads / a->kv_heads, q_width = a->heads * a->head_dim, kv_width = a->kv_heads * a->head_dim;
    int64_t ldq = row_stride(a->ldq, q_width), ldo = row_stride(a->ldo, q_width);
    for (int64_t s = 0; s < a->n; s++)
        for (int64_t h = 0; h < a->heads; h++) {
            Head q = head(a->q, a->act, h, a->head_dim, ldq);
            Head k = head(a->k, a->act, h / group, a->head_dim, kv_width), v = head(a->v, a->act, h / group, a->head_dim, kv_width);
            k.first += s * a->capacity * kv_width;
            v.first += s * a->capacity * kv_width;
            real o[ATTENTION_MAX_HEAD_DIM];
            attend(&q, s, &k, &v, 0, a->length[s], true, a->window, (real)a->scale, a->length[s] - 1, o);
            for (int64_t d = 0; d < a->head_dim; d++)
                put(a->o, a->act, s * ldo + h * a->head_dim + d, o[d]);
        }
    return OK;
}
