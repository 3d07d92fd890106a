#include "kernels/base/philox.h"
#include "train/nn/node.h"
#include "train/nn/ops.h"

enum { MAX_LINEARS = ADAPTERS_MAX };

/* A matrix inside a wider one. */
typedef struct Part {
    void *data;
    int64_t ld;
} Part;

typedef struct LinearNode {
    Node node;
    Tensor *x, *residual; /* residual: NULL, or added to the output */
    Linear lin[MAX_LINEARS];
    int n;
    const PackedRows *rows;
    void *u; /* [rows, Σ r]: s·A·drop(x); NULL: in the room behind x, to be made again if x is */
    bool reads_x;
    Part du; /* [rows, Σ r]: s·dy B, of the backward */
} LinearNode;

static int64_t out_of(const Linear *l) { return l->w->t.shape[0]; }
static int64_t rank_of(const Linear *l) { return l->lora_a ? l->lora_a->t.shape[0] : 0; }

static int64_t total(const Linear *lin, int n, int64_t (*size)(const Linear *))
{
    int64_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += size(&lin[i]);
    return sum;
}

static int64_t weight_ld(const Param *w, int64_t in) { return w->ld ? w->ld : in; }

/* The joint of exactly these linears, when x has the room that its products take. */
static const Joint *joint_of(const Linear *lin, int n, const Tensor *x)
{
    const Joint *j = lin[0].joint;
    return j && j->out == total(lin, n, out_of) && j->r == total(lin, n, rank_of) && x->room == j->r ? j : NULL;
}

int64_t nn_room(const Linear *lin, int n) { return lin[0].joint ? total(lin, n, rank_of) : 0; }

/* What lies behind the columns of a matrix that has room. */
static Part behind(const Tape *t, void *data, int64_t cols, int64_t room) { return (Part){(char *)data + tape_size(t, cols), cols + room}; }

static char *joint_at(const Tape *t, const Joint *j, int64_t row, int64_t col) { return (char *)j->data + tape_size(t, row * joint_ld(j) + col); }

/* b lies in memory right behind a, and both are of one kind: two matrices with equal rows are then one. */
static bool follows(const Param *a, const Param *b)
{
    return a && b && !a->ld && !b->ld && a->t.type == b->t.type && a->trainable == b->trainable &&
           (uintptr_t)a->t.data + (size_t)a->t.n_elems * dtype_size(a->t.type) == (uintptr_t)b->t.data;
}

/* How many linears from lin[i] on can be multiplied as one matrix. */
static int weight_run(const Linear *lin, int i, int n)
{
    int j = i + 1;
    while (j < n && follows(lin[j - 1].w, lin[j].w) && ((!lin[j - 1].b && !lin[j].b) || follows(lin[j - 1].b, lin[j].b)))
        j++;
    return j - i;
}

/* How many adapters from lin[i] on can be multiplied as one matrix. */
static int adapter_run(const Linear *lin, int i, int n)
{
    int j = i + 1;
    if (lin[i].lora_a)
        while (j < n && lin[j].lora_a && lin[j].scale == lin[j - 1].scale && follows(lin[j - 1].lora_a, lin[j].lora_a))
            j++;
    return j - i;
}

/* The first adapter among lin[i … i+run-1], when all of them are one matrix A: without dropout, dx is then dy W + du A in one product. */
static const Linear *one_adapter(const Linear *lin, int i, int run)
{
    const Linear *first = NULL, *last = NULL;
    for (int j = i; j < i + run; j++) {
        if (!lin[j].lora_a)
            continue;
        if (last && !follows(last->lora_a, lin[j].lora_a))
            return NULL;
        first = first ? first : &lin[j];
        last = &lin[j];
    }
    return first;
}

/* Some adapter reads x with dropout: then all of them go through kernels/ops/adapter.h. */
static bool drops(const Linear *lin, int n)
{
    for (int i = 0; i < n; i++)
        if (lin[i].lora_a && lin[i].dropout > 0)
            return true;
    return false;
}

