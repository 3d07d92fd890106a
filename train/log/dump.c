/* dump.c: writes the files of --dump (dump.h). Called by the loop. */
#include "train/log/dump.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/safetensors.h"

/* Where a row of values comes from: a label, or a target image. */
typedef struct Source {
    int32_t record, position, label;
    int64_t index; /* of its values; keeps equal sources in order */
} Source;

typedef struct Table {
    const char *name;
    int64_t cols; /* values of a row */
    Source *rows;
    float *values;
    int64_t n, capacity;
} Table;

struct Dump {
    char *folder;
    Dist *dist;
    Table logits, context;
    int64_t queries; /* rows of the context of an image */
};

typedef struct NewDump {
    const char *folder;
    int64_t step;
} NewDump;

static Status check_name(void *dump, const char *name)
{
    const NewDump *d = dump;
    long long step;
    int n = 0;
    if (sscanf(name, "step-%lld.safetensors%n", &step, &n) != 1 || !n || name[n] || step < d->step)
        return OK;
    return fail(ERR_CREATE, "--dump: %s holds %s, of another run: its files would stand beside those of this one, which begins with step "
                            "%lld; name another folder, or empty it", d->folder, name, (long long)d->step);
}

/* A resumed run adds to the steps before it. */
static Status prepare_folder(void *dump)
{
    NewDump *d = dump;
    TRY_IN(file_make_folders(d->folder), "--dump");
    return file_list(d->folder, check_name, d);
}

Status dump_open(Dump **out, const char *folder, int64_t step, Dist *dist, const ModelSizes *sizes)
{
    *out = NULL;
    TRY(dist_first(dist, prepare_folder, &(NewDump){folder, step}, NULL, 0));
    Dump *d = mem_alloc(sizeof *d);
    if (!d || !(d->folder = mem_strdup(folder))) {
        mem_free(d);
        return fail(ERR_NOMEM, "--dump: out of memory");
    }
    d->dist = dist;
    d->logits = (Table){.name = "logits", .cols = sizes->vocab_size + sizes->added_rows};
    d->context = (Table){.name = "context", .cols = (int64_t)sizes->queries * sizes->context};
    d->queries = sizes->queries;
    *out = d;
    return OK;
}

static void free_table(Table *t)
{
    mem_free(t->rows);
    mem_free(t->values);
}

void dump_close(Dump **d)
{
    if (*d) {
        mem_free((*d)->folder);
        free_table(&(*d)->logits);
        free_table(&(*d)->context);
        mem_free(*d);
    }
    *d = NULL;
}

void dump_begin(Dump *d) { d->logits.n = d->context.n = 0; }

static Status make_room(Table *t, int64_t n)
{
    if (n <= t->capacity)
        return OK;
    int64_t capacity = n > 2 * t->capacity ? n : 2 * t->capacity;
    Source *rows = mem_grow(t->rows, (size_t)capacity * sizeof *rows);
    if (rows)
        t->rows = rows;
    float *values = rows ? mem_grow(t->values, (size_t)capacity * (size_t)t->cols * sizeof *values) : NULL;
    if (!values)
        return fail(ERR_NOMEM, "--dump: no memory for %lld rows of \"%s\"", (long long)n, t->name);
    t->values = values;
    t->capacity = capacity;
    return OK;
}

Status dump_pass(Dump *d, const Batch *b, LossRequest *request)
{
    Table *logits = &d->logits, *context = &d->context;
    int64_t n_targets = context->cols ? b->n_targets : 0;
    TRY(make_room(logits, logits->n + b->n_labels));
    TRY(make_room(context, context->n + n_targets));
    for (int32_t i = 0; i < b->n_labels; i++)
        logits->rows[logits->n + i] = (Source){b->label_record[i], b->label_position[i], b->label[i], logits->n + i};
    for (int32_t i = 0; i < n_targets; i++)
        context->rows[context->n + i] = (Source){.record = b->record[b->target_segment[i]], .position = b->pos[b->target_row[i]],
                                                 .index = context->n + i};
    request->logits = logits->values + logits->n * logits->cols;
    request->context = n_targets ? context->values + context->n * context->cols : NULL;
    logits->n += b->n_labels;
    context->n += n_targets;
    return OK;
}

