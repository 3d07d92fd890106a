/* attention.c: attention forwards and for decoding (ops/attention.h), compiled once for each instruction set. */
#include <math.h>

#include "kernels/cpu/isa/attention.h"
#include "kernels/cpu/isa/vmath.h"

typedef struct Workspace {
    float *q, *k, *v, *score, *o;  /* [ROWS, head_dim], packed [head_dim, COLS] and [COLS, head_dim], [STRIP, SCORE_LD], [ROWS, head_dim] */
    float *largest, *total;        /* [ROWS] */
} Workspace;
_Static_assert((2 * ROWS * WIDE + 2 * WIDE * COLS + BLOCK_SCORES + 2 * ROWS) * sizeof(float) <= WORKSPACE_PAGE && ROWS % VL == 0,
               "the attention's workspace");

static Workspace lay_out(float *memory, int64_t head_dim)
{
    int64_t wide = whole_vectors(head_dim);
    Workspace w = {.q = take(&memory, ROWS * wide), .k = take(&memory, wide * COLS)};
    w.v = take(&memory, COLS * wide), w.score = take(&memory, BLOCK_SCORES), w.o = take(&memory, ROWS * wide);
    w.largest = take(&memory, ROWS), w.total = take(&memory, ROWS);
    return w;
}

/* A block of query rows of one head against keys 0 … keys-1. Row r stands at position first + r·step among the keys. */
typedef struct Queries {
    DType act;
    int64_t head_dim, rows, first, step, keys, window, ldq, ldk, ldv, ldo;
    bool causal;
    float scale;
    const void *q, *k, *v;
    void *o;
    float *lse; /* [rows] or NULL */
} Queries;

/* Keys that row r sees. */
ALWAYS Range seen(const Queries *a, int64_t r)
{
    int64_t position = a->first + r * a->step;
    if (!a->causal)
        return (Range){0, a->keys};
    return (Range){a->window ? larger_of(0, position - a->window + 1) : 0, smaller(a->keys, position + 1)};
}

ALWAYS vf larger(const float *s, int64_t i, Part part, vf best)
{
    return v_max(best, part_or(part, part_load(s, F32, i, part), v_set(-INFINITY)));
}

ALWAYS vf to_exp(float *s, int64_t i, Part part, vf shift, vf total)
{
    vf e = v_exp(v_sub(part_load(s, F32, i, part), shift));
    part_store(s, F32, i, part, e);
    return v_add(total, part_or(part, e, v_zero()));
}

ALWAYS void scale_vector(float *x, int64_t i, vf factor) { v_store(x + i, v_mul(v_load(x + i), factor)); }

/* Scores s[0 … cols-1] of row r, of which it sees the visible ones, become probabilities up to a factor that later blocks may change
 * (Dao 2023, algorithm 1). */
static void soften(const Queries *a, Workspace *w, float *s, int64_t r, Range visible, int64_t cols)
{
    EACH_VECTOR(0, smaller(visible.begin, cols), part_store(s, F32, i, part, v_zero()));
    EACH_VECTOR(larger_of(visible.end, 0), cols, part_store(s, F32, i, part, v_zero()));
    if (visible.begin >= visible.end)
        return;
    const float before = w->largest[r];
    vf best = v_set(before), sum = v_zero();
    EACH_VECTOR(visible.begin, visible.end, best = larger(s, i, part, best));
    vf largest = v_set(v_largest(best)), factor = v_exp(v_sub(v_set(before), largest));
    EACH_VECTOR(visible.begin, visible.end, sum = to_exp(s, i, part, largest, sum));
    w->largest[r] = v_first(largest);
    w->total[r] = w->total[r] * v_first(factor) + v_sum(sum);
    if (before != -INFINITY && before != w->largest[r])
        for (int64_t i = 0, wide = whole_vectors(a->head_dim); i < wide; i += VL)
            scale_vector(w->o + r * wide, i, factor);
}

