#include "kernels/cpu/isa/attention.h"
#include "kernels/cpu/isa/vmath.h"

/* Two passes, each of which owns what it writes, so nothing is added across threads: the first walks blocks of queries over the keys
 * they see (dq), the second blocks of keys over the queries that see them (dk, dv). Scores are computed in both. */

typedef struct Workspace {
    float rows_1[ROWS * WIDE], rows_2[ROWS * WIDE];         /* q, do of the first pass; k, v of the second */
    float packed[4][WIDE * COLS];                           /* the other side */
    float score[ROWS * SCORE_LD], gradient[ROWS * SCORE_LD]; /* P and dS, or their transposes */
    float sum_1[ROWS * WIDE], sum_2[ROWS * WIDE];           /* dq; dk, dv */
    float lse[2 * COLS], dot[2 * COLS];                     /* of queries; dot = do·o */
} Workspace;
_Static_assert(sizeof(Workspace) <= WORKSPACE_BYTES && ROWS <= 2 * COLS, "the attention's workspace");

/* One head of the arguments, and one segment: pointers to the segment's first row. */
typedef struct Segment {
    const AttentionBwd *a;
    int64_t rows;
    const void *q, *k, *v, *o, *d_o;
    const float *lse;
} Segment;

static Segment head_segment(const AttentionBwd *a, int64_t h, Range segment)
{
    int64_t kv = h / (a->heads / a->kv_heads), first = segment.begin, Dh = a->head_dim;
    return (Segment){
        .a = a,
        .rows = segment.end - segment.begin,
        .q = at(a->q, a->act, first * a->ldq + h * Dh),
        .k = at(a->k, a->act, first * a->ldk + kv * Dh),
        .v = at(a->v, a->act, first * a->ldv + kv * Dh),
        .o = at(a->o, a->act, first * a->ldo + h * Dh),
        .d_o = at(a->d_o, a->act, first * a->lddo + h * Dh),
        .lse = (const float *)a->lse + h * a->rows + first,
    };
}

static void pack_rows(float *dst, const Segment *g, const void *x, int64_t ld, bool trans, Range r)
{
    int64_t n = r.end - r.begin, Dh = g->a->head_dim;
    NAME(gemm_pack)(dst, false, at(x, g->a->act, r.begin * ld), g->a->act, trans, ld, trans ? Dh : n, trans ? n : Dh);
}

/* lse and do·o of the queries begin … end-1, at most COLS; packed[1] receives doᵀ. The products are added in the order in which the
 * matrix product adds do·v, so that a row whose one key takes all (o = v) has a gradient of exactly 0, as it should. */
static void query_statistics(const Segment *g, Workspace *w, float *lse, float *dot, Range queries)
{
    const AttentionBwd *a = g->a;
    int64_t n = queries.end - queries.begin, Dh = a->head_dim;
    pack_rows(w->packed[1], g, g->d_o, a->lddo, true, queries);
    pack_rows(w->packed[2], g, g->o, a->ldo, true, queries);
    for (int64_t j = 0; j < n; j += VL) {
        int64_t panel = j / NR * NR, width = smaller(NR, whole_vectors(n - panel)), at_j = panel * Dh + j - panel;
        vf sum = v_zero();
        for (int64_t p = 0; p < Dh; p++)
            sum = v_fma(v_load(w->packed[1] + at_j + p * width), v_load(w->packed[2] + at_j + p * width), sum);
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
        return (Range){0, g->rows};
    return (Range){a->window ? larger_of(0, i - a->window + 1) : 0, i + 1};
}

ALWAYS Range seeing_queries(const Segment *g, int64_t j)
{
    const AttentionBwd *a = g->a;
    if (!a->causal)
        return (Range){0, g->rows};
    return (Range){j, a->window ? smaller(g->rows, j + a->window) : g->rows};
}

/* Scores and do·v of columns i … become P = exp(S - lse) and dS = P(do·v - dot). */
ALWAYS void gradient_vector(float *s, float *ds, int64_t i, Part part, vf lse, vf dot)
{
    vf p = v_exp(v_sub(part_load(s, F32, i, part), lse));
    part_store(s, F32, i, part, p);
    part_store(ds, F32, i, part, v_mul(p, v_sub(part_load(ds, F32, i, part), dot)));
}

static void clear_invisible(float *s, float *ds, Range visible, int64_t cols)
{
    for (int64_t j = 0; j < cols; j++)
        if (j < visible.begin || j >= visible.end)
            s[j] = ds[j] = 0;
}

ALWAYS Range within(Range seen, Range block)
{
    return (Range){larger_of(seen.begin - block.begin, 0), smaller(seen.end, block.end) - block.begin};
}

ALWAYS void clear(float *x, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < cols; i += VL)
            v_store(x + r * WIDE + i, v_zero());
}

