/* cublas.cuh: cuBLASLt, loaded when a device is opened. The library is half a gigabyte: linked, it would cost every program a tenth of a
 * second to start, also where there is no GPU. */
#ifndef GENLLAVA_KERNELS_CUDA_CUBLAS_CUH
#define GENLLAVA_KERNELS_CUDA_CUBLAS_CUH

#include <cublasLt.h>

#include "kernels/base/status.h"

#define CUBLAS_LIST(X)                            \
    X(cublasLtCreate)                             \
    X(cublasLtDestroy)                            \
    X(cublasLtMatmulPreferenceCreate)             \
    X(cublasLtMatmulPreferenceDestroy)            \
    X(cublasLtMatmulPreferenceSetAttribute)       \
    X(cublasLtMatmulDescCreate)                   \
    X(cublasLtMatmulDescDestroy)                  \
    X(cublasLtMatmulDescSetAttribute)             \
    X(cublasLtMatrixLayoutCreate)                 \
    X(cublasLtMatrixLayoutDestroy)                \
    X(cublasLtGetVersion)                         \
    X(cublasLtMatmulAlgoGetHeuristic)             \
    X(cublasLtMatmulAlgoCheck)                    \
    X(cublasLtMatmulAlgoConfigGetAttribute)       \
    X(cublasLtMatmulAlgoCapGetAttribute)          \
    X(cublasLtMatmul)

struct Cublas {
#define CUBLAS_MEMBER(name) decltype(&::name) name;
    CUBLAS_LIST(CUBLAS_MEMBER)
#undef CUBLAS_MEMBER
};

Status cublas_load(Cublas *c); /* stays loaded until the process ends */
#endif
