/* ops_rows.c: rows on the tape: embedding, splice, positions, patches, pixels (ops.h), forward and backward side by side. */
#include "train/nn/node.h"
#include "train/nn/ops.h"

const int32_t *tape_ints(Tape *t, const int32_t *host, int64_t n) { return tape_upload(t, host, (size_t)n * sizeof *host); }
const uint8_t *tape_bytes(Tape *t, const uint8_t *host, int64_t n) { return tape_upload(t, host, (size_t)n); }

void tape_numbers(Tape *t, void *to, DType type, const float *from, int64_t n)
{
    HostMark mark = tape_host_mark(t);
    const size_t bytes = dtype_size(type) * (size_t)n;
    void *stage = type == F32 ? NULL : tape_host(t, bytes);
    if (stage)
        dtype_convert(stage, type, from, F32, (size_t)n);
    if (!t->status)
        tape_fail(t, t->backend->upload(t->backend, to, stage ? stage : from, bytes));
    tape_host_release(t, mark);
}

Tensor *nn_input(Tape *t, const float *host, int64_t rows, int64_t cols)
{
    Tensor *x = tape_output(t, rows, cols, false, PLACE_KEEP);
    if (x && host)
        tape_numbers(t, x->data, t->compute, host, x->n_elems);
    return t->status ? NULL : x;
}

/* ---------------------------------------------------------------- embedding */

typedef struct EmbedNode {
    Node node;
    EmbedSpec spec;
} EmbedNode;

static void gather(Tape *t, int64_t n, const int32_t *index, const Tensor *src, Tensor *y)
{
    int64_t cols = tensor_cols(y);
    RUN(t, rows_gather, RowsGather, .n = n, .cols = cols, .lds = cols, .ldy = cols, .src_type = src->type, .y_type = y->type,
        .index = index, .src = src->data, .y = y->data);
}

static void scatter(Tape *t, int64_t n, const int32_t *index, const void *x, int64_t ldx, Tensor *dst, void *to, bool accumulate)
{
    int64_t cols = tensor_cols(dst);
    RUN(t, rows_scatter, RowsScatter, .n = n, .n_dst = tensor_rows(dst), .cols = cols, .ldx = ldx, .ldd = tensor_grad_ld(dst),
        .x_type = t->compute, .dst_type = dst->grad_type, .index = index, .x = x, .dst = to, .accumulate = accumulate);
}

static Status embed_bwd(Tape *t, Node *self)
{
    EmbedSpec *s = &((EmbedNode *)self)->spec;
    const void *dy = grad_of_apart(self->out);
    int64_t ldy = tensor_grad_ld(self->out);
    if (!dy)
        return OK;
    void *d_base = s->base_occur ? grad_dst_partial(t, &s->base->t) : NULL;
    if (d_base)
        scatter(t, s->n, s->base_index, dy, ldy, &s->base->t, d_base, true);
    void *d_rows = s->rows && s->rows_occur ? grad_dst_partial(t, &s->rows->t) : NULL;
    if (d_rows)
        scatter(t, s->n, s->rows_index, dy, ldy, &s->rows->t, d_rows, true);
    bool more = false;
    void *d_features = s->features ? grad_dst(t, s->features, &more) : NULL;
    if (d_features) /* every feature row has its place in the run, so all are written */
        scatter(t, s->n, s->image_index, dy, ldy, s->features, d_features, more);
    return t->status;
}

Tensor *nn_embed(Tape *t, const EmbedSpec *spec)
{
    if (t->status || (spec->features && !tape_reads(t, "nn_embed", spec->features, READ_PLAIN)))
        return NULL;
    tape_trains(t, spec->base);
    tape_trains(t, spec->rows);
    bool wants = spec->base->trainable || (spec->rows && spec->rows->trainable) || tensor_wants(spec->features);
    Tensor *x = tape_output(t, spec->n, tensor_cols(&spec->base->t), wants, PLACE_KEEP);
    if (!x)
        return NULL;
    gather(t, spec->n, spec->base_index, &spec->base->t, x);
    if (spec->rows)
        gather(t, spec->n, spec->rows_index, &spec->rows->t, x);
    if (spec->features)
        gather(t, spec->n, spec->image_index, spec->features, x);
    EmbedNode *s = tape_node(t, sizeof *s, embed_bwd, x);
    if (s)
        s->spec = *spec;
    return t->status ? NULL : x;
}

/* ---------------------------------------------------------------- patches */

typedef struct PatchNode {
    Node node;
    PatchSpec spec;
    Param *w, *b, *position;
} PatchNode;

static void *patches(Tape *t, const PatchSpec *s, int64_t rows, int64_t cols)
{
    void *y = tape_temp(t, tape_size(t, rows * cols));
    if (y)
        RUN(t, patchify, Patchify, .images = s->images, .height = s->height, .width = s->width, .patch = s->patch, .act = t->compute,
            .rescale = s->rescale, .mean = {s->mean[0], s->mean[1], s->mean[2]}, .std = {s->std[0], s->std[1], s->std[2]},
            .pixels = s->pixels, .y = y);
    return y;
}