/* ldu: of u or du */
static AdapterGroup group_of(Tape *t, const Linear *lin, int n, const PackedRows *rows, const Tensor *x, int64_t ldu)
{
    AdapterGroup g = {.rows = tensor_rows(x), .in = tensor_cols(x), .ldu = ldu, .n = n, .act = t->compute};
    if (rows && rows->item)
        g.row_pos = rows->pos, g.row_item = rows->item;
    else
        tape_fail(t, fail(ERR_INTERNAL, "nn_linear: dropout needs the packed rows"));
    for (int i = 0; i < n; i++) {
        const Linear *l = &lin[i];
        if (!l->lora_a)
            continue;
        if (adapter_columns(&g) && l->lora_a->t.type != g.a_type)
            tape_fail(t, fail(ERR_INTERNAL, "nn_linear: %s is of another type than the adapters beside it", l->lora_a->name));
        g.a_type = l->lora_a->t.type;
        g.part[i] = (Adapter){.r = rank_of(l), .p = l->dropout, .key = philox_key(t->seed, RANDOM_DROPOUT, t->step, l->site), .scale = l->scale,
                              .a = l->lora_a->t.data};
    }
    return g;
}

/* u = s·A·drop(x) of every adapter, side by side. */
static void adapters_down(Tape *t, const Linear *lin, int n, const PackedRows *rows, const Tensor *x, Part u)
{
    int64_t m = tensor_rows(x), in = tensor_cols(x), at = 0;
    if (drops(lin, n)) {
        AdapterGroup g = group_of(t, lin, n, rows, x, u.ld);
        RUN(t, adapter_down, AdapterDown, .g = g, .ldx = tensor_ld(x), .x = x->data, .u = u.data);
        return;
    }
    for (int i = 0, run; i < n; i += run) {
        run = adapter_run(lin, i, n);
        int64_t r = total(lin + i, run, rank_of);
        if (!r)
            continue;
        RUN(t, matmul, Matmul, .m = m, .n = r, .k = in, .a_type = t->compute, .b_type = lin[i].lora_a->t.type, .c_type = t->compute,
            .b_trans = true, .lda = tensor_ld(x), .ldb = in, .ldc = u.ld, .a = x->data, .b = lin[i].lora_a->t.data,
            .c = (char *)u.data + tape_size(t, at), .alpha = lin[i].scale);
        at += r;
    }
}

/* y = [x u]·[W B]ᵀ (+ residual) */
static void joint_fwd(Tape *t, const Joint *j, const Tensor *x, Part u, const void *residual, Tensor *y)
{
    RUN(t, matmul, Matmul, .m = tensor_rows(x), .n = j->out, .k = j->in, .a_type = t->compute, .b_type = j->type, .c_type = t->compute,
        .b_trans = true, .lda = tensor_ld(x), .ldb = joint_ld(j), .ldc = tensor_ld(y), .a = x->data, .b = j->data, .c = y->data, .alpha = 1,
        .k2 = j->r, .lda2 = u.ld, .ldb2 = joint_ld(j), .b2_type = j->type, .a2 = u.data, .b2 = joint_at(t, j, 0, j->in), .add = residual);
}

/* y = x Wᵀ + u Bᵀ + b (+ residual), a product for every adapter; linears without one are taken together where their weights are. */
static void linear_fwd(Tape *t, const Linear *lin, int n, const Tensor *x, Part u, const void *residual, Tensor *y)
{
    int64_t m = tensor_rows(x), in = tensor_cols(x), at = 0, at_u = 0;
    for (int i = 0, run; i < n; i += run) {
        run = weight_run(lin, i, n);
        for (int j = i; run > 1 && j < i + run; j++)
            if (rank_of(&lin[j]))
                run = j > i ? j - i : 1;
        int64_t out = total(lin + i, run, out_of), r = rank_of(&lin[i]);
        const Param *w = lin[i].w, *b = lin[i].b, *up = r ? lin[i].lora_b : NULL;
        RUN(t, matmul, Matmul, .m = m, .n = out, .k = in, .a_type = t->compute, .b_type = w->t.type, .c_type = t->compute,
            .bias_type = b ? b->t.type : F32, .b_trans = true, .b_frozen = !w->trainable, .lda = tensor_ld(x), .ldb = weight_ld(w, in),
            .ldc = tensor_ld(y), .a = x->data, .b = w->t.data, .bias = b ? b->t.data : NULL, .c = (char *)y->data + tape_size(t, at), .alpha = 1,
            .k2 = r, .lda2 = u.ld, .ldb2 = r, .b2_type = up ? up->t.type : F32, .a2 = up ? (char *)u.data + tape_size(t, at_u) : NULL,
            .b2 = up ? up->t.data : NULL, .add = residual);
        at += out;
        at_u += r;
    }
}

