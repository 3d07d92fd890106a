/* merge.c: adapters and added rows into the language model, tensor by tensor as they are read (merge.h). Called by model.c. */
#include "tools/convert/merge.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/arena.h"

/* A tensor that is made of stored ones. */
typedef struct Merged {
    Model *m;
    const Stored *base;
    const Adapted *adapted; /* of a linear; NULL: none */
    const Stored *added;    /* rows behind those of the base; NULL: none */
    int64_t n_base;         /* V */
} Merged;

/* ---------------------------------------------------------------- values */

/* Rows scaled to the lengths that DoRA has learned. */
static Status scale_rows(const Merged *t, int64_t first, int64_t n, int64_t in, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        float magnitude;
        double squares = 0;
        TRY(stored_rows(t->adapted->magnitude, first + i, 1, &magnitude));
        for (int64_t k = 0; k < in; k++)
            squares += (double)out[i * in + k] * (double)out[i * in + k];
        const double factor = (double)magnitude / sqrt(squares);
        for (int64_t k = 0; k < in; k++)
            out[i * in + k] = (float)((double)out[i * in + k] * factor);
    }
    return OK;
}

/* W + scale·B·A. */
static Status rows_adapted(const Stored *stored, int64_t first, int64_t n, float *out)
{
    const Merged *t = stored->source;
    const Adapted *p = t->adapted;
    const int64_t in = stored->shape[1], r = p->a->shape[0];
    float *a = mem_alloc((size_t)(r * in) * sizeof *a), *b = mem_alloc((size_t)(n * r) * sizeof *b);
    Arena scratch = {0};
    Backend *cpu = &t->m->backend;
    Status s = a && b ? arena_create(&scratch, 256 << 20) : fail(ERR_NOMEM, "%s: out of memory to merge its adapter", stored->name);
    cpu->ctx.scratch = &scratch;
    if (!s)
        s = stored_rows(p->a, 0, r, a);
    if (!s)
        s = stored_rows(p->b, first, n, b);
    if (!s)
        s = stored_rows(t->base, first, n, out);
    if (!s)
        s = cpu->ops.matmul(&cpu->ctx, &(Matmul){.m = n,
                                                 .n = in,
                                                 .k = r,
                                                 .a_type = F32,
                                                 .b_type = F32,
                                                 .c_type = F32,
                                                 .accumulate = true,
                                                 .lda = r,
                                                 .ldb = in,
                                                 .ldc = in,
                                                 .a = b,
                                                 .b = a,
                                                 .c = out,
                                                 .alpha = p->scale});
    arena_free(&scratch);
    mem_free(a);
    mem_free(b);
    if (!s && p->magnitude)
        s = scale_rows(t, first, n, in, out);
    return s;
}

static Status rows_added(const Stored *stored, int64_t first, int64_t n, float *out)
{
    const Merged *t = stored->source;
    const int64_t of_base = first >= t->n_base ? 0 : first + n <= t->n_base ? n : t->n_base - first;
    if (of_base)
        TRY(stored_rows(t->base, first, of_base, out));
    return n > of_base ? stored_rows(t->added, first + of_base - t->n_base, n - of_base, out + of_base * stored->shape[1]) : OK;
}

/* ---------------------------------------------------------------- the tensors */

static Status find(const Model *m, const char *name, int n_dims, const int64_t *shape, const Stored **out)
{
    *out = stored_find(&m->tensors, name);
    if (!*out)
        return fail(ERR_DATA, "%s: there is no %s", m->cfg.model.llm.path, name);
    return stored_check_shape(*out, n_dims, shape);
}

/* Adds what `t` makes of its base, or the base itself where that is all. */
static Status add(Model *m, const char *name, const Merged *t)
{
    Stored out = *t->base;
    out.name = name;
    if (!t->adapted && !t->added)
        return stored_add(&m->whole, &out);
    Merged *own = mem_alloc(sizeof *own);
    if (!own)
        return fail(ERR_NOMEM, "%s: out of memory", name);
    *own = *t;
    own->m = m;
    TRY(stored_keep(&m->whole, own, mem_free));
    out.type = F32;
    out.data = NULL;
    out.source = own;
    out.rows = t->adapted ? rows_adapted : rows_added;
    if (t->added)
        out.shape[0] += t->added->shape[0];
    return stored_add(&m->whole, &out);
}

