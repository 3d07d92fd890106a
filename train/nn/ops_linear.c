/* Linears: y = x Wᵀ + b with adapters, backwards and forwards; as one product where weights and adapters are joined
 * (joint.h), with operands of 8 bits where weights are such (fp8.h). */
#include "train/nn/linear.h"

static int64_t weight_ld(const Param *w, int64_t in) { return w->ld ? w->ld : in; }

/* Row `first` of w (NULL where it is held in codes), element `first` of b (NULL where there is none). */
static const void *weight_data(const Linear *l, int64_t in)
{
    if (l->w->coded.format)
        return NULL;
    return (const char *)l->w->t.data + (size_t)(l->first * weight_ld(l->w, in)) * dtype_size(l->w->t.type);
}
static const void *bias_data(const Linear *l)
{
    return l->b ? (const char *)l->b->t.data + (size_t)l->first * dtype_size(l->b->t.type) : NULL;
}

/* The gradient of the linear's rows of w or b, `cols` wide; NULL: it is not wanted. */
static void *rows_grad(Tape *t, const Linear *l, Param *p, int64_t cols, bool *accumulate)
{
    if (!p || !l->out)
        return p ? grad_dst(t, &p->t, accumulate) : NULL;
    char *all = grad_dst_partial(t, &p->t);
    *accumulate = true;
    return all ? all + (size_t)(l->first * cols) * dtype_size(p->t.grad_type) : NULL;
}

/* The joint of exactly these linears. */
static const Joint *joint_of(const Linear *lin, int n)
{
    const Joint *j = lin[0].joint;
    return j && j->out == linear_total(lin, n, linear_out) && j->r == linear_total(lin, n, linear_rank) ? j : NULL;
}

/* … when x has the room that its products take. */
static const Joint *usable_joint(const Linear *lin, int n, const Tensor *x)
{
    const Joint *j = joint_of(lin, n);
    return j && x->room == joint_ld(j) - j->in ? j : NULL;
}

/* What lies behind the columns of a matrix that has room. */
static Part behind(const Tape *t, void *data, int64_t cols, int64_t room) { return (Part){(char *)data + tape_size(t, cols), cols + room}; }

static char *joint_at(const Tape *t, const Joint *j, char *data, int64_t row, int64_t col)
{
    return data + tape_size(t, row * joint_ld(j) + col);
}

/* y = [x u]·[W B]ᵀ (+ residual) */
static void joint_fwd(Tape *t, const Joint *j, const Tensor *x, Part u, const void *residual, Tensor *y)
{
    ArenaMark mark = arena_mark(t->scratch);
    char *w = joint_operand(t, j, true);
    RUN(t, matmul, Matmul, .m = tensor_rows(x), .n = j->out, .k = j->in, .a_type = t->compute, .b_type = j->type, .c_type = t->compute,
        .b_trans = true, .lda = tensor_ld(x), .ldb = joint_ld(j), .ldc = tensor_ld(y), .a = x->data, .b = w, .c = y->data, .alpha = 1,
        .k2 = j->r, .lda2 = u.ld, .ldb2 = joint_ld(j), .b2_type = j->type, .a2 = u.data, .b2 = joint_at(t, j, w, 0, j->in),
        .add = residual);
    arena_release(t->scratch, mark);
}

static void product(Tape *t, const Linear *lin, int n, const Matmul *a)
{
    if (t->status)
        return;
    if (lin->w->coded.format)
        coded_product(t, lin, n, a);
    else
        tape_run_matmul(t, a);
}
/* With the weights of lin[0 … n-1], which are one matrix. */
#define PRODUCT(t, lin, n, ...) product(t, lin, n, &(Matmul){__VA_ARGS__})

