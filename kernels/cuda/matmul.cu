/* matmul.cu: matrix products through cuBLASLt, and column sums.
 *
 * cuBLASLt thinks in column-major matrices: our row-major C[m,n] is its Cᵀ[n,m], so it is asked for Cᵀ = op(B)ᵀ·op(A)ᵀ, with our B first. A bias
 * of n elements then runs along its rows, as its epilogue wants. An algorithm is chosen once for a shape and kept. */
#include "kernels/cuda/backend.cuh"

static cudaDataType_t cublas_type(DType t) { return t == BF16 ? CUDA_R_16BF : CUDA_R_32F; }

static bool same_plan(const MatmulPlan *p, const MatmulPlan *q)
{
    return p->m == q->m && p->n == q->n && p->k == q->k && p->lda == q->lda && p->ldb == q->ldb && p->ldc == q->ldc && p->a_type == q->a_type &&
           p->b_type == q->b_type && p->c_type == q->c_type && p->bias_type == q->bias_type && p->a_trans == q->a_trans && p->b_trans == q->b_trans &&
           p->has_bias == q->has_bias;
}

static void plan_free(const CudaState *s, MatmulPlan *p)
{
    if (p->desc)
        s->cublas.cublasLtMatmulDescDestroy(p->desc);
    if (p->a)
        s->cublas.cublasLtMatrixLayoutDestroy(p->a);
    if (p->b)
        s->cublas.cublasLtMatrixLayoutDestroy(p->b);
    if (p->c)
        s->cublas.cublasLtMatrixLayoutDestroy(p->c);
}

void matmul_plans_free(CudaState *s)
{
    for (int i = 0; i < s->n_plans; i++)
        plan_free(s, &s->plans[i]);
    s->n_plans = 0;
}

/* A stored row-major [rows, cols] matrix with row stride ld is a column-major [cols, rows] one. */
static Status layout(const CudaState *s, cublasLtMatrixLayout_t *out, DType type, int64_t rows, int64_t cols, int64_t ld)
{
    return cublas_check(s->cublas.cublasLtMatrixLayoutCreate(out, cublas_type(type), (uint64_t)cols, (uint64_t)rows, ld), "matmul layout");
}

static Status plan_make(CudaState *s, MatmulPlan *p)
{
    cublasOperation_t transpose_b = p->b_trans ? CUBLAS_OP_T : CUBLAS_OP_N, transpose_a = p->a_trans ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = p->has_bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    cudaDataType_t bias_type = cublas_type(p->bias_type);
    TRY(cublas_check(s->cublas.cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "matmul"));
    TRY(cublas_check(s->cublas.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transpose_b, sizeof transpose_b), "matmul"));
    TRY(cublas_check(s->cublas.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &transpose_a, sizeof transpose_a), "matmul"));
    TRY(cublas_check(s->cublas.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue), "matmul"));
    if (p->has_bias)
        TRY(cublas_check(s->cublas.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type), "matmul"));
    TRY(p->b_trans ? layout(s, &p->b, p->b_type, p->n, p->k, p->ldb) : layout(s, &p->b, p->b_type, p->k, p->n, p->ldb));
    TRY(p->a_trans ? layout(s, &p->a, p->a_type, p->k, p->m, p->lda) : layout(s, &p->a, p->a_type, p->m, p->k, p->lda));
    TRY(layout(s, &p->c, p->c_type, p->m, p->n, p->ldc));
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    TRY(cublas_check(s->cublas.cublasLtMatmulAlgoGetHeuristic(s->lt, p->desc, p->b, p->a, p->c, p->c, s->preference, 1, &best, &found), "matmul algorithm"));
    if (!found)
        return fail(ERR_DEVICE, "matmul: cuBLASLt has no deterministic algorithm for m %lld, n %lld, k %lld", (long long)p->m, (long long)p->n,
                    (long long)p->k);
    p->algo = best.algo;
    p->workspace_bytes = best.workspaceSize;
    return OK;
}

static Status plan_find(CudaState *s, const MatmulPlan *wanted, MatmulPlan **out)
{
    for (int i = 0; i < s->n_plans; i++)
        if (same_plan(&s->plans[i], wanted)) {
            *out = &s->plans[i];
            return OK;
        }
    if (s->n_plans == MATMUL_PLANS)
        matmul_plans_free(s); /* packed batches of ever new lengths: begin again */
    MatmulPlan *p = &s->plans[s->n_plans];
    *p = *wanted;
    Status status = plan_make(s, p);
    if (status != OK) {
        plan_free(s, p);
        return status;
    }
    s->n_plans++;
    *out = p;
    return OK;
}

