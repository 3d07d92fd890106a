/* ops_attention.c: attention and rotary embedding on the tape (ops.h), forward and backward side by side. */
#include "train/nn/node.h"
#include "train/nn/ops.h"

/* ---------------------------------------------------------------- rope, in place where nobody else reads x; backwards always */

typedef struct RopeNode {
    Node node;
    Tensor *x;
    RopeSpec spec;
    const PackedRows *rows;
} RopeNode;

static Status rotate(Tape *t, const RopeSpec *spec, const PackedRows *rows, int64_t ldx, void *x, bool inverse)
{
    return RUN(t, rope, Rope, .rows = rows->n_rows, .heads = spec->n, .head_dim = spec->head_dim, .ldx = ldx, .act = t->compute,
               .base = spec->base, .factor = spec->factor, .pos = rows->pos, .x = (char *)x + tape_size(t, spec->first * spec->head_dim),
               .inverse = inverse);
}

static Status rope_bwd(Tape *t, Node *self)
{
    RopeNode *s = (RopeNode *)self;
    if (!grad_of_apart(self->out))
        return OK;
    grad_own(t, self->out);
    rotate(t, &s->spec, s->rows, tensor_grad_ld(self->out), self->out->grad, true);
    grad_share(t, s->x, self->out);
    return t->status;
}

Tensor *nn_rope(Tape *t, Tensor *x, const RopeSpec *spec, const PackedRows *rows)
{
    if (!tape_reads(t, "nn_rope", x, READ_IN_PLACE))
        return NULL;
    if (rows->n_rows != tensor_rows(x) || (spec->first + spec->n) * spec->head_dim > tensor_cols(x)) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_rope: %lld heads of %lld do not fit %lld columns", (long long)(spec->first + spec->n),
                          (long long)spec->head_dim, (long long)tensor_cols(x)));
        return NULL;
    }
    bool in_place = tape_read_only(x, READ_IN_PLACE) && !x->uses->needs && !x->cheap;
    Tensor *y = in_place ? tape_alias(t, x) : tape_output(t, tensor_rows(x), tensor_cols(x), x->needs_grad, PLACE_KEEP);
    if (!y)
        return NULL;
    if (!in_place)
        RUN(t, add_scaled, AddScaled, .n = x->n_elems, .a_type = x->type, .y_type = x->type, .alpha = 1, .a = x->data, .y = y->data);
    rotate(t, spec, rows, tensor_ld(y), y->data, false);
    RopeNode *s = tape_node(t, sizeof *s, rope_bwd, y);
    if (s) {
        s->x = x;
        s->spec = *spec;
        s->rows = rows;
    }
    return t->status ? NULL : y;
}

/* ---------------------------------------------------------------- segments of one length */

const PackedRows *tape_segments(Tape *t, int64_t n, int64_t length)
{
    PackedRows *rows = tape_host(t, sizeof *rows);
    int32_t *cu = tape_host(t, (size_t)(n + 1) * sizeof *cu);
    if (!rows || !cu)
        return NULL;
    for (int64_t i = 0; i <= n; i++)
        cu[i] = (int32_t)(i * length);
    *rows = (PackedRows){.n_rows = n * length, .n_segments = n, .max_segment = length, .cu = tape_ints(t, cu, n + 1)};
    return rows;
}

/* ---------------------------------------------------------------- attention */

/* Keys and values are columns of one tensor: the keys from 0 on. Queries are other columns of it, or apart: read as a tensor of their own.
 */
typedef struct AttentionNode {
    Node node;
    Tensor *q, *kv;
    bool apart;
    int64_t q_at, v_at; /* the column where queries, values begin */
    AttentionSpec spec;
    const PackedRows *rows_q, *rows_k;
    void *lse;
} AttentionNode;

/* Elements from the start of a row of kqv to its queries and its values; the keys come first. */
static int64_t q_at(const AttentionSpec *s) { return s->kv_heads * s->head_dim; }
static int64_t v_at(const AttentionSpec *s) { return (s->kv_heads + s->heads) * s->head_dim; }

/* Where the gradient of an input goes. Attention only overwrites: what is to be added goes to a temporary first. */
typedef struct InputGradient {
    char *data; /* NULL: nobody wants it */
    int64_t ld;
    bool add;
} InputGradient;

/* twice: x is asked for once more. A gradient that is added to loses the room behind its rows here, and not in grad_add: by then scratch is
 * marked, and the memory that it moves to would go with the temporary. */
static InputGradient ask_gradient(Tape *t, Tensor *x, bool twice)
{
    InputGradient g = {0};
    g.data = x->grad_written || twice ? grad_dst(t, x, &g.add) : grad_dst_apart(t, x, &g.add);
    g.ld = g.add ? tensor_cols(x) : tensor_grad_ld(x);
    return g;
}

