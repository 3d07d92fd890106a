/* ops_norm.c: RMSNorm, LayerNorm and GroupNorm on the tape (ops.h), forward and backward side by side. */
#include "train/nn/node.h"
#include "train/nn/ops.h"

typedef struct NormNode {
    Node node;
    Tensor *x, *add, *sum;
    Param *w, *b; /* b NULL: RMSNorm */
    double eps;
    void *mean, *rstd;
} NormNode;

static Status norm_fwd(Tape *t, const NormNode *s, const void *x, const void *add, void *sum, Tensor *y)
{
    int64_t rows = tensor_rows(y), cols = tensor_cols(y);
    if (!s->b)
        return RUN(t, rmsnorm_fwd, RmsNormFwd, .rows = rows, .cols = cols, .act = t->compute, .w_type = s->w->t.type, .eps = s->eps, .x = x,
                   .add = add, .w = s->w->t.data, .sum = sum, .y = y->data, .rstd = s->rstd, .ldy = tensor_ld(y));
    return RUN(t, layernorm_fwd, LayerNormFwd, .rows = rows, .cols = cols, .act = t->compute, .w_type = s->w->t.type, .eps = s->eps, .x = x,
               .add = add, .w = s->w->t.data, .b = s->b->t.data, .sum = sum, .y = y->data, .mean = s->mean, .rstd = s->rstd);
}

/* The statistics come out as they were: both passes take those of the stored sum. */
static Status norm_remake(Tape *t, Node *self)
{
    NormNode *s = (NormNode *)self;
    return norm_fwd(t, s, s->sum->data, NULL, NULL, self->out);
}

static void norm_kernel_bwd(Tape *t, NormNode *s, const void *dy, void *dx, int64_t lddx, bool accumulate)
{
    Tensor *y = s->node.out;
    bool more_w = false, more_b = false;
    void *dw = grad_dst(t, &s->w->t, &more_w), *db = s->b ? grad_dst(t, &s->b->t, &more_b) : NULL;
    if (dw && db && more_w != more_b)
        tape_fail(t, fail(ERR_INTERNAL, "layernorm: %s and %s were not reached together", s->w->name, s->b->name));
    int64_t rows = tensor_rows(y), cols = tensor_cols(y);
    if (!s->b)
        RUN(t, rmsnorm_bwd, RmsNormBwd, .rows = rows, .cols = cols, .act = t->compute, .w_type = s->w->t.type, .x = s->sum->data,
            .w = s->w->t.data, .rstd = s->rstd, .dy = dy, .dx = dx, .dw = dw, .accumulate = accumulate, .accumulate_w = more_w,
            .lddx = lddx, .y = tape_again(t, y), .ldy = tensor_ld(y));
    else
        RUN(t, layernorm_bwd, LayerNormBwd, .rows = rows, .cols = cols, .act = t->compute, .w_type = s->w->t.type, .x = s->sum->data,
            .w = s->w->t.data, .mean = s->mean, .rstd = s->rstd, .dy = dy, .dx = dx, .dw = dw, .db = db, .accumulate = accumulate,
            .accumulate_w = dw ? more_w : more_b);
}

static Status norm_bwd(Tape *t, Node *self)
{
    NormNode *s = (NormNode *)self;
    const void *dy = grad_of(t, self->out);
    if (dy) {
        bool accumulate = false;
        void *dx = s->b ? grad_dst(t, s->sum, &accumulate) : grad_dst_apart(t, s->sum, &accumulate);
        int64_t lddx = tensor_grad_ld(s->sum);
        ArenaMark mark = arena_mark(t->scratch);
        if (!dx) /* only the norm's own weights train: the kernel still wants a place for dx */
            dx = tape_temp(t, tape_size(t, tensor_rows(s->sum) * lddx));
        norm_kernel_bwd(t, s, dy, dx, lddx, accumulate);
        tape_arrived(t, self->out);
        arena_release(t->scratch, mark);
    }
    if (s->add && grad_of_apart(s->sum)) {
        grad_share(t, s->x, s->sum);
        grad_share(t, s->add, s->sum);
        grad_done(s->sum);
    }
    return t->status;
}

static Tensor *norm(Tape *t, const char *op, Tensor *x, Tensor *add, Param *w, Param *b, double eps, Tensor **sum)
{
    if (!w || !tape_reads(t, op, x, READ_PLAIN) || (add && !tape_reads(t, op, add, READ_ADDED)))
        return NULL;
    tape_trains(t, w);
    tape_trains(t, b);
    int64_t rows = tensor_rows(x), cols = tensor_cols(x);
    if (w->t.n_elems != cols || (add && add->n_elems != x->n_elems)) {
        tape_fail(t, fail(ERR_INTERNAL, "%s: %s has %lld elements, rows have %lld", op, w->name, (long long)w->t.n_elems, (long long)cols));
        return NULL;
    }
    bool residual_wants = x->needs_grad || tensor_wants(add);
    NormNode s = {.x = x, .add = add, .w = w, .b = b, .eps = eps, .sum = x};
    if (add)
        s.sum = tape_output(t, rows, cols, residual_wants, PLACE_KEEP);
    if (add && s.sum) {
        s.sum->grad_room = add->grad_room;
        s.sum->read = true;
    }
    size_t stat = dtype_size(tape_stat_type(t)) * (size_t)rows;
    s.rstd = tape_save(t, stat);
    s.mean = b ? tape_save(t, stat) : NULL;
    Tensor *y = tape_output_apart(t, rows, cols, b ? 0 : tape_room(t), residual_wants || w->trainable || (b && b->trainable), PLACE_CHEAP);
    if (!y)
        return NULL;
    y->again = !b;
    norm_fwd(t, &s, x->data, add ? add->data : NULL, add ? s.sum->data : NULL, y);
    NormNode *node = tape_node(t, sizeof *node, norm_bwd, y);
    if (node) {
        s.node = node->node;
        *node = s;
        node->node.remake = norm_remake;
        tape_need(t, s.sum);
    }
    if (sum)
        *sum = s.sum;
    return t->status ? NULL : y;
}

