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

/* Whether it is of id_make's form. */
static bool is_id(const char *id) { return strspn(id, "0123456789abcdef") == ID_DIGITS && !id[ID_DIGITS]; }

TableKey ids_key(const char *text, size_t n) { return table_key(XXH3_64bits(text, n)); }

Status ids_add(Table *t, const char *id, bool *added)
{
    size_t number;
    if (!is_id(id))
        return fail(ERR_DATA, "\"%.80s\" is no id of a request: %d digits 0 to 9 and a to f", id, ID_DIGITS);
    return fail_context(table_number(t, ids_key(id, ID_DIGITS), &number, added), "ids of requests");
}

int64_t ids_find(const Table *t, const char *id) { return is_id(id) ? (int64_t)table_value(t, ids_key(id, ID_DIGITS)) - 1 : -1; }
