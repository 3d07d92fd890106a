/* ref.c: the reference backend: the table of the specification, in host memory (ref.h). */
#include <stdio.h>
#include <string.h>

#include "kernels/ref/real.h"

static Status mem_create(Backend *b, size_t n_bytes, void **out)
{
    *out = mem_alloc(n_bytes);
    return *out ? OK : fail(ERR_NOMEM, "%s: cannot allocate %zu bytes", b->name, n_bytes);
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

static void close_ref(Backend *b) { *b = (Backend){0}; }

Status REF_NAME(open)(Backend *b)
{
    *b = (Backend){
        .ops = {
#define MEMBER(name, Args) .name = REF_NAME(name),
            KERNEL_LIST(MEMBER)
#undef MEMBER
        },
        .multiplies_fp8 = true,
        .rows_alike = true,
        .tile_bytes = 1 << 10,
        .host_memory = true,
        .mem_create = mem_create,
        .mem_destroy = mem_destroy,
        .upload = copy,
        .download = copy,
        .close = close_ref,
    };
    b->name = sizeof(real) == sizeof(float) ? "ref_float" : "ref";
    snprintf(b->description, sizeof b->description, "the specification, arithmetic in %s, 1 thread",
             sizeof(real) == sizeof(float) ? "float" : "double");
    return OK;
}
