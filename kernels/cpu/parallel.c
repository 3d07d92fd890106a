#include <omp.h>
#include <xmmintrin.h>

#include "kernels/cpu/cpu.h"

void parallel_for(const CpuDevice *d, int64_t n, int64_t grain, ParallelFn fn, const void *args)
{
    int64_t most = grain > 0 ? n / grain : n;
    int threads = most < d->threads ? (int)most : d->threads;
    if (n <= 0)
        return;
    if (threads <= 1 || omp_in_parallel()) {
        fn(args, 0, n, cpu_workspace(d, 0));
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        int64_t t = omp_get_thread_num(), count = omp_get_num_threads();
        _mm_setcsr(_mm_getcsr() | FLUSH_DENORMALS); /* the pool's threads; the calling one has it from cpu.c */
        if (n * t / count < n * (t + 1) / count)
            fn(args, n * t / count, n * (t + 1) / count, cpu_workspace(d, (int)t));
    }
}
