/* cudnn.cc: the part of cuDNN that kernels/cuda calls, computed on the host, for convolutions that are to go that way on the emulation. As
 * particular as the library: it refuses what that refuses, and what must not be asked of it is a fault.
 *
 *   CUDA_HOST_CUDNN in the environment (absent: no library is found)
 *     9         release 9, in which gradients of weights have the type of the images
 *     8         the same with the numbers of release 8
 *     MIXED     … also gives gradients of bf16 images in f32
 *     NONE      knows no algorithm for any shape; REFUSED: finds out when it is called
 *     CLOSED    cannot be opened; BROKEN: fails while it computes; FULL: has no memory for a shape
 *     GREEDY    wants two gigabytes of workspace */
#include "kernels/cuda/cudnn.cuh"

#include <vector>

#include "kernels/base/dtype.h"

namespace {

bool told_to(const char *what)
{
    const char *order = getenv("CUDA_HOST_CUDNN");
    return order && !strcmp(order, what);
}

bool is_release_8() { return told_to("8"); }
cudnnStatus_t bad_param() { return is_release_8() ? 3 : 2000; }
cudnnStatus_t not_supported() { return is_release_8() ? 9 : 3000; }
cudnnStatus_t failed() { return is_release_8() ? 8 : 5000; }
cudnnStatus_t no_memory() { return is_release_8() ? 2 : 4004; }

int n_objects, n_handles; /* that were made and not destroyed; handles are objects too */

/* A tensor or filter; rows, columns: along y and x. */
struct Layout {
    cudnnDataType_t type;
    int first, channels, height, width;
    size_t elements() const { return (size_t)first * (size_t)channels * (size_t)height * (size_t)width; }
    size_t bytes() const { return elements() * (type == CUDNN_DATA_FLOAT ? 4 : 2); }
    size_t at(int n, int c, int y, int x) const
    {
        return (((size_t)n * (size_t)height + (size_t)y) * (size_t)width + (size_t)x) * (size_t)channels + (size_t)c;
    }
};

cudnnStatus_t set(Layout *l, cudnnTensorFormat_t format, cudnnDataType_t type, int first, int channels, int height, int width)
{
    if (first < 1 || channels < 1 || height < 1 || width < 1 || (type != CUDNN_DATA_FLOAT && type != CUDNN_DATA_BFLOAT16))
        return bad_param();
    if (format != CUDNN_TENSOR_NHWC)
        cuda_host_fault("a descriptor whose channels are not the last dimension");
    *l = Layout{type, first, channels, height, width};
    return 0;
}

template <class T> cudnnStatus_t create(T **out)
{
    n_objects++;
    *out = new T{};
    return 0;
}
template <class T> cudnnStatus_t destroy(T *d)
{
    n_objects--;
    delete d;
    return 0;
}

} // namespace

struct cudnnTensorStruct {
    Layout l;
};
struct cudnnFilterStruct {
    Layout l;
};
struct cudnnConvolutionStruct {
    int pad_y, pad_x, stride_y, stride_x;
    cudnnDataType_t compute;
    cudnnMathType_t math;
};
struct cudnnContext {
    cudaStream_t stream;
};

namespace {

/* Everything by value: it runs when the stream gets there. */
struct Convolution {
    ConvKind kind;
    Layout x, w, y;
    cudnnConvolutionStruct conv;
    const void *a, *b; /* as in ConvCall */
    void *out;
    float alpha, beta;

