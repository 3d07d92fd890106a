/* fp8.c: frozen weights as operands of 8 bits (fp8.h). Declared by models, made by params.c as weights get values, multiplied with by
 * ops_linear.c. */
#include "train/nn/fp8.h"

#include "train/nn/linear.h"

/* ---------------------------------------------------------------- weights */

Status fp8_declare(Params *p, Linear *lin, int n)
{
    Fp8 *f = mem_alloc(sizeof *f);
    if (!f)
        return fail(ERR_NOMEM, "no memory for %d linears", n);
    *f = (Fp8){.next = p->fp8s, .lin = lin, .n = n, .out = linear_total(lin, n, linear_out), .in = lin[0].w->t.shape[1]};
    p->fp8s = f;
    for (int i = 0; i < n; i++)
        lin[i].fp8 = lin[i].w->fp8 = f;
    return OK;
}

static Status create_codes(Params *p, Fp8 *f)
{
    void *code, *scale, *code_t = NULL, *scale_t = NULL;
    const size_t n = (size_t)(f->out * f->in);
    TRY(params_memory(p, n, &code));
    TRY(params_memory(p, (size_t)f->out * sizeof(float), &scale));
    p->besides += f->out * (int64_t)sizeof(float);
    if (!p->answers) {
        TRY(params_memory(p, n, &code_t));
        TRY(params_memory(p, (size_t)f->in * sizeof(float), &scale_t));
        p->besides += (int64_t)n + f->in * (int64_t)sizeof(float);
    }
    f->code = code, f->code_t = code_t, f->scale = scale, f->scale_t = scale_t;
    return OK;
}

/* The number of q among the weights of its matrix, and the first row of it. */
static int find_weight(const Fp8 *f, const Param *q, int64_t *row)
{
    int i = 0;
    for (*row = 0; f->lin[i].w != q; i++)
        *row += linear_out(&f->lin[i]);
    return i;
}

/* Codes come first: what is given back then lies behind all that stays. */
Status fp8_begin(Params *p, Param *q, DType type)
{
    Fp8 *f = q->fp8;
    int64_t row;
    if (!f->code)
        TRY(create_codes(p, f));
    if (!f->numbers)
        TRY(params_memory(p, (size_t)(f->out * f->in) * dtype_size(type), &f->numbers));
    f->type = type;
    find_weight(f, q, &row);
    q->t.data = (char *)f->numbers + (size_t)(row * f->in) * dtype_size(type);
    q->t.type = type;
    q->row_scale = NULL;
    return OK;
}

static Status quantize(Params *p, const Fp8 *f)
{
    QuantizeRows q = {
        .rows = f->out, .cols = f->in, .ldx = f->in, .x_type = f->type, .x = f->numbers, .code = f->code, .scale = f->scale};
    TRY(p->backend->ops.quantize_rows(&p->backend->ctx, &q));
    if (!f->code_t)
        return OK;
    q.rows = f->in, q.cols = f->out, q.transposed = true, q.code = f->code_t, q.scale = f->scale_t;
    return p->backend->ops.quantize_rows(&p->backend->ctx, &q);
}

Status fp8_end(Params *p, Param *q)
{
    Fp8 *f = q->fp8;
    int64_t row;
    f->have_values |= 1u << find_weight(f, q, &row);
    if (f->have_values != (1u << f->n) - 1)
        return OK;
    TRY_IN(quantize(p, f), "%s in 8 bits", q->name);
    for (int i = 0; i < f->n; i++) {
        Param *w = f->lin[i].w;
        find_weight(f, w, &row);
        w->t.data = f->code + row * f->in;
        w->t.type = U8;
        w->row_scale = f->scale + row;
        w->laid = (Laid){f, (const char *)f->code + row * f->in, (const char *)f->code + (row + linear_out(&f->lin[i])) * f->in};
    }
    params_memory_release(p, f->numbers);
    f->numbers = NULL;
    f->have_values = 0;
    return OK;
}

/* ---------------------------------------------------------------- products */

const Fp8 *fp8_of(const Linear *lin, int n) { return lin[0].fp8 && lin[0].fp8->n == n ? lin[0].fp8 : NULL; }

