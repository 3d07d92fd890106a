/* joint.c: frozen weights and their adapters side by side in one matrix (joint.h). Declared with
 * the adapters (train/models/lora.c), made and refreshed by genllava.c, multiplied with by ops_linear.c. */
#include "train/nn/joint.h"

#include "train/nn/linear.h"
#include "train/nn/coded.h"

Status joint_declare(Params *p, Linear *lin, int n)
{
    Joint *j = mem_alloc(sizeof *j), **end = &p->joints;
    if (!j)
        return fail(ERR_NOMEM, "no memory for %d linears", n);
    *j = (Joint){.lin = lin, .n = n};
    while (*end)
        end = &(*end)->next;
    *end = j;
    return OK;
}

/* 0 … n-1 in backend memory that lives as long as the Params. */
static Status create_iota(const int32_t **out, Params *p, int64_t n)
{
    void *memory;
    int32_t *host = mem_alloc((size_t)n * sizeof *host);
    if (!host)
        return fail(ERR_NOMEM, "no memory for %lld indices", (long long)n);
    for (int64_t i = 0; i < n; i++)
        host[i] = (int32_t)i;
    Status s = params_memory(p, (size_t)n * sizeof *host, &memory);
    if (!s)
        s = p->backend->upload(p->backend, memory, host, (size_t)n * sizeof *host);
    mem_free(host);
    p->besides += n * (int64_t)sizeof *host;
    *out = s ? NULL : memory;
    return s;
}

static char *place(const Joint *j, void *data, int64_t row, int64_t col)
{
    return (char *)data + (size_t)(row * joint_ld(j) + col) * dtype_size(j->type);
}

/* The most rows of a weight or an adapter. */
static int64_t most_rows(const Params *p)
{
    int64_t most = 0;
    for (const Joint *j = p->joints; j; j = j->next)
        for (int i = 0; i < j->n; i++) {
            int64_t out = j->lin[i].w->t.shape[0], r = linear_rank(&j->lin[i]);
            most = out > most ? out : most;
            most = r > most ? r : most;
        }
    return most;
}

/* Rows `index` of a packed [*, cols] to row, col of the matrix. */
static RowsGather copy_of(const Joint *j, void *data, const int32_t *index, const void *from, int64_t rows, int64_t cols, int64_t row,
                          int64_t col)
{
    return (RowsGather){.n = rows,
                        .cols = cols,
                        .lds = cols,
                        .ldy = joint_ld(j),
                        .src_type = j->type,
                        .y_type = j->type,
                        .index = index,
                        .src = from,
                        .y = place(j, data, row, col)};
}

static Status copy_in(const Joint *j, Params *p, const void *from, int64_t rows, int64_t cols, int64_t row, int64_t col)
{
    const RowsGather copy = copy_of(j, j->data, j->iota, from, rows, cols, row, col);
    return p->backend->ops.rows_gather(&p->backend->ctx, &copy);
}

static Status copy_adapters(const Joint *j, Params *p)
{
    int64_t row = 0, at = 0;
    for (int i = 0; i < j->n && j->data; i++) {
        const Linear *l = &j->lin[i];
        int64_t out = l->w->t.shape[0], r = linear_rank(l);
        if (r) {
            TRY(copy_in(j, p, l->lora_a->t.data, r, j->in, j->out + at, 0));
            TRY(copy_in(j, p, l->lora_b->t.data, out, r, row, j->in + at));
        }
        row += out;
        at += r;
    }
    return OK;
}

Status joint_refresh(Params *p)
{
    for (const Joint *j = p->joints; j; j = j->next)
        TRY(copy_adapters(j, p));
    return OK;
}

static void copy_on(Tape *t, const Joint *j, void *data, const int32_t *index, const void *from, int64_t rows, int64_t cols, int64_t row,
                    int64_t col)
{
    const RowsGather copy = copy_of(j, data, index, from, rows, cols, row, col);
    if (!t->status)
        tape_run_rows_gather(t, &copy);
}

