/* ids.c: see ids.h. */
#include "data/curate/ids.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "data/formats/sha256.h"

void id_make(char id[ID_DIGITS + 1], const char *template_sha256, const char *uid)
{
    uint8_t digest[32];
    char hex[65];
    sha256_hmac(template_sha256, strlen(template_sha256), uid, strlen(uid), digest);
    sha256_hex(digest, hex);
    snprintf(id, ID_DIGITS + 1, "%.*s", ID_DIGITS, hex);
}

static bool read_key(TableKey *key, const char *id)
{
    *key = (TableKey){{0, 0}};
    for (int i = 0; i < ID_DIGITS; i++) {
        char c = id[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
        if (digit == 16) /* also at an early end */
            return false;
        key->half[i / 16] = key->half[i / 16] << 4 | digit;
    }
    return !id[ID_DIGITS];
}

Status ids_add(Table *t, const char *id, bool *added)
{
    TableKey key;
    size_t number;
    if (!read_key(&key, id))
        return fail(ERR_DATA, "\"%.80s\" is no id of a request: %d digits 0 to 9 and a to f", id, ID_DIGITS);
    return fail_context(table_number(t, key, &number, added), "ids of requests");
}

int64_t ids_find(const Table *t, const char *id)
{
    TableKey key;
    return read_key(&key, id) ? (int64_t)table_value(t, key) - 1 : -1;
}

TableKey ids_key(const char *text, size_t n)
{
    const XXH128_hash_t h = XXH3_128bits(text, n);
    return (TableKey){{h.low64, h.high64}};
}
