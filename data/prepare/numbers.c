/* numbers.c: numbers of pictures, known by 128 bits of a hash: of their names while rows are read, of their bytes when they are stored
 * (parts.h). */
#include <string.h>

#include "data/prepare/parts.h"

Status numbers_of(Table *pictures, const void *hash, uint32_t *number, bool *is_new)
{
    TableKey key;
    size_t n;
    memcpy(key.half, hash, sizeof key.half);
    TRY_IN(table_number(pictures, key, &n, is_new), "pictures");
    if (n >= UINT32_MAX - 1)
        return fail(ERR_DATA, "more than %u distinct pictures in one mixture", UINT32_MAX - 1);
    *number = (uint32_t)n;
    return OK;
}
