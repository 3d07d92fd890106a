/* uids.h: which uids a mixture has used: a set of their 64-bit hashes (table.h). Called by records.c and exclude.c. */
#ifndef GENLLAVA_DATA_RECORDS_UIDS_H
#define GENLLAVA_DATA_RECORDS_UIDS_H

#include "kernels/base/table.h"

/* Adds `uid` to a TABLE_SET; *added is false when it was there. */
MUST_USE Status uids_add(Table *uids, const char *uid, bool *added);
bool uids_has(const Table *uids, const char *uid);
/* Adds `uid`, or else the first of uid#1, uid#2 … that is free, and writes it to out (which has room for strlen(uid) + 22 bytes). */
MUST_USE Status uids_add_numbered(Table *uids, const char *uid, char *out);
#endif
