/* adapter_rows.c: rows of tokens and whole modules that an adapter puts in the place of the base's (adapter.h). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/convert/adapter.h"

enum { EMBED, HEAD, N_TABLES };
static const char *const TABLE[N_TABLES] = {"model.embed_tokens.weight", "lm_head.weight"};
static const char *const MODULE[N_TABLES] = {"embed_tokens", "lm_head"};
static const char *const BLOCK[N_TABLES] = {"token_rows.embed_tokens", "token_rows.lm_head"};

/* What becomes of one table of tokens. */
typedef struct Change {
    Stored rows, saved;           /* rows of it, or all of it; without a name: none */
    const Json *ids;              /* of rows */
    int64_t n_below;              /* of ids: of the base's rows */
    int64_t n_added, first_added; /* rows V, V+1, …, and the first of them in `rows` or `saved` */
} Change;

static const Stored *find(const PeftAdapter *a, const char *kind, const char *name)
{
    char full[WEIGHT_NAME_MAX + 32];
    snprintf(full, sizeof full, "%s%s", kind, name);
    return stored_find(&a->m->tensors, full);
}

bool adapter_changes_tokens(const PeftAdapter *a)
{
    bool any = a->ids != NULL;
    for (int k = 0; k < N_TABLES; k++)
        any |= find(a, ADAPTER_ROWS, TABLE[k]) || find(a, ADAPTER_SAVED, TABLE[k]);
    return any;
}

/* ---------------------------------------------------------------- what is asked for */

/* trainable_token_indices of a table: a list is that of the embeddings, else by the end of the module's name. */
static const Json *ids_of(const PeftAdapter *a, int table)
{
    if (!a->ids || a->ids->kind == JSON_ARRAY)
        return table == EMBED ? a->ids : NULL;
    for (const Json *v = a->ids->child; v; v = v->next)
        if (utf8_ends(v->key, MODULE[table]))
            return v;
    return NULL;
}

static Status read_ids(const PeftAdapter *a, Change *c)
{
    int64_t at = 0;
    for (const Json *v = c->ids->child; v; v = v->next, at++) {
        if (v->kind != JSON_INT || v->integer < 0)
            return fail(ERR_DATA, "%s:%d:%d: trainable_token_indices: expected lists of ids", a->fields.file, v->line, v->column);
        if (v->integer < a->vocab) {
            c->n_below++;
            continue;
        }
        if (!c->n_added)
            c->first_added = at;
        if (v->integer != a->vocab + c->n_added || at != c->first_added + c->n_added)
            return fail(ERR_DATA,
                        "%s:%d:%d: trainable_token_indices: %" PRId64 " is none of the base's %" PRId64 " rows; expected %" PRId64
                        ": added rows follow them one by one",
                        a->fields.file, v->line, v->column, v->integer, a->vocab, a->vocab + c->n_added);
        c->n_added++;
    }
    return OK;
}

static bool same_values(const Stored *a, const Stored *b)
{
    return a->data && b->data && a->type == b->type && stored_elems(a) == stored_elems(b) &&
           !memcmp(a->data, b->data, (size_t)stored_elems(a) * dtype_size(a->type));
}

/* Where the embeddings are the head, peft may write their rows for both. */
static bool repeats_embeddings(const PeftAdapter *a, const Stored *rows)
{
    const Stored *embed = find(a, ADAPTER_ROWS, TABLE[EMBED]);
    return embed && embed != rows && same_values(embed, rows);
}

static Status read_change(const PeftAdapter *a, int table, Change *c)
{
    const Stored *rows = find(a, ADAPTER_ROWS, TABLE[table]), *saved = find(a, ADAPTER_SAVED, TABLE[table]);
    *c = (Change){.ids = ids_of(a, table)};
    if (rows && saved)
        return fail(ERR_DATA, "%s: there are both %s and %s", rows->file, rows->theirs, saved->theirs);
    if (a->ids && a->ids->kind != JSON_ARRAY && a->ids->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s: trainable_token_indices is %s, expected a list of ids, or such lists by module", a->fields.file,
                    json_kind_name(a->ids->kind));
    if (rows && (c->ids || !repeats_embeddings(a, rows))) {
        if (!c->ids || c->ids->kind != JSON_ARRAY)
            return fail(ERR_DATA, "%s: there is %s, but trainable_token_indices has no list for it", a->fields.file, rows->theirs);
        c->rows = *rows;
        TRY(read_ids(a, c));
    }
    if (saved) {
        c->saved = *saved;
        c->first_added = a->vocab;
        c->n_added = saved->n_dims == 2 && saved->shape[0] > a->vocab ? saved->shape[0] - a->vocab : 0;
    }
    return OK;
}

