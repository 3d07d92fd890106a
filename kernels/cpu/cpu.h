/* cpu.h: what the files of the CPU backend share. Internal to kernels/cpu.
 *
 * The operators live in isa/ and are compiled once for each instruction set (isa/isa.h); here they find threads and memory.
 * Every thread has one workspace, made when the backend is opened, so no operator allocates and none uses ctx->scratch. */
#ifndef GENLLAVA_KERNELS_CPU_CPU_H
#define GENLLAVA_KERNELS_CPU_CPU_H

#include "kernels/ops/check.h"

/* Bytes of one thread's workspace: pages that no operator needs are never touched. */
enum { WORKSPACE_BYTES = 4 << 20 };

/* Denormal numbers are flushed to zero (FTZ and DAZ in MXCSR) inside operators, and only there: one of them costs a hundred
 * additions. */
enum { FLUSH_DENORMALS = 0x8040 };

typedef struct CpuDevice {
    const KernelTable *ops; /* of the instruction set in use */
    int threads;
    char *workspace; /* [threads][WORKSPACE_BYTES] */
    Arena memory;    /* of the workspaces */
} CpuDevice;

static inline CpuDevice *cpu_device(const KernelCtx *ctx) { return (CpuDevice *)ctx->device; }
static inline void *cpu_workspace(const CpuDevice *d, int thread) { return d->workspace + (size_t)thread * WORKSPACE_BYTES; }

/* Does items begin … end-1; `workspace` is the thread's own. */
typedef void (*ParallelFn)(const void *args, int64_t begin, int64_t end, void *workspace);

/* Splits items 0 … n-1 into one range a thread. Ranges are the same for equal n and thread count. A range has at least `grain` items:
 * less work than that costs less than waking a thread. Inside another parallel region it runs on the calling thread. */
void parallel_for(const CpuDevice *d, int64_t n, int64_t grain, ParallelFn fn, const void *args);

/* The grain for items that each take about `ns` nanoseconds. */
static inline int64_t parallel_grain(double ns)
{
    const double worth_ns = 4000; /* entering and leaving a parallel region costs about 1000 */
    return ns >= worth_ns ? 1 : (int64_t)(worth_ns / (ns > 1e-3 ? ns : 1e-3)) + 1;
}
#endif
