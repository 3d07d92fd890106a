/* ops_act.c: activations on the tape, gated ones (ops.h), forward and backward side by side. */
#include "train/nn/node.h"
#include "train/nn/ops.h"

typedef struct ActNode {
    Node node;
    Tensor *x;
    ActKind kind;
    bool replaces; /* the gradient takes the place of x: nobody else reads it */
} ActNode;

/* ---------------------------------------------------------------- gated: swiglu, geglu */

/* Columns of x where the gate and what it is multiplied with begin. */
static int64_t gate_at(ActKind kind, int64_t f) { return kind == ACT_SILU ? 0 : f; }
static int64_t value_at(ActKind kind, int64_t f) { return f - gate_at(kind, f); }

static Status glu_fwd(Tape *t, const Tensor *x, ActKind kind, Tensor *y)
{
    int64_t f = tensor_cols(y), ld = tensor_ld(x);
    const char *data = x->data;
    return RUN(t, glu_fwd, GluFwd, .rows = tensor_rows(y), .cols = f, .ldg = ld, .ldu = ld, .act = t->compute, .kind = kind,
               .g = data + tape_size(t, gate_at(kind, f)), .u = data + tape_size(t, value_at(kind, f)), .y = y->data, .ldy = tensor_ld(y));
}

static Status glu_remake(Tape *t, Node *self)
{
    ActNode *s = (ActNode *)self;
    return glu_fwd(t, s->x, s->kind, self->out);
}

static Status glu_bwd(Tape *t, Node *self)
{
    const ActNode *s = (ActNode *)self;
    Tensor *x = s->x;
    const void *dy = grad_of(t, self->out);
    bool more = false;
    char *data = x->data, *dx = !dy ? NULL : s->replaces ? data : grad_dst(t, x, &more), *to = dx;
    if (!dx)
        return t->status;
    int64_t f = tensor_cols(self->out), ld = tensor_ld(x), ldd = s->replaces ? ld : 2 * f;
    size_t gate = tape_size(t, gate_at(s->kind, f)), value = tape_size(t, value_at(s->kind, f));
    ArenaMark mark = arena_mark(t->scratch);
    if (more)
        to = tape_temp(t, tape_size(t, x->n_elems));
    void *again = tape_again(t, self->out);
    RUN(t, glu_bwd, GluBwd, .rows = tensor_rows(x), .cols = f, .ldg = ld, .ldu = ld, .lddg = ldd, .lddu = ldd, .act = t->compute,
        .kind = s->kind, .g = data + gate, .u = data + value, .dy = dy, .dg = to + gate, .du = to + value, .y = again,
        .ldy = tensor_ld(self->out));
    if (more)
        grad_add(t, x, to);
    tape_arrived(t, self->out);
    arena_release(t->scratch, mark);
    if (s->replaces)
        grad_adopt(t, x, data, x->in_scratch ? 1 : 0, x->room);
    return t->status;
}

static Tensor *glu(Tape *t, const char *op, Tensor *x, ActKind kind)
{
    if (!tape_reads(t, op, x, READ_REPLACED))
        return NULL;
    Tensor *y = tape_output_apart(t, tensor_rows(x), tensor_cols(x) / 2, tape_room(t), x->needs_grad, PLACE_CHEAP);
    if (!y)
        return NULL;
    y->again = true;
    glu_fwd(t, x, kind, y);
    ActNode *s = tape_node(t, sizeof *s, glu_bwd, y);
    if (s) {
        s->x = x;
        s->kind = kind;
        s->replaces = tape_read_only(x, READ_REPLACED) && x->uses->needs == 1;
        s->node.remake = glu_remake;
        tape_need(t, x);
    }
    return t->status ? NULL : y;
}

Tensor *nn_swiglu(Tape *t, Tensor *gu) { return glu(t, "nn_swiglu", gu, ACT_SILU); }
Tensor *nn_geglu(Tape *t, Tensor *ag) { return glu(t, "nn_geglu", ag, ACT_GELU_ERF); }

/* ---------------------------------------------------------------- act */

static Status act_fwd(Tape *t, const Tensor *x, ActKind kind, Tensor *y)
{
    return RUN(t, act_fwd, ActFwd, .n = x->n_elems, .act = t->compute, .kind = kind, .x = x->data, .y = y->data);
}

static Status act_remake(Tape *t, Node *self)
{
    ActNode *s = (ActNode *)self;
    return act_fwd(t, s->x, s->kind, self->out);
}

static Status act_bwd(Tape *t, Node *self)
{
    ActNode *s = (ActNode *)self;
    const void *dy = grad_of(t, self->out);
    bool accumulate;
    void *dx = dy ? grad_dst(t, s->x, &accumulate) : NULL;
    if (!dx)
        return t->status;
    return RUN(t, act_bwd, ActBwd, .n = s->x->n_elems, .act = t->compute, .kind = s->kind, .x = s->x->data, .dy = dy, .dx = dx,
               .accumulate = accumulate);
}

Tensor *nn_act(Tape *t, Tensor *x, ActKind kind)
{
    if (!tape_reads(t, "nn_act", x, READ_PLAIN))
        return NULL;
    Tensor *y = tape_output(t, tensor_rows(x), tensor_cols(x), x->needs_grad, PLACE_CHEAP);
    if (!y)
        return NULL;
    act_fwd(t, x, kind, y);
    ActNode *s = tape_node(t, sizeof *s, act_bwd, y);
    if (s) {
        s->x = x;
        s->kind = kind;
        s->node.remake = act_remake;
        tape_need(t, x);
    }
    return t->status ? NULL : y;
}
