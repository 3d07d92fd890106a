/* launch.cuh: the one door through which kernels are started and use shared memory, warps and tensor cores, so that the same source runs on
 * a GPU and on the host emulation. No <<< >>>, no __shared__, no __shfl and no asm anywhere else.
 *
 *   LAUNCH(kernel, grid, block, shared_bytes, stream, args…)       a kernel that uses barriers or warps
 *   LAUNCH_FLAT(kernel, grid, block, stream, args…)                one whose threads never meet (the emulation runs it as a loop)
 * A template instance with commas goes in parentheses: LAUNCH((norm_fwd<float, 4>), ...). Both are statements; the error is read with
 * cuda_launched(). Warp collectives always take the whole warp. */
#ifndef GENLLAVA_KERNELS_CUDA_LAUNCH_CUH
#define GENLLAVA_KERNELS_CUDA_LAUNCH_CUH

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stdint.h>

/* The stream of a backend that only measures: nothing is launched. */
#define NO_STREAM ((cudaStream_t)(intptr_t)-1)
/* Remembers what was launched last, for the sentence of an error. */
void launch_note(const char *kernel);

#if defined(CUDA_HOST_EMULATION)
#include <type_traits>
template <class F> struct HostLaunch {
    F call;
    static void run(void *self) { ((HostLaunch *)self)->call(); }
};
/* Arguments as the device gets them: one after the other, each aligned, 4 KiB in all. */
template <class... Params> constexpr size_t host_parameter_bytes()
{
    size_t n = 0;
    ((n = (n + alignof(Params) - 1) / alignof(Params) * alignof(Params) + sizeof(Params)), ...);
    return n;
}
template <class... Params, class... Args>
void host_launch(const char *name, cudaStream_t stream, dim3 grid, dim3 block, size_t shared, bool flat, void (*kernel)(Params...),
                 Args... args)
{
    static_assert(host_parameter_bytes<Params...>() <= 4096, "what a kernel takes as arguments");
    static_assert((std::is_trivially_copyable<Params>::value && ...), "what is copied byte by byte");
    if (stream == NO_STREAM)
        return;
    launch_note(name);
    size_t allowed = cuda_host_allowed_shared((const void *)kernel);
    cuda_host_enqueue(stream, name, [=] {
        auto call = [=] { kernel(args...); };
        HostLaunch<decltype(call)> l = {call};
        cuda_host_launch(name, grid, block, shared, allowed, flat, HostLaunch<decltype(call)>::run, &l);
    });
}
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) host_launch(#kernel, stream, grid, block, shared_bytes, false, kernel, \
                                                                           __VA_ARGS__)
#define LAUNCH_FLAT(kernel, grid, block, stream, ...) host_launch(#kernel, stream, grid, block, 0, true, kernel, __VA_ARGS__)
#define SHARED_MEMORY(type, name) type *name = (type *)cuda_host_thread->shared
/* The device's functions are not the C library's: as far beside the truth as it may be. */
#define expf(x) cuda_host_expf(x)
#define logf(x) cuda_host_logf(x)
#define erff(x) cuda_host_erff(x)
#define sincosf(x, s, c) cuda_host_sincosf(x, s, c)
#define UNROLL
#define UNROLL_NOT
#define UNROLL_BY(n)
#else
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                      \
    do {                                                                            \
        cudaStream_t launch_stream = (stream);                                      \
        if (launch_stream != NO_STREAM) {                                           \
            launch_note(#kernel);                                                   \
            kernel<<<grid, block, shared_bytes, launch_stream>>>(__VA_ARGS__);      \
        }                                                                           \
    } while (0)
#define LAUNCH_FLAT(kernel, grid, block, stream, ...) LAUNCH(kernel, grid, block, 0, stream, __VA_ARGS__)
#define UNROLL _Pragma("unroll")
#define UNROLL_NOT _Pragma("unroll 1")
#define UNROLL_PRAGMA(text) _Pragma(#text)
#define UNROLL_BY(n) UNROLL_PRAGMA(unroll n) /* n: a constant expression, of template arguments too */
/* All of a block's dynamic shared memory; kernels carve it up themselves. */
#define SHARED_MEMORY(type, name)                                       \
    extern __shared__ __align__(128) unsigned char cuda_shared_memory[]; \
    type *name = reinterpret_cast<type *>(cuda_shared_memory)
#endif
#endif
