/* What adapters add to linears: u = s·A·drop(x) forwards, du = s·dy B backwards, and their gradients. Called by ops_linear.c. */
#include "kernels/base/philox.h"
#include "train/nn/linear.h"

/* b has been laid out right behind a, and both are of one kind: two matrices with equal rows are then one. */
static bool follows(const Param *a, const Param *b)
{
    return a && b && !a->ld && !b->ld && a->t.type == b->t.type && a->trainable == b->trainable && a->coded.format == b->coded.format &&
           a->laid.by && a->laid.by == b->laid.by && a->laid.to == b->laid.from;
}

int linear_run(const Linear *lin, int i, int n)
{
    int j = i + 1;
    while (j < n && !lin[j - 1].out && !lin[j].out && follows(lin[j - 1].w, lin[j].w) &&
           ((!lin[j - 1].b && !lin[j].b) || follows(lin[j - 1].b, lin[j].b)))
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

const Linear *adapters_as_one(const Linear *lin, int i, int run)
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

bool adapters_drop(const Linear *lin, int n)
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
        g.part[i] = (Adapter){.r = linear_rank(l),
                              .p = l->dropout,
                              .key = philox_key(t->seed, RANDOM_DROPOUT, t->step, l->site),
                              .scale = l->scale,
                              .a = l->lora_a->t.data};
    }
    return g;
}

void adapters_down(Tape *t, const Linear *lin, int n, const PackedRows *rows, const Tensor *x, Part u)
{
    int64_t m = tensor_rows(x), in = tensor_cols(x), at = 0;
    if (adapters_drop(lin, n)) {
        AdapterGroup g = group_of(t, lin, n, rows, x, u.ld);
        RUN(t, adapter_down, AdapterDown, .g = g, .ldx = tensor_ld(x), .x = x->data, .u = u.data);
        return;
    }
    for (int i = 0, run; i < n; i += run) {
        run = adapter_run(lin, i, n);
        int64_t r = linear_total(lin + i, run, linear_rank);
        if (!r)
            continue;
        RUN(t, matmul, Matmul, .m = m, .n = r, .k = in, .a_type = t->compute, .b_type = lin[i].lora_a->t.type, .c_type = t->compute,
            .b_trans = true, .lda = tensor_ld(x), .ldb = in, .ldc = u.ld, .a = x->data, .b = lin[i].lora_a->t.data,
            .c = (char *)u.data + tape_size(t, at), .alpha = lin[i].scale);
        at += r;
    }
}

static void pack_u(Tape *t, const Tensor *x, Part u, int64_t r, void *packed)
{
    RUN(t, rows_gather, RowsGather, .n = tensor_rows(x), .cols = r, .lds = u.ld, .ldy = r, .src_type = t->compute, .y_type = t->compute,
        .index = tape_index(t, tensor_rows(x)), .src = u.data, .y = packed);
}

void *adapters_keep(Tape *t, const Tensor *x, Part u, int64_t r)
{
    void *kept = x->remade && t->nodes ? tape_save(t, tape_size(t, tensor_rows(x) * r)) : NULL;
    if (kept)
        pack_u(t, x, u, r, kept);
    return kept;
}

/* Where u lies. Packed where selective recompute keeps it so: a matmul's algorithm, and with it the last bits, depends on the strides. */
static Part saved_u(Tape *t, const LinearNode *s)
{
    const Tensor *x = s->x;
    int64_t r = linear_total(s->lin, s->n, linear_rank);
    if (s->u)
        return (Part){s->u, r};
    Part u = {(char *)x->data + tape_size(t, tensor_cols(x)), tensor_ld(x)};
    if (!x->cheap)
        return u;
    Part packed = {tape_temp(t, tape_size(t, tensor_rows(x) * r)), r};
    if (packed.data)
        pack_u(t, x, u, r, packed.data);
    return packed;
}

/* Where matmuls are joined they are a GPU's, which waits for dy. */
static bool reads_dy_once(const Tape *t, const LinearNode *s)
{
    for (int i = 0; i < s->n; i++)
        if (linear_rank(&s->lin[i]) > ADAPTER_UP_RANK)
            return false;
    return t->backend->joins;
}

/* u is there: apart, or behind an x that is not dropped. */
static void up_at_once(Tape *t, LinearNode *s, const char *dy, int64_t ldy, Part du)
{
    ArenaMark mark = arena_mark(t->scratch);
    const Part u = saved_u(t, s);
    int64_t at = 0, at_u = 0;
    for (int i = 0; i < s->n && !t->status; i++) {
        Param *up = s->lin[i].lora_b;
        int64_t out = linear_out(&s->lin[i]), r = linear_rank(&s->lin[i]);
        bool more = false;
        void *db = r ? grad_dst(t, &up->t, &more) : NULL;
        if (r)
            RUN(t, adapter_up_bwd, AdapterUpBwd, .rows = tensor_rows(s->x), .out = out, .r = r, .lddy = ldy, .ldu = u.ld, .lddu = du.ld,
                .act = t->compute, .b_type = up->t.type, .grad_type = up->t.grad_type, .scale = s->lin[i].scale,
                .dy = dy + tape_size(t, at), .b = up->t.data, .u = (char *)u.data + tape_size(t, at_u),
                .du = (char *)du.data + tape_size(t, at_u), .db = db, .accumulate = more);
        at += out;
        at_u += r;
    }
    s->up_done = true;
    arena_release(t->scratch, mark);
}

