/* cpu.h: what the files of the CPU backend share. Internal to kernels/cpu.
 *
 * The operators live in isa/ and are compiled once for each instruction set (isa/isa.h); here they find threads and memory.
 * Every thread has one workspace, and all have one block together, made when the backend is opened, so no operator allocates and none uses
 * ctx->scratch. Pages that no operator needs are never touched. What a run will touch is measured before it begins (measure.c): operators
 * that take of the block ask for it with cpu_shared; the others stay within the page of a workspace that is always counted, or say how far
 * they go with cpu_widens. */
#ifndef GENLLAVA_KERNELS_CPU_CPU_H
#define GENLLAVA_KERNELS_CPU_CPU_H

#include <assert.h>

#include "kernels/ops/check.h"

/* Bytes of one thread's workspace, and of its part that is counted in any run: a huge page. */
enum { WORKSPACE_BYTES = 8 << 20, WORKSPACE_PAGE = 2 << 20 };

/* Bytes of what all threads make together, block by block, and then read from the cache. */
enum { SHARED_BYTES = 24 << 20 };

/* Denormal numbers are flushed to zero (FTZ and DAZ in MXCSR) inside operators, and only there: one of them costs a hundred
 * additions. */
enum { FLUSH_DENORMALS = 0x8040 };

typedef struct CpuDevice {
    KernelTable ops; /* ref's, under the overlay of the instruction set in use; what an operator calls of another family it finds here */
    int threads;
    char *workspace;                    /* [threads][WORKSPACE_BYTES] */
    char *shared;                       /* [SHARED_BYTES] */
    Arena memory;                       /* of these; or it measures, and so do the operators: they compute nothing */
    size_t shared_most, wide_most;      /* measured: the most of `shared`, and of all workspaces beyond the page that is counted */
    int64_t alone_until_ns, penalty_ns; /* see parallel.c */
} CpuDevice;

static inline CpuDevice *cpu_device(const KernelCtx *ctx) { return (CpuDevice *)ctx->device; }
static inline void *cpu_workspace(const CpuDevice *d, int thread) { return d->workspace + (size_t)thread * WORKSPACE_BYTES; }

/* The first n_bytes of what all threads have together. NULL while a run is measured: the operator has nothing more to do. */
static inline void *cpu_shared(CpuDevice *d, int64_t n_bytes)
{
    assert(n_bytes <= SHARED_BYTES);
    d->shared_most = (size_t)n_bytes > d->shared_most ? (size_t)n_bytes : d->shared_most;
    return d->memory.measures ? NULL : d->shared;
}

/* So many threads use n_bytes of their workspaces. False while a run is measured, as above. Otherwise pages beyond the first that none has
 * used before are touched at once: a run takes what was measured, also on a machine so busy that small regions go to one thread. */
bool cpu_widens(CpuDevice *d, int threads, size_t n_bytes);

Status cpu_measure(Backend *b, Backend *null); /* see Backend.measure; null->memory then tells what operators asked for */

/* Does items begin … end-1; `workspace` is the thread's own. */
typedef void (*ParallelFn)(const void *args, int64_t begin, int64_t end, void *workspace);

/* How many threads are worth it for n items of about item_ns nanoseconds. */
int parallel_threads(const CpuDevice *d, int64_t n, double item_ns);
/* Splits items 0 … n-1, each of about item_ns nanoseconds, into one range a thread; too little work for two threads, or work inside
 * another parallel region, is done by the calling thread. Which thread does what never changes a result. */
void parallel_for(CpuDevice *d, int64_t n, double item_ns, ParallelFn fn, const void *args);
#endif