bool adapter_changes_base(const PeftAdapter *a)
{
    bool any = false;
    for (int i = 0; i < a->m->tensors.n; i++)
        any |= !strncmp(a->m->tensors.list[i].name, ADAPTER_SAVED, strlen(ADAPTER_SAVED));
    for (int k = 0; k < N_TABLES; k++)
        for (const Json *ids = ids_of(a, k), *v = ids ? ids->child : NULL; v; v = v->next)
            any |= v->kind == JSON_INT && v->integer < a->vocab;
    return any;
}

/* ---------------------------------------------------------------- names */

static const char *name_of(const AddedTokens *beside, int64_t id, char text[32])
{
    for (int32_t i = 0; i < beside->n; i++)
        if (beside->item[i].id == id)
            return beside->item[i].text;
    snprintf(text, 32, "<added_%" PRId64 ">", id);
    return text;
}

Status adapter_tokens(const PeftAdapter *a, AddedTokens *out)
{
    int64_t n = 0;
    AddedTokens beside;
    for (int k = 0; k < N_TABLES; k++) {
        Change c;
        TRY(read_change(a, k, &c));
        n = c.n_added > n ? c.n_added : n;
    }
    *out = (AddedTokens){0};
    if (!n)
        return OK;
    out->item = mem_alloc((size_t)n * sizeof *out->item);
    if (!out->item)
        return fail(ERR_NOMEM, "%s: out of memory for added tokens", a->folder);
    TRY(added_tokens_read(&beside, a->folder));
    Status s = OK;
    for (int64_t i = 0; i < n && !s; i++) {
        char text[32];
        char *own = mem_strdup(name_of(&beside, a->vocab + i, text));
        if (own)
            out->item[out->n++] = (AddedToken){own, (int32_t)(a->vocab + i)};
        else
            s = fail(ERR_NOMEM, "%s: out of memory for added tokens", a->folder);
    }
    added_tokens_free(&beside);
    return s;
}

/* ---------------------------------------------------------------- values */

typedef struct Slice {
    Stored of;
    int64_t first;
} Slice;

static Status rows_of_slice(const Stored *t, int64_t first, int64_t n, float *out)
{
    const Slice *s = t->source;
    return stored_rows(&s->of, s->first + first, n, out);
}

/* Rows first … first+n-1 of t under another name. */
static Status slice(Model *m, const Stored *t, const char *name, int64_t first, int64_t n, Stored *out)
{
    *out = *t;
    out->name = name;
    out->shape[0] = n;
    if (t->data) {
        out->data = (const char *)t->data + (size_t)(first * stored_row(t)) * dtype_size(t->type);
        return OK;
    }
    Slice *s = mem_alloc(sizeof *s);
    if (!s)
        return fail(ERR_NOMEM, "%s: out of memory", t->file);
    *s = (Slice){*t, first};
    out->source = s;
    out->rows = rows_of_slice;
    return stored_keep(&m->tensors, s, mem_free);
}

/* A table some of whose rows are others. */
typedef struct Mixed {
    Stored base, rows;
    int64_t at[]; /* for each of the base's: which of `rows` stands there; -1: its own */
} Mixed;

static Status rows_of_mixed(const Stored *t, int64_t first, int64_t n, float *out)
{
    const Mixed *x = t->source;
    TRY(stored_rows(&x->base, first, n, out));
    for (int64_t i = 0; i < n; i++)
        if (x->at[first + i] >= 0)
            TRY(stored_rows(&x->rows, x->at[first + i], 1, out + i * stored_row(t)));
    return OK;
}

static Status mix(Model *m, Stored *table, const Change *c)
{
    const int64_t v = table->shape[0];
    int64_t k = 0;
    Mixed *x = mem_alloc(sizeof *x + (size_t)v * sizeof *x->at);
    if (!x)
        return fail(ERR_NOMEM, "%s: out of memory for its rows", c->rows.file);
    x->base = *table;
    x->rows = c->rows;
    for (int64_t i = 0; i < v; i++)
        x->at[i] = -1;
    for (const Json *id = c->ids->child; id; id = id->next, k++)
        if (id->integer < v)
            x->at[id->integer] = k;
    table->type = F32;
    table->data = NULL;
    table->rows = rows_of_mixed;
    table->source = x;
    return stored_keep(&m->tensors, x, mem_free);
}

/* ---------------------------------------------------------------- into the base */

