#include <cublasLt.h>

#include <vector>

/* op(X) as a packed row-major f32 matrix [rows, cols]. */
static std::vector<float> operand(const void *x, cublasLtMatrixLayout_t l, bool transpose, int64_t *rows, int64_t *cols)
{
    *rows = (int64_t)(transpose ? l->cols : l->rows);
    *cols = (int64_t)(transpose ? l->rows : l->cols);
    std::vector<float> m((size_t)(*rows * *cols));
    for (int64_t i = 0; i < *rows; i++)
        for (int64_t j = 0; j < *cols; j++)
            m[(size_t)(i * *cols + j)] = cublas_host_get(x, l->type, transpose ? i * l->ld + j : j * l->ld + i);
    return m;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha, const void *a, cublasLtMatrixLayout_t la, const void *b,
                              cublasLtMatrixLayout_t lb, const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *d, cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t *, void *, size_t, cudaStream_t)
{
    int64_t m, k, n, kb;
    if (la->type != lb->type)
        return CUBLAS_STATUS_INVALID_VALUE;
    std::vector<float> x = operand(a, la, desc->transpose_a == CUBLAS_OP_T, &m, &k);
    /* op(B)ᵀ, so that both are walked along k */
    std::vector<float> y = operand(b, lb, desc->transpose_b != CUBLAS_OP_T, &n, &kb);
    if (k != kb || m != (int64_t)ld->rows || n != (int64_t)ld->cols || lc->rows != ld->rows || lc->type != ld->type)
        return CUBLAS_STATUS_INVALID_VALUE;
    float scale = *(const float *)alpha, keep = *(const float *)beta;
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < m; i++) {
            double sum = 0;
            for (int64_t q = 0; q < k; q++)
                sum += (double)x[(size_t)(i * k + q)] * (double)y[(size_t)(j * k + q)];
            float v = scale * (float)sum;
            if (keep != 0)
                v += keep * cublas_host_get(c, lc->type, j * lc->ld + i);
            if (desc->epilogue == CUBLASLT_EPILOGUE_BIAS)
                v += cublas_host_get(desc->bias, desc->bias_type, i);
            if (ld->type == CUDA_R_32F)
                ((float *)d)[j * ld->ld + i] = v;
            else
                ((bf16 *)d)[j * ld->ld + i] = f32_to_bf16(v);
        }
    return CUBLAS_STATUS_SUCCESS;
}
