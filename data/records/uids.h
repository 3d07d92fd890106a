/* uids.h: which uids a mixture has used, kept as 64-bit hashes: 10 to 15 bytes a uid. Two of n uids are taken for equal by accident with
 * probability n²/2^65 (1e-6 for six million). */
#ifndef GENLLAVA_DATA_RECORDS_UIDS_H
#define GENLLAVA_DATA_RECORDS_UIDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct Uids {
    uint64_t *slots; /* 0: empty */
    size_t n, capacity;
} Uids;

void uids_free(Uids *u);
/* Adds `uid`; *added is false when it was there. */
MUST_USE Status uids_add(Uids *u, const char *uid, bool *added);
bool uids_has(const Uids *u, const char *uid);
/* Adds `uid`, or else the first of uid#1, uid#2 … that is free, and writes it to out (which has room for strlen(uid) + 22 bytes). */
MUST_USE Status uids_add_numbered(Uids *u, const char *uid, char *out);
#endif
