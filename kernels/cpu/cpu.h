/* cpu.h: what the files of the CPU backend share. Internal to kernels/cpu.
 *
 * The operators live in isa/ and are compiled once for each instruction set (isa/isa.h); here they find threads and memory.
 * Every thread has one workspace, made when the backend is opened, so no operator allocates and none uses ctx->scratch. */
#ifndef GENLLAVA_KERNELS_CPU_CPU_H
#define GENLLAVA_KERNELS_CPU_CPU_H

#include "kernels/ops/block.h"
#include "kernels/ops/check.h"

/* Bytes of one thread's workspace: pages that no operator needs are never touched. */
enum { WORKSPACE_BYTES = 8 << 20 };

/* Bytes of what all threads make together, block by block, and then read from the cache. */
enum { SHARED_BYTES = CONV_BLOCK_BYTES };

/* Denormal numbers are flushed to zero (FTZ and DAZ in MXCSR) inside operators, and only there: one of them costs a hundred
 * additions. */
enum { FLUSH_DENORMALS = 0x8040 };

typedef struct CpuDevice {
    KernelTable ops; /* ref's, under the overlay of the instruction set in use; what an operator calls of another family it finds here */
    int threads;
    char *workspace;                    /* [threads][WORKSPACE_BYTES] */
    char *shared;                       /* [SHARED_BYTES] */
    Arena memory;                       /* of these */
    int64_t alone_until_ns, penalty_ns; /* see parallel.c */
} CpuDevice;

static inline CpuDevice *cpu_device(const KernelCtx *ctx) { return (CpuDevice *)ctx->device; }
static inline void *cpu_workspace(const CpuDevice *d, int thread) { return d->workspace + (size_t)thread * WORKSPACE_BYTES; }

/* Does items begin … end-1; `workspace` is the thread's own. */
typedef void (*ParallelFn)(const void *args, int64_t begin, int64_t end, void *workspace);

/* Splits items 0 … n-1, each of about item_ns nanoseconds, into one range a thread; too little work for two threads, or work inside
 * another parallel region, is done by the calling thread. Which thread does what never changes a result. */
void parallel_for(CpuDevice *d, int64_t n, double item_ns, ParallelFn fn, const void *args);
#endif