ALWAYS void store_rows(void *out, DType t, int64_t ld, const float *x, int64_t rows, int64_t head_dim, float scale)
{
    for (int64_t r = 0; r < rows; r++)
        EACH_VECTOR(0, head_dim, store_head_vector(out, t, r * ld, x + r * WIDE, i, part, v_set(scale)));
}

/* ---------------------------------------------------------------- first pass: dq of a block of queries */

static void query_block_keys(const Segment *g, Workspace *w, const HeadRows *q, const HeadRows *d_o, Range queries, Range keys)
{
    const AttentionBwd *a = g->a;
    int64_t n = keys.end - keys.begin, Dh = a->head_dim, r0 = queries.begin, r1 = queries.end;
    if (a->causal) {
        r0 = larger_of(r0, keys.begin);
        r1 = a->window ? smaller(r1, keys.end - 1 + a->window) : r1;
    }
    if (r0 >= r1)
        return;
    int64_t skip = r0 - queries.begin, rows = r1 - r0;
    float *s = w->score + skip * SCORE_LD, *ds = w->gradient + skip * SCORE_LD;
    pack_rows(w->packed[0], g, g->k, a->ldk, true, keys);
    pack_rows(w->packed[1], g, g->v, a->ldv, true, keys);
    pack_rows(w->packed[2], g, g->k, a->ldk, false, keys);
    multiply(rows, n, Dh, q->data + skip * q->ld, q->ld, w->packed[0], s, SCORE_LD, (float)a->scale, false);
    multiply(rows, n, Dh, d_o->data + skip * d_o->ld, d_o->ld, w->packed[1], ds, SCORE_LD, 1.0f, false);
    for (int64_t r = 0; r < rows; r++) {
        Range visible = within(seen_keys(g, r0 + r), keys);
        vf lse = v_set(w->lse[skip + r]), dot = v_set(w->dot[skip + r]);
        EACH_VECTOR(visible.begin, visible.end, gradient_vector(s + r * SCORE_LD, ds + r * SCORE_LD, i, part, lse, dot));
        clear_invisible(s + r * SCORE_LD, ds + r * SCORE_LD, visible, n);
    }
    multiply(rows, Dh, n, ds, SCORE_LD, w->packed[2], w->sum_1 + skip * WIDE, WIDE, 1.0f, true);
}

static void query_block(const Segment *g, Workspace *w, Range queries, void *dq)
{
    const AttentionBwd *a = g->a;
    int64_t rows = queries.end - queries.begin;
    HeadRows q = head_rows(at(g->q, a->act, queries.begin * a->ldq), a->act, a->ldq, rows, a->head_dim, w->rows_1);
    HeadRows d_o = head_rows(at(g->d_o, a->act, queries.begin * a->lddo), a->act, a->lddo, rows, a->head_dim, w->rows_2);
    for (int64_t r = queries.begin; r < queries.end; r += COLS)
        query_statistics(g, w, w->lse + r - queries.begin, w->dot + r - queries.begin, (Range){r, smaller(r + COLS, queries.end)});
    clear(w->sum_1, rows, whole_vectors(a->head_dim));
    int64_t end = seen_keys(g, queries.end - 1).end;
    for (int64_t k = seen_keys(g, queries.begin).begin; k < end; k += COLS)
        query_block_keys(g, w, &q, &d_o, queries, (Range){k, smaller(k + COLS, end)});
    BY_TYPE(a->act, store_rows(dq, T, a->lddq, w->sum_1, rows, a->head_dim, (float)a->scale));
}

/* ---------------------------------------------------------------- second pass: dk and dv of a block of keys */

