/* backend.cu: opens a device and fills the table. */
#include "kernels/cuda/backend.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_CAPABILITY = 8 }; /* Ampere: bf16 tensor cores, cp.async */
/* Ada: fp8 tensor cores. Since cuBLASLt 12.9 it scales their products by row and column on Hopper, and there alone. */
enum { FP8_CAPABILITY = 89, ROWS_SCALED_CAPABILITY = 90, ROWS_SCALED_VERSION = 120900 };

Status cublas_check(cublasStatus_t s, const char *what)
{
    if (s == CUBLAS_STATUS_SUCCESS)
        return OK;
    TRY(cuda_check(cudaGetLastError(), what)); /* the cause, if the device has one to tell */
    if (s == CUBLAS_STATUS_ALLOC_FAILED)
        return memory_full(what);
    return fail(ERR_DEVICE, "%s: cuBLASLt status %d", what, (int)s);
}

cudaStream_t cuda_stream(KernelCtx *ctx) { return cuda_state(ctx)->stream; }

static void close_cuda(Backend *b)
{
    CudaState *s = cuda_state(&b->ctx);
    if (s) {
        if (s->stream)
            cudaStreamSynchronize(s->stream);
        beside_destroy(&s->beside);
        staging_destroy(s);
        matmul_tables_free(s);
        cudnn_close(&s->cudnn);
        if (s->preference)
            s->cublas.cublasLtMatmulPreferenceDestroy(s->preference);
        if (s->lt)
            s->cublas.cublasLtDestroy(s->lt);
        cudaFree(s->workspace);
        cudaFree(s->partial);
        if (s->stream)
            cudaStreamDestroy(s->stream);
        mem_free(s);
    }
    memset(b, 0, sizeof *b);
}

static Status no_device(const char *why)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    return fail(ERR_DEVICE, "no CUDA device: %s%s%s%s", why, visible ? " (CUDA_VISIBLE_DEVICES is \"" : "",
                visible ? visible : "", visible ? "\")" : "");
}

/* A usable device: a driver, as new as the toolkit of the build asks, and a device, new enough. */
static Status find_device(cudaDeviceProp *prop, int device)
{
    int driver = 0, n = 0;
    cudaError_t e = cudaDriverGetVersion(&driver);
    if (e != cudaSuccess || driver == 0)
        return fail(ERR_DEVICE, "no CUDA driver is installed (nvidia-smi would list the devices)");
    e = cudaGetDeviceCount(&n);
    if (e == cudaErrorInsufficientDriver)
        return fail(ERR_DEVICE, "the driver is for CUDA %d.%d, older than what this was built with (CUDA %d.%d): a newer driver is needed",
                    driver / 1000,
                    driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (e != cudaSuccess || n == 0)
        return no_device(e == cudaSuccess ? "none is visible" : cudaGetErrorString(e));
    TRY(cuda_check(cudaSetDevice(device % n), "choosing the device"));
    TRY(cuda_check(cudaGetDeviceProperties(prop, device % n), "choosing the device"));
    if (prop->major < (int)OLDEST_CAPABILITY)
        return fail(ERR_DEVICE, "%s has compute capability %d.%d; 8.0 (Ampere) or newer is needed", prop->name,
                    prop->major, prop->minor);
    return OK;
}

static Status create_handles(CudaState *s)
{
    TRY(cublas_load(&s->cublas));
    TRY(cudnn_find(&s->cudnn));
    TRY(cuda_check(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking), "creating the stream"));
    TRY(staging_create(s));
    TRY(cuda_check(cudaMalloc(&s->workspace, MATMUL_WORKSPACE), "workspace of the matmuls"));
    TRY(cublas_check(s->cublas.cublasLtCreate(&s->lt), "opening cuBLASLt"));
    TRY(cublas_check(s->cublas.cublasLtMatmulPreferenceCreate(&s->preference), "opening cuBLASLt"));
    size_t workspace = MATMUL_WORKSPACE;
    /* A split along k keeps its partial sums in f32 and adds them in a fixed order, so that equal inputs give equal bits. */
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    TRY(cublas_check(s->cublas.cublasLtMatmulPreferenceSetAttribute(s->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                                    sizeof workspace),
                     "workspace of the matmuls"));
    return cublas_check(s->cublas.cublasLtMatmulPreferenceSetAttribute(s->preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                                                                       sizeof schemes),
                        "deterministic matmuls");
}

