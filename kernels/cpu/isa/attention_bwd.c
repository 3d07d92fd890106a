/* attention_bwd.c: attention backwards (ops/attention.h), compiled once for each instruction set. */
#include "kernels/cpu/isa/attention.h"
#include "kernels/cpu/isa/vmath.h"

/* Two passes, each of which owns what it writes, so nothing is added across threads: the first walks blocks of queries over the keys
 * they see (dq), the second blocks of keys over the queries that see them (dk, dv). Scores are computed in both. */

typedef struct Workspace {
    float *rows_1, *rows_2;   /* [ROWS, head_dim]: q, do of the first pass; k, v of the second */
    float *packed[4];         /* [COLS, head_dim] or [head_dim, COLS]: the other side */
    float *score, *gradient;  /* [STRIP, SCORE_LD]: P and dS, or their transposes */
    float *sum_1, *sum_2;     /* [ROWS, head_dim]: dq; dk, dv */
    float *lse, *dot;         /* [2·COLS] of queries; dot = do·o */
} Workspace;
_Static_assert(ROWS <= 2 * COLS, "the statistics of a block");

static int64_t workspace_floats(int64_t head_dim)
{
    return 4 * (ROWS + COLS) * whole_vectors(head_dim) + 2 * BLOCK_SCORES + 4 * COLS;
}

static Workspace lay_out(float *memory, int64_t head_dim)
{
    const float *end = memory + workspace_floats(head_dim);
    int64_t wide = whole_vectors(head_dim);
    Workspace w = {.rows_1 = take(&memory, ROWS * wide)};
    w.rows_2 = take(&memory, ROWS * wide);
    for (int i = 0; i < 4; i++)
        w.packed[i] = take(&memory, wide * COLS);
    w.score = take(&memory, BLOCK_SCORES), w.gradient = take(&memory, BLOCK_SCORES);
    w.sum_1 = take(&memory, ROWS * wide), w.sum_2 = take(&memory, ROWS * wide);
    w.lse = take(&memory, 2 * COLS), w.dot = take(&memory, 2 * COLS);
    assert(memory == end);
    return w;
}

/* One head of the arguments, and one segment: pointers to the segment's first query and first key. */
typedef struct Segment {
    const AttentionBwd *a;
    int64_t queries, keys; /* rows */
    const void *q, *k, *v, *o, *d_o;
    const float *lse;
} Segment;

static Segment head_segment(const AttentionBwd *a, int64_t h, int64_t s)
{
    int64_t kv = h / (a->heads / a->kv_heads), first = a->cu_q[s], first_key = a->cu_k[s], Dh = a->head_dim;
    return (Segment){
        .a = a,
        .queries = a->cu_q[s + 1] - first,
        .keys = a->cu_k[s + 1] - first_key,
        .q = at(a->q, a->act, first * a->ldq + h * Dh),
        .k = at(a->k, a->act, first_key * a->ldk + kv * Dh),
        .v = at(a->v, a->act, first_key * a->ldv + kv * Dh),
        .o = at(a->o, a->act, first * a->ldo + h * Dh),
        .d_o = at(a->d_o, a->act, first * a->lddo + h * Dh),
        .lse = (const float *)a->lse + h * a->rows_q + first,
    };
}

/* lse and do·o of the queries begin … end-1, at most COLS of which doᵀ is packed. The products are added in the order in which the
 * matrix product adds do·v, so that a row whose one key takes all (o = v) has a gradient of exactly 0, as it should. */
static void query_statistics(const Segment *g, const Packed *d_o, float *o_buffer, float *lse, float *dot, Range queries)
{
    const AttentionBwd *a = g->a;
    int64_t n = queries.end - queries.begin, Dh = a->head_dim;
    Packed o = {.data = o_buffer};
    pack_head(&o, g->o, a->act, a->ldo, true, queries, Dh);
    for (int64_t j = 0; j < n; j += VL) {
        int64_t panel = j / NR * NR, width = smaller(NR, whole_vectors(n - panel)), first = panel * Dh + j - panel;
        vf sum = v_zero();
        for (int64_t p = 0; p < Dh; p++)
            sum = v_fma(v_load(d_o->data + first + p * width), v_load(o.data + first + p * width), sum);
        v_store(dot + j, sum);
    }
    for (int64_t r = 0; r < n; r++)
        lse[r] = g->lse[queries.begin + r];
}

/* Keys that query i sees, and queries that see key j. */
ALWAYS Range seen_keys(const Segment *g, int64_t i)
{
    const AttentionBwd *a = g->a;
    if (!a->causal)
        return (Range){0, g->keys};
    return (Range){a->window ? larger_of(0, i - a->window + 1) : 0, i + 1};
}

