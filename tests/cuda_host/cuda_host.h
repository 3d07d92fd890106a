/* cuda_host.h: runs CUDA kernels on the host, exactly as written, to prove them where there is no GPU.
 *
 * Every thread of a block is a fiber. Blocks, warps and the lanes of a warp are scheduled in a seeded random order, a barrier that some
 * threads of the block miss is an error, dynamic shared memory is poisoned before each block and red-zoned, device memory is poisoned when
 * allocated and red-zoned, and launches and bytes moved by kernels are counted. Errors are collected, not thrown: cuda_host_error() tells
 * the first. */
#ifndef GENLLAVA_TESTS_CUDA_HOST_CUDA_HOST_H
#define GENLLAVA_TESTS_CUDA_HOST_CUDA_HOST_H

#include <cstddef>
#include <cstdint>

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

enum { CUDA_HOST_WARP = 32 };

/* What a running thread knows of itself. */
struct CudaHostThread {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
    unsigned linear, lane, warp;
    unsigned char *shared; /* this block's dynamic shared memory */
    size_t shared_bytes;
};
extern __thread CudaHostThread *cuda_host_thread; /* not thread_local: its wrapper trips the undefined-behaviour sanitizer */

/* Runs body(arg) once for every thread of the grid. `flat`: the kernel never synchronises, so threads run as a plain loop (and any
 * synchronisation is an error). `name` stands in messages and counters. allowed: dynamic shared memory that was asked for with
 * cudaFuncSetAttribute. */
void cuda_host_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, size_t allowed, bool flat, void (*body)(void *),
                      void *arg);

/* Called by kernels. All threads of the block / all lanes of the warp that are named in mask must come. */
void cuda_host_syncthreads();
void cuda_host_syncwarp(unsigned mask);
/* Every lane of the warp gives n bytes (at most 64) and then sees what all gave: all[lane*64 …], valid until this lane's next collective.
 * `op` names the operation: lanes that meet in different ones are an error. */
const unsigned char *cuda_host_exchange(const char *op, unsigned mask, const void *mine, size_t n);
/* n bytes at p are read, or written, by a kernel in one access, and counted: p must be a multiple of `alignment`, and all of it memory of
 * the device. */
void cuda_host_access(const void *p, size_t n, size_t alignment, bool write);
/* n bytes at p must lie in the block's shared memory, at a multiple of n; otherwise false, and a fault. */
bool cuda_host_check_shared(const void *p, size_t n);
/* An error found by a helper (misaligned vector access and the like). */
void cuda_host_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct CudaHostCounters {
    uint64_t launches, blocks, switches, bytes_read, bytes_written;
    uint64_t accesses;    /* of global memory, of whatever size */
    uint64_t waits;       /* times the host waited for the device */
    uint64_t allocations; /* of device memory */
};

/* Whether arithmetic errs as a device's may: the functions of cuda_runtime.h by what CUDA's documentation allows, sums as below. Kernels
 * are held to the specification that way. Otherwise (at first) everything is as near the truth as its type lets it be, and runs can be
 * compared with other programs'. */
extern bool cuda_host_errs;
/* c + sum x y as tensor cores of an A100 add: eight products at a time, c and they cut off at the same bit, 24 below the largest's first,
 * and the sum cut off to f32 (Fasi, Higham, Mikaitis, Pranesh 2021; Khattak, Mikaitis 2025). Nothing is rounded to nearest. */
float cuda_host_tensor_core(float c, const float *x, const float *y, int64_t n);
/* Σ x·y in f32: a chain of FMAs. */
float cuda_host_dot(const float *x, const float *y, int64_t n);
/* A lane's part of an mma.m16n8k16 in bf16: all[lane*64 …] are its registers, four of A and two of B. */
void cuda_host_mma(float c[4], const unsigned char *all, int lane);
uint32_t cuda_host_random(uint32_t n);        /* below n, from the seed */
void cuda_host_counted(bool wait);            /* a wait, or an allocation */
bool cuda_host_owns(const void *p, size_t n); /* device memory */

/* For tests. Those that tell what happened first let all streams come to rest. */
extern "C" {
void cuda_host_seed(uint64_t seed);       /* of the warp order */
const char *cuda_host_error(void);        /* first error since the last clear, or "" */
const char *cuda_host_error_so_far(void); /* … without waiting for what is under way */
void cuda_host_settle(void);              /* runs what is under way in all streams */
void cuda_host_clear(void);               /* forgets errors and counters */
void cuda_host_revive(void);              /* … the part of it that the runtime remembers */
struct CudaHostCounters cuda_host_counters(void);
int cuda_host_device(void);                  /* number of the device that was chosen last */
void cuda_host_verify_memory(void);          /* checks the red zones of every allocation */
void *cuda_host_alloc(size_t n);             /* device memory: poisoned, red-zoned; NULL beyond the limit */
int cuda_host_free(void *p);                 /* 0, or nonzero for a pointer that is not one */
void cuda_host_memory_limit(size_t n_bytes); /* what the emulated device has; 8 GiB at first */
size_t cuda_host_memory_size(void);
size_t cuda_host_memory_used(void);
size_t cuda_host_memory_peak(void); /* the most that was used at a time, since the process began */
}
#endif