    const Layout &result() const { return kind == CONV_FORWARD ? y : kind == CONV_DX ? x : w; }
    const Layout &left() const { return kind == CONV_DX ? y : x; }
    const Layout &right() const { return kind == CONV_DW ? y : w; }
    bool is_known() const;
    cudnnStatus_t size(int algo, size_t *n_bytes) const;
    template <class F> void each_product(int n, int c, int i, int j, const F &f) const;
    void run() const;
    cudnnStatus_t call(cudnnHandle_t handle, int algo, void *workspace, size_t workspace_bytes);
};

/* Channels and images agree, and the result has the size that the library's formula gives. */
bool Convolution::is_known() const
{
    return x.channels == w.channels && y.channels == w.first && x.first == y.first &&
           y.height == (x.height + 2 * conv.pad_y - w.height) / conv.stride_y + 1 &&
           y.width == (x.width + 2 * conv.pad_x - w.width) / conv.stride_x + 1;
}

/* Some algorithms want none. */
cudnnStatus_t Convolution::size(int algo, size_t *n_bytes) const
{
    const bool narrow = x.type == CUDNN_DATA_BFLOAT16, mixed = kind == CONV_DW && told_to("MIXED") && narrow;
    *n_bytes = 0;
    if (algo != 1)
        cuda_host_fault("a convolution by an algorithm whose sums have no fixed order");
    if (told_to("FULL"))
        return no_memory();
    if (!is_known() || conv.compute != CUDNN_DATA_FLOAT)
        return bad_param();
    if (told_to("NONE") || x.type != y.type || (x.type != w.type && !(mixed && w.type == CUDNN_DATA_FLOAT)) ||
        (narrow && conv.math == CUDNN_FMA_MATH))
        return not_supported();
    *n_bytes = told_to("GREEDY") ? (size_t)2 << 30 : kind == CONV_DX ? 0 : 4 * result().elements() + 4;
    return 0;
}

/* f(element of the left operand, of the right one) for the products that make element (n, c, i, j) of the result. */
template <class F> void Convolution::each_product(int n, int c, int i, int j, const F &f) const
{
    if (kind == CONV_DW) { /* n: out, c: in, i, j: the tap */
        for (int image = 0; image < y.first; image++)
            for (int p = 0; p < y.height; p++)
                for (int q = 0; q < y.width; q++) {
                    int from_y = p * conv.stride_y + i - conv.pad_y, from_x = q * conv.stride_x + j - conv.pad_x;
                    if (from_y >= 0 && from_y < x.height && from_x >= 0 && from_x < x.width)
                        f(x.at(image, c, from_y, from_x), y.at(image, n, p, q));
                }
        return;
    }
    for (int u = 0; u < w.height; u++)
        for (int v = 0; v < w.width; v++)
            if (kind == CONV_FORWARD) {
                int from_y = i * conv.stride_y + u - conv.pad_y, from_x = j * conv.stride_x + v - conv.pad_x;
                if (from_y >= 0 && from_y < x.height && from_x >= 0 && from_x < x.width)
                    for (int k = 0; k < x.channels; k++)
                        f(x.at(n, k, from_y, from_x), w.at(c, k, u, v));
            } else {
                int p = i + conv.pad_y - u, q = j + conv.pad_x - v;
                if (p >= 0 && p % conv.stride_y == 0 && p / conv.stride_y < y.height && q >= 0 && q % conv.stride_x == 0 &&
                    q / conv.stride_x < y.width)
                    for (int k = 0; k < y.channels; k++)
                        f(y.at(n, k, p / conv.stride_y, q / conv.stride_x), w.at(k, c, u, v));
            }
}

/* conv.math says whether f32 keeps its digits: otherwise a tensor core takes it as TF32. */
float operand(const void *p, const Layout &l, size_t at, cudnnMathType_t math)
{
    if (l.type == CUDNN_DATA_BFLOAT16)
        return bf16_to_f32(((const bf16 *)p)[at]);
    float v = ((const float *)p)[at];
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= math == CUDNN_FMA_MATH ? ~0u : 0xffffe000u;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void Convolution::run() const
{
    const Layout &r = result();
    std::vector<float> p, q;
    for (int n = 0; n < r.first; n++)
        for (int i = 0; i < r.height; i++)
            for (int j = 0; j < r.width; j++)
                for (int c = 0; c < r.channels; c++) {
                    p.clear();
                    q.clear();
                    each_product(n, c, i, j, [&](size_t from_left, size_t from_right) {
                        p.push_back(operand(a, left(), from_left, conv.math));
                        q.push_back(operand(b, right(), from_right, conv.math));
                    });
                    const int64_t terms = (int64_t)p.size();
                    float v = alpha * (left().type == CUDNN_DATA_BFLOAT16 ? cuda_host_tensor_core(0, p.data(), q.data(), terms)
                                                                          : cuda_host_dot(p.data(), q.data(), terms));
                    const size_t at = r.at(n, c, i, j);
                    if (r.type == CUDNN_DATA_FLOAT)
                        ((float *)out)[at] = beta != 0 ? v + beta * ((float *)out)[at] : v;
                    else
                        ((bf16 *)out)[at] = f32_to_bf16(beta != 0 ? v + beta * bf16_to_f32(((bf16 *)out)[at]) : v);
                }
}

void expect_array(const char *what, const void *p, const Layout &l)
{
    if ((uintptr_t)p % 16)
        cuda_host_fault("a convolution's %s at an address that is not a multiple of 16", what);
    if (!cuda_host_owns(p, l.bytes()))
        cuda_host_fault("a convolution's %s is not memory of the device", what);
}

cudnnStatus_t Convolution::call(cudnnHandle_t handle, int algo, void *workspace, size_t workspace_bytes)
{
    size_t needed;
    cudnnStatus_t s = size(algo, &needed);
    if (s || told_to("REFUSED"))
        return s ? s : not_supported();
    if (told_to("BROKEN"))
        return failed();
    if (workspace_bytes < needed)
        return bad_param();
    expect_array("left operand", a, left());
    expect_array("right operand", b, right());
    expect_array("result", out, result());
    if (needed && ((uintptr_t)workspace % 256 || !cuda_host_owns(workspace, needed)))
        cuda_host_fault("a convolution's workspace is not memory of the device at a multiple of 256");
    Convolution copy = *this;
    cuda_host_enqueue(handle->stream, "cudnnConvolution", [copy, workspace, needed] {
        if (needed)
            memset(workspace, 0xff, needed);
        copy.run();
    });
    return cudaPeekAtLastError() == cudaSuccess ? 0 : failed();
}

float number(const void *p) { return *(const float *)p; }

} // namespace

size_t cudnnGetVersion() { return is_release_8() ? 8907 : 91900; }
const char *cudnnGetErrorString(cudnnStatus_t s)
{
    return s == not_supported() ? "CUDNN_STATUS_NOT_SUPPORTED"
           : s == failed()      ? "CUDNN_STATUS_EXECUTION_FAILED"
           : s == bad_param()   ? "CUDNN_STATUS_BAD_PARAM"
                                : "CUDNN_STATUS_NOT_INITIALIZED";
}
cudnnStatus_t cudnnCreate(cudnnHandle_t *h)
{
    if (told_to("CLOSED"))
        return 1001;
    n_handles++;
    return create(h);
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t h)
{
    destroy(h);
    if (--n_handles == 0 && n_objects)
        cuda_host_fault("cuDNN is closed, and %d descriptors are left", n_objects);
    return 0;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream)
{
    h->stream = stream;
    return 0;
}
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *d) { return create(d); }
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t format, cudnnDataType_t type, int images,
                                         int channels, int height, int width)
{
    return set(&d->l, format, type, images, channels, height, width);
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d) { return destroy(d); }
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *d) { return create(d); }
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t format, int out, int in,
                                         int height, int width)
{
    return set(&d->l, format, type, out, in, height, width);
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d) { return destroy(d); }
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *d) { return create(d); }
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int pad_y, int pad_x, int stride_y, int stride_x,
                                              int dilation_y, int dilation_x, cudnnConvolutionMode_t mode, cudnnDataType_t compute)
{
    if (pad_y < 0 || pad_x < 0 || stride_y < 1 || stride_x < 1 || dilation_y != 1 || dilation_x != 1)
        return bad_param();
    if (mode != CUDNN_CROSS_CORRELATION)
        cuda_host_fault("a convolution whose kernel is turned round");
    *d = cudnnConvolutionStruct{pad_y, pad_x, stride_y, stride_x, compute, CUDNN_DEFAULT_MATH};
    return 0;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t math)
{
    d->math = math;
    return 0;
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d) { return destroy(d); }

