/* Numbers of things as they are first met, by 128-bit hashes: open addressing, at most three quarters full. Two of n things are taken for
 * one by accident with probability n²/2^129. */
#include "data/prepare/parts.h"
#include "kernels/base/arena.h"

struct Numbered {
    XXH128_hash_t key;
    uint32_t number; /* counted from 1; 0: empty */
};

void numbers_free(Numbers *m)
{
    mem_free(m->slots);
    *m = (Numbers){0};
}

static struct Numbered *slot_of(const Numbers *m, XXH128_hash_t key)
{
    size_t i = key.low64 & (m->capacity - 1);
    while (m->slots[i].number && !XXH128_isEqual(m->slots[i].key, key))
        i = (i + 1) & (m->capacity - 1);
    return &m->slots[i];
}

static Status make_room(Numbers *m)
{
    if (4 * (size_t)(m->n + 1) <= 3 * m->capacity)
        return OK;
    Numbers more = {.n = m->n, .capacity = m->capacity ? 2 * m->capacity : 1024};
    more.slots = mem_alloc(more.capacity * sizeof *more.slots);
    if (!more.slots)
        return fail(ERR_NOMEM, "no memory to remember %u pictures", m->n);
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i].number)
            *slot_of(&more, m->slots[i].key) = m->slots[i];
    mem_free(m->slots);
    *m = more;
    return OK;
}

Status numbers_of(Numbers *m, XXH128_hash_t key, uint32_t *number, bool *is_new)
{
    TRY(make_room(m));
    struct Numbered *slot = slot_of(m, key);
    *is_new = !slot->number;
    if (*is_new && m->n == UINT32_MAX - 1)
        return fail(ERR_DATA, "more than %u distinct pictures in one mixture", m->n);
    if (*is_new)
        *slot = (struct Numbered){key, ++m->n};
    *number = slot->number - 1;
    return OK;
}
