/* keyed.c: see keyed.h. */
#include "data/records/keyed.h"

#include <string.h>
#include <xxhash.h>

#include "kernels/base/arena.h"

static Status text_room(Keyed *k, size_t bytes)
{
    enum { FIRST_BYTES = 1 << 16 };
    if (k->text_n + bytes <= k->text_capacity)
        return OK;
    const size_t capacity = k->text_capacity / 2 * 3 + bytes + FIRST_BYTES;
    char *text = mem_grow(k->text, capacity);
    if (!text)
        return fail(ERR_NOMEM, "no memory for %zu texts", k->places.n);
    k->text = text;
    k->text_capacity = capacity;
    return OK;
}

static TableKey first_key(const char *key) { return table_key(XXH3_64bits(key, strlen(key))); }

Status keyed_add(Keyed *k, const char *key, const char *text)
{
    const size_t key_bytes = strlen(key) + 1, text_bytes = strlen(text) + 1;
    uint64_t *place;
    TRY(text_room(k, key_bytes + text_bytes));
    k->places.kind = TABLE_64;
    for (TableKey at = first_key(key);; at = table_next(at)) {
        TRY_IN(table_at(&k->places, at, &place), "texts by their keys");
        if (!*place)
            break;
        if (!strcmp(k->text + *place - 1, key))
            return OK;
    }
    *place = k->text_n + 1;
    memcpy(k->text + k->text_n, key, key_bytes);
    memcpy(k->text + k->text_n + key_bytes, text, text_bytes);
    k->text_n += key_bytes + text_bytes;
    return OK;
}

const char *keyed_find(const Keyed *k, const char *key)
{
    uint64_t place;
    for (TableKey at = first_key(key); (place = table_value(&k->places, at)); at = table_next(at))
        if (!strcmp(k->text + place - 1, key))
            return k->text + place - 1 + strlen(key) + 1;
    return NULL;
}

void keyed_free(Keyed *k)
{
    table_free(&k->places);
    mem_free(k->text);
    *k = (Keyed){.text = NULL};
}
