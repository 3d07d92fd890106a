/* dump.c: writes the files of --dump (dump.h). Called by the loop. */
#include "train/log/dump.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/safetensors.h"

typedef struct LabelRow {
    int32_t record, position, label;
    int64_t index; /* of its logits; keeps equal rows in order */
} LabelRow;

struct Dump {
    char *folder;
    Dist *dist;
    int64_t vocabulary;
    LabelRow *rows;
    float *logits;
    int64_t n, capacity;
};

Status dump_open(Dump **out, const char *folder, Dist *dist, int64_t vocabulary)
{
    *out = NULL;
    TRY_IN(file_make_folders(folder), "--dump");
    Dump *d = mem_alloc(sizeof *d);
    if (!d || !(d->folder = mem_strdup(folder))) {
        mem_free(d);
        return fail(ERR_NOMEM, "--dump: out of memory");
    }
    d->dist = dist;
    d->vocabulary = vocabulary;
    *out = d;
    return OK;
}

void dump_close(Dump **d)
{
    if (*d) {
        mem_free((*d)->folder);
        mem_free((*d)->rows);
        mem_free((*d)->logits);
        mem_free(*d);
    }
    *d = NULL;
}

void dump_begin(Dump *d) { d->n = 0; }

static Status make_room(Dump *d, int64_t n)
{
    if (n <= d->capacity)
        return OK;
    int64_t capacity = n > 2 * d->capacity ? n : 2 * d->capacity;
    LabelRow *rows = mem_grow(d->rows, (size_t)capacity * sizeof *rows);
    if (rows)
        d->rows = rows;
    float *logits = rows ? mem_grow(d->logits, (size_t)capacity * (size_t)d->vocabulary * sizeof *logits) : NULL;
    if (!logits)
        return fail(ERR_NOMEM, "--dump: no memory for the logits of %lld labels", (long long)n);
    d->logits = logits;
    d->capacity = capacity;
    return OK;
}

Status dump_pass(Dump *d, const Batch *b, float **logits)
{
    TRY(make_room(d, d->n + b->n_labels));
    for (int32_t i = 0; i < b->n_labels; i++)
        d->rows[d->n + i] = (LabelRow){b->label_record[i], b->label_position[i], b->label[i], d->n + i};
    *logits = d->logits + d->n * d->vocabulary;
    d->n += b->n_labels;
    return OK;
}

static int by_record(const void *a, const void *b)
{
    const LabelRow *x = a, *y = b;
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

static void add(Plan *p, DType type, int n_dims, int64_t d0, int64_t d1, const char *name)
{
    p->specs[p->n++] = (StSpec){.name = name, .type = type, .n_dims = n_dims, .shape = {d0, d1}};
}

enum { MOST_SCALARS = N_LOSSES + 3, N_LABEL_ARRAYS = 3 };
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

static void plan_file(Plan *plan, const Params *p, const DumpScalars *scalars, int64_t n_rows, int64_t vocabulary)
{
    const char *names[MOST_SCALARS];
    float values[MOST_SCALARS];
    int n = list_scalars(scalars, names, values);
    for (int i = 0; i < n; i++)
        add(plan, F32, 0, 0, 0, names[i]);
    add(plan, F32, 2, n_rows, vocabulary, "logits");
    add(plan, I32, 2, n_rows, 2, "logits.row");
    add(plan, I32, 1, n_rows, 0, "logits.label");
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < p->n; i++) {
            const Param *q = p->list[i];
            if (!q->trainable)
                continue;
            char *name = plan->names[plan->n];
            snprintf(name, sizeof plan->names[0], "%s/%s", KINDS[k], q->name);
            add(plan, F32, q->t.n_dims, 0, 0, name);
            memcpy(plan->specs[plan->n - 1].shape, q->shape, sizeof q->shape);
        }
}

static Status write_scalars(StWriter *w, const DumpScalars *s)
{
    const char *names[MOST_SCALARS];
    float values[MOST_SCALARS];
    int n = list_scalars(s, names, values);
    return stwriter_write(w, values, (size_t)n * sizeof *values);
}

static Status write_rows(StWriter *w, const LabelRow *rows, const float *logits, int64_t n, int64_t vocabulary)
{
    for (int64_t i = 0; i < n; i++)
        TRY(stwriter_write(w, logits + rows[i].index * vocabulary, (size_t)vocabulary * sizeof *logits));
    for (int64_t i = 0; i < n; i++)
        TRY(stwriter_write(w, (int32_t[]){rows[i].record, rows[i].position}, 2 * sizeof(int32_t)));
    for (int64_t i = 0; i < n; i++)
        TRY(stwriter_write(w, &rows[i].label, sizeof rows[i].label));
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

static Status write_file(const char *path, Params *p, const DumpScalars *scalars, LabelRow *rows, const float *logits, int64_t n,
                         int64_t vocabulary)
{
    size_t most = MOST_SCALARS + N_LABEL_ARRAYS + 2 * (size_t)p->n;
    Plan plan = {.specs = mem_alloc(most * sizeof *plan.specs), .names = mem_alloc(most * sizeof *plan.names)};
    StWriter *w = NULL;
    Status s = plan.specs && plan.names ? OK : fail(ERR_NOMEM, "--dump: out of memory");
    if (s == OK) {
        plan_file(&plan, p, scalars, n, vocabulary);
        s = stwriter_open(&w, path, plan.specs, plan.n);
    }
    if (s == OK) {
        qsort(rows, (size_t)n, sizeof *rows, by_record);
        s = write_scalars(w, scalars);
    }
    if (s == OK)
        s = write_rows(w, rows, logits, n, vocabulary);
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

Status dump_write(Dump *d, int64_t step, Params *p, const DumpScalars *scalars)
{
    char name[64], path[PATH_MAX];
    void *rows = NULL, *logits = NULL;
    size_t n_rows, n_logits;
    snprintf(name, sizeof name, "step-%06lld.safetensors", (long long)step);
    Status s = dist_gather(d->dist, d->rows, (size_t)d->n * sizeof *d->rows, &rows, &n_rows);
    if (s == OK)
        s = dist_gather(d->dist, d->logits, (size_t)(d->n * d->vocabulary) * sizeof *d->logits, &logits, &n_logits);
    if (s == OK && d->dist->rank == 0) {
        LabelRow *all = rows;
        int64_t n = (int64_t)(n_rows / sizeof *all);
        for (int64_t i = 0; i < n; i++) /* every rank counted from 0; gathered, rows and logits stand in the same order */
            all[i].index = i;
        s = write_file(file_join(path, d->folder, name), p, scalars, all, logits, n, d->vocabulary);
    }
    mem_free(rows);
    mem_free(logits);
    return s;
}