/* Gradient of stacked weights: dW (+)= dyᵀ x, dy [m, rows of W] with stride ldy. */
static void weight_grad(Tape *t, void *dw, bool accumulate, DType dw_type, int64_t out, int64_t in, int64_t m, const void *dy, int64_t ldy,
                        const void *x, int64_t ldx)
{
    RUN(t, matmul, Matmul, .m = out, .n = in, .k = m, .a_type = t->compute, .b_type = t->compute, .c_type = dw_type, .a_trans = true,
        .accumulate = accumulate, .lda = ldy, .ldb = ldx, .ldc = in, .a = dy, .b = x, .c = dw, .alpha = 1);
}

/* dx (+)= dy W, and without dropout du A with it where one_adapter says so. */
static void input_grad(Tape *t, LinearNode *s, const char *dy, int64_t ldy, Part du, void *dx, bool *accumulate)
{
    int64_t m = tensor_rows(s->x), in = tensor_cols(s->x), at = 0, at_u = 0;
    for (int i = 0, run; i < s->n; i += run) {
        run = weight_run(s->lin, i, s->n);
        int64_t out = total(s->lin + i, run, out_of), r = total(s->lin + i, run, rank_of);
        const Param *w = s->lin[i].w;
        const Linear *down = drops(s->lin, s->n) ? NULL : one_adapter(s->lin, i, run);
        RUN(t, matmul, Matmul, .m = m, .n = in, .k = out, .a_type = t->compute, .b_type = w->t.type, .c_type = t->compute,
            .b_frozen = !w->trainable, .accumulate = *accumulate, .lda = ldy, .ldb = weight_ld(w, in), .ldc = in, .a = dy + tape_size(t, at),
            .b = w->t.data, .c = dx, .alpha = 1, .k2 = down ? r : 0, .lda2 = du.ld, .ldb2 = in, .b2_type = down ? down->lora_a->t.type : F32,
            .a2 = down ? (char *)du.data + tape_size(t, at_u) : NULL, .b2 = down ? down->lora_a->t.data : NULL);
        *accumulate = true;
        at += out;
        at_u += r;
    }
}

/* dx (+)= [dy du]·[W; A], with dropout dy W alone */
static void joint_input_grad(Tape *t, const Joint *j, const LinearNode *s, const char *dy, int64_t ldy, Part du, void *dx, bool *accumulate)
{
    RUN(t, matmul, Matmul, .m = tensor_rows(s->x), .n = j->in, .k = j->out, .a_type = t->compute, .b_type = j->type, .c_type = t->compute,
        .b_frozen = drops(s->lin, s->n), .accumulate = *accumulate, .lda = ldy, .ldb = joint_ld(j), .ldc = j->in, .a = dy, .b = j->data, .c = dx,
        .alpha = 1, .k2 = drops(s->lin, s->n) ? 0 : j->r,
        .lda2 = du.ld, .ldb2 = joint_ld(j), .b2_type = j->type, .a2 = du.data, .b2 = joint_at(t, j, j->out, 0));
    *accumulate = true;
}

