/* Blocks: the unit of recompute. Called by models through ops.h. */
#include "train/nn/node.h"
#include "train/nn/ops.h"

typedef struct BlockNode {
    Node node;
    BlockFn fn;
    const void *arg;
    Tensor **in;
    int n;
    NodeList inner; /* empty when the block is run again in backward */
} BlockNode;

static void copy_data(Tape *t, void *to, const Tensor *x)
{
    RUN(t, add_scaled, AddScaled, .n = x->n_elems, .a_type = x->type, .y_type = x->type, .alpha = 1, .a = x->data, .y = to);
}

/* Runs fn inside a block and returns what it recorded. */
static NodeList run_function(Tape *t, const BlockNode *b, bool nodes, bool store, Tensor **out)
{
    NodeList outer = t->list;
    bool nodes_before = t->nodes;
    t->list = (NodeList){0};
    t->depth = 1;
    t->nodes = nodes;
    t->store = store;
    *out = b->fn(t, b->arg, b->in, b->n);
    t->depth = 0;
    if (t->uses && !t->walking && !t->status)
        tape_fail(t, fail(ERR_INTERNAL, "nn_block: its function did not make a tensor [%lld, %lld] that it made when it was walked",
                          (long long)t->uses->rows, (long long)t->uses->cols));
    t->nodes = nodes_before;
    NodeList inner = t->list;
    t->list = outer;
    return inner;
}

/* Walks fn: nothing is computed and no memory taken, but afterwards the tape knows who reads what fn makes. Returns the result to come. */
static Tensor *walk_function(Tape *t, const BlockNode *b)
{
    Backend *backend = t->backend;
    Arena *keep = t->keep, *scratch = t->scratch, nowhere;
    Tensor *y;
    arena_measure(&nowhere);
    t->backend = &t->nothing;
    t->keep = t->scratch = &nowhere;
    t->walking = true;
    t->uses = NULL;
    t->params = NULL;
    t->index_wanted = 0;
    run_function(t, b, t->record, true, &y);
    t->walking = false;
    t->backend = backend;
    t->keep = keep;
    t->scratch = scratch;
    if (!y || t->status)
        return NULL;
    if (y->uses) /* whoever reads the result is unknown */
        y->uses->readers += 2;
    return y;
}

static Status block_bwd(Tape *t, Node *self)
{
    BlockNode *b = (BlockNode *)self;
    if (!grad_of_apart(self->out))
        return OK;
    ArenaMark scratch = arena_mark(t->scratch);
    HostMark host = tape_host_mark(t);
    NodeList inner = b->inner;
    if (!inner.head) {
        Tensor *out = NULL;
        t->again = true;
        if (walk_function(t, b))
            inner = run_function(t, b, true, false, &out);
        t->again = false;
        if (t->status)
            return t->status;
        grad_share(t, out, self->out);
        grad_done(self->out);
    }
    for (Node *node = inner.head; node && !t->status; node = node->next)
        if (node->out->remade && node->out->needed) {
            node->out->data = tape_temp(t, tape_tensor_size(t, node->out));
            tape_fail(t, node->remake(t, node));
        }
    tape_run_backward(t, inner.tail);
    arena_release(t->scratch, scratch);
    tape_host_release(t, host);
    return t->status;
}

static bool fits_in_place(Tape *t, const Tensor *x, const Tensor *y)
{
    bool fits = x->n_elems == y->n_elems && x->type == y->type && !x->param;
    if (!fits)
        tape_fail(t, fail(ERR_INTERNAL, "nn_block_inplace: the result is [%lld, %lld], its first input [%lld, %lld]",
                          (long long)tensor_rows(y), (long long)tensor_cols(y), (long long)tensor_rows(x), (long long)tensor_cols(x)));
    return fits;
}

static BlockNode *create_block(Tape *t, BlockFn fn, const void *arg, Tensor *const *in, int n)
{
    BlockNode *b = tape_host(t, sizeof *b);
    if (b)
        *b = (BlockNode){.fn = fn, .arg = arg, .in = tape_host(t, (size_t)n * sizeof *in), .n = n};
    if (t->status)
        return NULL;
    memcpy(b->in, in, (size_t)n * sizeof *in);
    return b;
}

/* The node's memory was taken before the block ran. */
static void link_block(Tape *t, BlockNode *b, Tensor *y)
{
    for (int i = 0; i < b->n; i++)
        tape_need(t, b->in[i]);
    b->node = (Node){.backward = block_bwd, .out = y};
    tape_link(t, &b->node);
}

/* Where the result goes when nobody wants its gradient. */
static void *frozen_memory(Tape *t, Tensor *x, const Tensor *y, bool inplace)
{
    return inplace && !x->needed ? x->data : tape_keep(t, tape_size(t, y->n_elems));
}

static Tensor *run_block(Tape *t, BlockNode *b, Tensor *kept, bool inplace)
{
    HostMark host = tape_host_mark(t);
    Tensor *y = walk_function(t, b);
    for (int i = 0; i < b->n; i++)
        if (y == b->in[i])
            return y;
    if (!y || (inplace && !fits_in_place(t, b->in[0], y)))
        return NULL;
    if (t->index_wanted)
        tape_index(t, t->index_wanted);
    bool wanted = y->needs_grad, again = t->recompute == RECOMPUTE_BLOCK || !t->record;
    void *data = wanted ? NULL : frozen_memory(t, b->in[0], y, inplace);
    ArenaMark keep = arena_mark(t->keep), scratch = arena_mark(t->scratch);
    b->inner = run_function(t, b, !again, !again, &y);
    if (!y || t->status)
        return NULL;
    if (wanted && y->in_scratch)
        data = tape_keep(t, tape_size(t, y->n_elems));
    if (data)
        copy_data(t, data, y);
    if (again || !wanted) {
        *kept = *y;
        y = kept;
        tape_host_release(t, host);
    }
    if (data)
        y->data = data;
    y->depth = 0;
    y->in_scratch = y->remade = false;
    y->uses = NULL;
    arena_release(t->scratch, scratch);
    if (!wanted)
        arena_release(t->keep, keep);
    else
        link_block(t, b, y);
    return y;
}

static Tensor *block(Tape *t, const char *op, BlockFn fn, const void *arg, Tensor *const *in, int n, bool inplace)
{
    for (int i = 0; i < n; i++)
        if (!in[i] || (!t->depth && !tape_reads(t, op, in[i], READ_PLAIN)))
            return NULL;
    Tensor *x = in[0], *y = NULL;
    if (t->depth)
        y = fn(t, arg, in, n);
    else {
        BlockNode *b = create_block(t, fn, arg, in, n);
        Tensor *kept = b ? tape_host(t, sizeof *kept) : NULL;
        y = kept ? run_block(t, b, kept, inplace) : NULL;
    }
    if (y && inplace && !t->walking)
        x->replaced = y != x;
    return t->status ? NULL : y;
}

Tensor *nn_block(Tape *t, BlockFn fn, const void *arg, Tensor *const *in, int n) { return block(t, "nn_block", fn, arg, in, n, false); }

Tensor *nn_block_inplace(Tape *t, BlockFn fn, const void *arg, Tensor *const *in, int n)
{
    return block(t, "nn_block_inplace", fn, arg, in, n, true);
}
