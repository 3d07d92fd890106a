/* ops_loss.c: losses on the tape (ops.h), forward and backward side by side. */
#include <string.h>

#include "train/nn/node.h"
#include "train/nn/ops.h"

enum {
    CHUNK_BYTES = 32 << 20, /* logits of one chunk: large enough for the matmul, small beside the weights of the head */
    CHUNK_ROWS = 128,       /* chunks are multiples of it: whole tiles of a GPU's matmul */
    LOGITS_STRIDE = 64 /* rows of logits are padded to a multiple of it: V + R columns are aligned to nothing, and such a matmul is slow */
};

typedef struct LmNode {
    Node node;
    Tensor *hs;
    void *dhs;
    bool head_trains;
} LmNode;

static int64_t rows_of(const Param *p) { return p ? p->t.shape[0] : 0; }

static int64_t logits_stride(int64_t width) { return (width + LOGITS_STRIDE - 1) / LOGITS_STRIDE * LOGITS_STRIDE; }

static int64_t chunk_rows(const Tape *t, const LmLoss *a, int64_t ldz)
{
    int64_t rows = CHUNK_BYTES / (ldz * (int64_t)dtype_size(t->compute)) / CHUNK_ROWS * CHUNK_ROWS;
    rows = rows < CHUNK_ROWS ? CHUNK_ROWS : rows;
    rows = a->chunk ? a->chunk : rows;
    return rows < a->n ? rows : a->n;
}

/* z[:, at …] = hs Wᵀ */
static void logits_part(Tape *t, const void *hs, int64_t n, int64_t d, const Param *w, void *z, int64_t ldz, int64_t at)
{
    if (w)
        RUN(t, matmul, Matmul, .m = n, .n = rows_of(w), .k = d, .a_type = t->compute, .b_type = w->t.type, .c_type = t->compute,
            .b_trans = true, .b_frozen = !w->trainable, .lda = d, .ldb = d, .ldc = ldz, .a = hs, .b = w->t.data,
            .c = (char *)z + tape_size(t, at), .alpha = 1);
}

static void logits_chunk(Tape *t, const void *hs, int64_t n, int64_t d, const Param *head, const Param *rows, void *z, int64_t ldz)
{
    logits_part(t, hs, n, d, head, z, ldz, 0);
    logits_part(t, hs, n, d, rows, z, ldz, rows_of(head));
}

/* The first `width` columns of z, one row after the other on the host. */
static void download_logits(Tape *t, float *to, const void *z, int64_t n, int64_t width, int64_t ldz)
{
    HostMark mark = tape_host_mark(t);
    float *padded = ldz == width ? to : tape_host(t, (size_t)(n * ldz) * sizeof *padded);
    if (!padded)
        return;
    tape_download(t, padded, z, n * ldz);
    for (int64_t i = 0; padded != to && i < n && !t->status; i++)
        memcpy(to + i * width, padded + i * ldz, (size_t)width * sizeof *to);
    tape_host_release(t, mark);
}

/* dhs (+)= dz W, dW (+)= dzᵀ hs for one of the two matrices. */
static void logits_part_bwd(Tape *t, const void *hs, int64_t n, int64_t d, Param *w, const void *z, int64_t ldz, int64_t at, void *dhs)
{
    if (!w)
        return;
    const void *dz = (const char *)z + tape_size(t, at);
    if (dhs)
        RUN(t, matmul, Matmul, .m = n, .n = d, .k = rows_of(w), .a_type = t->compute, .b_type = w->t.type, .c_type = t->compute,
            .b_frozen = !w->trainable, .accumulate = at > 0, .lda = ldz, .ldb = d, .ldc = d, .a = dz, .b = w->t.data, .c = dhs, .alpha = 1);
    bool more;
    void *dw = grad_dst(t, &w->t, &more);
    if (dw)
        RUN(t, matmul, Matmul, .m = rows_of(w), .n = d, .k = n, .a_type = t->compute, .b_type = t->compute, .c_type = w->t.grad_type,
            .a_trans = true, .accumulate = more, .lda = ldz, .ldb = d, .ldc = d, .a = dz, .b = hs, .c = dw, .alpha = 1);
}

void tape_download(Tape *t, float *to, const void *from, int64_t n)
{
    void *stage = t->compute == F32 ? to : tape_host(t, tape_size(t, n));
    if (!stage || t->status)
        return;
    tape_fail(t, t->backend->download(t->backend, stage, from, tape_size(t, n)));
    if (stage != to && !t->status)
        dtype_convert(to, F32, stage, t->compute, (size_t)n);
}

