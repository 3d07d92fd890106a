/* processors.c: reads the set of processors of this process (processors.h). */
#include "kernels/base/processors.h"

#include <errno.h>
#include <string.h>

#include "kernels/base/arena.h"

enum { MOST_BYTES = 1 << 17 }; /* a million processors */

/* The system refuses a set that is smaller than its own, and does not say how large that is. */
Status processors_read(cpu_set_t **set, size_t *n_bytes, AffinityOf *affinity)
{
    for (size_t n = sizeof(cpu_set_t); n <= MOST_BYTES; n *= 2) {
        cpu_set_t *here = *set = mem_alloc(n);
        if (!here)
            return fail(ERR_NOMEM, "the set of processors: out of memory");
        memset(here, 0, n);
        *n_bytes = n;
        if (!affinity(0, n, here))
            return OK;
        int error = errno;
        mem_free(here);
        *set = NULL;
        if (error != EINVAL)
            return fail(ERR_DEVICE, "the set of processors: %s", strerror(error));
    }
    return fail(ERR_DEVICE, "the set of processors: it is larger than %d bytes", MOST_BYTES);
}

int processors_count(void)
{
    cpu_set_t *set;
    size_t n_bytes;
    if (processors_read(&set, &n_bytes, sched_getaffinity) != OK)
        return 1;
    int n = CPU_COUNT_S(n_bytes, set);
    mem_free(set);
    return n;
}