static Status attention_bwd(Tape *t, Node *self)
{
    AttentionNode *s = (AttentionNode *)self;
    const AttentionSpec *a = &s->spec;
    const PackedRows *rq = s->rows_q, *rk = s->rows_k;
    const void *d_o = grad_of(t, self->out);
    InputGradient q = {0}, kv = {0};
    if (d_o) {
        q = ask_gradient(t, s->q, s->apart && s->q == s->kv);
        kv = s->apart ? ask_gradient(t, s->kv, false) : q;
    }
    if (!q.data && !kv.data)
        return t->status;
    ArenaMark mark = arena_mark(t->scratch);
    if (q.add)
        q.data = tape_temp(t, tape_size(t, s->q->n_elems));
    if (!s->apart)
        kv.data = q.data;
    else if (kv.add)
        kv.data = tape_temp(t, tape_size(t, s->kv->n_elems));
    const char *x_q = s->q->data, *x_k = s->kv->data;
    int64_t ldk = tensor_ld(s->kv);
    RUN(t, attention_bwd, AttentionBwd, .n_segments = rq->n_segments, .rows_q = rq->n_rows, .rows_k = rk->n_rows, .max_q = rq->max_segment,
        .max_k = rk->max_segment, .heads = a->heads, .kv_heads = a->kv_heads, .head_dim = a->head_dim, .window = a->window,
        .ldq = tensor_ld(s->q), .ldk = ldk, .ldv = ldk, .ldo = tensor_ld(self->out), .lddo = tensor_grad_ld(self->out), .lddq = q.ld,
        .lddk = kv.ld, .lddv = kv.ld, .causal = a->causal, .act = t->compute, .scale = a->scale, .cu_q = rq->cu, .cu_k = rk->cu,
        .q = x_q + tape_size(t, s->q_at), .k = x_k, .v = x_k + tape_size(t, s->v_at), .o = self->out->data, .lse = s->lse, .d_o = d_o,
        .dq = q.data ? q.data + tape_size(t, s->q_at) : NULL, .dk = kv.data, .dv = kv.data ? kv.data + tape_size(t, s->v_at) : NULL,
        .cu_host = s->apart ? NULL : rq->cu_host);
    if (q.add)
        grad_add(t, s->q, q.data);
    if (s->apart && kv.add)
        grad_add(t, s->kv, kv.data);
    arena_release(t->scratch, mark);
    return t->status;
}

/* `inputs`: everything of the node but what the forward makes. */
static Tensor *attend(Tape *t, const AttentionNode *inputs)
{
    const AttentionSpec *a = &inputs->spec;
    const PackedRows *rq = inputs->rows_q, *rk = inputs->rows_k;
    Tensor *q = inputs->q, *kv = inputs->kv;
    int64_t width = a->heads * a->head_dim, ldk = tensor_ld(kv);
    Tensor *o = tape_output_apart(t, rq->n_rows, width, tape_room(t), q->needs_grad || kv->needs_grad, PLACE_KEEP);
    if (!o)
        return NULL;
    void *lse = o->needs_grad ? tape_save(t, dtype_size(tape_stat_type(t)) * (size_t)(rq->n_rows * a->heads)) : NULL;
    const char *x_q = q->data, *x_k = kv->data;
    RUN(t, attention_fwd, AttentionFwd, .n_segments = rq->n_segments, .rows_q = rq->n_rows, .rows_k = rk->n_rows, .max_q = rq->max_segment,
        .max_k = rk->max_segment, .heads = a->heads, .kv_heads = a->kv_heads, .head_dim = a->head_dim, .window = a->window,
        .ldq = tensor_ld(q), .ldk = ldk, .ldv = ldk, .ldo = tensor_ld(o), .causal = a->causal, .act = t->compute, .scale = a->scale,
        .cu_q = rq->cu, .cu_k = rk->cu, .q = x_q + tape_size(t, inputs->q_at), .k = x_k, .v = x_k + tape_size(t, inputs->v_at),
        .o = o->data, .lse = lse, .cu_host = inputs->apart ? NULL : rq->cu_host);
    AttentionNode *s = tape_node(t, sizeof *s, attention_bwd, o);
    if (s) {
        Node node = s->node;
        *s = *inputs;
        s->node = node;
        s->lse = lse;
        tape_need(t, q);
        if (s->apart)
            tape_need(t, kv);
        tape_need(t, o);
    }
    return t->status ? NULL : o;
}

static Tensor *attend_to_itself(Tape *t, Tensor *kqv, const AttentionSpec *spec, const PackedRows *rows)
{
    int64_t n = tensor_rows(kqv), cols = tensor_cols(kqv);
    if (n != rows->n_rows || cols != spec->heads * spec->head_dim + 2 * q_at(spec)) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_attention: [%lld, %lld] is not what %lld + 2x%lld heads of %lld make of %lld rows",
                          (long long)n, (long long)cols, (long long)spec->heads, (long long)spec->kv_heads, (long long)spec->head_dim,
                          (long long)rows->n_rows));
        return NULL;
    }
    return attend(
        t, &(AttentionNode){.q = kqv, .kv = kqv, .q_at = q_at(spec), .v_at = v_at(spec), .spec = *spec, .rows_q = rows, .rows_k = rows});
}

