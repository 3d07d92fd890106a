/* parallel.c: cuts work into pieces for the threads of a backend, and keeps small work on one (cpu.h). Called by the operators in isa/. */
#include <omp.h>
#include <time.h>
#include <xmmintrin.h>

#include "kernels/cpu/cpu.h"

/* A core that others use makes the end of every small region wait until the system has run the thread there: milliseconds for
 * microseconds of work (a step of 1.5 ms took 90 beside one busy process). So a wait out of all proportion sends the small regions that
 * follow to the calling thread alone for a while, longer each time it happens again. */
static const double WORTH_NS = 4000;                             /* work for another thread; a region costs about 1000 */
static const int64_t LONG_WAIT_NS = 300000, LARGE_NS = 10000000; /* out of proportion; a region that is never small */
static const int64_t FIRST_PENALTY_NS = 5000000, LAST_PENALTY_NS = 640000000;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

static void judge(CpuDevice *d, int64_t start, int64_t done, int64_t end)
{
    if (end - done > LONG_WAIT_NS + 2 * (done - start)) {
        d->penalty_ns = d->penalty_ns < FIRST_PENALTY_NS ? FIRST_PENALTY_NS : 2 * d->penalty_ns;
        if (d->penalty_ns > LAST_PENALTY_NS)
            d->penalty_ns = LAST_PENALTY_NS;
        d->alone_until_ns = end + d->penalty_ns;
    } else
        d->penalty_ns -= d->penalty_ns / 64; /* forgotten in some hundred regions */
}

int parallel_threads(const CpuDevice *d, int64_t n, double item_ns)
{
    const double useful = (double)n * item_ns / WORTH_NS;
    const int threads = useful < d->threads ? (int)useful : d->threads;
    return n < threads ? (int)n : threads > 1 ? threads : 1;
}

/* Each by the thread that will use it: its memory then lies near. */
static void touch_workspaces(const CpuDevice *d, int threads, size_t n_bytes)
{
#pragma omp parallel num_threads(threads)
    for (int t = omp_get_thread_num(); t < threads; t += omp_get_num_threads()) {
        enum { PAGE = 4096 };
        volatile char *p = cpu_workspace(d, t);
        for (size_t at = 0; at < n_bytes; at += PAGE)
            p[at] = 0;
    }
}

bool cpu_widens(CpuDevice *d, int threads, size_t n_bytes)
{
    assert(n_bytes <= WORKSPACE_BYTES);
    const size_t pages = (n_bytes + WORKSPACE_PAGE - 1) / WORKSPACE_PAGE;
    const size_t wide = pages > 1 ? (pages - 1) * WORKSPACE_PAGE * (size_t)threads : 0;
    if (wide > d->wide_most) {
        d->wide_most = wide;
        if (!d->memory.measures)
            touch_workspaces(d, threads, n_bytes);
    }
    return !d->memory.measures;
}

void parallel_for(CpuDevice *d, int64_t n, double item_ns, ParallelFn fn, const void *args)
{
    if (n <= 0)
        return;
    const int threads = parallel_threads(d, n, item_ns);
    int64_t start = 0, done = 0;
    if (threads > 1)
        start = now_ns();
    if (threads <= 1 || omp_in_parallel() || (start < d->alone_until_ns && (double)n * item_ns < (double)LARGE_NS)) {
        fn(args, 0, n, cpu_workspace(d, 0));
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        int64_t t = omp_get_thread_num(), count = omp_get_num_threads();
        _mm_setcsr(_mm_getcsr() | FLUSH_DENORMALS); /* the pool's threads; the calling one has it from cpu.c */
        if (n * t / count < n * (t + 1) / count)
            fn(args, n * t / count, n * (t + 1) / count, cpu_workspace(d, (int)t));
        if (t == 0)
            done = now_ns();
    }
    judge(d, start, done, now_ns());
}