static int by_record(const void *a, const void *b)
{
    const Source *x = a, *y = b;
    if (x->record != y->record)
        return x->record < y->record ? -1 : 1;
    if (x->position != y->position)
        return x->position < y->position ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Everything of a file in the order in which it is written. */
typedef struct Plan {
    StSpec *specs;
    char (*names)[512];
    int n;
} Plan;

static void add(Plan *p, DType type, int n_dims, const int64_t shape[3], const char *name)
{
    StSpec *s = &p->specs[p->n++];
    *s = (StSpec){.name = name, .type = type, .n_dims = n_dims};
    memcpy(s->shape, shape, (size_t)n_dims * sizeof *shape);
}

enum { MOST_SCALARS = N_LOSSES + 3, N_TABLE_ARRAYS = 5 };
static const char *const KINDS[2] = {"grad", "param"};

/* Names and values, in order; returns how many. */
static int list_scalars(const DumpScalars *s, const char *names[MOST_SCALARS], float values[MOST_SCALARS])
{
    int n = 0;
    names[n] = "loss";
    values[n++] = (float)s->losses.total;
    for (int i = 0; i < N_LOSSES; i++)
        if (s->losses.present[i]) {
            names[n] = LOSSES[i].dump;
            values[n++] = (float)s->losses.values[i];
        }
    names[n] = "lr";
    values[n++] = (float)s->lr;
    names[n] = "grad_norm";
    values[n++] = (float)s->grad_norm;
    return n;
}

static void plan_tables(Plan *plan, const Dump *d)
{
    const Table *logits = &d->logits, *context = &d->context;
    add(plan, F32, 2, (int64_t[3]){logits->n, logits->cols}, "logits");
    add(plan, I32, 2, (int64_t[3]){logits->n, 2}, "logits.row");
    add(plan, I32, 1, (int64_t[3]){logits->n}, "logits.label");
    if (!context->n)
        return;
    add(plan, F32, 3, (int64_t[3]){context->n, d->queries, context->cols / d->queries}, "context");
    add(plan, I32, 1, (int64_t[3]){context->n}, "context.row");
}

static void plan_file(Plan *plan, const Params *p, const DumpScalars *scalars, const Dump *d)
{
    const char *names[MOST_SCALARS];
    float values[MOST_SCALARS];
    int n = list_scalars(scalars, names, values);
    for (int i = 0; i < n; i++)
        add(plan, F32, 0, (int64_t[3]){0}, names[i]);
    plan_tables(plan, d);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < p->n; i++) {
            const Param *q = p->list[i];
            if (!q->trainable)
                continue;
            char *name = plan->names[plan->n];
            snprintf(name, sizeof plan->names[0], "%s/%s", KINDS[k], q->name);
            StSpec *spec = &plan->specs[plan->n++];
            *spec = (StSpec){.name = name, .type = F32, .n_dims = q->t.n_dims};
            memcpy(spec->shape, q->shape, sizeof q->shape);
        }
}

static Status write_scalars(StWriter *w, const DumpScalars *s)
{
    const char *names[MOST_SCALARS];
    float values[MOST_SCALARS];
    int n = list_scalars(s, names, values);
    return stwriter_write(w, values, (size_t)n * sizeof *values);
}

static Status write_values(StWriter *w, const Table *t)
{
    for (int64_t i = 0; i < t->n; i++)
        TRY(stwriter_write(w, t->values + t->rows[i].index * t->cols, (size_t)t->cols * sizeof *t->values));
    return OK;
}

static Status write_tables(StWriter *w, const Dump *d)
{
    const Table *logits = &d->logits, *context = &d->context;
    TRY(write_values(w, logits));
    for (int64_t i = 0; i < logits->n; i++)
        TRY(stwriter_write(w, (int32_t[]){logits->rows[i].record, logits->rows[i].position}, 2 * sizeof(int32_t)));
    for (int64_t i = 0; i < logits->n; i++)
        TRY(stwriter_write(w, &logits->rows[i].label, sizeof(int32_t)));
    TRY(write_values(w, context));
    for (int64_t i = 0; i < context->n; i++)
        TRY(stwriter_write(w, &context->rows[i].record, sizeof(int32_t)));
    return OK;
}

