/* arena.c: arenas, and the heap memory of everything that is no arena (arena.h). */
#include "kernels/base/arena.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Begins at a huge page: how many of them it touches is the same in every run. */
Status arena_create(Arena *a, size_t capacity)
{
    const size_t huge = 2 << 20;
    *a = (Arena){.capacity = capacity ? capacity : ARENA_ALIGN, .owns = true};
    char *p = mmap(NULL, a->capacity + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        *a = (Arena){0};
        return fail(ERR_NOMEM, "cannot reserve %zu bytes of memory", capacity);
    }
    size_t before = -(uintptr_t)p % huge, page = (size_t)sysconf(_SC_PAGESIZE), end = (before + a->capacity + page - 1) / page * page;
    if (before)
        munmap(p, before);
    if (end < a->capacity + huge)
        munmap(p + end, a->capacity + huge - end);
    a->base = p + before;
    madvise(a->base, a->capacity, MADV_HUGEPAGE); /* a hint: first touches are the slow part of fresh memory */
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
void mem_trim(void) { malloc_trim(0); }
void mem_reuse(MemReuse reuse) { mallopt(M_MMAP_THRESHOLD, reuse == MEM_REUSED ? 32 << 20 : 1 << 19); }

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = mem_alloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}
