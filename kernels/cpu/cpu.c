/* cpu.c: the CPU backend: opens the best instruction set of the machine, fills its table of operators (cpu.h). */
#include <cpuid.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "kernels/cpu/cpu.h"

/* ---------------------------------------------------------------- instruction sets */

void cpu_overlay_avx2(KernelTable *t);
void cpu_overlay_avx512(KernelTable *t);
void cpu_overlay_avx512bf16(KernelTable *t);

typedef struct IsaChoice {
    const char *name;
    void (*overlay)(KernelTable *t); /* NULL: the ref backend as it is */
} IsaChoice;

/* From the plainest to the richest. */
static const IsaChoice CHOICES[] = {
    {"ref", NULL}, {"avx2", cpu_overlay_avx2}, {"avx512", cpu_overlay_avx512}, {"avx512bf16", cpu_overlay_avx512bf16}};
enum { N_CHOICES = sizeof CHOICES / sizeof *CHOICES };

/* __builtin_cpu_supports also asks xgetbv whether the system saves the wide registers. */
static int best_choice(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return 1;
    return __builtin_cpu_supports("avx512bf16") ? 3 : 2;
}

void cpu_name_sets(char *out, size_t n)
{
    *out = 0;
    for (int i = 0; i <= best_choice(); i++)
        snprintf(out + strlen(out), n - strlen(out), "%s%s", i ? " " : "", CHOICES[i].name);
}

static Status choose(const IsaChoice **out)
{
    int best = best_choice();
    const char *wanted = getenv("GENLLAVA_ISA");
    *out = &CHOICES[best];
    if (!wanted || !*wanted)
        return OK;
    for (int i = 0; i < N_CHOICES; i++)
        if (!strcmp(wanted, CHOICES[i].name)) {
            if (i > best)
                return fail(ERR_DEVICE, "GENLLAVA_ISA is %s, but this processor has at most %s", wanted, CHOICES[best].name);
            *out = &CHOICES[i];
            return OK;
        }
    return fail(ERR_USAGE, "GENLLAVA_ISA is \"%s\", expected ref, avx2, avx512 or avx512bf16", wanted);
}

/* ---------------------------------------------------------------- operators
 * The calling thread's denormals are flushed while it is in an operator and not elsewhere. */

#define OPERATOR(name, Args)                              \
    static Status flushed_##name(KernelCtx *ctx, const Args *a) \
    {                                                     \
        unsigned saved = _mm_getcsr();                    \
        _mm_setcsr(saved | FLUSH_DENORMALS);              \
        Status s = cpu_device(ctx)->ops.name(ctx, a);    \
        _mm_setcsr(saved);                                \
        return s;                                         \
    }
KERNEL_LIST(OPERATOR)
#undef OPERATOR

/* ---------------------------------------------------------------- backend */

static Status mem_create(Backend *b, size_t n_bytes, void **out)
{
    (void)b;
    *out = mem_alloc(n_bytes);
    return *out ? OK : fail(ERR_NOMEM, "cpu: cannot allocate %zu bytes", n_bytes);
}

static void mem_destroy(Backend *b, void *p)
{
    (void)b;
    mem_free(p);
}

static Status copy(Backend *b, void *dst, const void *src, size_t n_bytes)
{
    (void)b;
    if (n_bytes)
        memcpy(dst, src, n_bytes);
    return OK;
}

static void close_cpu(Backend *b)
{
    CpuDevice *d = b->ctx.device;
    if (d)
        arena_free(&d->memory);
    mem_free(d);
    *b = (Backend){0};
}

/* What the processor calls itself, without the blanks around it. */
static void processor_name(char out[64])
{
    unsigned word[12] = {0};
    char text[sizeof word + 1] = {0};
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &word[4 * i], &word[4 * i + 1], &word[4 * i + 2], &word[4 * i + 3]))
            memcpy(&word[4 * i], "x86-64 CPU", sizeof "x86-64 CPU");
    memcpy(text, word, sizeof word);
    const char *start = text + strspn(text, " ");
    snprintf(out, 64, "%s", start);
    for (size_t n = strlen(out); n && out[n - 1] == ' '; n--)
        out[n - 1] = '\0';
}

static Status device_create(CpuDevice **out)
{
    CpuDevice *d = mem_alloc(sizeof *d);
    if (!d)
        return fail(ERR_NOMEM, "cpu: cannot allocate the backend's state");
    d->threads = omp_get_max_threads();
    Status s = arena_create(&d->memory, (size_t)d->threads * WORKSPACE_BYTES + SHARED_BYTES);
    if (s) {
        mem_free(d);
        return fail(s, "cpu: workspaces of %d threads: %s; set OMP_NUM_THREADS to fewer, or raise ulimit -v", omp_get_max_threads(),
                    status_message());
    }
    d->workspace = arena_push(&d->memory, (size_t)d->threads * WORKSPACE_BYTES);
    d->shared = arena_push(&d->memory, SHARED_BYTES);
    *out = d;
    return OK;
}

Status cpu_open(Backend *b)
{
    const IsaChoice *isa;
    CpuDevice *d = NULL;
    char processor[64];
    TRY(ref_open(b));
    TRY(choose(&isa));
    processor_name(processor);
    b->name = "cpu";
    snprintf(b->kind, sizeof b->kind, "cpu, %s", isa->name);
    if (!isa->overlay) {
        snprintf(b->description, sizeof b->description, "%s, reference kernels (slow: the fast ones need AVX2), 1 thread", processor);
        return OK;
    }
    TRY(device_create(&d));
    d->ops = b->ops;
    isa->overlay(&d->ops);
#define MEMBER(name, Args) b->ops.name = flushed_##name;
    KERNEL_LIST(MEMBER)
#undef MEMBER
    b->ctx.device = d;
    b->native_bf16 = __builtin_cpu_supports("avx512bf16") && isa == &CHOICES[N_CHOICES - 1];
    b->tile_bytes = (size_t)d->threads << 20; /* the second level cache of a core has that, or half */
    b->mem_create = mem_create;
    b->mem_destroy = mem_destroy;
    b->upload = b->download = copy;
    b->measure = cpu_measure;
    b->close = close_cpu;
    snprintf(b->description, sizeof b->description, "%s, %s, %d thread%s", processor, isa->name, d->threads, status_plural(d->threads));
    return OK;
}