void nn_values(Tape *t, Tensor *x, float *host)
{
    if (tape_reads(t, "nn_values", x, READ_PLAIN))
        tape_download(t, host, x->data, x->n_elems);
}

static Status lm_bwd(Tape *t, Node *self)
{
    LmNode *s = (LmNode *)self;
    if (!grad_of(t, self->out))
        return OK;
    if (t->seed_value != 1 && s->head_trains)
        return tape_fail(t, fail(ERR_INTERNAL, "nn_lm_loss: seeded with %g, the head's gradient was written for 1", t->seed_value));
    if (!s->dhs)
        return OK;
    bool more;
    if (t->seed_value == 1 && s->hs->depth == 0 && !s->hs->grad_written) {
        grad_adopt(t, s->hs, s->dhs, 0, 0);
        return t->status;
    }
    void *dhs = grad_dst(t, s->hs, &more);
    if (dhs)
        RUN(t, add_scaled, AddScaled, .n = s->hs->n_elems, .a_type = t->compute, .b_type = t->compute, .y_type = t->compute,
            .alpha = t->seed_value, .beta = 1, .a = s->dhs, .b = more ? dhs : NULL, .y = dhs);
    return t->status;
}

/* Labels and scaled weights go to the device; the scaled weight is rounded once. */
static void upload_labels(Tape *t, const LmLoss *a, const int32_t **label, void **weight)
{
    size_t size = dtype_size(tape_stat_type(t));
    char *scaled = tape_host(t, (size_t)a->n * size);
    if (!scaled)
        return;
    for (int64_t i = 0; a->weight && i < a->n; i++) {
        double w = a->scale * (double)a->weight[i];
        dtype_convert(scaled + (size_t)i * size, tape_stat_type(t), &w, F64, 1);
    }
    *label = tape_ints(t, a->label, a->n);
    *weight = tape_upload(t, scaled, (size_t)a->n * size);
}

/* loss = scale·Σ weight·x, Σ weight·x also added to `wanted`, on the device: nobody waits. NULL: the caller gets it in
 * *sum. Returns the weights on the device. */
static const float *weigh(Tape *t, const void *x, const float *weight, int64_t n, double scale, double *wanted, double *sum, Tensor *loss)
{
    double *total = wanted ? wanted : tape_keep(t, sizeof *total);
    const float *uploaded = tape_upload(t, weight, (size_t)n * sizeof *weight);
    RUN(t, weighted_sum, WeightedSum, .n = n, .type = tape_stat_type(t), .act = loss->type, .scale = scale, .weight = uploaded, .x = x,
        .scaled = loss->data, .total = total, .accumulate = wanted != NULL);
    *sum = 0;
    if (!wanted && !t->status)
        tape_fail(t, t->backend->download(t->backend, sum, total, sizeof *total));
    return uploaded;
}

Tensor *nn_lm_loss(Tape *t, Tensor *hs, LmLoss *a)
{
    if (!tape_reads(t, "nn_lm_loss", hs, READ_PLAIN))
        return NULL;
    if (t->depth) {
        tape_fail(t, fail(ERR_INTERNAL,
                          "nn_lm_loss: reads [%lld, %lld] in a block, which may run twice, and so write the head's gradient twice",
                          (long long)tensor_rows(hs), (long long)tensor_cols(hs)));
        return NULL;
    }
    tape_trains(t, a->head);
    tape_trains(t, a->rows);
    int64_t d = tensor_cols(hs), width = rows_of(a->head) + rows_of(a->rows);
    bool head_trains = a->head->trainable || (a->rows && a->rows->trainable);
    Tensor *loss = tape_output(t, 1, 1, hs->needs_grad || head_trains, PLACE_KEEP);
    void *dhs = loss && loss->needs_grad && hs->needs_grad ? tape_save(t, tape_size(t, hs->n_elems)) : NULL;
    char *ce = tape_keep(t, dtype_size(tape_stat_type(t)) * (size_t)a->n);
    const int32_t *label = NULL;
    void *weight = NULL;
    upload_labels(t, a, &label, &weight);
    if (t->status)
        return NULL;
    ArenaMark mark = arena_mark(t->scratch);
    int64_t ldz = logits_stride(width), chunk = chunk_rows(t, a, ldz);
    void *z = tape_temp(t, tape_size(t, chunk * ldz));
    size_t stat = dtype_size(tape_stat_type(t));
    for (int64_t at = 0; at < a->n && !t->status; at += chunk) {
        int64_t n = a->n - at < chunk ? a->n - at : chunk;
        const char *h = (const char *)hs->data + tape_size(t, at * d);
        logits_chunk(t, h, n, d, a->head, a->rows, z, ldz);
        if (a->logits)
            download_logits(t, a->logits + at * width, z, n, width, ldz);
        RUN(t, cross_entropy, CrossEntropy, .rows = n, .cols = width, .ldz = ldz, .act = t->compute, .label = label + at,
            .weight = (char *)weight + (size_t)at * stat, .logits = z, .loss = ce + (size_t)at * stat, .backward = loss->needs_grad);
        if (!loss->needs_grad)
            continue;
        char *dh = dhs ? (char *)dhs + tape_size(t, at * d) : NULL;
        logits_part_bwd(t, h, n, d, a->head, z, ldz, 0, dh);
        logits_part_bwd(t, h, n, d, a->rows, z, ldz, rows_of(a->head), dh);
    }
    arena_release(t->scratch, mark);
    weigh(t, ce, a->weight, a->n, a->scale, a->total, &a->weighted_sum, loss);
    LmNode *s = tape_node(t, sizeof *s, lm_bwd, loss);
    if (s) {
        s->hs = hs;
        s->dhs = dhs;
        s->head_trains = head_trains;
    }
    return t->status ? NULL : loss;
}

