/* cuda_runtime.h: the few names of the CUDA runtime and language that our .cu files use, over the host emulation. Found instead of the
 * toolkit's header of the same name when tests/cuda_host stands first in the include path. */
#ifndef GENLLAVA_TESTS_CUDA_HOST_CUDA_RUNTIME_H
#define GENLLAVA_TESTS_CUDA_HOST_CUDA_RUNTIME_H

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "tests/cuda_host/cuda_host.h"

#define CUDA_HOST_EMULATION 1
#define CUDART_VERSION 13000
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define threadIdx (cuda_host_thread->thread)
#define blockIdx (cuda_host_thread->block)
#define blockDim (cuda_host_thread->block_dim)
#define gridDim (cuda_host_thread->grid_dim)
#define __syncthreads() cuda_host_syncthreads()
#define __syncwarp(...) cuda_host_syncwarp(0xffffffffu)

struct float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) int4 { int x, y, z, w; };

typedef enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNotReady = 600,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchOutOfResources = 701,
    cudaErrorLaunchFailure = 719
} cudaError_t;
typedef enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 } cudaMemcpyKind;
typedef struct cuda_host_stream *cudaStream_t;
typedef struct cuda_host_event *cudaEvent_t;
typedef enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 } cudaFuncAttribute;
typedef struct cudaUUID_t {
    char bytes[16];
} cudaUUID_t;
typedef struct cudaDeviceProp {
    char name[256];
    cudaUUID_t uuid;
    int major, minor, multiProcessorCount;
    size_t totalGlobalMem, sharedMemPerBlockOptin;
} cudaDeviceProp;
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0 };

/* runtime.cc. Streams run late and in a random order: only a wait for one (or an event) makes sure of it. */
const char *cudaGetErrorString(cudaError_t e);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
cudaError_t cudaDriverGetVersion(int *v);
cudaError_t cudaRuntimeGetVersion(int *v);
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
cudaError_t cudaMalloc(void **p, size_t n);
cudaError_t cudaFree(void *p);
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned flags);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemcpyAsync(void *d, const void *s, size_t n, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *d, int v, size_t n, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t s);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags);
cudaError_t cudaEventCreate(cudaEvent_t *e);
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaEventQuery(cudaEvent_t e);
cudaError_t cudaEventSynchronize(cudaEvent_t e);
cudaError_t cudaEventDestroy(cudaEvent_t e);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaSetDevice(int device);
/* Puts work into a stream; name: of a kernel, or NULL for other work. */
void cuda_host_enqueue(cudaStream_t s, const char *name, std::function<void()> work);
/* For work that runs: the device's clock says that it took so much longer. */
void cuda_host_spend(double seconds);
/* The stream goes on when `ready` says that another process has done its part. */
void cuda_host_enqueue_wait(cudaStream_t s, std::function<bool()> ready);
/* What cudaFuncSetAttribute allowed a kernel. */
size_t cuda_host_allowed_shared(const void *kernel);
cudaError_t cuda_host_allow_shared(const void *kernel, int n_bytes);
template <class F> cudaError_t cudaFuncSetAttribute(F kernel, cudaFuncAttribute, int n)
{
    return cuda_host_allow_shared(reinterpret_cast<const void *>(kernel), n);
}

/* Arithmetic spelled as on the device. */
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }

/* y, the value of a function at x, beside the truth by up to `ulps`, as x will have it: the errors that CUDA's documentation allows its
 * functions. 0 gives what it should; so does everything unless cuda_host_errs. */
inline float cuda_host_off_by(float y, float x, int ulps)
{
    uint32_t bits, hash;
    memcpy(&hash, &x, sizeof hash);
    memcpy(&bits, &y, sizeof bits);
    if (!cuda_host_errs || x == 0 || !std::isfinite(y) || fabsf(y) < 1e-37f || fabsf(y) > 1e38f)
        return y;
    hash = (hash ^ hash >> 15) * 0x2c1b3c6du;
    hash = (hash ^ hash >> 12) * 0x297a2d39u;
    bits += (hash >> 8) % (uint32_t)(2 * ulps + 1) - (uint32_t)ulps;
    memcpy(&y, &bits, sizeof y);
    return y;
}
inline float cuda_host_within_1(float y) { return y > 1 ? 1 : y < -1 ? -1 : y; }
inline float cuda_host_expf(float x) { return cuda_host_off_by(expf(x), x, 2); }
inline float cuda_host_logf(float x) { return cuda_host_off_by(logf(x), x, 1); }
inline float cuda_host_erff(float x) { return cuda_host_within_1(cuda_host_off_by(erff(x), x, 2)); }
inline void cuda_host_sincosf(float x, float *s, float *c)
{
    *s = cuda_host_within_1(cuda_host_off_by(sinf(x), x, 2));
    *c = cuda_host_within_1(cuda_host_off_by(cosf(x), x, 2));
}
using std::max;
using std::min;
#endif