/* dW and db of what trains. */
static void base_grads(Tape *t, LinearNode *s, const char *dy, int64_t ldy)
{
    int64_t m = tensor_rows(s->x), in = tensor_cols(s->x), at = 0;
    for (int i = 0; i < s->n; i++) {
        int64_t out = out_of(&s->lin[i]);
        const char *dy_i = dy + tape_size(t, at);
        bool more;
        void *dw = grad_dst(t, &s->lin[i].w->t, &more);
        if (dw)
            weight_grad(t, dw, more, s->lin[i].w->t.grad_type, out, in, m, dy_i, ldy, s->x->data, tensor_ld(s->x));
        void *db = s->lin[i].b ? grad_dst(t, &s->lin[i].b->t, &more) : NULL;
        if (db)
            RUN(t, column_sum, ColumnSum, .rows = m, .cols = out, .ldx = ldy, .x_type = t->compute, .out_type = s->lin[i].b->t.grad_type,
                .x = dy_i, .out = db, .accumulate = more);
        at += out;
    }
}

/* du = s·dy B of every adapter, side by side. */
static void adapters_up_bwd(Tape *t, const LinearNode *s, const char *dy, int64_t ldy, Part du)
{
    int64_t at = 0, at_u = 0;
    for (int i = 0; i < s->n; i++) {
        const Linear *l = &s->lin[i];
        int64_t out = out_of(l), r = rank_of(l);
        if (r)
            RUN(t, matmul, Matmul, .m = tensor_rows(s->x), .n = r, .k = out, .a_type = t->compute, .b_type = l->lora_b->t.type, .c_type = t->compute,
                .lda = ldy, .ldb = r, .ldc = du.ld, .a = dy + tape_size(t, at), .b = l->lora_b->t.data, .c = (char *)du.data + tape_size(t, at_u),
                .alpha = l->scale);
        at += out;
        at_u += r;
    }
}

/* dB = dyᵀ u of every adapter. */
static void up_grads(Tape *t, LinearNode *s, const char *dy, int64_t ldy, Part u)
{
    int64_t at = 0, at_u = 0;
    for (int i = 0; i < s->n; i++) {
        Param *up = s->lin[i].lora_b;
        int64_t out = out_of(&s->lin[i]), r = rank_of(&s->lin[i]);
        bool more = false;
        void *db = r ? grad_dst(t, &up->t, &more) : NULL;
        if (db)
            weight_grad(t, db, more, up->t.grad_type, out, r, tensor_rows(s->x), dy + tape_size(t, at), ldy, (char *)u.data + tape_size(t, at_u), u.ld);
        at += out;
        at_u += r;
    }
}

/* Whether input_grad gives x the gradient through the adapter of linear i, which has no dropout. */
static bool is_done(const LinearNode *s, int i)
{
    for (int j = 0, run; j < s->n; j += run) {
        run = weight_run(s->lin, j, s->n);
        if (i < j + run)
            return one_adapter(s->lin, j, run) != NULL;
    }
    return false;
}

static void dropped_down_grads(Tape *t, LinearNode *s, Part du)
{
    AdapterGroup g = group_of(t, s->lin, s->n, s->rows, s->x, du.ld);
    DType type = F32;
    for (int i = 0; i < s->n; i++)
        if (s->lin[i].lora_a) {
            g.part[i].da = grad_dst(t, &s->lin[i].lora_a->t, &g.part[i].accumulate);
            type = s->lin[i].lora_a->t.grad_type;
        }
    RUN(t, adapter_down_grad, AdapterDownGrad, .g = g, .ldx = tensor_ld(s->x), .grad_type = type, .x = s->x->data, .du = du.data);
}

/* dA = duᵀ drop(x); without dropout, runs of adapters as one matrix. */
static void down_grads(Tape *t, LinearNode *s, Part du)
{
    if (drops(s->lin, s->n)) {
        dropped_down_grads(t, s, du);
        return;
    }
    int64_t m = tensor_rows(s->x), in = tensor_cols(s->x), at = 0;
    for (int i = 0, run; i < s->n; i += run) {
        run = adapter_run(s->lin, i, s->n);
        Linear *l = &s->lin[i];
        int64_t r = total(l, run, rank_of);
        if (!r)
            continue;
        bool more = false;
        void *da = grad_dst(t, &l->lora_a->t, &more);
        for (int j = 1; j < run; j++) {
            bool same;
            grad_dst(t, &l[j].lora_a->t, &same);
        }
        if (da)
            weight_grad(t, da, more, l->lora_a->t.grad_type, r, in, m, (char *)du.data + tape_size(t, at), du.ld, s->x->data, tensor_ld(s->x));
        at += r;
    }
}

