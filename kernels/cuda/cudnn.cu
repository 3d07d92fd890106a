/* cudnn.cu: convolutions by cuDNN (cudnn.cuh), where it is installed and takes them: finding the library, descriptors kept for each shape,
 * the calls. Always the same algorithm for a kind, one whose sums have a fixed order. */
#include "kernels/cuda/cudnn.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/log.h"
#include "kernels/cuda/backend.cuh"
#include "kernels/ops/table.h"

/* ---- finding it ---- */

#if defined(CUDA_HOST_EMULATION)

/* CUDA_HOST_CUDNN: tests/cuda_host/cudnn.cc stands in for the library. */
static bool take_library(Cudnn *c)
{
    if (!getenv("CUDA_HOST_CUDNN")) {
        snprintf(c->missing, sizeof c->missing, "the emulation has none");
        return false;
    }
#define CUDNN_TAKE(name) c->name = ::name;
    CUDNN_LIST(CUDNN_TAKE)
#undef CUDNN_TAKE
    return true;
}

#else
#include <dlfcn.h>

/* What the system's loader finds, else what lies beside the toolkit of the build. */
static void *open_release(const char *name, char *why, size_t size)
{
    char path[4096];
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library)
        return library;
    const char *error = dlerror();
    snprintf(why, size, "%s", error ? error : name);
    snprintf(path, sizeof path, "%s/%s", CUDA_LIBRARY_FOLDER, name);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static bool take_library(Cudnn *c)
{
    char older[sizeof c->missing];
    void *library = open_release("libcudnn.so.9", c->missing, sizeof c->missing);
    if (!library)
        library = open_release("libcudnn.so.8", older, sizeof older);
    if (!library)
        return false;
#define CUDNN_FIND(name)                                                            \
    c->name = reinterpret_cast<decltype(&::name)>(dlsym(library, #name));           \
    if (!c->name) {                                                                 \
        snprintf(c->missing, sizeof c->missing, "libcudnn has no function " #name); \
        return false;                                                               \
    }
    CUDNN_LIST(CUDNN_FIND)
#undef CUDNN_FIND
    return true;
}
#endif

Status cudnn_find(Cudnn *c)
{
    const char *wanted = getenv("GENLLAVA_CUDNN");
    if (wanted && !strcmp(wanted, "0")) {
        snprintf(c->missing, sizeof c->missing, "GENLLAVA_CUDNN is 0");
        return OK;
    }
    if (wanted && *wanted && strcmp(wanted, "1"))
        return fail(ERR_USAGE, "GENLLAVA_CUDNN is \"%s\", expected 0 or 1", wanted);
    c->found = take_library(c);
    if (c->found) {
        int v = (int)c->cudnnGetVersion(), thousand = v < 10000 ? 1000 : 10000; /* 8907 is 8.9.7, 91900 is 9.19.0 */
        snprintf(c->version, sizeof c->version, "cuDNN %d.%d.%d", v / thousand, v % thousand / 100, v % 100);
    }
    return OK;
}

extern "C" void cuda_name_cudnn(char *out, size_t n)
{
    Cudnn c = {};
    if (cudnn_find(&c) == OK && c.found)
        snprintf(out, n, "%s", c.version + strlen("cuDNN "));
}

/* ---- what its numbers mean ---- */

enum Outcome { DONE, REFUSED, FULL, FAILED };

/* Refused: nothing was begun. The first numbers are those of release 8; in release 9 thousands tell the kind. */
static Outcome outcome_of(cudnnStatus_t s)
{
    enum { ALLOC_8 = 2, EXECUTION_8 = 8, HOST_ALLOC = 4003, DEVICE_ALLOC = 4004, EXECUTION = 5 };
    if (s == 0)
        return DONE;
    if (s == ALLOC_8 || s == HOST_ALLOC || s == DEVICE_ALLOC)
        return FULL;
    return s == EXECUTION_8 || s / 1000 == EXECUTION ? FAILED : REFUSED;
}

static Status failure(const Cudnn *c, cudnnStatus_t s)
{
    TRY(cuda_check(cudaGetLastError(), "convolution")); /* the cause, if the device has one to tell */
    if (outcome_of(s) == FULL)
        return memory_full("convolution");
    return fail(ERR_DEVICE, "convolution: %s: %s; GENLLAVA_CUDNN=0 in the environment does without it", c->version,
                c->cudnnGetErrorString(s));
}

/* ---- plans ---- */

/* Compared byte by byte: zero it first. */
struct ConvKey {
    int images, height, width, in, out, out_height, out_width, kernel, stride, top, left;
    uint8_t kind, image_type, weight_type, unused;
};
static_assert(sizeof(ConvKey) == 11 * sizeof(int) + 4, "no padding to compare");

struct ConvPlan {
    ConvKey key;
    bool refused;
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t conv;
    size_t workspace_bytes;
};

/* More than this is not worth the memory. */
constexpr size_t CONV_WORKSPACE_MOST = (size_t)1 << 30;

static void free_plans(Cudnn *c)
{
    for (int i = 0; i < c->n_plans; i++) {
        ConvPlan *p = &c->plans[i];
        if (p->x)
            c->cudnnDestroyTensorDescriptor(p->x);
        if (p->y)
            c->cudnnDestroyTensorDescriptor(p->y);
        if (p->w)
            c->cudnnDestroyFilterDescriptor(p->w);
        if (p->conv)
            c->cudnnDestroyConvolutionDescriptor(p->conv);
    }
    c->n_plans = 0;
}

void cudnn_close(Cudnn *c)
{
    free_plans(c);
    mem_free(c->plans);
    if (c->handle)
        c->cudnnDestroy(c->handle);
    memset(c, 0, sizeof *c);
}

static cudnnDataType_t cudnn_type(uint8_t t) { return t == BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }

/* The first status that is not a success. */
static cudnnStatus_t describe(const Cudnn *c, ConvPlan *p)
{
    const ConvKey *k = &p->key;
    const cudnnDataType_t images = cudnn_type(k->image_type);
    /* Products of f32 stay products of f32; those of bf16 go to the tensor cores. */
    const cudnnMathType_t math = k->image_type == BF16 ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH;
    cudnnStatus_t s = c->cudnnCreateTensorDescriptor(&p->x);
    s = s ? s : c->cudnnSetTensor4dDescriptor(p->x, CUDNN_TENSOR_NHWC, images, k->images, k->in, k->height, k->width);
    s = s ? s : c->cudnnCreateTensorDescriptor(&p->y);
    s = s ? s : c->cudnnSetTensor4dDescriptor(p->y, CUDNN_TENSOR_NHWC, images, k->images, k->out, k->out_height, k->out_width);
    s = s ? s : c->cudnnCreateFilterDescriptor(&p->w);
    s = s ? s : c->cudnnSetFilter4dDescriptor(p->w, cudnn_type(k->weight_type), CUDNN_TENSOR_NHWC, k->out, k->in, k->kernel, k->kernel);
    s = s ? s : c->cudnnCreateConvolutionDescriptor(&p->conv);
    s = s ? s : c->cudnnSetConvolution2dDescriptor(p->conv, k->top, k->left, k->stride, k->stride, 1, 1, CUDNN_CROSS_CORRELATION,
                                                   CUDNN_DATA_FLOAT);
    s = s ? s : c->cudnnSetConvolutionMathType(p->conv, math);
    if (s)
        return s;
    switch ((ConvKind)k->kind) {
    case CONV_FORWARD:
        return c->cudnnGetConvolutionForwardWorkspaceSize(c->handle, p->x, p->w, p->conv, p->y,
                                                          CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, &p->workspace_bytes);
    case CONV_DX:
        return c->cudnnGetConvolutionBackwardDataWorkspaceSize(c->handle, p->w, p->y, p->conv, p->x, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
                                                               &p->workspace_bytes);
    default:
        return c->cudnnGetConvolutionBackwardFilterWorkspaceSize(c->handle, p->x, p->y, p->conv, p->w,
                                                                 CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, &p->workspace_bytes);
    }
}

/* No failure: conv.cu has kernels. Said once for a kind, lest a network with a hundred shapes says it a hundred times. */
static void refuse(Cudnn *c, ConvPlan *p, const char *why)
{
    static const char *const NAMES[N_CONV_KINDS] = {"forward", "gradients of images", "gradients of weights"};
    const ConvKey *k = &p->key;
    p->refused = true;
    if (!c->told[k->kind])
        log_info("convolutions, %s: %s does not take images of %d x %d, %d to %d channels, kernel %d, stride %d (%s): %s; a kernel of "
                 "this program computes them, and others that it does not take", NAMES[k->kind], c->version, k->height, k->width, k->in,
                 k->out, k->kernel, k->stride, dtype_name((DType)k->image_type), why);
    c->told[k->kind] = true;
}

static Status find_plan(Cudnn *c, const ConvKey *key, ConvPlan **out)
{
    for (int i = 0; i < c->n_plans; i++)
        if (!memcmp(&c->plans[i].key, key, sizeof *key)) {
            *out = &c->plans[i];
            return OK;
        }
    if (c->n_plans == CONV_PLANS) /* ever new numbers of images: begin again */
        free_plans(c);
    ConvPlan *p = *out = &c->plans[c->n_plans++];
    *p = ConvPlan{};
    p->key = *key;
    cudnnStatus_t s = describe(c, p);
    if (outcome_of(s) == REFUSED)
        refuse(c, p, c->cudnnGetErrorString(s));
    else if (s)
        return failure(c, s);
    else if (p->workspace_bytes > CONV_WORKSPACE_MOST)
        refuse(c, p, "more than 1 GiB of workspace");
    return OK;
}

/* ---- calls ---- */

/* Opened at the first convolution: it takes memory of the device. */
static Status open_handle(CudaState *s, Cudnn *c)
{
    const char *why = c->missing;
    if (c->handle || c->off)
        return OK;
    if (c->found) {
        c->plans = (ConvPlan *)mem_alloc(CONV_PLANS * sizeof *c->plans);
        if (!c->plans)
            return fail(ERR_NOMEM, "no memory for the shapes of convolutions");
        cudnnStatus_t status = c->cudnnCreate(&c->handle);
        status = status ? status : c->cudnnSetStream(c->handle, s->stream);
        if (!status)
            return OK;
        cudaGetLastError(); /* not for ever: the next call starts clean */
        why = c->cudnnGetErrorString(status);
    }
    c->off = true;
    log_info("convolutions are computed by kernels of this program, without %s: %s", c->found ? c->version : "cuDNN", why);
    return OK;
}

/* What it can do: the same zeros on both sides (one more below or right may go unread), square kernels, bf16 or f32 alone, dw of bf16 in
 * f32 if at all, and whole vectors. */
static bool is_for_cudnn(const ConvCall &c, const Plane *to)
{
    const ConvShape *s = c.shape;
    const Plane *from = &s->from;
    const int64_t most = INT32_MAX, along_y = from->height + 2 * s->top - s->kernel_height,
                  along_x = from->width + 2 * s->left - s->kernel_width;
    const bool types = c.images == c.weights || (c.kind == CONV_DW && c.weights == F32);
    return types && s->kernel_height == s->kernel_width && (c.images == F32 || c.images == BF16) && along_y >= 0 &&
           along_y / s->stride + 1 == to->height && along_x >= 0 &&
           along_x / s->stride + 1 == to->width && plane_rows(from) * s->in <= most && plane_rows(to) * s->out <= most &&
           s->out * s->kernel_height * s->kernel_width * s->in <= most && is_aligned(c.a) && is_aligned(c.b) && is_aligned(c.out);
}

static cudnnStatus_t run(const Cudnn *c, const ConvPlan *p, const ConvCall &call, void *workspace)
{
    const float alpha = 1, beta = call.accumulate ? 1 : 0;
    switch (call.kind) {
    case CONV_FORWARD:
        return c->cudnnConvolutionForward(c->handle, &alpha, p->x, call.a, p->w, call.b, p->conv,
                                          CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, workspace, p->workspace_bytes, &beta, p->y,
                                          call.out);
    case CONV_DX:
        return c->cudnnConvolutionBackwardData(c->handle, &alpha, p->w, call.b, p->y, call.a, p->conv, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
                                               workspace, p->workspace_bytes, &beta, p->x, call.out);
    default:
        return c->cudnnConvolutionBackwardFilter(c->handle, &alpha, p->x, call.a, p->y, call.b, p->conv,
                                                 CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, workspace, p->workspace_bytes, &beta, p->w,
                                                 call.out);
    }
}

Status conv_by_cudnn(KernelCtx *ctx, const ConvCall &call, bool *taken)
{
    const ConvShape *s = call.shape;
    const Plane to = conv_to(s);
    CudaState *state = cuda_state(ctx), *device = state->measures_for ? state->measures_for : state;
    Cudnn *c = &device->cudnn;
    *taken = false;
    TRY(open_handle(device, c));
    if (c->off || !is_for_cudnn(call, &to))
        return OK;
    const ConvKey key = {(int)s->from.images, (int)s->from.height, (int)s->from.width, (int)s->in, (int)s->out, (int)to.height,
                         (int)to.width, (int)s->kernel_height, (int)s->stride, (int)s->top, (int)s->left, (uint8_t)call.kind,
                         (uint8_t)call.images, (uint8_t)call.weights, 0};
    ConvPlan *p;
    void *workspace = nullptr;
    TRY(find_plan(c, &key, &p));
    if (p->refused)
        return OK;
    if (p->workspace_bytes)
        TRY(cuda_workspace(ctx, "convolution", p->workspace_bytes, &workspace));
    *taken = true;
    if (cuda_stream(ctx) == NO_STREAM)
        return OK;
    launch_note("convolution of cuDNN");
    cudnnStatus_t status = run(c, p, call, workspace);
    if (outcome_of(status) == REFUSED) {
        refuse(c, p, c->cudnnGetErrorString(status));
        *taken = false;
    } else if (status)
        return failure(c, status);
    return cuda_launched("convolution");
}