static void key_block_queries(const Segment *g, Workspace *w, const HeadRows *k, const HeadRows *v, Range keys, Range queries)
{
    const AttentionBwd *a = g->a;
    int64_t n = queries.end - queries.begin, Dh = a->head_dim, r0 = keys.begin, r1 = keys.end;
    if (a->causal) { /* the keys that the last query sees, and the first has not left behind */
        r1 = smaller(r1, queries.end);
        r0 = a->window ? larger_of(r0, queries.begin - a->window + 1) : r0;
    }
    if (r0 >= r1)
        return;
    int64_t skip = r0 - keys.begin, rows = r1 - r0;
    float *s = w->score + skip * SCORE_LD, *ds = w->gradient + skip * SCORE_LD;
    query_statistics(g, w, w->lse, w->dot, queries);
    pack_rows(w->packed[0], g, g->q, a->ldq, true, queries);
    pack_rows(w->packed[2], g, g->q, a->ldq, false, queries);
    pack_rows(w->packed[3], g, g->d_o, a->lddo, false, queries);
    multiply(rows, n, Dh, k->data + skip * k->ld, k->ld, w->packed[0], s, SCORE_LD, (float)a->scale, false);
    multiply(rows, n, Dh, v->data + skip * v->ld, v->ld, w->packed[1], ds, SCORE_LD, 1.0f, false);
    for (int64_t r = 0; r < rows; r++) {
        Range visible = within(seeing_queries(g, r0 + r), queries);
        EACH_VECTOR(visible.begin, visible.end, gradient_vector(s + r * SCORE_LD, ds + r * SCORE_LD, i, part,
                                                                part_load(w->lse, F32, i, part), part_load(w->dot, F32, i, part)));
        clear_invisible(s + r * SCORE_LD, ds + r * SCORE_LD, visible, n);
    }
    multiply(rows, Dh, n, s, SCORE_LD, w->packed[3], w->sum_2 + skip * WIDE, WIDE, 1.0f, true);
    multiply(rows, Dh, n, ds, SCORE_LD, w->packed[2], w->sum_1 + skip * WIDE, WIDE, 1.0f, true);
}

static void key_block(const AttentionBwd *a, Workspace *w, int64_t kv, Range segment, Range keys)
{
    int64_t group = a->heads / a->kv_heads, rows = keys.end - keys.begin, Dh = a->head_dim;
    Segment g = head_segment(a, kv * group, segment);
    HeadRows k = head_rows(at(g.k, a->act, keys.begin * a->ldk), a->act, a->ldk, rows, Dh, w->rows_1);
    HeadRows v = head_rows(at(g.v, a->act, keys.begin * a->ldv), a->act, a->ldv, rows, Dh, w->rows_2);
    clear(w->sum_1, rows, whole_vectors(Dh));
    clear(w->sum_2, rows, whole_vectors(Dh));
    int64_t end = seeing_queries(&g, keys.end - 1).end;
    for (int64_t h = kv * group; h < (kv + 1) * group; h++) {
        g = head_segment(a, h, segment);
        for (int64_t q = seeing_queries(&g, keys.begin).begin; q < end; q += COLS)
            key_block_queries(&g, w, &k, &v, keys, (Range){q, smaller(q + COLS, end)});
    }
    int64_t first = segment.begin + keys.begin;
    BY_TYPE(a->act, store_rows(at_mut(a->dk, T, first * a->lddk + kv * Dh), T, a->lddk, w->sum_1, rows, Dh, (float)a->scale));
    BY_TYPE(a->act, store_rows(at_mut(a->dv, T, first * a->lddv + kv * Dh), T, a->lddv, w->sum_2, rows, Dh, 1.0f));
}

/* ---------------------------------------------------------------- both */

typedef struct Pass {
    const AttentionBwd *a;
    int64_t blocks; /* over all segments */
} Pass;

/* Item: one block of rows of one head, heads outermost. */
static void query_blocks(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Pass *p = args;
    const AttentionBwd *a = p->a;
    for (int64_t item = begin; item < end; item++) {
        int64_t h = item / p->blocks;
        Range segment, rows = find_block(a->cu, ROWS, item % p->blocks, &segment);
        Segment g = head_segment(a, h, segment);
        query_block(&g, workspace, (Range){rows.begin - segment.begin, rows.end - segment.begin},
                    at_mut(a->dq, a->act, rows.begin * a->lddq + h * a->head_dim));
    }
}

static void key_blocks(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Pass *p = args;
    const AttentionBwd *a = p->a;
    for (int64_t item = begin; item < end; item++) {
        Range segment, rows = find_block(a->cu, ROWS, item % p->blocks, &segment);
        key_block(a, workspace, item / p->blocks, segment, (Range){rows.begin - segment.begin, rows.end - segment.begin});
    }
}

Status NAME(attention_bwd)(KernelCtx *ctx, const AttentionBwd *a)
{
    TRY(check_attention_bwd(a));
    TRY(expect_single("attention_bwd", a->act));
    TRY(check_segments("attention_bwd", a->cu, a->n_segments, a->rows, a->max_segment));
    const double score_ns = 0.4; /* and dimension of a head: about 0.03 */
    Pass p = {.a = a, .blocks = count_blocks(a->cu, a->n_segments, ROWS)};
    double block_ns = (double)(smaller(a->max_segment, ROWS) * a->max_segment) * (score_ns + 0.03 * (double)a->head_dim);
    parallel_for(cpu_device(ctx), a->heads * p.blocks, parallel_grain(block_ns), query_blocks, &p);
    parallel_for(cpu_device(ctx), a->kv_heads * p.blocks, parallel_grain(block_ns), key_blocks, &p);
    return OK;
}
