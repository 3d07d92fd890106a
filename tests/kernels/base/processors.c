/* kernels/base/processors.h: machines with more processors than a cpu_set_t has bits. */
#include "kernels/base/processors.h"

#include <errno.h>

#include "kernels/base/arena.h"
#include "tests/harness.h"

/* A system of 4096 processors, of which this process may use every second. */
static int affinity_of_many(pid_t pid, size_t n_bytes, cpu_set_t *set)
{
    (void)pid;
    if (n_bytes < 4096 / 8) {
        errno = EINVAL;
        return -1;
    }
    for (size_t i = 0; i < 4096; i += 2)
        CPU_SET_S(i, n_bytes, set);
    return 0;
}

static int affinity_is_forbidden(pid_t pid, size_t n_bytes, cpu_set_t *set)
{
    (void)pid, (void)n_bytes, (void)set;
    errno = EPERM;
    return -1;
}

TEST(processors_are_read_however_many_there_are)
{
    cpu_set_t *set;
    size_t n_bytes;
    REQUIRE_OK(processors_read(&set, &n_bytes, affinity_of_many));
    CHECK_INT(n_bytes, 512);
    CHECK_INT(CPU_COUNT_S(n_bytes, set), 2048);
    mem_free(set);
    CHECK_FAILS(processors_read(&set, &n_bytes, affinity_is_forbidden), ERR_DEVICE, "the set of processors: Operation not permitted");
    CHECK(processors_count() >= 1);
}