Tensor *nn_rmsnorm(Tape *t, Tensor *x, Tensor *add, Param *w, double eps, Tensor **sum)
{
    return norm(t, "nn_rmsnorm", x, add, w, NULL, eps, sum);
}

Tensor *nn_layernorm(Tape *t, Tensor *x, Tensor *add, Param *w, Param *b, double eps, Tensor **sum)
{
    return b ? norm(t, "nn_layernorm", x, add, w, b, eps, sum) : NULL;
}

/* ---------------------------------------------------------------- groupnorm */

typedef struct GroupNormNode {
    Node node;
    Tensor *x;
    Param *w, *b;
    int64_t images, groups;
    double eps;
    bool silu;
    void *mean, *rstd;
} GroupNormNode;

/* Once more gives the statistics once more, as they were. */
static Status groupnorm_fwd(Tape *t, const GroupNormNode *s, Tensor *y)
{
    return RUN(t, groupnorm_fwd, GroupNormFwd, .images = s->images, .pixels = s->images ? tensor_rows(y) / s->images : 0,
               .cols = tensor_cols(y), .groups = s->groups, .act = t->compute, .w_type = s->w->t.type, .eps = s->eps, .silu = s->silu,
               .x = s->x->data, .w = s->w->t.data, .b = s->b->t.data, .y = y->data, .mean = s->mean, .rstd = s->rstd);
}

static Status groupnorm_remake(Tape *t, Node *self) { return groupnorm_fwd(t, (GroupNormNode *)self, self->out); }

static Status groupnorm_bwd(Tape *t, Node *self)
{
    GroupNormNode *s = (GroupNormNode *)self;
    const void *dy = grad_of(t, self->out);
    if (!dy)
        return t->status;
    bool more = false, more_w = false, more_b = false;
    void *dx = grad_dst(t, s->x, &more), *dw = grad_dst(t, &s->w->t, &more_w), *db = grad_dst(t, &s->b->t, &more_b);
    if (dw && db && more_w != more_b)
        return tape_fail(t, fail(ERR_INTERNAL, "groupnorm: %s and %s were not reached together", s->w->name, s->b->name));
    return RUN(t, groupnorm_bwd, GroupNormBwd, .images = s->images, .pixels = s->images ? tensor_rows(self->out) / s->images : 0,
               .cols = tensor_cols(self->out), .groups = s->groups, .act = t->compute, .w_type = s->w->t.type, .silu = s->silu,
               .x = s->x->data, .w = s->w->t.data, .b = s->b->t.data, .mean = s->mean, .rstd = s->rstd, .dy = dy, .dx = dx, .dw = dw,
               .db = db, .accumulate = more, .accumulate_w = dw ? more_w : more_b);
}

Tensor *nn_groupnorm(Tape *t, Tensor *x, int64_t images, Param *w, Param *b, int64_t groups, double eps, bool silu)
{
    if (!w || !b || !tape_reads(t, "nn_groupnorm", x, READ_PLAIN))
        return NULL;
    tape_trains(t, w);
    tape_trains(t, b);
    int64_t rows = tensor_rows(x), cols = tensor_cols(x);
    if (w->t.n_elems != cols || b->t.n_elems != cols || (images ? rows % images != 0 : rows > 0)) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_groupnorm: %s has %lld elements, %s %lld, %lld images have %lld rows of %lld", w->name,
                          (long long)w->t.n_elems, b->name, (long long)b->t.n_elems, (long long)images, (long long)rows, (long long)cols));
        return NULL;
    }
    size_t stat = dtype_size(tape_stat_type(t)) * (size_t)(images * groups);
    GroupNormNode s = {.x = x, .w = w, .b = b, .images = images, .groups = groups, .eps = eps, .silu = silu, .mean = tape_save(t, stat),
                       .rstd = tape_save(t, stat)};
    Tensor *y = tape_output(t, rows, cols, x->needs_grad || w->trainable || b->trainable, PLACE_CHEAP);
    if (!y)
        return NULL;
    groupnorm_fwd(t, &s, y);
    GroupNormNode *node = tape_node(t, sizeof *node, groupnorm_bwd, y);
    if (node) {
        s.node = node->node;
        *node = s;
        node->node.remake = groupnorm_remake;
        tape_need(t, x);
    }
    return t->status ? NULL : y;
}