/* dx (+)= drop'(du A) of the adapters that input_grad leaves out. */
static void adapters_down_bwd(Tape *t, LinearNode *s, Part du, void *dx, bool *accumulate)
{
    int64_t m = tensor_rows(s->x), in = tensor_cols(s->x), at = 0;
    if (drops(s->lin, s->n)) {
        AdapterGroup g = group_of(t, s->lin, s->n, s->rows, s->x, du.ld);
        RUN(t, adapter_down_bwd, AdapterDownBwd, .g = g, .du = du.data, .dx = dx, .accumulate = *accumulate);
        *accumulate = true;
        return;
    }
    for (int i = 0, run; i < s->n; i += run) {
        run = adapter_run(s->lin, i, s->n);
        Linear *l = &s->lin[i];
        int64_t r = total(l, run, rank_of);
        if (r && !is_done(s, i)) {
            RUN(t, matmul, Matmul, .m = m, .n = in, .k = r, .a_type = t->compute, .b_type = l->lora_a->t.type, .c_type = t->compute,
                .accumulate = *accumulate, .lda = du.ld, .ldb = in, .ldc = in, .a = (char *)du.data + tape_size(t, at), .b = l->lora_a->t.data,
                .c = dx, .alpha = 1);
            *accumulate = true;
        }
        at += r;
    }
}

static bool packs_u(const Tensor *x, const PackedRows *rows) { return x->cheap && rows && rows->iota; }

static void pack_u(Tape *t, const Tensor *x, const PackedRows *rows, Part u, void *packed)
{
    RUN(t, rows_gather, RowsGather, .n = tensor_rows(x), .cols = x->room, .lds = u.ld, .ldy = x->room, .src_type = t->compute, .y_type = t->compute,
        .index = rows->iota, .src = u.data, .y = packed);
}

/* Where u lies; made again when x was, whose room it was in. Packed where selective recompute keeps it so: a matmul's algorithm, and with it the last bits,
 * depends on the strides. */
static Part saved_u(Tape *t, const LinearNode *s)
{
    if (s->u)
        return (Part){s->u, total(s->lin, s->n, rank_of)};
    Part u = behind(t, s->x->data, tensor_cols(s->x), s->x->room);
    if (s->x->remade)
        adapters_down(t, s->lin, s->n, s->rows, s->x, u);
    if (!packs_u(s->x, s->rows))
        return u;
    Part packed = {tape_temp(t, tape_size(t, tensor_rows(s->x) * s->x->room)), s->x->room};
    if (packed.data)
        pack_u(t, s->x, s->rows, u, packed.data);
    return packed;
}

