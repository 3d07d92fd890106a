/* ops_conv.c: convolutions on the tape (ops.h), forward and backward side by side; and pooling. */
#include "train/nn/node.h"
#include "train/nn/ops.h"

typedef struct ConvNode {
    Node node;
    Tensor *x, *shift, *add;
    Conv conv;
    ConvShape shape;
} ConvNode;

static ConvShape shape_of(const Conv *c, const Plane *from)
{
    const int64_t *w = c->w->t.shape; /* [out, kernel_height, kernel_width, in] */
    return (ConvShape){.from = *from, .in = w[3], .out = w[0], .kernel_height = w[1], .kernel_width = w[2],
                       .stride = c->stride, .top = c->top, .left = c->left, .bottom = c->bottom, .right = c->right};
}

Plane nn_conv2d_to(const Conv *conv, Plane from)
{
    ConvShape s = shape_of(conv, &from);
    return conv_to(&s);
}

/* dshift[b] (+)= Σ_{i,j} dy[b,i,j], image by image. */
static void shift_grad(Tape *t, const ConvNode *s, const char *dy, void *dshift, bool accumulate)
{
    Plane to = conv_to(&s->shape);
    int64_t pixels = to.height * to.width, cols = s->shape.out;
    DType sum_type = tape_stat_type(t);
    char *sums = tape_temp(t, (size_t)(to.images * cols) * dtype_size(sum_type));
    for (int64_t b = 0; b < to.images && sums; b++)
        RUN(t, column_sum, ColumnSum, .rows = pixels, .cols = cols, .ldx = cols, .x_type = t->compute, .out_type = sum_type,
            .x = dy + tape_size(t, b * pixels * cols), .out = sums + (size_t)(b * cols) * dtype_size(sum_type));
    if (sums)
        RUN(t, add_scaled, AddScaled, .n = to.images * cols, .a_type = sum_type, .b_type = t->compute, .y_type = t->compute, .alpha = 1,
            .beta = 1, .a = sums, .b = accumulate ? dshift : NULL, .y = dshift);
}

static void param_grads(Tape *t, const ConvNode *s, const void *dy)
{
    Param *w = s->conv.w, *b = s->conv.b;
    bool more;
    void *dw = grad_dst(t, &w->t, &more);
    if (dw)
        RUN(t, conv2d_dw, Conv2dDw, .shape = s->shape, .act = t->compute, .dw_type = w->t.grad_type, .accumulate = more, .x = s->x->data,
            .dy = dy, .dw = dw);
    void *db = b ? grad_dst(t, &b->t, &more) : NULL;
    if (db)
        RUN(t, column_sum, ColumnSum, .rows = tensor_rows(s->node.out), .cols = s->shape.out, .ldx = s->shape.out, .x_type = t->compute,
            .out_type = b->t.grad_type, .x = dy, .out = db, .accumulate = more);
}

static Status conv_bwd(Tape *t, Node *self)
{
    ConvNode *s = (ConvNode *)self;
    const void *dy = grad_of(t, self->out);
    if (!dy)
        return OK;
    const Param *w = s->conv.w;
    bool more_x, more_shift;
    void *dx = grad_dst(t, s->x, &more_x), *dshift = s->shift ? grad_dst(t, s->shift, &more_shift) : NULL;
    param_grads(t, s, dy);
    if (dx)
        RUN(t, conv2d_dx, Conv2dDx, .shape = s->shape, .act = t->compute, .w_type = w->t.type, .winograd = t->winograd,
            .accumulate = more_x, .dy = dy, .w = w->t.data, .dx = dx);
    ArenaMark mark = arena_mark(t->scratch);
    if (dshift)
        shift_grad(t, s, dy, dshift, more_shift);
    arena_release(t->scratch, mark);
    if (s->add)
        grad_share(t, s->add, self->out);
    return t->status;
}

static bool is_matrix(const Tensor *x, int64_t rows, int64_t cols) { return tensor_rows(x) == rows && tensor_cols(x) == cols; }

