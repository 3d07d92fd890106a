/* matmul.cu: matrix products through cuBLASLt, and column sums.
 *
 * cuBLASLt thinks in column-major matrices: our row-major C[m,n] is its C'[n,m], so it is asked for C' = op(B)' op(A)', with our B first. A
 * bias of n elements then runs along its rows, as its epilogue wants, in the type of the result. An algorithm is chosen once for a bucket
 * of shapes (plans.cu), for the alignment that its matrices really have: the library's first, or the fastest (offers.cu). It is kept with
 * the run (choices.cu). Where the library has none that may be used, matmul_plain.cu multiplies. */
#include "kernels/cuda/backend.cuh"

#include "kernels/base/log.h"
#include "kernels/cuda/map.cuh"

/* U8: codes of ops/fp8.h. */
static cudaDataType_t cublas_type(DType t) { return t == BF16 ? CUDA_R_16BF : t == U8 ? CUDA_R_8F_E4M3 : CUDA_R_32F; }

/* ---- a shape, described for the library, and its algorithm ---- */

/* A stored row-major [rows, cols] matrix with row stride ld is a column-major [cols, rows] one. */
static Status layout(const CudaState *s, cublasLtMatrixLayout_t *out, DType type, int64_t rows, int64_t cols, int64_t ld)
{
    return cublas_check(s->cublas.cublasLtMatrixLayoutCreate(out, cublas_type(type), (uint64_t)cols, (uint64_t)rows, ld), "matmul layout");
}

static Status set(const CudaState *s, MatmulPlan *p, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t size)
{
    return cublas_check(s->cublas.cublasLtMatmulDescSetAttribute(p->desc, attribute, value, size), "matmul");
}

/* What differs from call to call though the shape is the same. */
static Status point(const CudaState *s, MatmulPlan *p, const MatmulOperands *o)
{
    if (p->key.has_bias)
        TRY(set(s, p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &o->bias, sizeof o->bias));
    if (!o->a_scale)
        return OK;
    TRY(set(s, p, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &o->b_scale, sizeof o->b_scale));
    return set(s, p, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &o->a_scale, sizeof o->a_scale);
}

/* Every element is multiplied with the scales of its row and column. */
static Status scale_outer(const CudaState *s, MatmulPlan *p)
{
    const int32_t outer = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    TRY(set(s, p, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &outer, sizeof outer));
    return set(s, p, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &outer, sizeof outer);
}

