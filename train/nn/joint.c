/* joint.c: frozen weights and their adapters side by side in one matrix (joint.h). Declared with
 * the adapters (train/models/lora.c), made and refreshed by genllava.c, multiplied with by ops_linear.c. */
#include "train/nn/joint.h"

#include "train/nn/linear.h"

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

static char *place(const Joint *j, int64_t row, int64_t col)
{
    return (char *)j->data + (size_t)(row * joint_ld(j) + col) * dtype_size(j->type);
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

/* A packed [rows, cols] to row, col of the matrix. */
static Status copy_in(const Joint *j, Params *p, const void *from, int64_t rows, int64_t cols, int64_t row, int64_t col)
{
    const RowsGather copy = {.n = rows,
                             .cols = cols,
                             .lds = cols,
                             .ldy = joint_ld(j),
                             .src_type = j->type,
                             .y_type = j->type,
                             .index = p->iota,
                             .src = from,
                             .y = place(j, row, col)};
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

static bool can_join(const Params *p, const Linear *lin, int n)
{
    bool adapted = false;
    for (int i = 0; i < n; i++) {
        if (lin[i].w->trainable || lin[i].b || lin[i].w->t.type != p->compute || !lin[i].w->t.data)
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
    size_t n_bytes = (size_t)((j->out + j->r) * joint_ld(j)) * dtype_size(j->type);
    TRY_IN(params_memory(p, n_bytes, &j->data), "%s and its adapter", lin[0].w->name);
    p->besides += (int64_t)n_bytes - j->out * j->in * (int64_t)dtype_size(j->type);
    int64_t row = 0;
    for (int i = 0; i < j->n; i++) {
        Tensor *w = &lin[i].w->t;
        void *before = w->data;
        TRY(copy_in(j, p, before, w->shape[0], j->in, row, 0));
        params_memory_release(p, before);
        w->data = place(j, row, 0);
        lin[i].w->ld = joint_ld(j);
        lin[i].joint = j;
        row += w->shape[0];
    }
    return copy_adapters(j, p);
}

Status joint_create(Params *p)
{
    if (p->joints)
        TRY(create_iota(&p->iota, p, most_rows(p)));
    for (Joint *j = p->joints; j; j = j->next)
        TRY(join(j, p));
    return OK;
}
