/* uids.c: the set of uids that a mixture has used (uids.h). Called by records.c. */
#include "data/records/uids.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "kernels/base/arena.h"

enum { FIRST_CAPACITY = 64 };

static uint64_t hash_of(const char *uid)
{
    uint64_t h = XXH3_64bits(uid, strlen(uid));
    return h ? h : 1;
}

/* The slot that holds h, or the empty one where it would go. */
static size_t slot_of(const uint64_t *slots, size_t capacity, uint64_t h)
{
    size_t i = (size_t)((unsigned __int128)h * capacity >> 64);
    while (slots[i] && slots[i] != h)
        i = i + 1 < capacity ? i + 1 : 0;
    return i;
}

static Status make_room(Uids *u)
{
    if (u->n < u->capacity / 5 * 4)
        return OK;
    size_t capacity = u->capacity ? u->capacity / 2 * 3 : FIRST_CAPACITY;
    uint64_t *slots = mem_alloc(capacity * sizeof *slots);
    if (!slots)
        return fail(ERR_NOMEM, "no memory to remember %zu uids", u->n);
    for (size_t i = 0; i < u->capacity; i++)
        if (u->slots[i])
            slots[slot_of(slots, capacity, u->slots[i])] = u->slots[i];
    mem_free(u->slots);
    u->slots = slots;
    u->capacity = capacity;
    return OK;
}

void uids_free(Uids *u)
{
    mem_free(u->slots);
    *u = (Uids){0};
}

bool uids_has(const Uids *u, const char *uid) { return u->capacity && u->slots[slot_of(u->slots, u->capacity, hash_of(uid))] != 0; }

Status uids_add(Uids *u, const char *uid, bool *added)
{
    TRY(make_room(u));
    uint64_t h = hash_of(uid);
    size_t i = slot_of(u->slots, u->capacity, h);
    *added = u->slots[i] == 0;
    u->slots[i] = h;
    u->n += *added;
    return OK;
}

static const char *numbered(char *out, const char *uid, uint64_t k)
{
    snprintf(out, strlen(uid) + 22, "%s#%" PRIu64, uid, k);
    return out;
}

Status uids_add_numbered(Uids *u, const char *uid, char *out)
{
    bool added;
    memcpy(out, uid, strlen(uid) + 1);
    TRY(uids_add(u, out, &added));
    if (added)
        return OK;
    /* Numbers are used from 1 without gaps, so the first free one is found by doubling, then halving: many equal ids stay cheap. */
    uint64_t used = 0, free_ = 1;
    while (uids_has(u, numbered(out, uid, free_))) {
        used = free_;
        free_ *= 2;
    }
    while (free_ - used > 1) {
        uint64_t middle = used + (free_ - used) / 2;
        if (uids_has(u, numbered(out, uid, middle)))
            used = middle;
        else
            free_ = middle;
    }
    return uids_add(u, numbered(out, uid, free_), &added);
}