/* y [rows, out] = x8·codeᵀ (+ y or add) */
static void multiply(Tape *t, int64_t rows, int64_t in, const void *x, int64_t ldx, int64_t out, const uint8_t *code, const float *scale,
                     const void *add, bool accumulate, void *y, int64_t ldy)
{
    ArenaMark mark = arena_mark(t->scratch);
    uint8_t *x8 = tape_temp(t, (size_t)(rows * in));
    float *x_scale = tape_temp(t, (size_t)rows * sizeof *x_scale);
    RUN(t, quantize_rows, QuantizeRows, .rows = rows, .cols = in, .ldx = ldx, .x_type = t->compute, .x = x, .code = x8, .scale = x_scale);
    RUN(t, matmul_fp8, MatmulFp8, .m = rows, .n = out, .k = in, .ldc = ldy, .c_type = t->compute, .accumulate = accumulate, .a = x8,
        .b = code, .a_scale = x_scale, .b_scale = scale, .add = add, .c = y);
    arena_release(t->scratch, mark);
}

static bool all_adapted(const Linear *lin, int n)
{
    for (int i = 0; i < n; i++)
        if (!linear_rank(&lin[i]))
            return false;
    return true;
}

/* y = u Bᵀ (+ y or add), for every adapter beside what its linear gives. */
static void adapters_up(Tape *t, const Linear *lin, int n, Part u, const void *add, bool accumulate, Tensor *y)
{
    int64_t at = 0, at_u = 0;
    for (int i = 0; i < n; i++) {
        const int64_t out = linear_out(&lin[i]), r = linear_rank(&lin[i]);
        if (r)
            RUN(t, matmul, Matmul, .m = tensor_rows(y), .n = out, .k = r, .a_type = t->compute, .b_type = lin[i].lora_b->t.type,
                .c_type = t->compute, .b_trans = true, .accumulate = accumulate, .lda = u.ld, .ldb = r, .ldc = tensor_ld(y),
                .a = (char *)u.data + tape_size(t, at_u), .b = lin[i].lora_b->t.data, .c = (char *)y->data + tape_size(t, at), .alpha = 1,
                .add = add ? (const char *)add + tape_size(t, at) : NULL);
        at += out;
        at_u += r;
    }
}

/* The short products come first where they cover y: they only write it, and the long one has time to read it while it multiplies. */
void fp8_fwd(Tape *t, const Fp8 *f, const Linear *lin, const Tensor *x, Part u, const void *residual, Tensor *y)
{
    const bool first = all_adapted(lin, f->n);
    if (first)
        adapters_up(t, lin, f->n, u, residual, false, y);
    multiply(t, tensor_rows(x), f->in, x->data, tensor_ld(x), f->out, f->code, f->scale, first ? NULL : residual, first, y->data,
             tensor_ld(y));
    if (!first)
        adapters_up(t, lin, f->n, u, NULL, true, y);
}

static void adapters_down_grad(Tape *t, const LinearNode *s, Part du, void *dx, bool *accumulate)
{
    const int64_t m = tensor_rows(s->x), in = tensor_cols(s->x);
    int64_t at = 0;
    for (int i = 0, run; i < s->n; i += run) {
        run = linear_run(s->lin, i, s->n);
        const int64_t r = linear_total(s->lin + i, run, linear_rank);
        const Linear *down = adapters_as_one(s->lin, i, run);
        if (down) {
            RUN(t, matmul, Matmul, .m = m, .n = in, .k = r, .a_type = t->compute, .b_type = down->lora_a->t.type, .c_type = t->compute,
                .accumulate = *accumulate, .lda = du.ld, .ldb = in, .ldc = in, .a = (char *)du.data + tape_size(t, at),
                .b = down->lora_a->t.data, .c = dx, .alpha = 1);
            *accumulate = true;
        }
        at += r;
    }
}

void fp8_input_grad(Tape *t, const Fp8 *f, const LinearNode *s, const char *dy, int64_t ldy, Part du, void *dx, bool *accumulate)
{
    if (!adapters_drop(s->lin, s->n))
        adapters_down_grad(t, s, du, dx, accumulate);
    multiply(t, tensor_rows(s->x), f->out, dy, ldy, f->in, f->code_t, f->scale_t, NULL, *accumulate, dx, f->in);
    *accumulate = true;
}