Status nn_logits(Tape *t, Tensor *hs, Param *head, Param *rows, float *logits)
{
    if (!tape_reads(t, "nn_logits", hs, READ_PLAIN))
        return t->status;
    int64_t n = tensor_rows(hs), width = rows_of(head) + rows_of(rows), ldz = logits_stride(width);
    ArenaMark mark = arena_mark(t->scratch);
    void *z = tape_temp(t, tape_size(t, n * ldz));
    if (z) {
        logits_chunk(t, hs->data, n, tensor_cols(hs), head, rows, z, ldz);
        download_logits(t, logits, z, n, width, ldz);
    }
    arena_release(t->scratch, mark);
    return t->status;
}

/* ---------------------------------------------------------------- distances */

typedef struct DifferenceNode {
    Node node;
    Tensor *u;
    const void *target;
    DifferenceKind kind;
    int64_t items;
    double scale;
    const float *weight;
} DifferenceNode;

static Status difference_bwd(Tape *t, Node *self)
{
    DifferenceNode *s = (DifferenceNode *)self;
    const void *dloss = grad_of(t, self->out);
    bool more = false;
    void *du = dloss ? grad_dst(t, s->u, &more) : NULL;
    if (!du)
        return t->status;
    return RUN(t, difference_bwd, DifferenceBwd, .items = s->items, .rows = s->items ? tensor_rows(s->u) / s->items : 0,
               .cols = tensor_cols(s->u), .act = t->compute, .kind = s->kind, .scale = s->scale, .weight = s->weight, .u = s->u->data,
               .v = s->target, .dloss = dloss, .du = du, .accumulate = more);
}

Tensor *nn_difference_loss(Tape *t, Tensor *u, const float *target, DifferenceLoss *a)
{
    if (!tape_reads(t, "nn_difference_loss", u, READ_PLAIN))
        return NULL;
    int64_t rows = tensor_rows(u), cols = tensor_cols(u);
    if (t->depth || (a->items ? rows % a->items != 0 : rows > 0)) {
        tape_fail(t, fail(ERR_INTERNAL,
                          "nn_difference_loss: %lld items of [%lld, %lld]%s; expected equally many rows of each, outside of blocks, which "
                          "may run twice",
                          (long long)a->items, (long long)rows, (long long)cols, t->depth ? " in a block" : ""));
        return NULL;
    }
    DType exact = tape_stat_type(t);
    Tensor *loss = tape_output(t, 1, 1, u->needs_grad, PLACE_KEEP);
    void *each = tape_keep(t, dtype_size(exact) * (size_t)a->items), *wanted = tape_keep(t, dtype_size(exact) * (size_t)u->n_elems);
    if (!loss || !each || !wanted)
        return NULL;
    if (target)
        tape_numbers(t, wanted, exact, target, u->n_elems);
    RUN(t, difference_fwd, DifferenceFwd, .items = a->items, .rows = a->items ? rows / a->items : 0, .cols = cols, .act = t->compute,
        .kind = a->kind, .u = u->data, .v = wanted, .loss = each);
    const float *weight = weigh(t, each, a->weight, a->items, a->scale, a->total, &a->weighted_sum, loss);
    DifferenceNode *s = tape_node(t, sizeof *s, difference_bwd, loss);
    if (s) {
        s->u = u;
        s->target = wanted;
        s->kind = a->kind;
        s->items = a->items;
        s->scale = a->scale;
        s->weight = weight;
        tape_need(t, u);
    }
    return t->status ? NULL : loss;
}