/* y = x Wᵀ + u Bᵀ + b (+ residual), a product for every adapter; linears without one are taken together where their weights are. */
static void linear_fwd(Tape *t, const Linear *lin, int n, const Tensor *x, Part u, const void *residual, Tensor *y)
{
    int64_t m = tensor_rows(x), in = tensor_cols(x), at = 0, at_u = 0;
    for (int i = 0, run; i < n; i += run) {
        run = linear_run(lin, i, n);
        for (int j = i; run > 1 && j < i + run; j++)
            if (linear_rank(&lin[j]))
                run = j > i ? j - i : 1;
        int64_t out = linear_total(lin + i, run, linear_out), r = linear_rank(&lin[i]);
        const Param *w = lin[i].w, *b = lin[i].b, *up = r ? lin[i].lora_b : NULL;
        PRODUCT(t, lin + i, run, .m = m, .n = out, .k = in, .a_type = t->compute, .b_type = w->t.type, .c_type = t->compute,
                .bias_type = b ? b->t.type : F32, .b_trans = true, .b_frozen = !w->trainable, .lda = tensor_ld(x), .ldb = weight_ld(w, in),
                .ldc = tensor_ld(y), .a = x->data, .b = weight_data(&lin[i], in), .bias = bias_data(&lin[i]),
                .c = (char *)y->data + tape_size(t, at), .alpha = 1, .k2 = r, .lda2 = u.ld, .ldb2 = r, .b2_type = up ? up->t.type : F32,
                .a2 = up ? (char *)u.data + tape_size(t, at_u) : NULL, .b2 = up ? up->t.data : NULL, .add = residual);
        at += out;
        at_u += r;
    }
}

/* dx (+)= dy W, and without dropout du A with it where adapters_as_one says so. */
static void input_grad(Tape *t, LinearNode *s, const char *dy, int64_t ldy, Part du, void *dx, bool *accumulate)
{
    int64_t m = tensor_rows(s->x), in = tensor_cols(s->x), at = 0, at_u = 0;
    for (int i = 0, run; i < s->n; i += run) {
        run = linear_run(s->lin, i, s->n);
        int64_t out = linear_total(s->lin + i, run, linear_out), r = linear_total(s->lin + i, run, linear_rank);
        const Param *w = s->lin[i].w;
        const Linear *down = adapters_drop(s->lin, s->n) ? NULL : adapters_as_one(s->lin, i, run);
        PRODUCT(t, s->lin + i, run, .m = m, .n = in, .k = out, .a_type = t->compute, .b_type = w->t.type, .c_type = t->compute,
                .b_frozen = !w->trainable, .accumulate = *accumulate, .lda = ldy, .ldb = weight_ld(w, in), .ldc = in,
                .a = dy + tape_size(t, at), .b = weight_data(&s->lin[i], in), .c = dx, .alpha = 1, .k2 = down ? r : 0, .lda2 = du.ld,
                .ldb2 = in, .b2_type = down ? down->lora_a->t.type : F32, .a2 = down ? (char *)du.data + tape_size(t, at_u) : NULL,
                .b2 = down ? down->lora_a->t.data : NULL);
        *accumulate = true;
        at += out;
        at_u += r;
    }
}

/* dx (+)= [dy du]·[W; A], with dropout dy W alone */
static void joint_input_grad(Tape *t, const Joint *j, const LinearNode *s, const char *dy, int64_t ldy, Part du, void *dx, bool *accumulate)
{
    ArenaMark mark = arena_mark(t->scratch);
    char *w = joint_operand(t, j, false);
    RUN(t, matmul, Matmul, .m = tensor_rows(s->x), .n = j->in, .k = j->out, .a_type = t->compute, .b_type = j->type, .c_type = t->compute,
        .b_frozen = !j->coded && adapters_drop(s->lin, s->n), .accumulate = *accumulate, .lda = ldy, .ldb = joint_ld(j), .ldc = j->in,
        .a = dy, .b = w, .c = dx, .alpha = 1, .k2 = adapters_drop(s->lin, s->n) ? 0 : j->r, .lda2 = du.ld, .ldb2 = joint_ld(j),
        .b2_type = j->type, .a2 = du.data, .b2 = joint_at(t, j, w, j->out, 0));
    arena_release(t->scratch, mark);
    *accumulate = true;
}

void linear_weight_grad(Tape *t, void *dw, bool accumulate, DType dw_type, int64_t out, int64_t in, int64_t m, const void *dy, int64_t ldy,
                        const void *x, int64_t ldx)
{
    RUN(t, matmul, Matmul, .m = out, .n = in, .k = m, .a_type = t->compute, .b_type = t->compute, .c_type = dw_type, .a_trans = true,
        .accumulate = accumulate, .lda = ldy, .ldb = ldx, .ldc = in, .a = dy, .b = x, .c = dw, .alpha = 1);
}

