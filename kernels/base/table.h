/* table.h: the one hash table: a set of 64-bit keys, or a value for each key of 64 or 128 bits. Keys are hashes of what the caller means,
 * so they are spread evenly. Called wherever something is met again: uids, names of pictures, ids of requests, answers to questions.
 *
 * Open addressing; a table of more than a few keys is 53 to 80 % full: 10 to 15 bytes a key of a set, 20 to 30 or 30 to 45 a key and value.
 * Two of n things have the same key by accident with probability n²/2^65 (1e-6 for six million), or n²/2^129. Who has the things at
 * hand can compare them, and goes on with the next key (table_next) when they differ. */
#ifndef GENLLAVA_KERNELS_BASE_TABLE_H
#define GENLLAVA_KERNELS_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef enum TableKind { TABLE_128, TABLE_64, TABLE_SET, N_TABLE_KINDS } TableKind;

typedef struct TableKey {
    uint64_t half[2]; /* the second is that of 128 bits; else it is not looked at */
} TableKey;
static inline TableKey table_key(uint64_t hash) { return (TableKey){{hash, 0}}; }
static inline TableKey table_next(TableKey key) { return (TableKey){{key.half[0] + 1, key.half[1]}}; }

/* Zero it, but for its kind, to begin with. */
typedef struct Table {
    TableKind kind;
    size_t n, capacity;
    uint64_t *slots;
} Table;

void table_free(Table *t); /* it is empty then, of the same kind */
bool table_has(const Table *t, TableKey key);
/* The value of a key; 0: there is none. */
uint64_t table_value(const Table *t, TableKey key);
/* Adds a key; *added is false when it was there. */
MUST_USE Status table_add(Table *t, TableKey key, bool *added);
/* The place of a key's value, valid until the next key. Of a new key it holds 0, and the caller puts something else there at once. */
MUST_USE Status table_at(Table *t, TableKey key, uint64_t **value);
/* Numbers keys from 0 as they are first met; the value is the number + 1. */
MUST_USE Status table_number(Table *t, TableKey key, size_t *number, bool *is_new);
#endif
