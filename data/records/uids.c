/* uids.c: the set of uids that a mixture has used (uids.h). Called by records.c. */
#include "data/records/uids.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static TableKey key_of(const char *uid) { return table_key(XXH3_64bits(uid, strlen(uid))); }

bool uids_has(const Table *uids, const char *uid) { return table_has(uids, key_of(uid)); }

Status uids_add(Table *uids, const char *uid, bool *added) { return fail_context(table_add(uids, key_of(uid), added), "uids"); }

static const char *numbered(char *out, const char *uid, uint64_t k)
{
    snprintf(out, strlen(uid) + 22, "%s#%" PRIu64, uid, k);
    return out;
}

Status uids_add_numbered(Table *uids, const char *uid, char *out)
{
    bool added;
    memcpy(out, uid, strlen(uid) + 1);
    TRY(uids_add(uids, out, &added));
    if (added)
        return OK;
    /* Numbers are used from 1 without gaps, so the first free one is found by doubling, then halving: many equal ids stay cheap. */
    uint64_t used = 0, free_ = 1;
    while (uids_has(uids, numbered(out, uid, free_))) {
        used = free_;
        free_ *= 2;
    }
    while (free_ - used > 1) {
        uint64_t middle = used + (free_ - used) / 2;
        if (uids_has(uids, numbered(out, uid, middle)))
            used = middle;
        else
            free_ = middle;
    }
    return uids_add(uids, numbered(out, uid, free_), &added);
}
