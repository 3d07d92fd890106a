/* ops_act.c: activations on the tape: SwiGLU, GELU, sums (ops.h), forward and backward side by side. */
#include "train/nn/node.h"
#include "train/nn/ops.h"

typedef struct ActNode {
    Node node;
    Tensor *x;
    GeluKind kind;
    bool replaces; /* the gradient takes the place of x: nobody else reads it */
} ActNode;

/* ---------------------------------------------------------------- swiglu */

static Status swiglu_fwd(Tape *t, const Tensor *gu, Tensor *y)
{
    int64_t f = tensor_cols(y), ld = tensor_ld(gu);
    const char *g = gu->data;
    return RUN(t, swiglu_fwd, SwigluFwd, .rows = tensor_rows(y), .cols = f, .ldg = ld, .ldu = ld, .act = t->compute, .g = g,
               .u = g + tape_size(t, f), .y = y->data, .ldy = tensor_ld(y));
}

static Status swiglu_remake(Tape *t, Node *self) { return swiglu_fwd(t, ((ActNode *)self)->x, self->out); }

static Status swiglu_bwd(Tape *t, Node *self)
{
    const ActNode *s = (ActNode *)self;
    Tensor *x = s->x;
    const void *dy = grad_of(t, self->out);
    bool more = false;
    char *g = x->data, *dx = !dy ? NULL : s->replaces ? g : grad_dst(t, x, &more), *dg = dx;
    if (!dx)
        return t->status;
    int64_t f = tensor_cols(self->out), ld = tensor_ld(x), ldd = s->replaces ? ld : 2 * f;
    ArenaMark mark = arena_mark(t->scratch);
    if (more)
        dg = tape_temp(t, tape_size(t, x->n_elems));
    void *again = tape_again(t, self->out);
    RUN(t, swiglu_bwd, SwigluBwd, .rows = tensor_rows(x), .cols = f, .ldg = ld, .ldu = ld, .lddg = ldd, .lddu = ldd, .act = t->compute,
        .g = g, .u = g + tape_size(t, f), .dy = dy, .dg = dg, .du = dg + tape_size(t, f), .y = again, .ldy = tensor_ld(self->out));
    if (more)
        grad_add(t, x, dg);
    tape_arrived(t, self->out);
    arena_release(t->scratch, mark);
    if (s->replaces)
        grad_adopt(t, x, g, x->in_scratch ? 1 : 0, x->room);
    return t->status;
}

Tensor *nn_swiglu(Tape *t, Tensor *gu)
{
    if (!tape_reads(t, "nn_swiglu", gu, READ_REPLACED))
        return NULL;
    Tensor *y = tape_output_apart(t, tensor_rows(gu), tensor_cols(gu) / 2, tape_room(t), gu->needs_grad, PLACE_CHEAP);
    if (!y)
        return NULL;
    y->again = true;
    swiglu_fwd(t, gu, y);
    ActNode *s = tape_node(t, sizeof *s, swiglu_bwd, y);
    if (s) {
        s->x = gu;
        s->replaces = tape_read_only(gu, READ_REPLACED) && gu->uses->needs == 1;
        s->node.remake = swiglu_remake;
        tape_need(t, gu);
    }
    return t->status ? NULL : y;
}

/* ---------------------------------------------------------------- gelu */

static Status gelu_fwd(Tape *t, const Tensor *x, GeluKind kind, Tensor *y)
{
    return RUN(t, gelu_fwd, GeluFwd, .n = x->n_elems, .act = t->compute, .kind = kind, .x = x->data, .y = y->data);
}

static Status gelu_remake(Tape *t, Node *self)
{
    ActNode *s = (ActNode *)self;
    return gelu_fwd(t, s->x, s->kind, self->out);
}

static Status gelu_bwd(Tape *t, Node *self)
{
    ActNode *s = (ActNode *)self;
    const void *dy = grad_of(t, self->out);
    bool accumulate;
    void *dx = dy ? grad_dst(t, s->x, &accumulate) : NULL;
    if (!dx)
        return t->status;
    return RUN(t, gelu_bwd, GeluBwd, .n = s->x->n_elems, .act = t->compute, .kind = s->kind, .x = s->x->data, .dy = dy, .dx = dx,
               .accumulate = accumulate);
}

Tensor *nn_gelu(Tape *t, Tensor *x, GeluKind kind)
{
    if (!tape_reads(t, "nn_gelu", x, READ_PLAIN))
        return NULL;
    Tensor *y = tape_output(t, tensor_rows(x), tensor_cols(x), x->needs_grad, PLACE_CHEAP);
    if (!y)
        return NULL;
    gelu_fwd(t, x, kind, y);
    ActNode *s = tape_node(t, sizeof *s, gelu_bwd, y);
    if (s) {
        s->x = x;
        s->kind = kind;
        s->node.remake = gelu_remake;
        tape_need(t, x);
    }
    return t->status ? NULL : y;
}
