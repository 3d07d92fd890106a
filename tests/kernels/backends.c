/* The backends that test-unit compares with ref. */
#include <stdlib.h>

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

const TestedBackend TESTED_BACKENDS[] = {
    {"ref_float", ref_float_open, NULL, NULL, false},
    {"cpu avx2", open_avx2, NULL, NULL, false},
    {"cpu avx512", open_avx512, NULL, NULL, false},
    {"cpu avx512bf16", open_avx512bf16, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};
