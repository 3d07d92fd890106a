/* measure.c: a null backend whose operators tell what those of the CPU backend work in besides their arguments (Backend.measure). Opened by
 * the memory plan of a run. */
#include <stdio.h>

#include "kernels/cpu/cpu.h"

/* Operators that call cpu_shared or cpu_widens: their own launchers run, up to there. The tests of operators compare what was measured with
 * the pages that were touched, so that none is missing here. */
#define MEASURED(X)      \
    X(matmul_fp8)        \
    X(groupnorm_fwd)     \
    X(groupnorm_bwd)     \
    X(adapter_down)      \
    X(adapter_down_grad) \
    X(adapter_down_bwd)  \
    X(attention_bwd)     \
    X(conv2d_fwd)        \
    X(conv2d_dx)         \
    X(conv2d_dw)         \
    X(difference_fwd)

static Status count_memory(Backend *b, size_t n_bytes, void **out)
{
    *out = arena_push(&cpu_device(&b->ctx)->memory, n_bytes);
    return *out ? OK : fail(ERR_NOMEM, "null: more than the address space holds");
}

/* Both lie in huge pages where the system has some. */
static Status tell_memory(Backend *b, DeviceMemory *out)
{
    const CpuDevice *d = cpu_device(&b->ctx);
    const size_t huge = 2 << 20;
    *out = (DeviceMemory){.own = (d->shared_most + huge - 1) / huge * huge + d->wide_most};
    return OK;
}

Status cpu_measure(Backend *b, Backend *null)
{
    CpuDevice *d = mem_alloc(sizeof *d);
    Status s = d ? null_open(null) : fail(ERR_NOMEM, "no memory to measure with");
    if (s) {
        mem_free(d);
        return s;
    }
    *d = (CpuDevice){.ops = cpu_device(&b->ctx)->ops, .threads = cpu_device(&b->ctx)->threads};
    arena_measure(&d->memory);
    mem_free(null->ctx.device); /* its own arena */
    null->ctx.device = d;
    null->mem_create = count_memory;
    null->memory = tell_memory;
#define MEMBER(name) null->ops.name = d->ops.name;
    MEASURED(MEMBER)
#undef MEMBER
    return OK;
}