ALWAYS Range seeing_queries(const Segment *g, int64_t j)
{
    const AttentionBwd *a = g->a;
    if (!a->causal)
        return (Range){0, g->queries};
    return (Range){j, a->window ? smaller(g->queries, j + a->window) : g->queries};
}

/* Scores and do·v of columns i … become P = exp(S - lse) and dS = P(do·v - dot). */
ALWAYS void gradient_vector(float *s, float *ds, int64_t i, Part part, vf lse, vf dot)
{
    vf p = v_exp(v_sub(part_load(s, F32, i, part), lse));
    part_store(s, F32, i, part, p);
    part_store(ds, F32, i, part, v_mul(p, v_sub(part_load(ds, F32, i, part), dot)));
}

ALWAYS void clear_vector(float *s, float *ds, int64_t i, Part part)
{
    part_store(s, F32, i, part, v_zero());
    part_store(ds, F32, i, part, v_zero());
}

/* The columns of `all` that are not visible become 0. */
static void clear_invisible(float *s, float *ds, Range visible, Range all)
{
    EACH_VECTOR(all.begin, smaller(visible.begin, all.end), clear_vector(s, ds, i, part));
    EACH_VECTOR(larger_of(visible.end, all.begin), all.end, clear_vector(s, ds, i, part));
}

ALWAYS Range within(Range seen, Range block)
{
    return (Range){larger_of(seen.begin - block.begin, 0), smaller(seen.end, block.end) - block.begin};
}

/* Sums of rows of a head, in whole vectors. */
ALWAYS void clear(float *x, int64_t rows, int64_t head_dim)
{
    for (int64_t i = 0; i < rows * whole_vectors(head_dim); i += VL)
        v_store(x + i, v_zero());
}

ALWAYS void store_rows(void *out, DType t, int64_t ld, const float *x, int64_t rows, int64_t head_dim, float scale)
{
    for (int64_t r = 0; r < rows; r++)
        EACH_VECTOR(0, head_dim, store_head_vector(out, t, r * ld, x + r * whole_vectors(head_dim), i, part, v_set(scale)));
}

/* ---------------------------------------------------------------- first pass: dq of a block of queries */

typedef struct QueryBlock {
    const Segment *g;
    Range queries;
    HeadRows q, d_o;
    Packed k_trans, v_trans, k;
} QueryBlock;

/* A strip of its queries against the packed keys; keys behind the last one seen are left out. */
static void query_strip(const QueryBlock *b, Workspace *w, Range keys, Range rows)
{
    const AttentionBwd *a = b->g->a;
    const int64_t skip = rows.begin - b->queries.begin, count = rows.end - rows.begin, Dh = a->head_dim, wide = whole_vectors(Dh);
    const Range cols = {0, smaller(seen_keys(b->g, rows.end - 1).end, keys.end) - keys.begin}, dims = {0, Dh};
    multiply(count, b->q.data + skip * b->q.ld, b->q.ld, &b->k_trans, dims, cols, w->score, SCORE_LD, (float)a->scale, false);
    multiply(count, b->d_o.data + skip * b->d_o.ld, b->d_o.ld, &b->v_trans, dims, cols, w->gradient, SCORE_LD, 1.0f, false);
    for (int64_t r = 0; r < count; r++) {
        Range visible = within(seen_keys(b->g, rows.begin + r), keys);
        float *s = w->score + r * SCORE_LD, *ds = w->gradient + r * SCORE_LD;
        vf lse = v_set(w->lse[skip + r]), dot = v_set(w->dot[skip + r]);
        EACH_VECTOR(visible.begin, visible.end, gradient_vector(s, ds, i, part, lse, dot));
        clear_invisible(s, ds, visible, cols);
    }
    multiply(count, w->gradient, SCORE_LD, &b->k, cols, dims, w->sum_1 + skip * wide, wide, 1.0f, true);
}

static void query_block_keys(QueryBlock *b, Workspace *w, Range keys)
{
    const AttentionBwd *a = b->g->a;
    Range rows = b->queries;
    if (a->causal) {
        rows.begin = larger_of(rows.begin, keys.begin);
        rows.end = a->window ? smaller(rows.end, keys.end - 1 + a->window) : rows.end;
    }
    if (rows.begin >= rows.end)
        return;
    pack_head(&b->k_trans, b->g->k, a->act, a->ldk, true, keys, a->head_dim);
    pack_head(&b->v_trans, b->g->v, a->act, a->ldv, true, keys, a->head_dim);
    pack_head(&b->k, b->g->k, a->act, a->ldk, false, keys, a->head_dim);
    for (int64_t r = rows.begin; r < rows.end; r += STRIP)
        query_strip(b, w, keys, (Range){r, smaller(r + STRIP, rows.end)});
}