/* dW and db of what trains. */
static void base_grads(Tape *t, LinearNode *s, const char *dy, int64_t ldy)
{
    int64_t m = tensor_rows(s->x), in = tensor_cols(s->x), at = 0;
    for (int i = 0; i < s->n; i++) {
        int64_t out = linear_out(&s->lin[i]);
        const char *dy_i = dy + tape_size(t, at);
        bool more;
        Param *w = s->lin[i].w, *b = s->lin[i].b;
        void *dw = rows_grad(t, &s->lin[i], w, in, &more);
        if (dw)
            linear_weight_grad(t, dw, more, w->t.grad_type, out, in, m, dy_i, ldy, s->x->data, tensor_ld(s->x));
        void *db = s->lin[i].b_stays ? NULL : rows_grad(t, &s->lin[i], b, 1, &more);
        if (db)
            RUN(t, column_sum, ColumnSum, .rows = m, .cols = out, .ldx = ldy, .x_type = t->compute, .out_type = b->t.grad_type, .x = dy_i,
                .out = db, .accumulate = more);
        at += out;
    }
}

/* Gradients of everything that trains here. */
static void param_grads(Tape *t, LinearNode *s)
{
    const void *dy = grad_of_apart(s->node.out);
    int64_t ldy = tensor_grad_ld(s->node.out);
    base_grads(t, s, dy, ldy);
    adapters_grads(t, s, dy, ldy);
}

static Status linear_late(Tape *t, Node *self)
{
    param_grads(t, (LinearNode *)self);
    return t->status;
}

static Status linear_bwd(Tape *t, Node *self)
{
    LinearNode *s = (LinearNode *)self;
    const void *dy = grad_of_apart(self->out);
    if (!dy)
        return OK;
    bool accumulate = false;
    void *dx = grad_dst(t, s->x, &accumulate);
    int64_t cols = tensor_cols(self->out), ldy = tensor_grad_ld(self->out), r = linear_total(s->lin, s->n, linear_rank);
    const Joint *joint = usable_joint(s->lin, s->n, s->x);
    ArenaMark mark = arena_mark(t->scratch);
    if (r) {
        bool room = self->out->grad_room == joint_room(cols, r, t->compute) && grad_room_is_free(self->out);
        s->du =
            room ? behind(t, self->out->grad, cols, self->out->grad_room) : (Part){tape_temp(t, tape_size(t, tensor_rows(s->x) * r)), r};
        adapters_up_bwd(t, s, dy, ldy, s->du);
    }
    if (dx && (!joint || adapters_drop(s->lin, s->n))) /* first: they only write dx, and the long product has time to read it */
        adapters_down_bwd(t, s, s->du, dx, &accumulate);
    const Fp8 *fp8 = fp8_of(s->lin, s->n);
    if (dx && fp8)
        fp8_input_grad(t, fp8, s, dy, ldy, s->du, dx, &accumulate);
    else if (dx && joint)
        joint_input_grad(t, joint, s, dy, ldy, s->du, dx, &accumulate);
    else if (dx)
        input_grad(t, s, dy, ldy, s->du, dx, &accumulate);
    if (!s->reads_x || !tape_wait(t, s->x, self, linear_late)) { /* if it waits, du stays */
        param_grads(t, s);
        arena_release(t->scratch, mark);
    }
    if (s->residual)
        grad_share(t, s->residual, self->out);
    return t->status;
}

static bool check(Tape *t, const char *op, const Tensor *x, const Linear *lin, int n)
{
    if (n < 1 || n > MAX_LINEARS)
        tape_fail(t, fail(ERR_INTERNAL, "%s: %d linears, at most %d", op, n, MAX_LINEARS));
    for (int i = 0; i < n && !t->status; i++)
        if (lin[i].w->t.n_elems != lin[i].w->t.shape[0] * tensor_cols(x))
            tape_fail(t, fail(ERR_INTERNAL, "%s: %s does not take %lld columns", op, lin[i].w->name, (long long)tensor_cols(x)));
        else if (lin[i].first + linear_out(&lin[i]) > lin[i].w->t.shape[0])
            tape_fail(t, fail(ERR_INTERNAL, "%s: %s has no rows %lld … %lld", op, lin[i].w->name, (long long)lin[i].first,
                              (long long)(lin[i].first + linear_out(&lin[i]) - 1)));
    return !t->status;
}

enum { OWN_PARAMS = 4 };
static Param *own_param(const Linear *l, int k) { return (Param *const[OWN_PARAMS]){l->w, l->b, l->lora_a, l->lora_b}[k]; }

/* Says that the linears read x, and what they train. */
static bool read_input(Tape *t, const char *op, Tensor *x, const Linear *lin, int n)
{
    if (!tape_reads(t, op, x, READ_PLAIN) || !check(t, op, x, lin, n))
        return false;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < OWN_PARAMS; k++)
            tape_trains(t, own_param(&lin[i], k));
    const Joint *joint = joint_of(lin, n);
    if (joint && t->walking) {
        tape_wants_room(t, x, joint_ld(joint) - joint->in);
        tape_index(t, tensor_rows(x));
    }
    return true;
}