static Convolution described(ConvKind kind, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t y,
                             cudnnConvolutionDescriptor_t conv)
{
    return Convolution{kind, x->l, w->l, y->l, *conv, nullptr, nullptr, nullptr, 1, 0};
}
static Convolution with_arrays(Convolution c, const void *a, const void *b, void *out, const void *alpha, const void *beta)
{
    c.a = a, c.b = b, c.out = out, c.alpha = number(alpha), c.beta = number(beta);
    return c;
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                                                      cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t algo, size_t *n_bytes)
{
    return described(CONV_FORWARD, x, w, y, conv).size(algo, n_bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy,
                                                           cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t dx,
                                                           cudnnConvolutionBwdDataAlgo_t algo, size_t *n_bytes)
{
    return described(CONV_DX, dx, w, dy, conv).size(algo, n_bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
                                                             cudnnConvolutionDescriptor_t conv, cudnnFilterDescriptor_t dw,
                                                             cudnnConvolutionBwdFilterAlgo_t algo, size_t *n_bytes)
{
    return described(CONV_DW, x, dw, dy, conv).size(algo, n_bytes);
}
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t x_desc, const void *x,
                                      cudnnFilterDescriptor_t w_desc, const void *w, cudnnConvolutionDescriptor_t conv,
                                      cudnnConvolutionFwdAlgo_t algo, void *workspace, size_t workspace_bytes, const void *beta,
                                      cudnnTensorDescriptor_t y_desc, void *y)
{
    return with_arrays(described(CONV_FORWARD, x_desc, w_desc, y_desc, conv), x, w, y, alpha, beta)
        .call(handle, algo, workspace, workspace_bytes);
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha, cudnnFilterDescriptor_t w_desc, const void *w,
                                           cudnnTensorDescriptor_t dy_desc, const void *dy, cudnnConvolutionDescriptor_t conv,
                                           cudnnConvolutionBwdDataAlgo_t algo, void *workspace, size_t workspace_bytes, const void *beta,
                                           cudnnTensorDescriptor_t dx_desc, void *dx)
{
    return with_arrays(described(CONV_DX, dx_desc, w_desc, dy_desc, conv), dy, w, dx, alpha, beta)
        .call(handle, algo, workspace, workspace_bytes);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t x_desc, const void *x,
                                             cudnnTensorDescriptor_t dy_desc, const void *dy, cudnnConvolutionDescriptor_t conv,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *workspace, size_t workspace_bytes,
                                             const void *beta, cudnnFilterDescriptor_t dw_desc, void *dw)
{
    return with_arrays(described(CONV_DW, x_desc, dw_desc, dy_desc, conv), x, dy, dw, alpha, beta)
        .call(handle, algo, workspace, workspace_bytes);
}
