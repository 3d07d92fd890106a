/* The backends that test-unit compares with ref. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kernels/cpu/cpu.h"
#include "tests/kernels/compare.h"

/* The cpu backend with one of its instruction sets, or as much as GENLLAVA_ISA already allows. */
static Status open_isa(Backend *b, const char *isa)
{
    const char *set = getenv("GENLLAVA_ISA");
    if (set && *set && strcmp(set, isa))
        return fail(ERR_DEVICE, "GENLLAVA_ISA is %s", set);
    setenv("GENLLAVA_ISA", isa, 1);
    Status s = cpu_open(b);
    if (!set || !*set)
        unsetenv("GENLLAVA_ISA");
    return s;
}

static Status open_avx2(Backend *b) { return open_isa(b, "avx2"); }
static Status open_avx512(Backend *b) { return open_isa(b, "avx512"); }
static Status open_avx512bf16(Backend *b) { return open_isa(b, "avx512bf16"); }

/* ---------------------------------------------------------------- what operators work in, as measured and as touched */

enum { PAGE = 4096 };
static char said[256];

/* None of its pages is there any more, and none of those to come is larger than a page. */
static void forget(char *memory, size_t n_bytes)
{
    madvise(memory, n_bytes, MADV_NOHUGEPAGE);
    REQUIRE(!madvise(memory, n_bytes, MADV_DONTNEED));
}

/* The end of the last page that was touched. */
static size_t touched(char *memory, size_t n_bytes)
{
    static unsigned char there[SHARED_BYTES / PAGE];
    size_t end = 0;
    REQUIRE(n_bytes <= SHARED_BYTES && !mincore(memory, n_bytes, there));
    for (size_t i = 0; i < n_bytes / PAGE; i++)
        end = there[i] & 1 ? (i + 1) * PAGE : end;
    return end;
}

static size_t whole_pages(size_t n_bytes, size_t page) { return (n_bytes + page - 1) / page * page; }

/* measured: by cpu_measure's operators. It says no less than what is touched, and of the shared memory not much more. */
static void compare_touched(CpuDevice *d, const CpuDevice *measured)
{
    const size_t shared = touched(d->shared, SHARED_BYTES), most = whole_pages(measured->shared_most, PAGE);
    size_t wide = 0;
    for (int i = 0; i < d->threads; i++) {
        size_t all = whole_pages(touched(cpu_workspace(d, i), WORKSPACE_BYTES), WORKSPACE_PAGE);
        wide += all > WORKSPACE_PAGE ? all - WORKSPACE_PAGE : 0;
    }
    if (shared > most || most - shared > most / 8 + PAGE)
        snprintf(said, sizeof said, "touches %zu bytes of the shared memory, measured were %zu", shared, measured->shared_most);
    if (wide > measured->wide_most)
        snprintf(said, sizeof said, "touches %zu bytes of workspaces besides their first pages, measured were %zu", wide,
                 measured->wide_most);
}

static Status call_measured(Backend *b, Op op, const void *args)
{
    CpuDevice *d = cpu_device(&b->ctx);
    Backend null;
    REQUIRE_OK(b->measure(b, &null));
    Status s = op_call(&null, op, args);
    if (s == OK) {
        forget(d->workspace, (size_t)d->threads * WORKSPACE_BYTES);
        forget(d->shared, SHARED_BYTES);
        s = op_call(b, op, args);
        if (s == OK)
            compare_touched(d, cpu_device(&null.ctx));
    }
    null.close(&null);
    return s;
}

static const char *fault(void)
{
    static char told[sizeof said];
    memcpy(told, said, sizeof said);
    *said = 0;
    return told;
}

const TestedBackend TESTED_BACKENDS[] = {
    {"ref_float", ref_float_open, NULL, NULL, false, NULL},
    {"cpu avx2", open_avx2, fault, NULL, false, call_measured},
    {"cpu avx512", open_avx512, fault, NULL, false, call_measured},
    {"cpu avx512bf16", open_avx512bf16, fault, NULL, false, call_measured},
    {NULL, NULL, NULL, NULL, false, NULL},
};
