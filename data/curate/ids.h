/* ids.h: the ids of requests: 32 hex digits of a hash of template and uid, and a table of them or of hashes of other texts. Called by
 * request, by readers of replies, which find the request of a custom_id there, and by those who find equal texts. 20 to 60 bytes an id. */
#ifndef GENLLAVA_DATA_CURATE_IDS_H
#define GENLLAVA_DATA_CURATE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { ID_DIGITS = 32 };

/* Depends on both texts alone; [0-9a-f]{32}, which all batch services take. */
void id_make(char id[ID_DIGITS + 1], const char *template_sha256, const char *uid);

typedef struct IdKey {
    uint64_t half[2];
} IdKey;
/* In the order in which they were added. Zero it to begin with. */
typedef struct Ids {
    IdKey *keys;
    uint32_t *slots; /* number + 1; 0: empty */
    size_t n, room, n_slots;
} Ids;
void ids_free(Ids *t);
/* The number of an id, from 0; -1: it was not added (or is none of id_make's form). */
int64_t ids_find(const Ids *t, const char *id);
/* *added is false when it was there. */
MUST_USE Status ids_add(Ids *t, const char *id, bool *added);

/* The same of any text: 128 bits of a hash stand for it. */
IdKey ids_hash(const char *text, size_t n);
int64_t ids_find_key(const Ids *t, IdKey key);
/* *number: the key's, whether it was there or not. */
MUST_USE Status ids_add_key(Ids *t, IdKey key, size_t *number, bool *added);
#endif
