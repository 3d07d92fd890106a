/* backend.cuh: the cuda backend's own state, one per opened backend, on one device. */
#ifndef GENLLAVA_KERNELS_CUDA_BACKEND_H
#define GENLLAVA_KERNELS_CUDA_BACKEND_H

#include "kernels/cuda/cublas.cuh"
#include "kernels/cuda/device.cuh"

/* A matmul as cuBLASLt wants it described, with the algorithm chosen for it. */
struct MatmulPlan {
    int64_t m, n, k, lda, ldb, ldc;
    DType a_type, b_type, c_type, bias_type;
    bool a_trans, b_trans, has_bias;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
    size_t workspace_bytes;
};

enum { MATMUL_PLANS = 512, MATMUL_WORKSPACE = 32 << 20 };

struct CudaState {
    int device;
    cudaStream_t stream; /* all kernels and copies */
    Cublas cublas;
    cublasLtHandle_t lt;
    cublasLtMatmulPreference_t preference;
    void *workspace; /* MATMUL_WORKSPACE bytes */
    void *partial;   /* of operators that need memory besides, n_partial bytes; grows */
    size_t n_partial;
    MatmulPlan *plans;
    int n_plans;
};

static inline CudaState *cuda_state(KernelCtx *ctx) { return (CudaState *)ctx->device; }

/* "what: the runtime's sentence" as ERR_DEVICE, or ERR_NOMEM for exhausted memory; OK for success. */
Status cuda_check(cudaError_t e, const char *what);
Status cublas_check(cublasStatus_t s, const char *what);
void matmul_plans_free(CudaState *s);
#endif
