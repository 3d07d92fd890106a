/* arena.h: bump allocation over one block of memory, released to a mark, never piecemeal.
 *
 * An arena either owns host memory, borrows memory of a device, or only MEASURES: then it hands out addresses that must
 * not be dereferenced and remembers the high-water mark, which is how the memory of a step is known before step 0. */
#ifndef GENLLAVA_KERNELS_BASE_ARENA_H
#define GENLLAVA_KERNELS_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ARENA_ALIGN = 64 }; /* bytes; every push is aligned to it */

typedef struct Arena {
    char *base;
    size_t capacity, used, peak; /* bytes */
    bool owns, measures;
} Arena;
typedef size_t ArenaMark;

MUST_USE Status arena_create(Arena *a, size_t capacity); /* host memory, not touched (zero pages) */
void arena_borrow(Arena *a, void *base, size_t capacity);
void arena_measure(Arena *a); /* unlimited, addresses only */
void arena_free(Arena *a);    /* NULL and zeroed arenas are fine */
/* NULL when the capacity does not suffice (never for a measuring arena). A size of 0 gives a valid address. */
void *arena_push(Arena *a, size_t n_bytes);
static inline ArenaMark arena_mark(const Arena *a) { return a->used; }
static inline void arena_release(Arena *a, ArenaMark m) { a->used = m; }

/* Host memory for modules that are not data/formats: the only door to malloc. All abort-free; NULL when exhausted. */
void *mem_alloc(size_t n_bytes);         /* zeroed */
void *mem_grow(void *p, size_t n_bytes); /* as realloc; the new part is not zeroed */
char *mem_strdup(const char *s);
void mem_free(void *p);
void mem_trim(void); /* what was freed goes back to the system: after work whose like does not come again */
/* What is reused of freed memory. At the beginning this depends on what was freed before, and a process's peak differs by a megabyte from
 * one run to the next. MEM_RETURNED: large blocks go back to the system, so that the peak is that of what is held; MEM_REUSED: they are
 * kept for the next of their size, which saves touching them anew (pictures), but for those at the end of a heap. */
typedef enum MemReuse { MEM_RETURNED, MEM_REUSED } MemReuse;
void mem_reuse(MemReuse reuse);

#ifdef __cplusplus
}
#endif
#endif
