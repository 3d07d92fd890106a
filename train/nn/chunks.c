/* chunks.c: computations that leave no memory behind (ops.h): a loss piece by piece, each forward and backward before the next, and what is
 * wanted on the host alone. Called by losses whose networks are too large for all items of a pass at once. */
#include "train/nn/node.h"
#include "train/nn/ops.h"

/* Where the tape stood: what is computed from then on can be forgotten. */
typedef struct Standing {
    NodeList list;
    const int32_t *index;
    int64_t n_index;
    ArenaMark keep, scratch;
    HostMark host;
} Standing;

static Standing stand(const Tape *t)
{
    return (Standing){t->list, t->index, t->n_index, arena_mark(t->keep), arena_mark(t->scratch), tape_host_mark(t)};
}

static void return_to(Tape *t, const Standing *s)
{
    t->list = s->list;
    t->index = s->index; /* one made since lies in memory that goes now */
    t->n_index = s->n_index;
    arena_release(t->keep, s->keep);
    arena_release(t->scratch, s->scratch);
    tape_host_release(t, s->host);
}

void nn_evaluate(Tape *t, EvaluateFn fn, const void *arg, float *to)
{
    Standing before = stand(t);
    bool recorded = tape_record(t, false);
    Tensor *y = fn(t, arg);
    if (y && to)
        tape_download(t, to, y->data, y->n_elems);
    tape_record(t, recorded);
    return_to(t, &before);
}

typedef struct ChunksNode {
    Node node;
    Tensor *x;
    void *dx; /* NULL: nobody wants it */
} ChunksNode;

static Status chunks_bwd(Tape *t, Node *self)
{
    ChunksNode *s = (ChunksNode *)self;
    if (!grad_of(t, self->out))
        return t->status;
    if (t->seed_value != 1)
        return tape_fail(t, fail(ERR_INTERNAL, "nn_chunks: seeded with %g, its gradients were written for 1", t->seed_value));
    if (!s->dx)
        return t->status;
    if (s->x->depth == 0 && !s->x->grad && !s->x->grad_written)
        grad_adopt(t, s->x, s->dx, 0, 0);
    else
        grad_add(t, s->x, s->dx);
    return t->status;
}

/* Rows at … of x as a tensor of their own, whose gradient is written to `grad`. */
static Tensor *take_rows(Tape *t, const Tensor *x, int64_t at, int64_t rows, void *grad)
{
    int64_t cols = tensor_cols(x);
    Tensor *part = tape_host(t, sizeof *part);
    if (part)
        *part = (Tensor){.type = x->type,
                         .grad_type = x->grad_type,
                         .n_dims = 2,
                         .shape = {rows, cols},
                         .n_elems = rows * cols,
                         .data = (char *)x->data + tape_size(t, at * cols),
                         .grad = grad ? (char *)grad + tape_size(t, at * cols) : NULL,
                         .needs_grad = grad != NULL};
    return part;
}

static void run_chunk(Tape *t, ChunkFn fn, const void *arg, Tensor *part, int64_t at, int64_t n, Tensor *loss)
{
    Tensor *y = fn(t, arg, part, at, n);
    if (!y)
        return;
    RUN(t, add_scaled, AddScaled, .n = 1, .a_type = y->type, .b_type = y->type, .y_type = y->type, .alpha = 1, .beta = 1, .a = y->data,
        .b = at ? loss->data : NULL, .y = loss->data);
    loss->needs_grad |= y->needs_grad;
    if (y->needs_grad)
        tape_fail(t, tape_backward(t, y, 1));
    if (part->needs_grad && !part->grad_written)
        RUN(t, fill, Fill, .n = part->n_elems, .type = part->grad_type, .x = part->grad);
}

Tensor *nn_chunks(Tape *t, Tensor *x, int64_t items, int64_t chunk, ChunkFn fn, const void *arg)
{
    if (!tape_reads(t, "nn_chunks", x, READ_PLAIN))
        return NULL;
    if (t->depth || items < 1 || chunk < 1 || tensor_rows(x) % items) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_chunks: [%lld, %lld] in chunks of %lld of %lld items%s", (long long)tensor_rows(x),
                          (long long)tensor_cols(x), (long long)chunk, (long long)items, t->depth ? ", in a block" : ""));
        return NULL;
    }
    int64_t each = tensor_rows(x) / items;
    Tensor *loss = tape_output(t, 1, 1, false, PLACE_KEEP);
    void *dx = loss && t->record && x->needs_grad ? tape_save(t, tape_size(t, x->n_elems)) : NULL;
    Standing before = stand(t);
    for (int64_t at = 0, n; at < items && !t->status; at += n) {
        n = items - at < chunk ? items - at : chunk;
        t->list = (NodeList){0};
        Tensor *part = take_rows(t, x, at * each, n * each, dx);
        if (part)
            run_chunk(t, fn, arg, part, at, n, loss);
        return_to(t, &before);
    }
    ChunksNode *s = t->status ? NULL : tape_node(t, sizeof *s, chunks_bwd, loss);
    if (s) {
        s->x = x;
        s->dx = dx;
    }
    return t->status ? NULL : loss;
}