/* A strip of rows against the packed keys; columns behind the last one that its last row sees are left out. */
static void attend_strip(const Queries *a, Workspace *w, const HeadRows *q, Range keys, const Packed *k, const Packed *v, Range rows)
{
    int64_t n = smaller(seen(a, rows.end - 1).end, keys.end) - keys.begin, count = rows.end - rows.begin, wide = whole_vectors(a->head_dim);
    multiply(count, q->data + rows.begin * q->ld, q->ld, k, (Range){0, a->head_dim}, (Range){0, n}, w->score, SCORE_LD, a->scale, false);
    for (int64_t r = 0; r < count; r++) {
        Range s = seen(a, rows.begin + r);
        s = (Range){larger_of(s.begin - keys.begin, 0), smaller(s.end - keys.begin, n)};
        soften(a, w, w->score + r * SCORE_LD, rows.begin + r, s, n);
    }
    multiply(count, w->score, SCORE_LD, v, (Range){0, n}, (Range){0, a->head_dim}, w->o + rows.begin * wide, wide, 1.0f, true);
}

/* Keys keys.begin … keys.end-1, at most COLS of them. */
static void attend_block(const Queries *a, Workspace *w, const HeadRows *q, Range keys)
{
    Range rows = {0, a->rows};
    if (a->causal && a->step) { /* rows before see none of these keys, rows behind have them outside of their window */
        rows.begin = larger_of(0, keys.begin - a->first);
        rows.end = a->window ? smaller(a->rows, keys.end - 1 + a->window - a->first) : a->rows;
    }
    if (rows.begin >= rows.end)
        return;
    Packed k = {.data = w->k}, v = {.data = w->v};
    pack_head(&k, a->k, a->act, a->ldk, true, keys, a->head_dim);
    pack_head(&v, a->v, a->act, a->ldv, false, keys, a->head_dim);
    for (int64_t r = rows.begin; r < rows.end; r += STRIP)
        attend_strip(a, w, q, keys, &k, &v, (Range){r, smaller(r + STRIP, rows.end)});
}

static void attend(const Queries *a, void *workspace)
{
    int64_t wide = whole_vectors(a->head_dim);
    Workspace laid = lay_out(workspace, a->head_dim), *w = &laid;
    for (int64_t r = 0; r < a->rows; r++) {
        w->largest[r] = -INFINITY;
        w->total[r] = 0;
        for (int64_t i = 0; i < wide; i += VL)
            v_store(w->o + r * wide + i, v_zero());
    }
    HeadRows q = head_rows(a->q, a->act, a->ldq, a->rows, a->head_dim, w->q);
    int64_t end = seen(a, a->rows - 1).end;
    for (int64_t k = seen(a, 0).begin; k < end; k += COLS)
        attend_block(a, w, &q, (Range){k, smaller(k + COLS, end)});
    for (int64_t r = 0; r < a->rows; r++) {
        vf scale = v_set(w->total[r] == 0 ? 0 : 1 / w->total[r]);
        BY_TYPE(a->act, EACH_VECTOR(0, a->head_dim, store_head_vector(a->o, T, r * a->ldo, w->o + r * wide, i, part, scale)));
    }
    if (a->lse)
        EACH_VECTOR(0, a->rows, part_store(a->lse, F32, i, part, v_add(v_load(w->largest + i), v_log(v_load(w->total + i)))));
}

/* ---------------------------------------------------------------- over packed segments */

typedef struct Forward {
    const AttentionFwd *a;
    int64_t blocks; /* of query rows, over all segments */
} Forward;