/* What a run calls, it calls already when it is measured: an operator that is missing is named before the first step. */
#define REFUSE(name, Args) \
    static Status refuse_##name(KernelCtx *, const Args *) { return fail(ERR_DEVICE, \
                                                                         #name ": the cuda backend has no kernel for it; \"device\": " \
                                                                               "\"cpu\" has"); }
KERNEL_LIST(REFUSE)
#undef REFUSE

void cuda_nothing(KernelTable *t)
{
#define MEMBER(name, Args) t->name = refuse_##name;
    KERNEL_LIST(MEMBER)
#undef MEMBER
}

static void overlay(KernelTable *t)
{
    cuda_act(t);
    cuda_adapter(t);
    cuda_attention(t);
    cuda_conv(t);
    cuda_dequantize(t);
    cuda_fp8(t);
    cuda_groupnorm(t);
    cuda_loss(t);
    cuda_matmul(t);
    cuda_norm(t);
    cuda_optim(t);
    cuda_pool(t);
    cuda_rope(t);
    cuda_rows(t);
}

extern "C" Status cuda_open(Backend *b, int device)
{
    cudaDeviceProp prop;
    memset(b, 0, sizeof *b);
    double timed_flops;
    TRY(offers_setting(&timed_flops));
    TRY(find_device(&prop, device));
    CudaState *s = (CudaState *)mem_alloc(sizeof *s);
    Status made = s ? matmul_tables_create(s) : fail(ERR_NOMEM, "no memory for the cuda backend");
    if (made != OK) {
        mem_free(s);
        return made;
    }
    s->timed_flops = timed_flops;
    b->ctx.device = s;
    s->shared_most = prop.sharedMemPerBlockOptin;
    const int capability = 10 * prop.major + prop.minor;
    b->multiplies_fp8 = capability >= (int)FP8_CAPABILITY;
    b->name = "cuda";
    b->native_bf16 = b->joins = true;
    memcpy(b->unit, &prop.uuid, sizeof b->unit);
    cuda_nothing(&b->ops);
    overlay(&b->ops);
    b->mem_create = memory_create;
    b->mem_destroy = memory_destroy;
    b->upload = staging_upload;
    b->download = staging_download;
    b->close = close_cuda;
    b->fork = beside_fork;
    b->join = beside_join;
    b->waited = beside_waited;
    b->memory = memory_ask;
    b->measure = memory_measuring;
    b->choices = choices_save;
    b->choose = choices_load;
    b->time_choices = offers_time;
    Status status = create_handles(s);
    b->stream = s->stream;
    s->scales_rows = status == OK && capability == (int)ROWS_SCALED_CAPABILITY &&
                     s->cublas.cublasLtGetVersion() >= (size_t)ROWS_SCALED_VERSION;
    const char *cudnn = s->cudnn.version, *comma = *cudnn ? ", " : "";
    snprintf(b->description, sizeof b->description, "%.80s, %.0f GB, compute capability %d.%d%s%s", prop.name,
             1e-9 * (double)prop.totalGlobalMem, prop.major, prop.minor, comma, cudnn);
    if (status == OK)
        snprintf(s->origin, sizeof s->origin, "cuBLASLt %zu%s%s, %.80s, compute capability %d.%d, %d multiprocessors",
                 s->cublas.cublasLtGetVersion(), comma, cudnn, prop.name, prop.major, prop.minor, prop.multiProcessorCount);
    snprintf(b->kind, sizeof b->kind, "%s", s->origin);
    if (status != OK)
        close_cuda(b);
    return status;
}