static void query_block(const Segment *g, Workspace *w, Range queries, void *dq)
{
    const AttentionBwd *a = g->a;
    int64_t rows = queries.end - queries.begin;
    QueryBlock b = {
        .g = g,
        .queries = queries,
        .q = head_rows(at(g->q, a->act, queries.begin * a->ldq), a->act, a->ldq, rows, a->head_dim, w->rows_1),
        .d_o = head_rows(at(g->d_o, a->act, queries.begin * a->lddo), a->act, a->lddo, rows, a->head_dim, w->rows_2),
        .k_trans.data = w->packed[0],
        .v_trans.data = w->packed[1],
        .k.data = w->packed[2],
    };
    for (int64_t r = queries.begin; r < queries.end; r += COLS) {
        Range part = {r, smaller(r + COLS, queries.end)};
        Packed d_o = {.data = w->packed[0]};
        pack_head(&d_o, g->d_o, a->act, a->lddo, true, part, a->head_dim);
        query_statistics(g, &d_o, w->packed[1], w->lse + r - queries.begin, w->dot + r - queries.begin, part);
    }
    clear(w->sum_1, rows, a->head_dim);
    int64_t end = seen_keys(g, queries.end - 1).end;
    for (int64_t k = seen_keys(g, queries.begin).begin; k < end; k += COLS)
        query_block_keys(&b, w, (Range){k, smaller(k + COLS, end)});
    BY_TYPE(a->act, store_rows(dq, T, a->lddq, w->sum_1, rows, a->head_dim, (float)a->scale));
}

/* ---------------------------------------------------------------- second pass: dk and dv of a block of keys */

typedef struct KeyBlock {
    const Segment *g;
    Range keys;
    HeadRows k, v;
    Packed q_trans, do_trans, q, d_o;
} KeyBlock;

/* A strip of its keys against the packed queries; whole panels of queries before the first that sees a key are left out. */
static void key_strip(const KeyBlock *b, Workspace *w, Range queries, Range rows)
{
    const AttentionBwd *a = b->g->a;
    const int64_t skip = rows.begin - b->keys.begin, count = rows.end - rows.begin, Dh = a->head_dim, wide = whole_vectors(Dh);
    const int64_t first = larger_of(seeing_queries(b->g, rows.begin).begin - queries.begin, 0);
    const Range dims = {0, Dh}, seen = {first, queries.end - queries.begin}, cols = {first / NR * NR, seen.end};
    float *score = w->score + cols.begin, *gradient = w->gradient + cols.begin;
    multiply(count, b->k.data + skip * b->k.ld, b->k.ld, &b->q_trans, dims, cols, score, SCORE_LD, (float)a->scale, false);
    multiply(count, b->v.data + skip * b->v.ld, b->v.ld, &b->do_trans, dims, cols, gradient, SCORE_LD, 1.0f, false);
    for (int64_t r = 0; r < count; r++) {
        Range visible = within(seeing_queries(b->g, rows.begin + r), queries);
        float *s = w->score + r * SCORE_LD, *ds = w->gradient + r * SCORE_LD;
        EACH_VECTOR(visible.begin, visible.end,
                    gradient_vector(s, ds, i, part, part_load(w->lse, F32, i, part), part_load(w->dot, F32, i, part)));
        clear_invisible(s, ds, visible, seen);
    }
    multiply(count, w->score + first, SCORE_LD, &b->d_o, seen, dims, w->sum_2 + skip * wide, wide, 1.0f, true);
    multiply(count, w->gradient + first, SCORE_LD, &b->q, seen, dims, w->sum_1 + skip * wide, wide, 1.0f, true);
}

static void key_block_queries(KeyBlock *b, Workspace *w, Range queries)
{
    const Segment *g = b->g;
    const AttentionBwd *a = g->a;
    Range rows = b->keys;
    if (a->causal) { /* the keys that the last query sees, and the first has not left behind */
        rows.end = smaller(rows.end, queries.end);
        rows.begin = a->window ? larger_of(rows.begin, queries.begin - a->window + 1) : rows.begin;
    }
    if (rows.begin >= rows.end)
        return;
    pack_head(&b->do_trans, g->d_o, a->act, a->lddo, true, queries, a->head_dim);
    query_statistics(g, &b->do_trans, b->q.data, w->lse, w->dot, queries);
    pack_head(&b->q_trans, g->q, a->act, a->ldq, true, queries, a->head_dim);
    pack_head(&b->q, g->q, a->act, a->ldq, false, queries, a->head_dim);
    pack_head(&b->d_o, g->d_o, a->act, a->lddo, false, queries, a->head_dim);
    for (int64_t r = rows.begin; r < rows.end; r += STRIP)
        key_strip(b, w, queries, (Range){r, smaller(r + STRIP, rows.end)});
}

