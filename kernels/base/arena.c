/* arena.c: arenas, and the heap memory of everything that is no arena (arena.h). */
#include "kernels/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

Status arena_create(Arena *a, size_t capacity)
{
    *a = (Arena){.capacity = capacity ? capacity : ARENA_ALIGN, .owns = true};
    void *p = mmap(NULL, a->capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        *a = (Arena){0};
        return fail(ERR_NOMEM, "cannot reserve %zu bytes of memory", capacity);
    }
    madvise(p, a->capacity, MADV_HUGEPAGE); /* a hint: first touches are the slow part of fresh memory */
    a->base = p;
    return OK;
}

void arena_borrow(Arena *a, void *base, size_t capacity) { *a = (Arena){.base = base, .capacity = capacity}; }

void arena_measure(Arena *a) { *a = (Arena){.base = (char *)(uintptr_t)ARENA_ALIGN, .capacity = SIZE_MAX / 2, .measures = true}; }

void arena_free(Arena *a)
{
    if (a && a->owns && a->base)
        munmap(a->base, a->capacity);
    if (a)
        *a = (Arena){0};
}

void *arena_push(Arena *a, size_t n_bytes)
{
    size_t start = (a->used + (ARENA_ALIGN - 1)) & ~(size_t)(ARENA_ALIGN - 1);
    if (start > a->capacity || n_bytes > a->capacity - start)
        return NULL;
    a->used = start + n_bytes;
    if (a->used > a->peak)
        a->peak = a->used;
    return a->base + start;
}

void *mem_alloc(size_t n_bytes) { return calloc(1, n_bytes ? n_bytes : 1); }
void *mem_grow(void *p, size_t n_bytes) { return realloc(p, n_bytes ? n_bytes : 1); }
void mem_free(void *p) { free(p); }

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = mem_alloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}
