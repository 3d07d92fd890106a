/* near.c: see near.h. Called by earlier.c. */
#include "data/prepare/near.h"

#include <stddef.h>

#include "kernels/base/arena.h"

typedef struct NearBucket {
    uint64_t *hash; /* [n] that have the same piece */
    uint32_t *name; /* [n] */
    uint32_t n, capacity;
} NearBucket;

enum { PIECE_BITS = 13, N_BUCKETS = 1 << PIECE_BITS }; /* the last piece has the 12 bits that are left */
_Static_assert(PIECE_BITS *NEAR_PIECES >= 64, "every bit of a hash lies in a piece");

static uint32_t piece_of(uint64_t hash, int piece) { return (uint32_t)(hash >> piece * PIECE_BITS) & (N_BUCKETS - 1); }

/* The bits in another order, which no distance depends on: bit i goes to piece i mod NEAR_PIECES. Neighbours in a picture are alike, in one
 * piece they would make few values common; a plain upper half makes no piece 0. */
static uint64_t spread(uint64_t hash)
{
    uint64_t out = 0;
    for (int i = 0; i < 64; i++)
        out |= (hash >> i & 1) << (i % NEAR_PIECES * PIECE_BITS + i / NEAR_PIECES);
    return out;
}

void near_free(NearHashes *near)
{
    for (int p = 0; p < NEAR_PIECES; p++) {
        for (int i = 0; near->buckets[p] && i < N_BUCKETS; i++) {
            mem_free(near->buckets[p][i].hash);
            mem_free(near->buckets[p][i].name);
        }
        mem_free(near->buckets[p]);
    }
    *near = (NearHashes){0};
}

static Status make_room(NearBucket *b)
{
    if (b->n < b->capacity)
        return OK;
    const uint32_t capacity = b->capacity + b->capacity / 2 + 4;
    uint64_t *hash = mem_grow(b->hash, capacity * sizeof *hash);
    if (hash)
        b->hash = hash;
    uint32_t *name = hash ? mem_grow(b->name, capacity * sizeof *name) : NULL;
    if (!name)
        return fail(ERR_NOMEM, "no memory to compare pictures");
    b->name = name;
    b->capacity = capacity;
    return OK;
}

static Status add_to(NearBucket *b, uint64_t hash, uint32_t name)
{
    TRY(make_room(b));
    b->hash[b->n] = hash;
    b->name[b->n++] = name;
    return OK;
}

Status near_add(NearHashes *near, uint64_t hash, uint32_t name)
{
    for (int p = 0; p < NEAR_PIECES; p++)
        if (!near->buckets[p] && !(near->buckets[p] = mem_alloc(N_BUCKETS * sizeof *near->buckets[p])))
            return fail(ERR_NOMEM, "no memory to compare pictures");
    hash = spread(hash);
    const NearBucket *first = &near->buckets[0][piece_of(hash, 0)];
    for (uint32_t i = 0; i < first->n; i++)
        if (first->hash[i] == hash)
            return OK;
    for (int p = 0; p < NEAR_PIECES; p++)
        TRY(add_to(&near->buckets[p][piece_of(hash, p)], hash, name));
    return OK;
}

/* Whether at most NEAR_BITS bits are set: each step clears the lowest one. */
static bool has_few_bits(uint64_t x)
{
    for (int i = 0; i < NEAR_BITS; i++)
        x &= x - 1;
    return !x;
}

bool near_find(const NearHashes *near, uint64_t hash, uint32_t *name, int *bits)
{
    bool found = false;
    hash = spread(hash);
    for (int p = 0; p < NEAR_PIECES && near->buckets[p]; p++) {
        const NearBucket *b = &near->buckets[p][piece_of(hash, p)];
        for (uint32_t i = 0; i < b->n; i++) {
            if (!has_few_bits(b->hash[i] ^ hash))
                continue;
            const int differ = __builtin_popcountll(b->hash[i] ^ hash);
            if (found && (differ > *bits || (differ == *bits && b->name[i] >= *name)))
                continue;
            found = true;
            *name = b->name[i];
            *bits = differ;
        }
    }
    return found;
}