/* The values of `with` in the place of t's. */
static void replace(Stored *t, const Stored *with)
{
    const Stored own = *t;
    *t = *with;
    t->name = own.name;
    t->texts = own.texts;
}

static Stored *find_own(Model *m, const char *name)
{
    const Stored *t = stored_find(&m->tensors, name);
    return t ? &m->tensors.list[t - m->tensors.list] : NULL;
}

static Status replace_modules(Model *m)
{
    for (int i = 0; i < m->tensors.n; i++) {
        const Stored *with = &m->tensors.list[i];
        if (strncmp(with->name, ADAPTER_SAVED, strlen(ADAPTER_SAVED)))
            continue;
        const char *name = with->name + strlen(ADAPTER_SAVED);
        Stored *t = find_own(m, name);
        if (!strcmp(name, TABLE[EMBED]) || !strcmp(name, TABLE[HEAD]))
            continue;
        if (!t)
            return fail(ERR_DATA, "%s: %s stands for a tensor of the base, which has no %s", with->file, with->theirs, name);
        TRY(stored_check_shape(with, t->n_dims, t->shape));
        replace(t, with);
    }
    return OK;
}

/* A base whose head is its embeddings has one table, so the rows of both must be equal; added rows may be two blocks. */
static Status check_tied(const PeftAdapter *a, Change c[N_TABLES])
{
    const Change *e = &c[EMBED], *h = &c[HEAD];
    const bool one_saved = (e->saved.name || h->saved.name) && !(e->saved.name && h->saved.name && same_values(&e->saved, &h->saved));
    const bool two = h->rows.name && !(repeats_embeddings(a, &h->rows) && e->n_below == h->n_below);
    if (one_saved || (two && (e->n_below || h->n_below)))
        return fail(ERR_DATA,
                    "%s: embeddings and head become two tables, but the base %s has one for both (tie_word_embeddings): untie it, and save "
                    "it so",
                    a->folder, a->base);
    if (!two)
        *(&c[HEAD]) = (Change){.rows = e->rows, .saved = e->saved, .n_added = e->n_added, .first_added = e->first_added};
    return OK;
}

static Status check_change(const PeftAdapter *a, int table, const Change *c)
{
    const Model *m = a->m;
    if (c->ids && !c->rows.name)
        return fail(ERR_DATA, "%s: trainable_token_indices tells of rows of %s, which are not there", a->folder, MODULE[table]);
    if (c->rows.name && c->ids)
        TRY(stored_check_shape(&c->rows, 2, (int64_t[]){(int64_t)c->ids->length, m->llm->hidden}));
    if (c->saved.name)
        TRY(stored_check_shape(&c->saved, 2, (int64_t[]){m->vocab + c->n_added, m->llm->hidden}));
    if (c->n_added != m->n_added)
        return fail(ERR_DATA, "%s: adds %d rows of tokens, but %" PRId64 " to %s: %s", a->folder, m->n_added, c->n_added, MODULE[table],
                    table == HEAD && !c->n_added ? "the base has a head of its own, where the others would be random"
                                                 : "embeddings and head need the same");
    return OK;
}

static Status change_table(Model *m, int table, const Change *c)
{
    Stored *t = find_own(m, TABLE[table]), whole;
    if (!t)
        return fail(ERR_DATA, "%s: there is no %s", m->cfg.model.llm.path, TABLE[table]);
    if (c->saved.name) {
        TRY(slice(m, &c->saved, c->saved.name, 0, m->vocab, &whole));
        replace(t, &whole);
    }
    return c->n_below ? mix(m, t, c) : OK;
}

Status adapter_change_base(const PeftAdapter *a)
{
    Model *m = a->m;
    Change c[N_TABLES];
    for (int k = 0; k < N_TABLES; k++)
        TRY(read_change(a, k, &c[k]));
    if (m->llm->tied)
        TRY(check_tied(a, c));
    for (int k = 0; k < N_TABLES && adapter_changes_tokens(a); k++)
        TRY(check_change(a, k, &c[k]));
    for (int k = 0; k < N_TABLES && adapter_changes_tokens(a) && m->n_added; k++) {
        Stored block;
        TRY(slice(m, c[k].rows.name ? &c[k].rows : &c[k].saved, BLOCK[k], c[k].first_added, m->n_added, &block));
        TRY(stored_add(&m->tensors, &block));
    }
    TRY(stored_sort(&m->tensors));
    TRY(replace_modules(m));
    TRY(change_table(m, EMBED, &c[EMBED]));
    return m->llm->tied ? OK : change_table(m, HEAD, &c[HEAD]);
}
