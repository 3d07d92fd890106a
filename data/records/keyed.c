/* keyed.c: see keyed.h. */
#include "data/records/keyed.h"

#include <string.h>
#include <xxhash.h>

#include "kernels/base/arena.h"

/* The slot of a key, or the empty one where it would go. */
static size_t *slot_of(const Keyed *k, size_t *slots, size_t capacity, const char *key)
{
    size_t i = (size_t)((unsigned __int128)XXH3_64bits(key, strlen(key)) * capacity >> 64);
    while (slots[i] && strcmp(k->text + slots[i] - 1, key) != 0)
        i = i + 1 < capacity ? i + 1 : 0;
    return &slots[i];
}

static Status no_memory(const Keyed *k) { return fail(ERR_NOMEM, "no memory for %zu texts", k->n); }

static Status make_room(Keyed *k, size_t bytes)
{
    enum { FIRST_CAPACITY = 1024, FIRST_BYTES = 1 << 16 };
    if (k->text_n + bytes > k->text_capacity) {
        const size_t capacity = k->text_capacity / 2 * 3 + bytes + FIRST_BYTES;
        char *text = mem_grow(k->text, capacity);
        if (!text)
            return no_memory(k);
        k->text = text;
        k->text_capacity = capacity;
    }
    if (k->n < k->capacity / 5 * 4)
        return OK;
    const size_t capacity = k->capacity ? k->capacity / 2 * 3 : FIRST_CAPACITY;
    size_t *slots = mem_alloc(capacity * sizeof *slots);
    if (!slots)
        return no_memory(k);
    for (size_t i = 0; i < k->capacity; i++)
        if (k->slots[i])
            *slot_of(k, slots, capacity, k->text + k->slots[i] - 1) = k->slots[i];
    mem_free(k->slots);
    k->slots = slots;
    k->capacity = capacity;
    return OK;
}

Status keyed_add(Keyed *k, const char *key, const char *text)
{
    const size_t key_bytes = strlen(key) + 1, text_bytes = strlen(text) + 1;
    TRY(make_room(k, key_bytes + text_bytes));
    size_t *slot = slot_of(k, k->slots, k->capacity, key);
    if (*slot)
        return OK;
    *slot = k->text_n + 1;
    memcpy(k->text + k->text_n, key, key_bytes);
    memcpy(k->text + k->text_n + key_bytes, text, text_bytes);
    k->text_n += key_bytes + text_bytes;
    k->n++;
    return OK;
}

const char *keyed_find(const Keyed *k, const char *key)
{
    if (!k->capacity)
        return NULL;
    const size_t place = *slot_of(k, k->slots, k->capacity, key);
    return place ? k->text + place - 1 + strlen(key) + 1 : NULL;
}

void keyed_free(Keyed *k)
{
    mem_free(k->slots);
    mem_free(k->text);
    *k = (Keyed){0};
}