void *joint_operand(Tape *t, const Joint *j, bool forward)
{
    if (!j->coded)
        return j->data;
    void *data = tape_temp(t, tape_size(t, (forward ? j->out : j->out + j->r) * joint_ld(j)));
    if (t->status)
        return NULL;
    int64_t row = 0, at = 0;
    if (forward && j->n > 1)
        copy_on(t, j, data, j->none, j->none, j->out, j->r, 0, j->in);
    for (int i = 0; i < j->n; i++) {
        const Linear *l = &j->lin[i];
        const int64_t out = l->w->t.shape[0], r = linear_rank(l);
        const Dequantize w = coded_rows(l->w, 0, out, place(j, data, row, 0), joint_ld(j));
        if (!t->status)
            tape_run_dequantize(t, &w);
        if (r && forward)
            copy_on(t, j, data, j->iota, l->lora_b->t.data, out, r, row, j->in + at);
        else if (r)
            copy_on(t, j, data, j->iota, l->lora_a->t.data, r, j->in, j->out + at, 0);
        row += out;
        at += r;
    }
    return data;
}

static bool can_join(const Params *p, const Linear *lin, int n)
{
    bool adapted = false;
    for (int i = 0; i < n; i++) {
        const bool here = lin[i].w->coded.format ? lin[i].w->coded.codes != NULL : lin[i].w->t.data != NULL;
        if (lin[i].w->trainable || lin[i].b || lin[i].w->t.type != p->compute || !here || lin[i].w->coded.format != lin[0].w->coded.format)
            return false;
        adapted |= linear_rank(&lin[i]) > 0;
    }
    return adapted;
}

static Status join(Joint *j, Params *p)
{
    Linear *lin = j->lin;
    if (!can_join(p, lin, j->n))
        return OK;
    j->in = lin[0].w->t.shape[1];
    j->type = p->compute;
    for (int i = 0; i < j->n; i++) {
        j->out += lin[i].w->t.shape[0];
        j->r += linear_rank(&lin[i]);
    }
    j->coded = lin[0].w->coded.format != CODES_NONE;
    for (int i = 0; i < j->n; i++)
        lin[i].joint = j;
    if (j->coded)
        return OK;
    size_t n_bytes = (size_t)((j->out + j->r) * joint_ld(j)) * dtype_size(j->type);
    TRY_IN(params_memory(p, n_bytes, &j->data), "%s and its adapter", lin[0].w->name);
    p->besides += (int64_t)n_bytes - j->out * j->in * (int64_t)dtype_size(j->type);
    int64_t row = 0;
    for (int i = 0; i < j->n; i++) {
        Tensor *w = &lin[i].w->t;
        void *before = w->data;
        TRY(copy_in(j, p, before, w->shape[0], j->in, row, 0));
        params_memory_release(p, before);
        w->data = place(j, j->data, row, 0);
        lin[i].w->ld = joint_ld(j);
        row += w->shape[0];
    }
    return copy_adapters(j, p);
}

/* Of the largest group in codes: an index for each row, and a row of B. */
static Status create_zeros(Params *p)
{
    int64_t most = 0;
    void *zeros = NULL;
    for (const Joint *j = p->joints; j; j = j->next) {
        most = j->coded && j->out > most ? j->out : most;
        most = j->coded && j->r > most ? j->r : most;
    }
    const size_t n_bytes = (size_t)most * sizeof(double);
    if (n_bytes)
        TRY(params_memory(p, n_bytes, &zeros));
    p->besides += (int64_t)n_bytes;
    for (Joint *j = p->joints; j; j = j->next)
        j->none = zeros;
    return OK;
}

Status joint_create(Params *p)
{
    const int32_t *iota = NULL;
    if (p->joints)
        TRY(create_iota(&iota, p, most_rows(p)));
    for (Joint *j = p->joints; j; j = j->next) {
        j->iota = iota;
        TRY(join(j, p));
    }
    return create_zeros(p);
}
