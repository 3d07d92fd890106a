/* benches.c: the table of benchmarks (bench.h). Called by evaluate. */
#include <string.h>

#include "eval/bench/bench.h"

/* X(symbol) in the order of --list */
#define BENCH_LIST(X)                                                                                                     \
    X(BENCH_VQAV2) X(BENCH_GQA) X(BENCH_VIZWIZ) X(BENCH_TEXTVQA) X(BENCH_SQA) X(BENCH_POPE) X(BENCH_MME) X(BENCH_MMBENCH) \
    X(BENCH_MMBENCH_CN) X(BENCH_SEED) X(BENCH_LLAVA) X(BENCH_MM_VET) X(BENCH_MMMU) X(BENCH_MATHVISTA) \
    X(BENCH_COCO) X(BENCH_VIST) X(BENCH_MAGICBRUSH) X(BENCH_EVR) X(BENCH_GIER) X(BENCH_MA5K)

#define DECLARE(symbol) extern const Bench symbol;
BENCH_LIST(DECLARE)
#undef DECLARE

#define ADDRESS(symbol) &symbol,
const Bench *const BENCHES[] = {BENCH_LIST(ADDRESS) NULL};
#undef ADDRESS

Status bench_empty(const Bench *b, const BenchData *d)
{
    return fail(ERR_DATA, "%s: the files in %s hold no question of split %s", b->name, d->dir, d->split);
}

const Bench *bench_named(const char *name)
{
    for (const Bench *const *b = BENCHES; *b; b++)
        if (!strcmp((*b)->name, name))
            return *b;
    return NULL;
}