/* The patches are cut again from the pixels: cheaper than keeping them. */
static Status patch_bwd(Tape *t, Node *self)
{
    PatchNode *s = (PatchNode *)self;
    const void *dy = grad_of(t, self->out);
    if (!dy)
        return OK;
    int64_t rows = tensor_rows(self->out), d = tensor_cols(self->out), cols = s->w->t.n_elems / d;
    bool more;
    void *dp = s->position ? grad_dst(t, &s->position->t, &more) : NULL;
    if (dp)
        RUN(t, add_rows_bwd, AddRowsBwd, .rows = rows, .cols = d, .period = tensor_rows(&s->position->t), .act = t->compute,
            .table_type = s->position->t.grad_type, .dy = dy, .dtable = dp, .accumulate = more);
    void *db = s->b ? grad_dst(t, &s->b->t, &more) : NULL;
    if (db)
        RUN(t, column_sum, ColumnSum, .rows = rows, .cols = d, .ldx = d, .x_type = t->compute, .out_type = s->b->t.grad_type, .x = dy,
            .out = db, .accumulate = more);
    void *dw = grad_dst(t, &s->w->t, &more);
    ArenaMark mark = arena_mark(t->scratch);
    if (dw)
        RUN(t, matmul, Matmul, .m = d, .n = cols, .k = rows, .a_type = t->compute, .b_type = t->compute, .c_type = s->w->t.grad_type,
            .a_trans = true, .accumulate = more, .lda = d, .ldb = cols, .ldc = cols, .a = dy, .b = patches(t, &s->spec, rows, cols),
            .c = dw, .alpha = 1);
    arena_release(t->scratch, mark);
    return t->status;
}

Tensor *nn_patch_embed(Tape *t, const PatchSpec *spec, Param *w, Param *b, Param *position)
{
    if (t->status)
        return NULL;
    int64_t n = (spec->height / spec->patch) * (spec->width / spec->patch), rows = spec->images * n, d = w->t.shape[0];
    int64_t cols = w->t.n_elems / d;
    if ((position && tensor_rows(&position->t) != n) || cols != 3 * spec->patch * spec->patch) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_patch_embed: %lld patches a picture, %lld positions", (long long)n,
                          position ? (long long)tensor_rows(&position->t) : 0));
        return NULL;
    }
    tape_trains(t, w);
    tape_trains(t, b);
    tape_trains(t, position);
    Tensor *x = tape_output(t, rows, d, w->trainable, PLACE_KEEP);
    if (!x)
        return NULL;
    ArenaMark mark = arena_mark(t->scratch);
    const void *p = patches(t, spec, rows, cols);
    RUN(t, matmul, Matmul, .m = rows, .n = d, .k = cols, .a_type = t->compute, .b_type = w->t.type, .c_type = t->compute, .b_trans = true,
        .b_frozen = !w->trainable, .lda = cols, .ldb = cols, .ldc = d, .a = p, .b = w->t.data, .bias = b ? b->t.data : NULL,
        .bias_type = b ? b->t.type : F32, .c = x->data, .alpha = 1);
    if (position)
        RUN(t, add_rows, AddRows, .rows = rows, .cols = d, .period = n, .act = t->compute, .table_type = position->t.type, .x = x->data,
            .table = position->t.data, .y = x->data);
    arena_release(t->scratch, mark);
    PatchNode *s = tape_node(t, sizeof *s, patch_bwd, x);
    if (s) {
        s->spec = *spec;
        s->w = w;
        s->b = b;
        s->position = position;
    }
    return t->status ? NULL : x;
}

/* ---------------------------------------------------------------- gather */

typedef struct GatherNode {
    Node node;
    Tensor *x;
    const int32_t *index;
} GatherNode;

static Status gather_bwd(Tape *t, Node *self)
{
    GatherNode *s = (GatherNode *)self;
    const void *dy = grad_of(t, self->out);
    void *dx = dy ? grad_dst_partial(t, s->x) : NULL;
    if (dx)
        scatter(t, tensor_rows(self->out), s->index, dy, tensor_cols(self->out), s->x, dx, true);
    return t->status;
}

Tensor *nn_gather_rows(Tape *t, Tensor *x, const int32_t *index, int64_t n)
{
    if (!tape_reads(t, "nn_gather_rows", x, READ_PLAIN))
        return NULL;
    Tensor *y = tape_output(t, n, tensor_cols(x), x->needs_grad, PLACE_KEEP);
    if (!y)
        return NULL;
    gather(t, n, index, x, y);
    GatherNode *s = tape_node(t, sizeof *s, gather_bwd, y);
    if (s) {
        s->x = x;
        s->index = index;
    }
    return t->status ? NULL : y;
}

/* ---------------------------------------------------------------- stack */

typedef struct StackNode {
    Node node;
    Tensor *a, *b;
} StackNode;

static Status stack_bwd(Tape *t, Node *self)
{
    StackNode *s = (StackNode *)self;
    const char *dy = grad_of(t, self->out);
    if (!dy)
        return t->status;
    grad_add(t, s->a, dy);
    grad_add(t, s->b, dy + tape_size(t, s->a->n_elems));
    return t->status;
}

