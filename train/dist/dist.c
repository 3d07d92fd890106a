#include "train/dist/dist.h"

#include <stdlib.h>
#include <string.h>

/* One rank: the sums are what they are. */
Status dist_open(Dist *d)
{
    static const char *const SIZES[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "WORLD_SIZE"};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        const char *size = getenv(SIZES[i]);
        if (size && strtol(size, NULL, 10) > 1)
            return fail(ERR_DEVICE, "%s=%s: the launcher started several ranks and this build trains with one; start one process", SIZES[i], size);
    }
    *d = (Dist){.rank = 0, .n_ranks = 1};
    return OK;
}

void dist_close(Dist *d) { *d = (Dist){0}; }

Status dist_sum(const Dist *d, Backend *b, void *x, int64_t n, DType type)
{
    (void)d, (void)b, (void)x, (void)n, (void)type;
    return OK;
}

Status dist_sum_host(const Dist *d, double *x, int n)
{
    (void)d, (void)x, (void)n;
    return OK;
}

Status dist_max_host(const Dist *d, int32_t *x, int n)
{
    (void)d, (void)x, (void)n;
    return OK;
}

Status dist_gather(const Dist *d, const void *mine, size_t n, void **all, size_t *n_all)
{
    (void)d;
    *n_all = n;
    *all = mem_alloc(n);
    if (!*all)
        return fail(ERR_NOMEM, "gathering %zu bytes: out of memory", n);
    memcpy(*all, mine, n);
    return OK;
}