static Status check_adapter(const Adapted *p, int64_t out, int64_t in)
{
    const int64_t r = p->a->n_dims == 2 ? p->a->shape[0] : 0;
    TRY(stored_check_shape(p->a, 2, (int64_t[]){r, in}));
    TRY(stored_check_shape(p->b, 2, (int64_t[]){out, r}));
    return p->magnitude ? stored_check_shape(p->magnitude, 1, (int64_t[]){out}) : OK;
}

static Status add_layer(Model *m, int64_t i, int *n_used)
{
    const MistralConfig *c = m->llm;
    const int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const int64_t shape[N_LINEARS][2] = {
        [LIN_K] = {kv, c->hidden},       [LIN_Q] = {q, c->hidden},      [LIN_V] = {kv, c->hidden},       [LIN_O] = {c->hidden, q},
        [LIN_GATE] = {c->ff, c->hidden}, [LIN_UP] = {c->ff, c->hidden}, [LIN_DOWN] = {c->hidden, c->ff},
    };
    static const char *const NORMS[] = {"input_layernorm", "post_attention_layernorm"};
    char name[WEIGHT_NAME_MAX];
    for (int k = 0; k < 2; k++) {
        Merged t = {0};
        snprintf(name, sizeof name, "model.layers.%" PRId64 ".%s.weight", i, NORMS[k]);
        TRY(find(m, name, 1, &c->hidden, &t.base));
        TRY(add(m, name, &t));
    }
    for (int lin = 0; lin < N_LINEARS; lin++) {
        snprintf(name, sizeof name, "model.layers.%" PRId64 ".%s.weight", i, MISTRAL_LINEAR_NAME[lin]);
        Merged t = {.adapted = model_adapted(m, name)};
        TRY(find(m, name, 2, shape[lin], &t.base));
        if (t.adapted)
            TRY(check_adapter(t.adapted, shape[lin][0], shape[lin][1]));
        *n_used += t.adapted != NULL;
        TRY(add(m, name, &t));
    }
    return OK;
}

/* Embeddings or head, with the added rows. */
static Status add_table(Model *m, const char *name, const char *base, const char *rows)
{
    Merged t = {.n_base = m->vocab};
    TRY(find(m, base, 2, (int64_t[]){m->vocab, m->llm->hidden}, &t.base));
    if (m->n_added)
        TRY(find(m, rows, 2, (int64_t[]){m->n_added, m->llm->hidden}, &t.added));
    return add(m, name, &t);
}

static bool same(const Stored *a, const Stored *b)
{
    return a == b || (a && b && a->data && b->data && a->type == b->type && stored_elems(a) == stored_elems(b) &&
                      !memcmp(a->data, b->data, (size_t)stored_elems(a) * dtype_size(a->type)));
}

bool merge_ties(const Model *m)
{
    return m->llm->tied &&
           (!m->n_added || same(stored_find(&m->tensors, "token_rows.embed_tokens"), stored_find(&m->tensors, "token_rows.lm_head")));
}

Status merge_model(Model *m)
{
    int n_used = 0;
    Merged norm = {0};
    TRY(add_table(m, "model.embed_tokens.weight", "model.embed_tokens.weight", "token_rows.embed_tokens"));
    for (int64_t i = 0; i < m->llm->layers; i++)
        TRY(add_layer(m, i, &n_used));
    TRY(find(m, "model.norm.weight", 1, &m->llm->hidden, &norm.base));
    TRY(add(m, "model.norm.weight", &norm));
    if (!merge_ties(m))
        TRY(add_table(m, "lm_head.weight", m->llm->tied ? "model.embed_tokens.weight" : "lm_head.weight", "token_rows.lm_head"));
    TRY(stored_sort(&m->whole));
    for (int i = 0; n_used < m->n_adapted && i < m->n_adapted; i++)
        if (!stored_find(&m->whole, m->adapted[i].linear))
            return fail(ERR_DATA, "%s: %s is an adapter of %s, which the language model does not have", m->adapted[i].a->file,
                        m->adapted[i].a->theirs, m->adapted[i].linear);
    return OK;
}