Tensor *nn_stack(Tape *t, Tensor *a, Tensor *b)
{
    if (!tape_reads(t, "nn_stack", a, READ_ADDED) || !tape_reads(t, "nn_stack", b, READ_ADDED))
        return NULL;
    if (tensor_cols(a) != tensor_cols(b)) {
        tape_fail(t,
                  fail(ERR_INTERNAL, "nn_stack: rows of %lld and of %lld columns", (long long)tensor_cols(a), (long long)tensor_cols(b)));
        return NULL;
    }
    Tensor *y = tape_output(t, tensor_rows(a) + tensor_rows(b), tensor_cols(a), a->needs_grad || b->needs_grad, PLACE_KEEP);
    if (!y)
        return NULL;
    for (int i = 0; i < 2; i++) {
        const Tensor *x = i ? b : a;
        RUN(t, add_scaled, AddScaled, .n = x->n_elems, .a_type = x->type, .y_type = y->type, .alpha = 1, .a = x->data,
            .y = (char *)y->data + (i ? tape_size(t, a->n_elems) : 0));
    }
    StackNode *s = tape_node(t, sizeof *s, stack_bwd, y);
    if (s) {
        s->a = a;
        s->b = b;
    }
    return t->status ? NULL : y;
}

/* ---------------------------------------------------------------- concatenation of columns */

typedef struct ConcatNode {
    Node node;
    Tensor *part[2];
} ConcatNode;

static Status concat_bwd(Tape *t, Node *self)
{
    ConcatNode *s = (ConcatNode *)self;
    const char *dy = grad_of_apart(self->out);
    int64_t rows = tensor_rows(self->out), ldy = tensor_grad_ld(self->out), at = 0;
    for (int i = 0; dy && i < 2; i++) {
        bool more;
        void *dx = grad_dst(t, s->part[i], &more);
        if (dx)
            scatter(t, rows, tape_index(t, rows), dy + tape_size(t, at), ldy, s->part[i], dx, more);
        at += tensor_cols(s->part[i]);
    }
    return t->status;
}

Tensor *nn_concat(Tape *t, Tensor *a, Tensor *b)
{
    if (!tape_reads(t, "nn_concat", a, READ_ADDED) || !tape_reads(t, "nn_concat", b, READ_ADDED))
        return NULL;
    int64_t rows = tensor_rows(a), cols = tensor_cols(a) + tensor_cols(b), at = 0;
    if (tensor_rows(b) != rows) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_concat: %lld rows and %lld rows", (long long)rows, (long long)tensor_rows(b)));
        return NULL;
    }
    Tensor *y = tape_output(t, rows, cols, a->needs_grad || b->needs_grad, PLACE_KEEP), *part[] = {a, b};
    const int32_t *index = tape_index(t, rows);
    for (int i = 0; y && i < 2; i++) {
        RUN(t, rows_gather, RowsGather, .n = rows, .cols = tensor_cols(part[i]), .lds = tensor_ld(part[i]), .ldy = cols,
            .src_type = part[i]->type, .y_type = y->type, .index = index, .src = part[i]->data, .y = (char *)y->data + tape_size(t, at));
        at += tensor_cols(part[i]);
    }
    ConcatNode *s = y ? tape_node(t, sizeof *s, concat_bwd, y) : NULL;
    if (s)
        memcpy(s->part, part, sizeof part);
    return t->status ? NULL : y;
}

/* ---------------------------------------------------------------- upsampling */

typedef struct UpsampleNode {
    Node node;
    Tensor *x;
    Plane from, to;
} UpsampleNode;

static Status upsample_bwd(Tape *t, Node *self)
{
    UpsampleNode *s = (UpsampleNode *)self;
    const void *dy = grad_of(t, self->out);
    bool more;
    void *dx = dy ? grad_dst(t, s->x, &more) : NULL;
    if (!dx)
        return t->status;
    return RUN(t, upsample_bwd, UpsampleBwd, .from = s->from, .to = s->to, .cols = tensor_cols(s->x), .act = t->compute, .dy = dy, .dx = dx,
               .accumulate = more);
}

Tensor *nn_upsample(Tape *t, Tensor *x, Plane from, Plane to)
{
    if (!tape_reads(t, "nn_upsample", x, READ_ADDED))
        return NULL;
    if (tensor_rows(x) != plane_rows(&from)) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_upsample: %lld rows, expected %lld images of %lld·%lld", (long long)tensor_rows(x),
                          (long long)from.images, (long long)from.height, (long long)from.width));
        return NULL;
    }
    Tensor *y = tape_output(t, plane_rows(&to), tensor_cols(x), x->needs_grad, PLACE_KEEP);
    if (!y)
        return NULL;
    RUN(t, upsample_fwd, UpsampleFwd, .from = from, .to = to, .cols = tensor_cols(x), .act = t->compute, .x = x->data, .y = y->data);
    UpsampleNode *s = tape_node(t, sizeof *s, upsample_bwd, y);
    if (s) {
        s->x = x;
        s->from = from;
        s->to = to;
    }
    return t->status ? NULL : y;
}