/* cuBLASLt multiplies equal types: the operand in BF16 beside one in F32 is widened, packed. */
static Status widen_operand(KernelCtx *ctx, const void **data, DType *type, int64_t rows, int64_t cols, int64_t *ld)
{
    void *memory;
    TRY(cuda_workspace(ctx, "matmul", (size_t)(rows * cols) * sizeof(float), &memory));
    float *wide = (float *)memory;
    for (int64_t r = 0; r < (*ld == cols ? 1 : rows); r++) {
        int64_t n = *ld == cols ? rows * cols : cols;
        AddScaled cast = {};
        cast.n = n;
        cast.a_type = *type;
        cast.b_type = cast.y_type = F32;
        cast.alpha = 1;
        cast.a = (const char *)*data + (size_t)(r * *ld) * dtype_size(*type);
        cast.y = wide + r * cols;
        TRY(cuda_add_scaled(ctx, &cast));
    }
    *data = wide;
    *type = F32;
    *ld = cols;
    return OK;
}

static Status matmul_run(KernelCtx *ctx, const Matmul *a)
{
    CudaState *s = cuda_state(ctx);
    MatmulPlan wanted = {}, *plan;
    const void *pa = a->a, *pb = a->b;
    wanted.m = a->m, wanted.n = a->n, wanted.k = a->k;
    wanted.lda = a->lda, wanted.ldb = a->ldb, wanted.ldc = a->ldc;
    wanted.a_type = a->a_type, wanted.b_type = a->b_type, wanted.c_type = a->c_type;
    wanted.a_trans = a->a_trans, wanted.b_trans = a->b_trans;
    wanted.has_bias = a->bias != nullptr;
    wanted.bias_type = a->bias ? a->bias_type : a->c_type;
    if (wanted.a_type != wanted.b_type && wanted.a_type == BF16)
        TRY(widen_operand(ctx, &pa, &wanted.a_type, a->a_trans ? a->k : a->m, a->a_trans ? a->m : a->k, &wanted.lda));
    if (wanted.a_type != wanted.b_type && wanted.b_type == BF16)
        TRY(widen_operand(ctx, &pb, &wanted.b_type, a->b_trans ? a->n : a->k, a->b_trans ? a->k : a->n, &wanted.ldb));
    TRY(plan_find(s, &wanted, &plan));
    if (a->bias)
        TRY(cublas_check(s->cublas.cublasLtMatmulDescSetAttribute(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &a->bias, sizeof a->bias), "matmul bias"));
    float alpha = (float)a->alpha, beta = a->accumulate ? 1.0f : 0.0f;
    return cublas_check(s->cublas.cublasLtMatmul(s->lt, plan->desc, &alpha, pb, plan->b, pa, plan->a, &beta, a->c, plan->c, a->c, plan->c, &plan->algo,
                                       s->workspace, plan->workspace_bytes, s->stream),
                        "matmul");
}

extern "C" Status cuda_matmul(KernelCtx *ctx, const Matmul *a)
{
    TRY(check_matmul(a));
    if (a->m <= 0 || a->n <= 0)
        return OK;
    if (!a->k2)
        return matmul_run(ctx, a);
    Matmul first = matmul_first(a);
    if (matmul_continues(a)) {
        first.k += a->k2;
        return matmul_run(ctx, &first);
    }
    /* The short one first: it only writes C, and the long one has time to read it while it multiplies. */
    Matmul second = matmul_second(a);
    TRY(matmul_run(ctx, &second));
    first.accumulate = true;
    return matmul_run(ctx, &first);
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

static __global__ void __launch_bounds__(SUM_THREADS) column_total(const double *partial, float *out, int64_t chunks, int64_t cols, bool accumulate)
{
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols)
        return;
    double total = 0;
    for (int64_t k = 0; k < chunks; k++)
        total += load(partial + k * cols + c);
    store(out + c, (float)(accumulate ? load(out + c) + total : total));
}

extern "C" Status cuda_column_sum(KernelCtx *ctx, const ColumnSum *a)
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
