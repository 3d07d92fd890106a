/* null.c: runs model code without computing anything, to learn what it would need. Operators return OK and read nothing but
 * their name; memory is a measuring arena, whose addresses must not be dereferenced. */
#include <stdio.h>

#include "kernels/ops/table.h"

#define NULL_OPERATOR(name, Args)                               \
    static Status null_##name(KernelCtx *ctx, const Args *args) \
    {                                                           \
        (void)ctx;                                              \
        (void)args;                                             \
        return OK;                                              \
    }
KERNEL_LIST(NULL_OPERATOR)
#undef NULL_OPERATOR

static Status mem_create(Backend *b, size_t n_bytes, void **out)
{
    *out = arena_push(b->ctx.device, n_bytes);
    return *out ? OK : fail(ERR_NOMEM, "null: more than the address space holds");
}

static void mem_destroy(Backend *b, void *p)
{
    (void)b;
    (void)p;
}

static Status copy(Backend *b, void *dst, const void *src, size_t n_bytes)
{
    (void)b;
    (void)dst;
    (void)src;
    (void)n_bytes;
    return OK;
}

static void close_null(Backend *b)
{
    mem_free(b->ctx.device);
    *b = (Backend){0};
}

Status null_open(Backend *b)
{
    Arena *arena = mem_alloc(sizeof *arena);
    if (!arena)
        return fail(ERR_NOMEM, "null: no memory for the measuring arena");
    arena_measure(arena);
    *b = (Backend){
        .name = "null",
        .ops = {
#define MEMBER(name, Args) .name = null_##name,
            KERNEL_LIST(MEMBER)
#undef MEMBER
        },
        .ctx.device = arena,
        .mem_create = mem_create,
        .mem_destroy = mem_destroy,
        .upload = copy,
        .download = copy,
        .close = close_null,
    };
    snprintf(b->description, sizeof b->description, "computes nothing, measures memory");
    return OK;
}