void adapters_up_bwd(Tape *t, LinearNode *s, const char *dy, int64_t ldy, Part du)
{
    int64_t at = 0, at_u = 0;
    if (reads_dy_once(t, s)) {
        up_at_once(t, s, dy, ldy, du);
        return;
    }
    for (int i = 0; i < s->n; i++) {
        const Linear *l = &s->lin[i];
        int64_t out = linear_out(l), r = linear_rank(l);
        if (r)
            RUN(t, matmul, Matmul, .m = tensor_rows(s->x), .n = r, .k = out, .a_type = t->compute, .b_type = l->lora_b->t.type,
                .c_type = t->compute, .lda = ldy, .ldb = r, .ldc = du.ld, .a = dy + tape_size(t, at), .b = l->lora_b->t.data,
                .c = (char *)du.data + tape_size(t, at_u), .alpha = l->scale);
        at += out;
        at_u += r;
    }
}

/* Whether input_grad gives x the gradient through the adapter of linear i, which has no dropout. */
static bool is_done(const LinearNode *s, int i)
{
    for (int j = 0, run; j < s->n; j += run) {
        run = linear_run(s->lin, j, s->n);
        if (i < j + run)
            return adapters_as_one(s->lin, j, run) != NULL;
    }
    return false;
}

void adapters_down_bwd(Tape *t, LinearNode *s, Part du, void *dx, bool *accumulate)
{
    int64_t m = tensor_rows(s->x), in = tensor_cols(s->x), at = 0;
    if (adapters_drop(s->lin, s->n)) {
        AdapterGroup g = group_of(t, s->lin, s->n, s->rows, s->x, du.ld);
        RUN(t, adapter_down_bwd, AdapterDownBwd, .g = g, .du = du.data, .dx = dx, .accumulate = *accumulate);
        *accumulate = true;
        return;
    }
    for (int i = 0, run; i < s->n; i += run) {
        run = adapter_run(s->lin, i, s->n);
        Linear *l = &s->lin[i];
        int64_t r = linear_total(l, run, linear_rank);
        if (r && !is_done(s, i)) {
            RUN(t, matmul, Matmul, .m = m, .n = in, .k = r, .a_type = t->compute, .b_type = l->lora_a->t.type, .c_type = t->compute,
                .accumulate = *accumulate, .lda = du.ld, .ldb = in, .ldc = in, .a = (char *)du.data + tape_size(t, at),
                .b = l->lora_a->t.data, .c = dx, .alpha = 1);
            *accumulate = true;
        }
        at += r;
    }
}

/* dB = dyᵀ u of every adapter. */
static void up_grads(Tape *t, LinearNode *s, const char *dy, int64_t ldy, Part u)
{
    int64_t at = 0, at_u = 0;
    for (int i = 0; i < s->n; i++) {
        Param *up = s->lin[i].lora_b;
        int64_t out = linear_out(&s->lin[i]), r = linear_rank(&s->lin[i]);
        bool more = false;
        void *db = r ? grad_dst(t, &up->t, &more) : NULL;
        if (db)
            linear_weight_grad(t, db, more, up->t.grad_type, out, r, tensor_rows(s->x), dy + tape_size(t, at), ldy,
                               (char *)u.data + tape_size(t, at_u), u.ld);
        at += out;
        at_u += r;
    }
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
    if (adapters_drop(s->lin, s->n)) {
        dropped_down_grads(t, s, du);
        return;
    }
    int64_t m = tensor_rows(s->x), in = tensor_cols(s->x), at = 0;
    for (int i = 0, run; i < s->n; i += run) {
        run = adapter_run(s->lin, i, s->n);
        Linear *l = &s->lin[i];
        int64_t r = linear_total(l, run, linear_rank);
        if (!r)
            continue;
        bool more = false;
        void *da = grad_dst(t, &l->lora_a->t, &more);
        for (int j = 1; j < run; j++) {
            bool same;
            grad_dst(t, &l[j].lora_a->t, &same);
        }
        if (da)
            linear_weight_grad(t, da, more, l->lora_a->t.grad_type, r, in, m, (char *)du.data + tape_size(t, at), du.ld, s->x->data,
                               tensor_ld(s->x));
        at += r;
    }
}

void adapters_grads(Tape *t, LinearNode *s, const char *dy, int64_t ldy)
{
    if (!linear_total(s->lin, s->n, linear_rank))
        return;
    ArenaMark mark = arena_mark(t->scratch);
    if (!s->up_done)
        up_grads(t, s, dy, ldy, saved_u(t, s));
    arena_release(t->scratch, mark);
    down_grads(t, s, s->du);
}