static Status write_tensor(StWriter *w, Params *p, const Param *q, bool gradient, void *raw, float *host)
{
    size_t n = (size_t)q->t.n_elems, size = dtype_size(p->master);
    if (!gradient) {
        TRY(params_get(p, q, host));
        return stwriter_write(w, host, n * sizeof *host);
    }
    TRY(p->backend->download(p->backend, raw, (const char *)p->flat_grad + (size_t)q->flat * size, n * size));
    dtype_convert(host, F32, raw, p->master, n);
    params_to_file(q, raw, host, q->shape[0], sizeof *host);
    return stwriter_write(w, raw, n * sizeof *host);
}

static Status write_tensors(StWriter *w, Params *p)
{
    int64_t longest = 1;
    for (int i = 0; i < p->n; i++)
        if (p->list[i]->trainable && p->list[i]->t.n_elems > longest)
            longest = p->list[i]->t.n_elems;
    void *raw = mem_alloc((size_t)longest * dtype_size(p->master));
    float *host = mem_alloc((size_t)longest * sizeof *host);
    Status s = raw && host ? OK : fail(ERR_NOMEM, "--dump: out of memory");
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < p->n && s == OK; i++)
            if (p->list[i]->trainable)
                s = write_tensor(w, p, p->list[i], k == 0, raw, host);
    mem_free(raw);
    mem_free(host);
    return s;
}

/* d: with the rows of all ranks, in order. */
static Status write_file(const char *path, Params *p, const DumpScalars *scalars, const Dump *d)
{
    size_t most = MOST_SCALARS + N_TABLE_ARRAYS + 2 * (size_t)p->n;
    Plan plan = {.specs = mem_alloc(most * sizeof *plan.specs), .names = mem_alloc(most * sizeof *plan.names)};
    StWriter *w = NULL;
    Status s = plan.specs && plan.names ? OK : fail(ERR_NOMEM, "--dump: out of memory");
    if (s == OK) {
        plan_file(&plan, p, scalars, d);
        s = stwriter_open(&w, path, plan.specs, plan.n);
    }
    if (s == OK)
        s = write_scalars(w, scalars);
    if (s == OK)
        s = write_tables(w, d);
    if (s == OK)
        s = write_tensors(w, p);
    mem_free(plan.specs);
    mem_free(plan.names);
    if (s == OK)
        return stwriter_close(&w);
    if (w)
        stwriter_abandon(&w);
    return s;
}

/* The rows of all ranks, in rank 0's `all`, which owns them. */
static Status gather_table(Dist *dist, const Table *t, Table *all)
{
    void *rows = NULL, *values = NULL;
    size_t n_rows = 0, n_values;
    Status s = dist_gather(dist, t->rows, (size_t)t->n * sizeof *t->rows, &rows, &n_rows);
    if (s == OK)
        s = dist_gather(dist, t->values, (size_t)(t->n * t->cols) * sizeof *t->values, &values, &n_values);
    *all = (Table){.name = t->name, .cols = t->cols, .rows = rows, .values = values, .n = (int64_t)(n_rows / sizeof *t->rows)};
    if (s != OK || dist->rank > 0)
        return s;
    for (int64_t i = 0; i < all->n; i++) /* every rank counted from 0; gathered, rows and values stand in the same order */
        all->rows[i].index = i;
    if (all->n)
        qsort(all->rows, (size_t)all->n, sizeof *all->rows, by_record);
    return OK;
}

Status dump_write(Dump *d, int64_t step, Params *p, const DumpScalars *scalars)
{
    char name[64], path[PATH_MAX];
    Dump all = {.queries = d->queries};
    snprintf(name, sizeof name, "step-%06lld.safetensors", (long long)step);
    Status s = gather_table(d->dist, &d->logits, &all.logits);
    if (s == OK)
        s = gather_table(d->dist, &d->context, &all.context);
    if (s == OK && d->dist->rank == 0)
        s = write_file(file_join(path, d->folder, name), p, scalars, &all);
    free_table(&all.logits);
    free_table(&all.context);
    return s;
}