static bool check(Tape *t, const Tensor *x, const ConvShape *s, const Conv *conv, const Tensor *shift, const Tensor *add)
{
    Plane to = conv_to(s);
    const char *wrong = !conv->w->channels_last                             ? "is no weight of a convolution [out,in,K,K]"
                        : !is_matrix(x, plane_rows(&s->from), s->in)                ? "does not take these images"
                        : shift && !is_matrix(shift, to.images, s->out)             ? "does not give what the shift is added to"
                        : add && !is_matrix(add, plane_rows(&to), s->out)           ? "does not give what is added to it"
                                                                                    : NULL;
    if (wrong)
        tape_fail(t, fail(ERR_INTERNAL, "nn_conv2d: %s %s: [%lld, %lld] of %lld images of %lld x %lld", conv->w->name, wrong,
                          (long long)tensor_rows(x), (long long)tensor_cols(x), (long long)s->from.images, (long long)s->from.height,
                          (long long)s->from.width));
    return !wrong;
}

Tensor *nn_conv2d(Tape *t, Tensor *x, Plane from, const Conv *conv, Tensor *shift, Tensor *add, Plane *out)
{
    if (!tape_reads(t, "nn_conv2d", x, READ_PLAIN) || (shift && !tape_reads(t, "nn_conv2d", shift, READ_PLAIN)) ||
        (add && !tape_reads(t, "nn_conv2d", add, READ_ADDED)))
        return NULL;
    Param *w = conv->w, *b = conv->b;
    tape_trains(t, w);
    tape_trains(t, b);
    ConvShape s = shape_of(conv, &from);
    if (!check(t, x, &s, conv, shift, add))
        return NULL;
    Plane to = conv_to(&s);
    bool wants = x->needs_grad || tensor_wants(shift) || tensor_wants(add) || w->trainable || (b && b->trainable);
    Tensor *y = tape_output(t, plane_rows(&to), s.out, wants, PLACE_KEEP);
    if (!y)
        return NULL;
    RUN(t, conv2d_fwd, Conv2dFwd, .shape = s, .act = t->compute, .w_type = w->t.type, .bias_type = b ? b->t.type : F32,
        .winograd = t->winograd, .x = x->data, .w = w->t.data, .bias = b ? b->t.data : NULL, .shift = shift ? shift->data : NULL,
        .add = add ? add->data : NULL, .y = y->data);
    ConvNode *n = tape_node(t, sizeof *n, conv_bwd, y);
    if (n) {
        Node node = n->node;
        *n = (ConvNode){.node = node, .x = x, .shift = shift, .add = add, .conv = *conv, .shape = s};
        if (w->trainable)
            tape_need(t, x);
    }
    if (out)
        *out = to;
    return t->status ? NULL : y;
}

/* ---------------------------------------------------------------- pooling */

Tensor *nn_pool2d(Tape *t, Tensor *x, Plane from, const Pool *pool, Plane *out)
{
    if (!tape_reads(t, "nn_pool2d", x, READ_PLAIN))
        return NULL;
    const int64_t cols = tensor_cols(x), around = pool->around;
    const ConvShape s = {.from = from, .in = cols, .out = cols, .kernel_height = pool->kernel_height, .kernel_width = pool->kernel_width,
                         .stride = pool->stride, .top = around, .left = around, .bottom = around, .right = around};
    const Plane to = conv_to(&s);
    const char *wrong = x->needs_grad                                ? "has no backward"
                        : !is_matrix(x, plane_rows(&from), cols)     ? "does not take these images"
                                                                     : NULL;
    if (wrong) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_pool2d %s: [%lld, %lld] of %lld images of %lld x %lld", wrong, (long long)tensor_rows(x),
                          (long long)cols, (long long)from.images, (long long)from.height, (long long)from.width));
        return NULL;
    }
    Tensor *y = tape_output(t, plane_rows(&to), cols, false, PLACE_KEEP);
    if (!y)
        return NULL;
    RUN(t, pool2d_fwd, Pool2dFwd, .shape = s, .act = t->compute, .kind = pool->kind, .x = x->data, .y = y->data);
    if (out)
        *out = to;
    return t->status ? NULL : y;
}
