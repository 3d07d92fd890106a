/* sum.c: a sum as an operator of the tests (sum.h). */
#include "tests/train/nn/sum.h"

Status sum_bwd(Tape *t, Node *self)
{
    SumNode *s = (SumNode *)self;
    if (!grad_of(t, self->out))
        return t->status;
    grad_share(t, s->a, self->out);
    if (s->b)
        grad_share(t, s->b, self->out);
    return t->status;
}

Tensor *nn_sum(Tape *t, Tensor *a, Tensor *b, int64_t rows, int64_t cols)
{
    if (!tape_reads(t, "sum", a, READ_ADDED) || (b && !tape_reads(t, "sum", b, READ_ADDED)))
        return NULL;
    Tensor *y = tape_output(t, rows, cols, a->needs_grad || tensor_wants(b), PLACE_KEEP);
    if (!y)
        return NULL;
    RUN(t, add_scaled, AddScaled, .n = y->n_elems, .a_type = y->type, .b_type = y->type, .y_type = y->type, .alpha = 1, .beta = 1,
        .a = a->data, .b = b ? b->data : NULL, .y = y->data);
    SumNode *s = tape_node(t, sizeof *s, sum_bwd, y);
    if (s) {
        s->a = a;
        s->b = b;
    }
    return t->status ? NULL : y;
}
