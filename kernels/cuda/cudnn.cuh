/* cudnn.cuh: the part of cuDNN that convolutions use, found when a device is opened, and convolutions by it. Called by conv.cu and
 * backend.cu.
 *
 * Its types, values and functions are declared here, as cuDNN 8 and 9 both have them, so that a build does not need its headers and a
 * program runs where there is none: conv.cu has kernels for everything. */
#ifndef GENLLAVA_KERNELS_CUDA_CUDNN_CUH
#define GENLLAVA_KERNELS_CUDA_CUDNN_CUH

#include <cuda_runtime.h>

#include "kernels/ops/op.h"

extern "C" {
typedef int cudnnStatus_t; /* 0: success; the others were numbered anew in 9 (cudnn.cu) */
typedef enum { CUDNN_DATA_FLOAT = 0, CUDNN_DATA_BFLOAT16 = 9 } cudnnDataType_t;
typedef enum { CUDNN_TENSOR_NCHW = 0, CUDNN_TENSOR_NHWC = 1 } cudnnTensorFormat_t;
typedef enum { CUDNN_CONVOLUTION = 0, CUDNN_CROSS_CORRELATION = 1 } cudnnConvolutionMode_t;
/* DEFAULT rounds f32 to TF32 on the way to a tensor core; FMA does not. */
typedef enum { CUDNN_DEFAULT_MATH = 0, CUDNN_TENSOR_OP_MATH = 1, CUDNN_FMA_MATH = 3 } cudnnMathType_t;
/* Of each kind the matrix product with a gathered operand. These sum in a fixed order; number 0 of the backward ones does not. */
typedef enum { CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM = 1 } cudnnConvolutionFwdAlgo_t;
typedef enum { CUDNN_CONVOLUTION_BWD_DATA_ALGO_1 = 1 } cudnnConvolutionBwdDataAlgo_t;
typedef enum { CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1 = 1 } cudnnConvolutionBwdFilterAlgo_t;
typedef struct cudnnContext *cudnnHandle_t;
typedef struct cudnnTensorStruct *cudnnTensorDescriptor_t;
typedef struct cudnnFilterStruct *cudnnFilterDescriptor_t;
typedef struct cudnnConvolutionStruct *cudnnConvolutionDescriptor_t;

size_t cudnnGetVersion(void);
const char *cudnnGetErrorString(cudnnStatus_t status);
cudnnStatus_t cudnnCreate(cudnnHandle_t *handle);
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle);
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream);
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *desc);
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t desc, cudnnTensorFormat_t format, cudnnDataType_t type, int images,
                                         int channels, int height, int width);
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t desc);
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *desc);
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t desc, cudnnDataType_t type, cudnnTensorFormat_t format, int out, int in,
                                         int height, int width);
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t desc);
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *desc);
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t desc, int pad_y, int pad_x, int stride_y, int stride_x,
                                              int dilation_y, int dilation_x, cudnnConvolutionMode_t mode, cudnnDataType_t compute);
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t desc, cudnnMathType_t math);
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t desc);
cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                                                      cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t algo, size_t *n_bytes);
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t handle, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy,
                                                           cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t dx,
                                                           cudnnConvolutionBwdDataAlgo_t algo, size_t *n_bytes);
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
                                                             cudnnConvolutionDescriptor_t conv, cudnnFilterDescriptor_t dw,
                                                             cudnnConvolutionBwdFilterAlgo_t algo, size_t *n_bytes);
/* All three: result = alpha · convolution + beta · result; alpha and beta are f32 of the host. */
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t x_desc, const void *x,
                                      cudnnFilterDescriptor_t w_desc, const void *w, cudnnConvolutionDescriptor_t conv,
                                      cudnnConvolutionFwdAlgo_t algo, void *workspace, size_t workspace_bytes, const void *beta,
                                      cudnnTensorDescriptor_t y_desc, void *y);
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha, cudnnFilterDescriptor_t w_desc, const void *w,
                                           cudnnTensorDescriptor_t dy_desc, const void *dy, cudnnConvolutionDescriptor_t conv,
                                           cudnnConvolutionBwdDataAlgo_t algo, void *workspace, size_t workspace_bytes, const void *beta,
                                           cudnnTensorDescriptor_t dx_desc, void *dx);
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t x_desc, const void *x,
                                             cudnnTensorDescriptor_t dy_desc, const void *dy, cudnnConvolutionDescriptor_t conv,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *workspace, size_t workspace_bytes,
                                             const void *beta, cudnnFilterDescriptor_t dw_desc, void *dw);
}

#define CUDNN_LIST(X)                                 \
    X(cudnnGetVersion)                                \
    X(cudnnGetErrorString)                            \
    X(cudnnCreate)                                    \
    X(cudnnDestroy)                                   \
    X(cudnnSetStream)                                 \
    X(cudnnCreateTensorDescriptor)                    \
    X(cudnnSetTensor4dDescriptor)                     \
    X(cudnnDestroyTensorDescriptor)                   \
    X(cudnnCreateFilterDescriptor)                    \
    X(cudnnSetFilter4dDescriptor)                     \
    X(cudnnDestroyFilterDescriptor)                   \
    X(cudnnCreateConvolutionDescriptor)               \
    X(cudnnSetConvolution2dDescriptor)                \
    X(cudnnSetConvolutionMathType)                    \
    X(cudnnDestroyConvolutionDescriptor)              \
    X(cudnnGetConvolutionForwardWorkspaceSize)        \
    X(cudnnGetConvolutionBackwardDataWorkspaceSize)   \
    X(cudnnGetConvolutionBackwardFilterWorkspaceSize) \
    X(cudnnConvolutionForward)                        \
    X(cudnnConvolutionBackwardData)                   \
    X(cudnnConvolutionBackwardFilter)

enum ConvKind { CONV_FORWARD, CONV_DX, CONV_DW, N_CONV_KINDS };

struct ConvPlan; /* cudnn.cu */
enum { CONV_PLANS = 512 };

/* Of an opened device. Zeroed is closed. */
struct Cudnn {
#define CUDNN_MEMBER(name) decltype(&::name) name;
    CUDNN_LIST(CUDNN_MEMBER)
#undef CUDNN_MEMBER
    bool found;               /* the functions are there */
    bool off;                 /* not to be asked (any more); said */
    char version[32];         /* "cuDNN 9.19.0"; "" while not found */
    char missing[512];        /* why not */
    cudnnHandle_t handle;     /* from the first convolution on */
    ConvPlan *plans;          /* one for each kind, shape and types; CONV_PLANS of them */
    int n_plans;
    bool told[N_CONV_KINDS];  /* that a convolution of this kind was refused */
};

/* GENLLAVA_CUDNN=0 leaves it alone. A library that is not there is no failure. */
Status cudnn_find(Cudnn *c);
void cudnn_close(Cudnn *c);

/* A convolution of one kind. a, b -> out are x, w -> y; dy, w -> dx; x, dy -> dw. */
struct ConvCall {
    ConvKind kind;
    const ConvShape *shape; /* nothing in it is empty */
    DType images, weights;  /* types of x, y, dx, dy; of w, dw */
    bool accumulate;
    const void *a, *b;
    void *out;
};

/* *taken: cuDNN computes it, or will when the run is more than measured; otherwise it is for a kernel of ours. */
Status conv_by_cudnn(KernelCtx *ctx, const ConvCall &c, bool *taken);
#endif
