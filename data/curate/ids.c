/* ids.c: see ids.h. */
#include "data/curate/ids.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "data/formats/sha256.h"
#include "kernels/base/arena.h"

void id_make(char id[ID_DIGITS + 1], const char *template_sha256, const char *uid)
{
    uint8_t digest[32];
    char hex[65];
    sha256_hmac(template_sha256, strlen(template_sha256), uid, strlen(uid), digest);
    sha256_hex(digest, hex);
    snprintf(id, ID_DIGITS + 1, "%.*s", ID_DIGITS, hex);
}

static bool read_key(IdKey *key, const char *id)
{
    *key = (IdKey){{0, 0}};
    for (int i = 0; i < ID_DIGITS; i++) {
        char c = id[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
        if (digit == 16) /* also at an early end */
            return false;
        key->half[i / 16] = key->half[i / 16] << 4 | digit;
    }
    return !id[ID_DIGITS];
}

/* The slot of a key, or the empty one where it belongs. The key itself is a hash. */
static size_t find_slot(const Ids *t, IdKey key)
{
    size_t i = (size_t)key.half[0] & (t->n_slots - 1);
    while (t->slots[i]) {
        const IdKey *k = &t->keys[t->slots[i] - 1];
        if (k->half[0] == key.half[0] && k->half[1] == key.half[1])
            return i;
        i = (i + 1) & (t->n_slots - 1);
    }
    return i;
}

static Status grow(Ids *t)
{
    enum { FIRST = 1024 };
    size_t n_slots = t->n_slots ? 2 * t->n_slots : FIRST, room = n_slots / 2;
    if (room > INT32_MAX)
        return fail(ERR_NOMEM, "more than %zu requests", t->n);
    IdKey *keys = mem_grow(t->keys, room * sizeof *keys);
    if (keys) {
        t->keys = keys;
        t->room = room;
    }
    uint32_t *slots = keys ? mem_alloc(n_slots * sizeof *slots) : NULL;
    if (!slots)
        return fail(ERR_NOMEM, "no memory for the ids of %zu requests", room);
    mem_free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
    for (size_t i = 0; i < t->n; i++)
        slots[find_slot(t, t->keys[i])] = (uint32_t)i + 1;
    return OK;
}

Status ids_add_key(Ids *t, IdKey key, size_t *number, bool *added)
{
    if (2 * t->n >= t->n_slots)
        TRY(grow(t));
    size_t slot = find_slot(t, key);
    *added = !t->slots[slot];
    if (*added) {
        t->keys[t->n++] = key;
        t->slots[slot] = (uint32_t)t->n;
    }
    *number = t->slots[slot] - 1;
    return OK;
}

Status ids_add(Ids *t, const char *id, bool *added)
{
    IdKey key;
    size_t number;
    if (!read_key(&key, id))
        return fail(ERR_DATA, "\"%.80s\" is no id of a request: %d digits 0 to 9 and a to f", id, ID_DIGITS);
    return ids_add_key(t, key, &number, added);
}

int64_t ids_find_key(const Ids *t, IdKey key) { return t->n ? (int64_t)t->slots[find_slot(t, key)] - 1 : -1; }

int64_t ids_find(const Ids *t, const char *id)
{
    IdKey key;
    return read_key(&key, id) ? ids_find_key(t, key) : -1;
}

IdKey ids_hash(const char *text, size_t n)
{
    const XXH128_hash_t h = XXH3_128bits(text, n);
    return (IdKey){{h.low64, h.high64}};
}

void ids_free(Ids *t)
{
    mem_free(t->keys);
    mem_free(t->slots);
    *t = (Ids){.keys = NULL};
}
