/* earlier.c: the pictures of earlier sources of a mixture, and rows of later ones that show nearly the same (parts.h). Called by merge.c
 * and stats.c. */
#include "data/prepare/parts.h"
#include "kernels/base/arena.h"

void earlier_free(Earlier *e)
{
    near_free(&e->near);
    mem_free(e->waiting);
    mem_free(e->added);
    *e = (Earlier){0};
}

/* Pictures of a source are compared with those of others alone: they are added when the next one begins. */
static Status begin_source(Earlier *e, int source)
{
    if (e->source == source)
        return OK;
    for (size_t i = 0; i < e->n_waiting; i++)
        TRY(near_add(&e->near, e->waiting[i].hash, e->waiting[i].picture));
    e->n_waiting = 0;
    e->source = source;
    return OK;
}

Status earlier_find(Earlier *e, const ScanFiles *scan, const ScanRow *row, const ScanRef *refs, NearPicture *out, bool *found)
{
    *found = false;
    TRY(begin_source(e, row->index.source));
    for (uint32_t i = 0; i < row->n_pictures; i++) {
        ScanPicture p;
        if (refs[i].role == ROLE_MASK)
            continue;
        TRY(scan_picture(scan, refs[i].picture, &p));
        if (near_find(&e->near, p.info.dhash, &out->earlier, &out->bits)) {
            out->picture = refs[i].picture;
            *found = true;
            return OK;
        }
    }
    return OK;
}

/* Whether the picture was added before; from here on it was. */
static bool was_added(Earlier *e, uint32_t picture)
{
    const uint8_t bit = (uint8_t)(1 << picture % 8);
    const bool was = e->added[picture / 8] & bit;
    e->added[picture / 8] |= bit;
    return was;
}

static Status wait(Earlier *e, const ScanFiles *scan, uint32_t picture)
{
    ScanPicture p;
    if (e->n_waiting == e->capacity) {
        const size_t capacity = e->capacity + e->capacity / 2 + 1024;
        Waiting *more = mem_grow(e->waiting, capacity * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory to compare pictures");
        e->waiting = more;
        e->capacity = capacity;
    }
    TRY(scan_picture(scan, picture, &p));
    e->waiting[e->n_waiting++] = (Waiting){p.info.dhash, picture};
    return OK;
}

Status earlier_add(Earlier *e, const ScanFiles *scan, const ScanRow *row, const ScanRef *refs)
{
    if (!e->added)
        e->added = mem_alloc((size_t)scan->totals.pictures / 8 + 1);
    if (!e->added)
        return fail(ERR_NOMEM, "no memory to compare pictures");
    for (uint32_t i = 0; i < row->n_pictures; i++)
        if (refs[i].role != ROLE_MASK && !was_added(e, refs[i].picture))
            TRY(wait(e, scan, refs[i].picture));
    return OK;
}
