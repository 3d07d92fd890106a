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
               .base = spec->base, .pos = rows->pos, .x = (char *)x + tape_size(t, spec->first * spec->head_dim), .inverse = inverse);
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

/* ---------------------------------------------------------------- attention */

typedef struct AttentionNode {
    Node node;
    Tensor *kqv;
    AttentionSpec spec;
    const PackedRows *rows;
    void *lse;
} AttentionNode;

/* Elements from the start of a row to its queries and its values; the keys come first. */
static int64_t q_at(const AttentionSpec *s) { return s->kv_heads * s->head_dim; }
static int64_t v_at(const AttentionSpec *s) { return (s->kv_heads + s->heads) * s->head_dim; }

static Status attention_bwd(Tape *t, Node *self)
{
    AttentionNode *s = (AttentionNode *)self;
    const void *d_o = grad_of(t, self->out);
    bool accumulate = false;
    char *dx = d_o ? grad_dst_apart(t, s->kqv, &accumulate) : NULL;
    if (!dx)
        return t->status;
    const AttentionSpec *a = &s->spec;
    const char *x = s->kqv->data;
    ArenaMark mark = arena_mark(t->scratch);
    int64_t ld = tensor_ld(s->kqv), ldd = accumulate ? tensor_cols(s->kqv) : tensor_grad_ld(s->kqv), ldo = tensor_ld(self->out), lddo = tensor_grad_ld(self->out);
    if (accumulate)
        dx = tape_temp(t, tape_size(t, s->kqv->n_elems));
    RUN(t, attention_bwd, AttentionBwd, .n_segments = s->rows->n_segments, .rows = s->rows->n_rows, .heads = a->heads,
               .kv_heads = a->kv_heads, .head_dim = a->head_dim, .window = a->window, .max_segment = s->rows->max_segment, .ldq = ld,
               .ldk = ld, .ldv = ld, .ldo = ldo, .lddo = lddo, .lddq = ldd, .lddk = ldd, .lddv = ldd, .causal = a->causal, .act = t->compute,
               .scale = a->scale, .cu = s->rows->cu, .q = x + tape_size(t, q_at(a)), .k = x, .v = x + tape_size(t, v_at(a)),
               .o = self->out->data, .lse = s->lse, .d_o = d_o, .dq = dx + tape_size(t, q_at(a)), .dk = dx,
               .dv = dx + tape_size(t, v_at(a)));
    if (accumulate)
        grad_add(t, s->kqv, dx);
    arena_release(t->scratch, mark);
    return t->status;
}

static Tensor *attend(Tape *t, Tensor *kqv, const AttentionSpec *spec, const PackedRows *rows)
{
    int64_t n = tensor_rows(kqv), cols = tensor_cols(kqv), ld = tensor_ld(kqv), width = spec->heads * spec->head_dim;
    if (n != rows->n_rows || cols != width + 2 * q_at(spec)) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_attention: [%lld, %lld] is not what %lld + 2x%lld heads of %lld make of %lld rows", (long long)n,
                          (long long)cols, (long long)spec->heads, (long long)spec->kv_heads, (long long)spec->head_dim,
                          (long long)rows->n_rows));
        return NULL;
    }
    Tensor *o = tape_output_apart(t, n, width, tape_room(t), kqv->needs_grad, PLACE_KEEP);
    if (!o)
        return NULL;
    void *lse = o->needs_grad ? tape_save(t, dtype_size(tape_stat_type(t)) * (size_t)(n * spec->heads)) : NULL;
    const char *x = kqv->data;
    RUN(t, attention_fwd, AttentionFwd, .n_segments = rows->n_segments, .rows = n, .heads = spec->heads, .kv_heads = spec->kv_heads,
        .head_dim = spec->head_dim, .window = spec->window, .max_segment = rows->max_segment, .ldq = ld, .ldk = ld, .ldv = ld, .ldo = tensor_ld(o),
        .causal = spec->causal, .act = t->compute, .scale = spec->scale, .cu = rows->cu, .q = x + tape_size(t, q_at(spec)), .k = x,
        .v = x + tape_size(t, v_at(spec)), .o = o->data, .lse = lse);
    AttentionNode *s = tape_node(t, sizeof *s, attention_bwd, o);
    if (s) {
        s->kqv = kqv;
        s->spec = *spec;
        s->rows = rows;
        s->lse = lse;
        tape_need(t, kqv);
        tape_need(t, o);
    }
    return t->status ? NULL : o;
}

Tensor *nn_attention(Tape *t, Tensor *kqv, const AttentionSpec *spec, const PackedRows *rows)
{
    return tape_reads(t, "nn_attention", kqv, READ_PLAIN) ? attend(t, kqv, spec, rows) : NULL;
}

/* ---------------------------------------------------------------- generation */

/* Copies a column slice of kqv behind the rows that the cache holds. */
static void remember(Tape *t, const Tensor *kqv, int64_t from, int64_t width, const KvLayer *cache, void *to)
{
    RUN(t, rows_gather, RowsGather, .n = tensor_rows(kqv), .cols = width, .lds = tensor_ld(kqv), .ldy = width, .src_type = t->compute,
        .y_type = t->compute, .index = cache->iota, .src = (char *)kqv->data + tape_size(t, from),
        .y = (char *)to + tape_size(t, cache->length * width));
}

Tensor *nn_attention_cached(Tape *t, Tensor *kqv, const AttentionSpec *spec, const PackedRows *rows, const KvLayer *cache)
{
    if (!tape_reads(t, "nn_attention_cached", kqv, READ_PLAIN))
        return NULL;
    if (cache->length + rows->n_rows > cache->capacity || (cache->length && rows->n_rows != 1)) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_attention_cached: %lld rows after %lld do not fit a cache of %lld", (long long)rows->n_rows,
                          (long long)cache->length, (long long)cache->capacity));
        return NULL;
    }
    remember(t, kqv, 0, q_at(spec), cache, cache->k);
    remember(t, kqv, v_at(spec), q_at(spec), cache, cache->v);
    if (!cache->length)
        return attend(t, kqv, spec, rows);
    Tensor *o = tape_output_apart(t, 1, spec->heads * spec->head_dim, tape_room(t), false, PLACE_KEEP);
    if (o)
        RUN(t, attention_decode, AttentionDecode, .n = 1, .capacity = cache->capacity, .heads = spec->heads, .kv_heads = spec->kv_heads,
            .head_dim = spec->head_dim, .window = spec->window, .act = t->compute, .scale = spec->scale, .length = cache->length_now,
            .q = (char *)kqv->data + tape_size(t, q_at(spec)), .k = cache->k, .v = cache->v, .o = o->data);
    return t->status ? NULL : o;
}