/* Gradients of everything that trains here. */
static void param_grads(Tape *t, LinearNode *s)
{
    const void *dy = grad_of_apart(s->node.out);
    int64_t ldy = tensor_grad_ld(s->node.out);
    base_grads(t, s, dy, ldy);
    if (!total(s->lin, s->n, rank_of))
        return;
    ArenaMark mark = arena_mark(t->scratch);
    up_grads(t, s, dy, ldy, saved_u(t, s));
    arena_release(t->scratch, mark);
    down_grads(t, s, s->du);
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
    int64_t cols = tensor_cols(self->out), ldy = tensor_grad_ld(self->out), r = total(s->lin, s->n, rank_of);
    const Joint *joint = joint_of(s->lin, s->n, s->x);
    ArenaMark mark = arena_mark(t->scratch);
    if (r) {
        bool room = self->out->grad_room == r;
        s->du = room ? behind(t, self->out->grad, cols, r) : (Part){tape_temp(t, tape_size(t, tensor_rows(s->x) * r)), r};
        adapters_up_bwd(t, s, dy, ldy, s->du);
    }
    if (dx && (!joint || drops(s->lin, s->n))) /* first: they only write dx, and the long product has time to read it */
        adapters_down_bwd(t, s, s->du, dx, &accumulate);
    if (dx && joint)
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

static bool check(Tape *t, const Tensor *x, const Linear *lin, int n)
{
    if (n < 1 || n > MAX_LINEARS)
        tape_fail(t, fail(ERR_INTERNAL, "nn_linear: %d linears, at most %d", n, MAX_LINEARS));
    for (int i = 0; i < n && !t->status; i++)
        if (lin[i].w->t.n_elems != out_of(&lin[i]) * tensor_cols(x))
            tape_fail(t, fail(ERR_INTERNAL, "nn_linear: %s does not take %lld columns", lin[i].w->name, (long long)tensor_cols(x)));
    return !t->status;
}

/* Keeps the u behind an x that will be dropped: it is short, and reading all of x again is not. */
static void *keep_u(Tape *t, const Tensor *x, const PackedRows *rows, Part u)
{
    if (!x->remade || !t->nodes || !packs_u(x, rows))
        return NULL;
    void *kept = tape_save(t, tape_size(t, tensor_rows(x) * x->room));
    if (kept)
        pack_u(t, x, rows, u, kept);
    return kept;
}

static Tensor *linear(Tape *t, Tensor *x, const Linear *given, int n, const PackedRows *rows, LinearUse use, Tensor *residual)
{
    if (!x || t->status || !check(t, x, given, n))
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
    int64_t m = tensor_rows(x), sum_r = total(lin, n, rank_of);
    const Joint *joint = joint_of(lin, n, x);
    Tensor *y = tape_output_apart(t, m, total(lin, n, out_of), joint && use == LINEAR_REPLACED ? sum_r : 0, wants,
                                  use == LINEAR_ADDED ? PLACE_TRANSIENT : PLACE_KEEP);
    if (!y)
        return NULL;
    y->grad_room = joint ? sum_r : 0;
    ArenaMark mark = arena_mark(t->scratch);
    bool saved = y->needs_grad;
    Part u = {.ld = sum_r};
    if (joint)
        u = behind(t, x->data, tensor_cols(x), x->room);
    else if (sum_r)
        u.data = saved ? tape_save(t, tape_size(t, m * sum_r)) : tape_temp(t, tape_size(t, m * sum_r));
    if (sum_r)
        adapters_down(t, lin, n, rows, x, u);
    if (joint)
        joint_fwd(t, joint, x, u, residual ? residual->data : NULL, y);
    else
        linear_fwd(t, lin, n, x, u, residual ? residual->data : NULL, y);
    LinearNode *s = tape_node(t, sizeof *s, linear_bwd, y);
    if (s) {
        s->x = x;
        s->residual = residual;
        s->n = n;
        s->rows = rows;
        s->u = joint ? keep_u(t, x, rows, u) : u.data;
        memcpy(s->lin, lin, (size_t)n * sizeof *lin);
        s->reads_x = reads_x;
        if (reads_x && (residual || use == LINEAR_ADDED) && x->adds)
            tape_need(t, x); /* by the time x came late, dy would be more than ours */
        else if (reads_x)
            tape_need_late(t, x);
    }
    if (!saved)
        arena_release(t->scratch, mark);
    return t->status ? NULL : y;
}

Tensor *nn_linear(Tape *t, Tensor *x, const Linear *lin, int n, const PackedRows *rows, LinearUse use) { return linear(t, x, lin, n, rows, use, NULL); }

Tensor *nn_linear_add(Tape *t, Tensor *x, const Linear *lin, const PackedRows *rows, Tensor *residual)
{
    if (!residual || t->status || !tape_packed(t, residual))
        return NULL;
    if (x && (tensor_rows(x) != tensor_rows(residual) || out_of(lin) != tensor_cols(residual))) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_linear_add: %s gives [%lld, %lld], the residual has %lld columns", lin->w->name, (long long)tensor_rows(x),
                          (long long)out_of(lin), (long long)tensor_cols(residual)));
        return NULL;
    }
    return linear(t, x, lin, 1, rows, LINEAR_READ, residual);
}
