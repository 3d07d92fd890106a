/* What freed memory becomes (arena.h), by the pages that the process touches for the first time. */
#include "kernels/base/arena.h"

#include <string.h>
#include <sys/resource.h>

#include "tests/harness.h"

#ifndef __SANITIZE_ADDRESS__ /* whose own allocator keeps what is freed */
enum { TIMES = 8, N_BYTES = 3 << 20, PAGES = N_BYTES / 4096 };

/* Pages that are touched anew while a block is taken, filled and freed again and again. */
static long count_pages(void)
{
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < TIMES; i++) {
        char *p = mem_grow(NULL, N_BYTES);
        REQUIRE(p);
        memset(p, i, N_BYTES);
        CHECK_INT(p[N_BYTES / 2], i);
        mem_free(p);
    }
    getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt;
}

TEST(freed_memory_goes_back_or_is_kept_for_the_next_of_its_size)
{
    mem_reuse(MEM_RETURNED);
    const long returned = count_pages();
    mem_reuse(MEM_REUSED);
    const long kept = count_pages();
    CHECK_MSG(kept < 2 * PAGES && kept < returned, "%ld pages were touched where all go back, %ld where they are kept", returned, kept);
}
#endif
