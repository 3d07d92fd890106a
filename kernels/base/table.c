/* table.c: see table.h. The last word of a slot is 0 in an empty one: of a set the key itself, which is 1 where it would be 0, else the
 * value. */
#include "kernels/base/table.h"

#include <string.h>

#include "kernels/base/arena.h"

/* Words of a slot. */
static size_t width_of(const Table *t) { return (size_t)(N_TABLE_KINDS - t->kind); }

/* The slot of a key, or the empty one where it would go. The table has room. */
static uint64_t *slot_of(const Table *t, TableKey key)
{
    const size_t width = width_of(t);
    size_t i = (size_t)((unsigned __int128)key.half[0] * t->capacity >> 64);
    for (;; i = i + 1 < t->capacity ? i + 1 : 0) {
        uint64_t *slot = t->slots + i * width;
        if (!slot[width - 1] || (slot[0] == key.half[0] && (t->kind != TABLE_128 || slot[1] == key.half[1])))
            return slot;
    }
}

static TableKey key_in(const Table *t, const uint64_t *slot) { return (TableKey){{slot[0], t->kind == TABLE_128 ? slot[1] : 0}}; }

static Status make_room(Table *t)
{
    enum { FIRST_CAPACITY = 64 };
    const size_t width = width_of(t);
    if (t->n < t->capacity / 5 * 4)
        return OK;
    Table more = {.kind = t->kind, .n = t->n, .capacity = t->capacity ? t->capacity / 2 * 3 : FIRST_CAPACITY};
    more.slots = mem_alloc(more.capacity * width * sizeof *more.slots);
    if (!more.slots)
        return fail(ERR_NOMEM, "no memory to remember more than %zu of them", t->n);
    for (size_t i = 0; i < t->capacity; i++) {
        const uint64_t *slot = t->slots + i * width;
        if (slot[width - 1])
            memcpy(slot_of(&more, key_in(t, slot)), slot, width * sizeof *slot);
    }
    mem_free(t->slots);
    *t = more;
    return OK;
}

void table_free(Table *t)
{
    mem_free(t->slots);
    *t = (Table){.kind = t->kind};
}

/* A set's key as it stands in a slot. */
static TableKey kept(const Table *t, TableKey key)
{
    key.half[0] += t->kind == TABLE_SET && !key.half[0];
    return key;
}

uint64_t table_value(const Table *t, TableKey key) { return t->capacity ? slot_of(t, kept(t, key))[width_of(t) - 1] : 0; }

bool table_has(const Table *t, TableKey key) { return table_value(t, key) != 0; }

Status table_at(Table *t, TableKey key, uint64_t **value)
{
    TRY(make_room(t));
    key = kept(t, key);
    uint64_t *slot = slot_of(t, key);
    *value = slot + width_of(t) - 1;
    if (**value)
        return OK;
    t->n++;
    memcpy(slot, key.half, (width_of(t) - 1) * sizeof *slot);
    return OK;
}

Status table_add(Table *t, TableKey key, bool *added)
{
    uint64_t *value;
    TRY(table_at(t, key, &value));
    *added = !*value;
    if (*added)
        *value = t->kind == TABLE_SET ? kept(t, key).half[0] : 1;
    return OK;
}

Status table_number(Table *t, TableKey key, size_t *number, bool *is_new)
{
    uint64_t *value;
    TRY(table_at(t, key, &value));
    *is_new = !*value;
    if (*is_new)
        *value = t->n;
    *number = (size_t)*value - 1;
    return OK;
}
