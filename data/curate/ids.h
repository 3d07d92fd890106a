/* ids.h: the ids of requests, 32 hex digits of a hash of template and uid, and tables of them or of other texts (TABLE_64 of table.h).
 * Called by request, by readers of replies, which find the request of a custom_id there, and by those who find equal texts. */
#ifndef GENLLAVA_DATA_CURATE_IDS_H
#define GENLLAVA_DATA_CURATE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/table.h"

enum { ID_DIGITS = 32 };

/* Depends on both texts alone; [0-9a-f]{32}, which all batch services take. */
void id_make(char id[ID_DIGITS + 1], const char *template_sha256, const char *uid);

/* The number of an id, from 0; -1: it was not added (or is none of id_make's form). */
int64_t ids_find(const Table *t, const char *id);
/* Numbers ids in the order in which they are added; *added is false when it was there. */
MUST_USE Status ids_add(Table *t, const char *id, bool *added);

/* The key of any text: 64 bits of a hash stand for it. */
TableKey ids_key(const char *text, size_t n);
#endif
