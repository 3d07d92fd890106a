/* Gradients of tensors: their memory, and who shares it. Called by the backwards of operators and by the tape. */
#include "train/nn/node.h"

bool tensor_wants(const Tensor *x) { return x && x->needs_grad; }

static void *grad_memory(Tape *t, Tensor *x)
{
    if (!x->grad && !x->param) {
        size_t n_bytes = (size_t)(tensor_rows(x) * tensor_grad_ld(x)) * dtype_size(x->grad_type);
        x->grad = x->depth ? tape_temp(t, n_bytes) : tape_keep(t, n_bytes);
        x->grad_depth = x->depth;
    }
    return x->grad;
}

/* x joins those that share the memory of y's gradient. */
static void join_sharers(Tensor *x, Tensor *y)
{
    x->sharer = y->sharer ? y->sharer : y;
    y->sharer = x;
}

void grad_done(Tensor *y)
{
    Tensor *before = y->sharer;
    if (!before)
        return;
    while (before->sharer != y)
        before = before->sharer;
    before->sharer = y->sharer == before ? NULL : y->sharer;
    y->sharer = NULL;
}

bool grad_room_is_free(const Tensor *y)
{
    for (const Tensor *x = y->sharer; x && x != y; x = x->sharer)
        if (x->waits)
            return false;
    return true;
}

/* Gives x memory of its own for its gradient, rows one after the other. */
static void move_grad(Tape *t, Tensor *x)
{
    const void *from = x->grad;
    int64_t rows = tensor_rows(x), cols = tensor_cols(x), ld = tensor_grad_ld(x);
    grad_done(x);
    x->grad = NULL;
    x->grad_room = 0;
    if (!grad_memory(t, x))
        return;
    if (ld == cols)
        RUN(t, add_scaled, AddScaled, .n = x->n_elems, .a_type = x->grad_type, .y_type = x->grad_type, .alpha = 1, .a = from, .y = x->grad);
    else
        RUN(t, rows_gather, RowsGather, .n = rows, .cols = cols, .lds = ld, .ldy = cols, .src_type = x->grad_type, .y_type = x->grad_type,
            .index = tape_index(t, rows), .src = from, .y = x->grad);
}

void grad_own(Tape *t, Tensor *y)
{
    if (y->sharer)
        move_grad(t, y);
}

void *grad_dst(Tape *t, Tensor *x, bool *accumulate)
{
    if (tensor_wants(x) && x->grad_room) {
        if (x->grad)
            move_grad(t, x);
        x->grad_room = 0;
    }
    return grad_dst_apart(t, x, accumulate);
}

void *grad_dst_apart(Tape *t, Tensor *x, bool *accumulate)
{
    if (!tensor_wants(x))
        return NULL;
    if (x->param ? x->param->first_node < 0 : !x->read)
        tape_fail(t, fail(ERR_INTERNAL, "tape: an operator did not say that it %s %s [%lld, %lld]", x->param ? "trains" : "reads",
                          x->param ? x->param->name : "a tensor", (long long)tensor_rows(x), (long long)tensor_cols(x)));
    if (x->param && x->param->is_final)
        tape_fail(t, fail(ERR_INTERNAL, "tape: the gradient of %s is written after it was final", x->param->name));
    grad_own(t, x);
    if (!grad_memory(t, x))
        return NULL;
    bool *written = x->param ? &x->param->reached : &x->grad_written;
    *accumulate = *written;
    *written = true;
    return x->grad;
}

void *grad_dst_partial(Tape *t, Tensor *x)
{
    bool there;
    void *dx = grad_dst_apart(t, x, &there);
    if (dx && !there && !x->param) /* the flat gradient was zeroed when the step began */
        RUN(t, fill, Fill, .n = tensor_rows(x) * tensor_grad_ld(x), .type = x->grad_type, .x = dx);
    return dx;
}

void grad_adopt(Tape *t, Tensor *x, void *data, uint8_t depth, int64_t room)
{
    if (x->grad_written || x->param)
        tape_fail(t, fail(ERR_INTERNAL, "tape: the input of an operator in place has another user"));
    x->grad = data;
    x->grad_room = room;
    x->grad_depth = depth;
    x->grad_written = true;
}

void grad_share(Tape *t, Tensor *x, Tensor *y)
{
    if (!tensor_wants(x))
        return;
    if (!x->grad_written && !x->grad && !x->param && y->grad_depth <= x->depth) {
        grad_adopt(t, x, y->grad, y->grad_depth, y->grad_room);
        join_sharers(x, y);
        return;
    }
    grad_add(t, x, grad_of(t, y));
}

void grad_add(Tape *t, Tensor *x, const void *more)
{
    bool accumulate;
    void *dx = grad_dst(t, x, &accumulate);
    if (dx)
        RUN(t, add_scaled, AddScaled, .n = x->n_elems, .a_type = x->grad_type, .b_type = x->grad_type, .y_type = x->grad_type, .alpha = 1,
            .beta = 1, .a = more, .b = accumulate ? dx : NULL, .y = dx);
}

const void *grad_of(Tape *t, Tensor *y)
{
    if (y->grad_written && y->grad_room)
        move_grad(t, y);
    return t->status ? NULL : grad_of_apart(y);
}