static Status describe(const CudaState *s, MatmulPlan *p, const MatmulOperands *o)
{
    const MatmulKey *k = &p->key;
    cublasOperation_t transpose_b = k->b_trans ? CUBLAS_OP_T : CUBLAS_OP_N, transpose_a = k->a_trans ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = k->has_bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    cudaDataType_t bias_type = cublas_type((DType)k->c_type);
    TRY(cublas_check(s->cublas.cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "matmul"));
    TRY(set(s, p, CUBLASLT_MATMUL_DESC_TRANSA, &transpose_b, sizeof transpose_b));
    TRY(set(s, p, CUBLASLT_MATMUL_DESC_TRANSB, &transpose_a, sizeof transpose_a));
    TRY(set(s, p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    if (k->has_bias)
        TRY(set(s, p, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type));
    if (o->a_scale)
        TRY(scale_outer(s, p));
    TRY(point(s, p, o)); /* alignments matter to the choice */
    TRY(k->b_trans ? layout(s, &p->b, (DType)k->b_type, k->n, k->k, k->ldb) : layout(s, &p->b, (DType)k->b_type, k->k, k->n, k->ldb));
    TRY(k->a_trans ? layout(s, &p->a, (DType)k->a_type, k->k, k->m, k->lda) : layout(s, &p->a, (DType)k->a_type, k->m, k->k, k->lda));
    return layout(s, &p->c, (DType)k->c_type, k->m, k->n, k->ldc);
}

/* Partial sums along k, if any, are kept in f32 and added in a fixed order: nothing arrives first, nothing is rounded between. */
static bool is_deterministic(const CudaState *s, const cublasLtMatmulAlgo_t *algo)
{
    uint32_t scheme = 0;
    size_t n = 0;
    return s->cublas.cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme, sizeof scheme,
                                                          &n) == CUBLAS_STATUS_SUCCESS &&
           (scheme == CUBLASLT_REDUCTION_SCHEME_NONE || scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
}

/* Products of f32 are products of f32: not of operands rounded to TF32 or bf16 on the way to a tensor core, whatever the environment allows
 * the library. An algorithm that does not say is taken: it was asked for f32 arithmetic. */
static bool is_exact(const CudaState *s, const MatmulPlan *p, const cublasLtMatmulAlgo_t *algo)
{
    uint64_t flags = 0;
    size_t n = 0;
    if (p->key.a_type != F32)
        return true;
    return s->cublas.cublasLtMatmulAlgoCapGetAttribute(algo, CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS, &flags, sizeof flags,
                                                       &n) != CUBLAS_STATUS_SUCCESS ||
           !(flags & (CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_TF32 | CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_16BF |
                      CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_16F));
}

static bool is_acceptable(const CudaState *s, const MatmulPlan *p, const cublasLtMatmulAlgo_t *algo, size_t workspace_bytes)
{
    return workspace_bytes <= MATMUL_WORKSPACE && is_deterministic(s, algo) && is_exact(s, p, algo);
}

/* Does the library take the algorithm for this shape? */
static bool is_usable(const CudaState *s, const MatmulPlan *p, const cublasLtMatmulAlgo_t *algo, size_t *workspace_bytes)
{
    cublasLtMatmulHeuristicResult_t result = {};
    if (s->cublas.cublasLtMatmulAlgoCheck(s->lt, p->desc, p->b, p->a, p->c, p->c, algo, &result) != CUBLAS_STATUS_SUCCESS)
        return false;
    *workspace_bytes = result.workspaceSize;
    return is_acceptable(s, p, algo, *workspace_bytes);
}

static Status prefer(const CudaState *s, cublasLtMatmulPreferenceAttributes_t attribute, uint32_t value)
{
    return cublas_check(s->cublas.cublasLtMatmulPreferenceSetAttribute(s->preference, attribute, &value, sizeof value),
                        "matmul preferences");
}

/* The library has nothing for this shape. That is no failure: there is a kernel for what nobody else takes. */
static void tell_plain(const CudaState *s, const MatmulKey *k, const char *why, cublasStatus_t status)
{
    if (s->measures_for) /* the run itself will say so */
        return;
    log_info("matmul of m %lld, n %lld, k %lld (%s): %s (status %d); it is multiplied without tensor cores",
             (long long)k->m, (long long)k->n, (long long)k->k, operand_name(k->a_type), why, (int)status);
}

bool cublas_refuses(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_NOT_SUPPORTED || s == CUBLAS_STATUS_INVALID_VALUE || s == CUBLAS_STATUS_ARCH_MISMATCH;
}

/* The first `most` of the library's algorithms that may be used, best first by its own estimate; *status says why there are none. */
static Status ask_offers(CudaState *s, const MatmulPlan *p, int most, MatmulOffer *offer, int *n, cublasStatus_t *status)
{
    enum { LEAST = 8 }; /* some of what it offers may not be used */
    const MatmulKey *k = &p->key;
    cublasLtMatmulHeuristicResult_t found[MATMUL_OFFERS];
    int n_found = 0;
    *n = 0;
    /* The library's first operand is our B. An epilogue reads the bias in pieces as large as those in which it writes D. */
    uint8_t align_d = k->has_bias && k->align_bias < k->align_c ? k->align_bias : k->align_c;
    TRY(prefer(s, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, k->align_b));
    TRY(prefer(s, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, k->align_a));
    TRY(prefer(s, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, k->align_c));
    TRY(prefer(s, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align_d));
    *status = s->cublas.cublasLtMatmulAlgoGetHeuristic(s->lt, p->desc, p->b, p->a, p->c, p->c, s->preference,
                                                       most > (int)LEAST ? most : (int)LEAST, found, &n_found);
    if (*status != CUBLAS_STATUS_SUCCESS)
        return cublas_refuses(*status) ? OK : cublas_check(*status, "choosing an algorithm for a matmul");
    for (int i = 0; i < n_found && *n < most; i++)
        if (found[i].state == CUBLAS_STATUS_SUCCESS && is_acceptable(s, p, &found[i].algo, found[i].workspaceSize))
            offer[(*n)++] = MatmulOffer{found[i].algo, found[i].workspaceSize};
    return OK;
}

static bool is_timed(const CudaState *s, const MatmulKey *k)
{
    return s->offers > 1 && 2.0 * (double)k->m * (double)k->n * (double)k->k >= s->timed_flops;
}

/* For the bucket `top`: what is offered there, and of that the first, or the fastest for the shape at hand. */
static Status choose(CudaState *s, MatmulChoice *c, const MatmulPlan *top, const MatmulPlan *p, const MatmulOperands *o, float alpha)
{
    MatmulOffer offer[MATMUL_OFFERS];
    int n, here = 0, fastest = 0;
    cublasStatus_t status;
    TRY(ask_offers(s, top, is_timed(s, &p->key) ? s->offers : 1, offer, &n, &status));
    if (n > 1) {
        for (int i = 0; i < n; i++) /* those that the shape at hand takes too */
            if (is_usable(s, p, &offer[i].algo, &offer[i].workspace_bytes))
                offer[here++] = offer[i];
        TRY(offers_fastest(s, p, o, alpha, offer, here, &fastest));
    }
    c->plain = !n || fastest < 0;
    if (c->plain)
        tell_plain(s, &p->key, "cuBLASLt has no deterministic algorithm of full precision", status);
    else
        c->algo = offer[fastest].algo;
    return OK;
}

static Status prepare_choice(CudaState *s, MatmulChoice *c, const MatmulPlan *p, const MatmulOperands *o, float alpha)
{
    MatmulPlan top = {};
    size_t bytes;
    top.key = c->key;
    Status status = describe(s, &top, o);
    bool kept = c->kept;
    c->kept = false;
    if (status == OK && !(kept && is_usable(s, &top, &c->algo, &bytes))) {
        if (kept)
            log_info("matmul of m %lld, n %lld, k %lld: the algorithm kept with the run cannot be used here; it is chosen anew",
                     (long long)p->key.m, (long long)p->key.n, (long long)p->key.k);
        status = choose(s, c, &top, p, o, alpha);
    }
    matmul_plan_free(s, &top);
    c->ready = status == OK;
    return status;
}

/* The algorithm of the bucket; one of its own for a shape that does not take it. */
static Status take_choice(CudaState *s, MatmulPlan *p, const MatmulOperands *o, float alpha)
{
    const MatmulKey key = matmul_bucket(&p->key);
    MatmulChoice *c = matmul_choice(s, &key), forgotten = {};
    MatmulOffer offer;
    int n;
    cublasStatus_t status;
    if (!c) { /* there is no room for more: the first offer then, the same each time it is asked for */
        s->offers = 0;
        c = &forgotten;
        c->key = key;
    }
    if (!c->ready)
        TRY(prepare_choice(s, c, p, o, alpha));
    if (c->plain) {
        p->plain = true;
        return OK;
    }
    if (is_usable(s, p, &c->algo, &p->workspace_bytes)) {
        p->algo = c->algo;
        return OK;
    }
    TRY(ask_offers(s, p, 1, &offer, &n, &status));
    p->plain = !n;
    if (p->plain)
        tell_plain(s, &p->key, "cuBLASLt has no deterministic algorithm of full precision", status);
    else {
        p->algo = offer.algo;
        p->workspace_bytes = offer.workspace_bytes;
    }
    return OK;
}

static Status plan_prepare(CudaState *s, MatmulPlan *p, const MatmulOperands *o, float alpha)
{
    if (p->ready)
        return point(s, p, o);
    Status status = describe(s, p, o);
    if (status == OK)
        status = take_choice(s, p, o, alpha);
    if (status != OK) {
        matmul_plan_free(s, p);
        return status;
    }
    p->ready = true;
    return OK;
}

/* What the address and every row's beginning are multiples of, up to what an arena promises: beyond it an address is so by accident, and
 * the choice must not hang on that. */
static uint8_t alignment(const void *p, int64_t ld, DType type)
{
    uint64_t bits = (uint64_t)(uintptr_t)p | (uint64_t)ld * dtype_size(type) | (uint64_t)ARENA_ALIGN;
    return (uint8_t)(bits & (0 - bits));
}

/* ---- what cuBLASLt does not do: operands of different types, a bias of another type than the result, f32 products rounded to bf16 ---- */

/* y = x (+ add) by rows, converted; add may be y; ldx 0 repeats one row; no x: zeros. */
template <class X, class Y> struct ConvertOp {
    const X *x;
    Y *y;
    const Y *add; /* rows as y's; NULL: nothing is added */
    int64_t ldx, ldy;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        UNROLL_NOT
        for (int i = 0; i < n; i++) {
            int64_t to = row * ldy + at + i;
            float v = x ? load(x + row * ldx + at + i) : 0.0f;
            store(y + to, add ? v + load(add + to) : v);
        }
    }
};

struct Convert {
    const void *x;
    void *y;
    DType x_type, y_type;
    int64_t rows, cols, ldx, ldy;
    const void *add;
};

static Status convert(KernelCtx *ctx, const Convert &c)
{
    WITH_TYPE(c.x_type, X, {
        WITH_TYPE(c.y_type, Y, {
            ConvertOp<X, Y> op = {(const X *)c.x, (Y *)c.y, (const Y *)c.add, c.ldx, c.ldy};
            return map_rows<float>(ctx, "matmul, converting", op, c.rows, c.cols, false);
        });
    });
}

/* A matmul as the library takes it, and what surrounds it. */
struct Prepared {
    MatmulKey key;
    MatmulOperands o;
    size_t widened, bias_bytes, wide_result; /* bytes of the workspace for each, in this order; 0: not needed */
};

static size_t room(int64_t rows, int64_t cols, DType type) { return ((size_t)(rows * cols) * dtype_size(type) + 255) & ~(size_t)255; }

static Prepared prepare(const Matmul *a)
{
    Prepared p = {};
    MatmulKey *k = &p.key;
    k->m = a->m, k->n = a->n, k->k = a->k;
    k->lda = a->lda, k->ldb = a->ldb, k->ldc = a->ldc;
    k->a_type = (uint8_t)a->a_type, k->b_type = (uint8_t)a->b_type, k->c_type = (uint8_t)a->c_type;
    k->a_trans = a->a_trans, k->b_trans = a->b_trans;
    k->has_bias = a->bias != nullptr;
    p.o = MatmulOperands{a->a, a->b, a->bias, matmul_addend(a), a->c, nullptr, nullptr};
    bool f32_products = a->a_type == F32 || a->b_type == F32;
    if (a->a_type != a->b_type)
        p.widened = a->a_type == BF16 ? room(a->m, a->k, F32) : room(a->k, a->n, F32);
    if (f32_products && a->c_type == BF16) {
        p.wide_result = room(a->m, a->n, F32);
        k->c_type = (uint8_t)F32;
        k->ldc = a->n;
        p.o.addend = nullptr;
    }
    /* The library's epilogues read a bias in pieces of up to 16 bytes, whatever alignment was asked for. */
    if (a->bias && (a->bias_type != (DType)k->c_type || !is_aligned(a->bias)))
        p.bias_bytes = room(1, a->n, (DType)k->c_type);
    return p;
}

static Status widen_operand(KernelCtx *ctx, const Matmul *a, Prepared *p, float *wide)
{
    bool is_a = a->a_type == BF16;
    int64_t rows = is_a ? a->a_trans ? a->k : a->m : a->b_trans ? a->n : a->k,
            cols = is_a ? a->a_trans ? a->m : a->k : a->b_trans ? a->k : a->n;
    Convert c = {is_a ? a->a : a->b, wide, BF16, F32, rows, cols, is_a ? a->lda : a->ldb, cols, nullptr};
    (is_a ? p->key.a_type : p->key.b_type) = (uint8_t)F32;
    (is_a ? p->key.lda : p->key.ldb) = cols;
    (is_a ? p->o.a : p->o.b) = wide;
    return convert(ctx, c);
}

static Status use_workspace(KernelCtx *ctx, const Matmul *a, Prepared *p)
{
    void *memory;
    size_t n_bytes = p->widened + p->bias_bytes + p->wide_result;
    if (!n_bytes)
        return OK;
    TRY(cuda_workspace(ctx, "matmul", n_bytes, &memory));
    char *at = (char *)memory;
    if (p->widened)
        TRY(widen_operand(ctx, a, p, (float *)at));
    at += p->widened;
    if (p->bias_bytes) {
        Convert c = {a->bias, at, a->bias_type, (DType)p->key.c_type, 1, a->n, a->n, a->n, nullptr};
        TRY(convert(ctx, c));
        p->o.bias = at;
    }
    if (p->wide_result)
        p->o.c = at + p->bias_bytes;
    return OK;
}

static void align_key(MatmulKey *k, const MatmulOperands *o)
{
    k->align_a = alignment(o->a, k->lda, (DType)k->a_type);
    k->align_b = alignment(o->b, k->ldb, (DType)k->b_type);
    k->align_c = alignment(o->c, k->ldc, (DType)k->c_type);
    if (o->addend && alignment(o->addend, k->ldc, (DType)k->c_type) < k->align_c)
        k->align_c = alignment(o->addend, k->ldc, (DType)k->c_type);
    k->align_bias = o->bias ? alignment(o->bias, 0, F32) : 0;
}

cublasStatus_t matmul_launch(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, float alpha, const cublasLtMatmulAlgo_t *algo,
                             size_t workspace_bytes)
{
    const float beta = o->addend ? 1.0f : 0.0f;
    launch_note("matmul of cuBLASLt");
    return s->cublas.cublasLtMatmul(s->lt, p->desc, &alpha, o->b, p->b, o->a, p->a, &beta, o->addend ? o->addend : o->c, p->c, o->c, p->c,
                                    algo, s->workspace, workspace_bytes, s->stream);
}

/* A run is measured: what the library would say to this shape. Where it fails, the run itself will tell. */
static void foresee(CudaState *s, const MatmulKey *k, const MatmulOperands *o)
{
    MatmulPlan *plan = matmul_plan(s, k);
    if (plan_prepare(s, plan, o, 1) == OK)
        plain_share_add(s, k, plan->plain);
}

Status matmul_multiply(CudaState *s, MatmulKey *k, const MatmulOperands *o, double scale)
{
    align_key(k, o);
    if (s->stream == NO_STREAM) {
        foresee(s, k, o);
        return OK;
    }
    MatmulPlan *plan = matmul_plan(s, k);
    const float alpha = (float)scale;
    TRY(plan_prepare(s, plan, o, alpha));
    if (!plan->plain) {
        cublasStatus_t status = matmul_launch(s, plan, o, alpha, &plan->algo, plan->workspace_bytes);
        if (!cublas_refuses(status)) {
            plain_share_add(s, k, false);
            return cublas_check(status, "matmul");
        }
        TRY(cuda_check(cudaGetLastError(), "matmul"));
        plan->plain = true;
        tell_plain(s, k, "cuBLASLt refuses the algorithm that it offered", status);
    }
    plain_share_add(s, k, true);
    return matmul_plain(s->stream, k, o, alpha);
}

static Status matmul_run(KernelCtx *ctx, const Matmul *a)
{
    if (a->k <= 0) { /* an empty sum leaves the bias */
        Convert c = {a->bias, a->c, a->bias ? a->bias_type : a->c_type, a->c_type, a->m, a->n, 0, a->ldc, matmul_addend(a)};
        return convert(ctx, c);
    }
    Prepared p = prepare(a);
    TRY(use_workspace(ctx, a, &p));
    TRY(matmul_multiply(cuda_state(ctx), &p.key, &p.o, a->alpha));
    if (!p.wide_result)
        return OK;
    Convert c = {p.o.c, a->c, F32, BF16, a->m, a->n, a->n, a->ldc, matmul_addend(a)};
    return convert(ctx, c);
}

Status matmul_any(KernelCtx *ctx, const Matmul *a)
{
    TRY(check_matmul(a));
    if (a->m <= 0 || a->n <= 0)
        return OK;
    Matmul part[2];
    for (int i = 0, n = matmul_parts(a, part); i < n; i++)
        TRY(matmul_run(ctx, &part[i]));
    return OK;
}

/* ---- column sums: partial sums over chunks of rows, then over the chunks, both in order ---- */

enum { SUM_THREADS = 128, SUM_CHUNKS = 64 };

template <class T> __global__ void __launch_bounds__(SUM_THREADS)
    column_partial(const T *x, double *partial, int64_t rows, int64_t cols, int64_t ldx, int64_t rows_each)
{
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, begin = blockIdx.y * rows_each;
    if (c >= cols)
        return;
    int64_t end = begin + rows_each < rows ? begin + rows_each : rows;
    double total = 0;
    for (int64_t r = begin; r < end; r++)
        total += load(x + r * ldx + c);
    store(partial + blockIdx.y * cols + c, total);
}

static __global__ void __launch_bounds__(SUM_THREADS) column_total(const double *partial, float *out, int64_t chunks, int64_t cols,
                                                                   bool accumulate)
{
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols)
        return;
    double total = 0;
    for (int64_t k = 0; k < chunks; k++)
        total += load(partial + k * cols + c);
    store(out + c, (float)(accumulate ? load(out + c) + total : total));
}

static Status column_sum(KernelCtx *ctx, const ColumnSum *a)
{
    TRY(check_column_sum(a));
    if (a->cols <= 0)
        return OK;
    int64_t chunks = a->rows < (int64_t)SUM_CHUNKS ? a->rows : (int64_t)SUM_CHUNKS;
    void *memory;
    TRY(cuda_workspace(ctx, "column_sum", (size_t)(chunks * a->cols) * sizeof(double), &memory));
    double *partial = (double *)memory;
    dim3 grid(ceil_div(a->cols, SUM_THREADS), (unsigned)chunks);
    if (chunks)
        WITH_TYPE(a->x_type, T, {
            LAUNCH_FLAT((column_partial<T>), grid, SUM_THREADS, cuda_stream(ctx), (const T *)a->x, partial, a->rows, a->cols, a->ldx,
                        (a->rows + chunks - 1) / chunks);
        });
    LAUNCH_FLAT(column_total, dim3(grid.x), SUM_THREADS, cuda_stream(ctx), partial, (float *)a->out, chunks, a->cols, a->accumulate);
    return cuda_launched("column_sum");
}

void cuda_matmul(KernelTable *t)
{
    t->matmul = matmul_any;
    t->column_sum = column_sum;
}
