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
static NodeList run_block(Tape *t, BlockNode *b, bool nodes, bool store, Tensor **out)
{
    NodeList outer = t->list;
    bool nodes_before = t->nodes;
    t->list = (NodeList){0};
    t->depth = 1;
    t->nodes = nodes;
    t->store = store;
    *out = b->fn(t, b->arg, b->in, b->n);
    t->depth = 0;
    t->nodes = nodes_before;
    NodeList inner = t->list;
    t->list = outer;
    return inner;
}

static Status block_bwd(Tape *t, Node *self)
{
    BlockNode *b = (BlockNode *)self;
    if (!grad_of_apart(self->out))
        return OK;
    ArenaMark scratch = arena_mark(t->scratch);
    HostMark host = tape_host_mark(t);
    NodeList inner = b->inner;
    Tensor *out = self->out;
    if (!inner.head) {
        inner = run_block(t, b, true, false, &out);
        if (t->status)
            return t->status;
        out->grad = self->out->grad;
        out->grad_room = self->out->grad_room;
        out->grad_depth = self->out->grad_depth;
        out->grad_written = true;
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

/* Nobody wants a gradient: the result takes the place of in[0], so a frozen stack needs the memory of one layer. */
static Tensor *replace_input(Tape *t, Tensor *x, const Tensor *y)
{
    if (x == y)
        return x;
    if (x->n_elems != y->n_elems || x->type != y->type || x->param) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_block: the result has %lld elements, its first input %lld", (long long)y->n_elems,
                          (long long)x->n_elems));
        return NULL;
    }
    copy_data(t, x->data, y);
    return t->status ? NULL : x;
}

Tensor *nn_block(Tape *t, BlockFn fn, const void *arg, Tensor *const *in, int n)
{
    for (int i = 0; i < n; i++)
        if (!in[i])
            return NULL;
    if (t->depth)
        return fn(t, arg, in, n);
    BlockNode *b = t->status ? NULL : tape_host(t, sizeof *b);
    Tensor *kept = b ? tape_host(t, sizeof *kept) : NULL;
    if (kept)
        b->in = tape_host(t, (size_t)n * sizeof *in);
    if (t->status)
        return NULL;
    memcpy(b->in, in, (size_t)n * sizeof *in);
    b->fn = fn;
    b->arg = arg;
    b->n = n;
    ArenaMark keep = arena_mark(t->keep), scratch = arena_mark(t->scratch);
    HostMark host = tape_host_mark(t);
    bool again = t->recompute == RECOMPUTE_BLOCK || !t->record;
    Tensor *y;
    b->inner = run_block(t, b, !again, !again, &y);
    if (!y || t->status || !tape_packed(t, y))
        return NULL;
    if (!y->needs_grad) {
        y = replace_input(t, in[0], y);
        arena_release(t->keep, keep);
        arena_release(t->scratch, scratch);
        tape_host_release(t, host);
        return y;
    }
    void *data = y->in_scratch ? tape_keep(t, tape_size(t, y->n_elems)) : NULL;
    if (data)
        copy_data(t, data, y);
    if (again) {
        *kept = *y;
        y = kept;
        tape_host_release(t, host);
    }
    if (data)
        y->data = data;
    y->depth = 0;
    y->in_scratch = y->remade = false;
    arena_release(t->scratch, scratch);
    /* The node's memory was taken before the block ran: link it in by hand. */
    b->node = (Node){.backward = block_bwd, .prev = t->list.tail, .out = y};
    *(t->list.tail ? &t->list.tail->next : &t->list.head) = &b->node;
    t->list.tail = &b->node;
    return t->status ? NULL : y;
}