/* Item: one block of query rows of one head, heads outermost. */
static void forward_blocks(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Forward *f = args;
    const AttentionFwd *a = f->a;
    for (int64_t item = begin; item < end; item++) {
        int64_t h = item / f->blocks, kv = h / (a->heads / a->kv_heads);
        int64_t s;
        Range rows = find_block(a->cu_q, ROWS, item % f->blocks, &s);
        int64_t first = a->cu_q[s] + rows.begin, first_key = a->cu_k[s];
        Queries q = {
            .act = a->act, .head_dim = a->head_dim, .rows = rows.end - rows.begin, .first = rows.begin, .step = 1,
            .keys = a->cu_k[s + 1] - first_key, .window = a->window, .ldq = a->ldq, .ldk = a->ldk, .ldv = a->ldv, .ldo = a->ldo,
            .causal = a->causal, .scale = (float)a->scale,
            .q = at(a->q, a->act, first * a->ldq + h * a->head_dim),
            .k = at(a->k, a->act, first_key * a->ldk + kv * a->head_dim),
            .v = at(a->v, a->act, first_key * a->ldv + kv * a->head_dim),
            .o = at_mut(a->o, a->act, first * a->ldo + h * a->head_dim),
            .lse = a->lse ? (float *)a->lse + h * a->rows_q + first : NULL,
        };
        attend(&q, workspace);
    }
}

static Status attention_fwd(KernelCtx *ctx, const AttentionFwd *a)
{
    TRY(check_attention_fwd(a));
    TRY(expect_single("attention_fwd", a->act));
    TRY(check_segments("attention_fwd", "cu_q", a->cu_q, a->n_segments, a->rows_q, a->max_q));
    TRY(check_segments("attention_fwd", "cu_k", a->cu_k, a->n_segments, a->rows_k, a->max_k));
    const double score_ns = 0.3; /* and dimension of a head: about 0.02 */
    Forward f = {.a = a, .blocks = count_blocks(a->cu_q, a->n_segments, ROWS)};
    double rows = (double)smaller(a->max_q, ROWS), keys = (double)a->max_k;
    parallel_for(cpu_device(ctx), a->heads * f.blocks, rows * keys * (score_ns + 0.02 * (double)a->head_dim),
                 forward_blocks, &f);
    return OK;
}

/* ---------------------------------------------------------------- one new row a sequence: the query heads of a kv head are the rows */

static void decode_heads(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const AttentionDecode *a = args;
    int64_t group = a->heads / a->kv_heads, kv_width = a->kv_heads * a->head_dim, width = a->heads * a->head_dim;
    int64_t ldq = row_stride(a->ldq, width), ldo = row_stride(a->ldo, width);
    for (int64_t item = begin; item < end; item++) {
        int64_t s = item / a->kv_heads, kv = item % a->kv_heads, cache = s * a->capacity * kv_width + kv * a->head_dim;
        for (int64_t h = kv * group; h < (kv + 1) * group; h += ROWS) {
            Queries q = {
                .act = a->act, .head_dim = a->head_dim, .rows = smaller(ROWS, (kv + 1) * group - h), .first = a->length[s] - 1,
                .keys = a->length[s], .window = a->window, .ldq = a->head_dim, .ldk = kv_width, .ldv = kv_width, .ldo = a->head_dim,
                .causal = true, .scale = (float)a->scale, .q = at(a->q, a->act, s * ldq + h * a->head_dim), .k = at(a->k, a->act, cache),
                .v = at(a->v, a->act, cache), .o = at_mut(a->o, a->act, s * ldo + h * a->head_dim),
            };
            attend(&q, workspace);
        }
    }
}

static Status attention_decode(KernelCtx *ctx, const AttentionDecode *a)
{
    const double element_ns = 0.3;
    TRY(check_attention_decode(a));
    TRY(expect_single("attention_decode", a->act));
    TRY(check_range("attention_decode", "length", a->length, a->n, 1, a->capacity + 1));
    int64_t longest = 1;
    for (int64_t s = 0; s < a->n; s++)
        longest = larger_of(longest, a->length[s]);
    parallel_for(cpu_device(ctx), a->n * a->kv_heads, element_ns * (double)(longest * a->head_dim), decode_heads, a);
    return OK;
}

void NAME(attention)(KernelTable *t)
{
    t->attention_fwd = attention_fwd;
    t->attention_decode = attention_decode;
}