static void key_block(const AttentionBwd *a, Workspace *w, int64_t kv, int64_t segment, Range keys)
{
    int64_t group = a->heads / a->kv_heads, rows = keys.end - keys.begin, Dh = a->head_dim;
    Segment g = head_segment(a, kv * group, segment);
    KeyBlock b = {
        .g = &g,
        .keys = keys,
        .k = head_rows(at(g.k, a->act, keys.begin * a->ldk), a->act, a->ldk, rows, Dh, w->rows_1),
        .v = head_rows(at(g.v, a->act, keys.begin * a->ldv), a->act, a->ldv, rows, Dh, w->rows_2),
        .q_trans.data = w->packed[0],
        .do_trans.data = w->packed[1],
        .q.data = w->packed[2],
        .d_o.data = w->packed[3],
    };
    clear(w->sum_1, rows, Dh);
    clear(w->sum_2, rows, Dh);
    int64_t end = seeing_queries(&g, keys.end - 1).end;
    for (int64_t h = kv * group; h < (kv + 1) * group; h++) {
        g = head_segment(a, h, segment);
        for (int64_t q = seeing_queries(&g, keys.begin).begin; q < end; q += COLS)
            key_block_queries(&b, w, (Range){q, smaller(q + COLS, end)});
    }
    int64_t first = a->cu_k[segment] + keys.begin;
    BY_TYPE(a->act, store_rows(at_mut(a->dk, T, first * a->lddk + kv * Dh), T, a->lddk, w->sum_1, rows, Dh, (float)a->scale));
    BY_TYPE(a->act, store_rows(at_mut(a->dv, T, first * a->lddv + kv * Dh), T, a->lddv, w->sum_2, rows, Dh, 1.0f));
}

/* ---------------------------------------------------------------- both */

typedef struct Pass {
    const AttentionBwd *a;
    int64_t blocks; /* of queries or of keys, over all segments */
} Pass;

/* Item: one block of rows of one head, heads outermost. */
static void query_blocks(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Pass *p = args;
    const AttentionBwd *a = p->a;
    Workspace w = lay_out(workspace, a->head_dim);
    for (int64_t item = begin; item < end; item++) {
        int64_t h = item / p->blocks, segment;
        Range rows = find_block(a->cu_q, ROWS, item % p->blocks, &segment);
        Segment g = head_segment(a, h, segment);
        query_block(&g, &w, rows, at_mut(a->dq, a->act, (a->cu_q[segment] + rows.begin) * a->lddq + h * a->head_dim));
    }
}

static void key_blocks(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Pass *p = args;
    const AttentionBwd *a = p->a;
    Workspace w = lay_out(workspace, a->head_dim);
    for (int64_t item = begin; item < end; item++) {
        int64_t segment;
        Range rows = find_block(a->cu_k, ROWS, item % p->blocks, &segment);
        key_block(a, &w, item / p->blocks, segment, rows);
    }
}

static Status attention_bwd(KernelCtx *ctx, const AttentionBwd *a)
{
    TRY(check_attention_bwd(a));
    TRY(expect_single("attention_bwd", a->act));
    if (!cpu_widens(cpu_device(ctx), cpu_device(ctx)->threads, (size_t)workspace_floats(a->head_dim) * sizeof(float)))
        return OK;
    TRY(check_segments("attention_bwd", "cu_q", a->cu_q, a->n_segments, a->rows_q, a->max_q));
    TRY(check_segments("attention_bwd", "cu_k", a->cu_k, a->n_segments, a->rows_k, a->max_k));
    const double score_ns = 0.4; /* and dimension of a head: about 0.03 */
    double element_ns = score_ns + 0.03 * (double)a->head_dim;
    Pass q = {.a = a, .blocks = count_blocks(a->cu_q, a->n_segments, ROWS)},
            k = {.a = a, .blocks = count_blocks(a->cu_k, a->n_segments, ROWS)};
    if (a->dq)
        parallel_for(cpu_device(ctx), a->heads * q.blocks, element_ns * (double)(smaller(a->max_q, ROWS) * a->max_k), query_blocks, &q);
    if (a->dk)
        parallel_for(cpu_device(ctx), a->kv_heads * k.blocks, element_ns * (double)(smaller(a->max_k, ROWS) * a->max_q), key_blocks, &k);
    return OK;
}

void NAME(attention_bwd)(KernelTable *t)
{
    t->attention_bwd = attention_bwd;
}