Tensor *nn_attention(Tape *t, Tensor *kqv, const AttentionSpec *spec, const PackedRows *rows)
{
    return tape_reads(t, "nn_attention", kqv, READ_PLAIN) ? attend_to_itself(t, kqv, spec, rows) : NULL;
}

Tensor *nn_cross_attention(Tape *t, Tensor *q, Tensor *kv, const AttentionSpec *spec, const PackedRows *rows_q, const PackedRows *rows_k)
{
    if (!tape_reads(t, "nn_cross_attention", q, READ_PLAIN) || !tape_reads(t, "nn_cross_attention", kv, READ_PLAIN))
        return NULL;
    int64_t q_cols = spec->heads * spec->head_dim, kv_cols = 2 * spec->kv_heads * spec->head_dim;
    if (tensor_rows(q) != rows_q->n_rows || tensor_cols(q) != q_cols || tensor_rows(kv) != rows_k->n_rows || tensor_cols(kv) != kv_cols ||
        rows_q->n_segments != rows_k->n_segments) {
        tape_fail(
            t, fail(ERR_INTERNAL,
                    "nn_cross_attention: [%lld, %lld] and [%lld, %lld], expected [%lld, %lld] and [%lld, %lld], of %lld and %lld segments",
                    (long long)tensor_rows(q), (long long)tensor_cols(q), (long long)tensor_rows(kv), (long long)tensor_cols(kv),
                    (long long)rows_q->n_rows, (long long)q_cols, (long long)rows_k->n_rows, (long long)kv_cols,
                    (long long)rows_q->n_segments, (long long)rows_k->n_segments));
        return NULL;
    }
    return attend(
        t, &(AttentionNode){.q = q, .kv = kv, .apart = true, .v_at = kv_cols / 2, .spec = *spec, .rows_q = rows_q, .rows_k = rows_k});
}

/* ---------------------------------------------------------------- generation */

/* Copies a column slice of kqv to the rows of the cache. */
static void remember(Tape *t, const Tensor *kqv, int64_t from, int64_t width, const KvLayer *cache, void *to)
{
    RUN(t, rows_scatter, RowsScatter, .n = tensor_rows(kqv), .n_dst = cache->sequences * cache->capacity, .cols = width,
        .ldx = tensor_ld(kqv), .ldd = width, .x_type = t->compute, .dst_type = t->compute, .index = cache->to,
        .x = (char *)kqv->data + tape_size(t, from), .dst = to);
}

/* A row each of the sequences. */
static Tensor *attend_to_cache(Tape *t, Tensor *kqv, const AttentionSpec *spec, const KvLayer *cache)
{
    const int64_t rows = tensor_rows(kqv), n = rows < cache->sequences ? rows : cache->sequences, width = spec->heads * spec->head_dim;
    Tensor *o = tape_output_apart(t, rows, width, tape_room(t), false, PLACE_KEEP);
    if (!o)
        return NULL;
    RUN(t, attention_decode, AttentionDecode, .n = n, .capacity = cache->capacity, .heads = spec->heads, .kv_heads = spec->kv_heads,
        .head_dim = spec->head_dim, .window = spec->window, .ldq = tensor_ld(kqv), .ldo = tensor_ld(o), .act = t->compute,
        .scale = spec->scale, .length = cache->length, .q = (char *)kqv->data + tape_size(t, q_at(spec)), .k = cache->k, .v = cache->v,
        .o = o->data);
    if (rows > n)
        RUN(t, rows_gather, RowsGather, .n = rows - n, .cols = width, .lds = tensor_ld(o), .ldy = tensor_ld(o), .src_type = t->compute,
            .y_type = t->compute, .index = cache->first, .src = o->data, .y = (char *)o->data + tape_size(t, n * tensor_ld(o)));
    return t->status ? NULL : o;
}

Tensor *nn_attention_cached(Tape *t, Tensor *kqv, const AttentionSpec *spec, const PackedRows *rows, const KvLayer *cache)
{
    if (!tape_reads(t, "nn_attention_cached", kqv, READ_PLAIN))
        return NULL;
    if (cache->begins ? rows->n_rows > cache->capacity : rows->n_rows > cache->sequences && !cache->first) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_attention_cached: %lld rows for %lld sequences of %lld positions", (long long)rows->n_rows,
                          (long long)cache->sequences, (long long)cache->capacity));
        return NULL;
    }
    remember(t, kqv, 0, q_at(spec), cache, cache->k);
    remember(t, kqv, v_at(spec), q_at(spec), cache, cache->v);
    return cache->begins ? attend_to_itself(t, kqv, spec, rows) : attend_to_cache(t, kqv, spec, cache);
}