/* The output, as its only reader (if there is but one) would have it. */
static Tensor *output(Tape *t, int64_t rows, int64_t cols, const Joint *joint, bool wants)
{
    Uses next = tape_next_uses(t);
    bool added = next.readers == 1 && next.how == READ_ADDED, replaced = next.readers == 1 && next.how == READ_REPLACED;
    int64_t room = joint ? joint_room(cols, joint->r, joint->type) : 0;
    Tensor *y = tape_output_apart(t, rows, cols, replaced ? room : 0, wants, added ? PLACE_TRANSIENT : PLACE_KEEP);
    if (y)
        y->grad_room = room;
    return y;
}

static Tensor *linear(Tape *t, const char *op, Tensor *x, const Linear *given, int n, const PackedRows *rows, Tensor *residual)
{
    if (!read_input(t, op, x, given, n))
        return NULL;
    Linear lin[MAX_LINEARS];
    memcpy(lin, given, (size_t)n * sizeof *lin);
    for (int i = 0; i < n && !t->record; i++)
        lin[i].dropout = 0; /* generating or evaluating */
    bool reads_x = false, wants = x->needs_grad || tensor_wants(residual);
    for (int i = 0; i < n; i++) {
        reads_x |= lin[i].w->trainable || (lin[i].lora_a && (lin[i].lora_a->trainable || lin[i].lora_b->trainable));
        wants |= reads_x || (lin[i].b && lin[i].b->trainable);
    }
    int64_t m = tensor_rows(x), sum_r = linear_total(lin, n, linear_rank);
    const Joint *joint = usable_joint(lin, n, x);
    Tensor *y = output(t, m, linear_total(lin, n, linear_out), joint, wants);
    if (!y)
        return NULL;
    ArenaMark mark = arena_mark(t->scratch);
    bool saved = y->needs_grad;
    Part u = {.ld = sum_r};
    if (joint)
        u = behind(t, x->data, tensor_cols(x), x->room);
    else if (sum_r)
        u.data = saved ? tape_save(t, tape_size(t, m * sum_r)) : tape_temp(t, tape_size(t, m * sum_r));
    if (sum_r)
        adapters_down(t, lin, n, rows, x, u);
    if (fp8_of(lin, n))
        fp8_fwd(t, fp8_of(lin, n), lin, x, u, residual ? residual->data : NULL, y);
    else if (joint)
        joint_fwd(t, joint, x, u, residual ? residual->data : NULL, y);
    else
        linear_fwd(t, lin, n, x, u, residual ? residual->data : NULL, y);
    LinearNode *s = tape_node(t, sizeof *s, linear_bwd, y);
    if (s) {
        Node node = s->node;
        *s = (LinearNode){.node = node, .x = x, .residual = residual, .n = n, .rows = rows, .reads_x = reads_x};
        s->u = joint ? adapters_keep(t, x, u, sum_r) : u.data;
        memcpy(s->lin, lin, (size_t)n * sizeof *lin);
        bool can_wait = true; /* but gradients of one parameter are summed in the order of its operators */
        for (int i = 0; i < n * OWN_PARAMS; i++)
            can_wait &= tape_trains_once(t, own_param(&lin[i / OWN_PARAMS], i % OWN_PARAMS));
        if (reads_x && can_wait)
            tape_need_late(t, x);
        else if (reads_x)
            tape_need(t, x);
    }
    if (!saved)
        arena_release(t->scratch, mark);
    return t->status ? NULL : y;
}

Tensor *nn_linear(Tape *t, Tensor *x, const Linear *lin, int n, const PackedRows *rows)
{
    return linear(t, "nn_linear", x, lin, n, rows, NULL);
}

Tensor *nn_linear_add(Tape *t, Tensor *x, const Linear *lin, const PackedRows *rows, Tensor *residual)
{
    if (!x || !tape_reads(t, "nn_linear_add", residual, READ_ADDED))
        return NULL;
    if (tensor_rows(x) != tensor_rows(residual) || linear_out(lin) != tensor_cols(residual)) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_linear_add: %s gives [%lld, %lld], the residual has %lld columns", lin->w->name,
                          (long long)tensor_rows(x), (long long)linear_out(lin), (long long)tensor_cols(residual)));
        return NULL;
    }
    return linear(t, "nn_linear_add", x, lin, 1, rows, residual);
}
