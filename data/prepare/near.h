/* near.h: 64-bit hashes of pictures, and which of them nearly equal another one: they differ in at most NEAR_BITS bits.
 *
 * No pairs are tried in vain: a hash is cut into NEAR_BITS + 1 pieces, and of two that differ in NEAR_BITS bits at most one piece at least
 * is the same in both. So a hash is compared with those alone that share a piece with it; nothing is missed. A million hashes take about
 * 80 MB. */
#ifndef GENLLAVA_DATA_PREPARE_NEAR_H
#define GENLLAVA_DATA_PREPARE_NEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { NEAR_BITS = 4, NEAR_PIECES = NEAR_BITS + 1 };

/* Zero it to begin with. */
typedef struct NearHashes {
    struct NearBucket *buckets[NEAR_PIECES]; /* by the value of the piece */
} NearHashes;

void near_free(NearHashes *near);
/* A hash that is there already stays with its first name. */
MUST_USE Status near_add(NearHashes *near, uint64_t hash, uint32_t name);
/* The nearest hash within NEAR_BITS bits, of equally near ones that with the least name; false: there is none. */
bool near_find(const NearHashes *near, uint64_t hash, uint32_t *name, int *bits);
#endif
