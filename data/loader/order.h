/* order.h: which record is item k of the endless sequence of epochs.
 *
 * Epoch e lists every (record, copy) that the mixture's weights select, in file order: a record of a source with weight w stands in it
 * floor(w) times, and once more iff u(uid, mixture seed, e) < frac(w). With `shuffle` the list is permuted by a keyed bijection of (seed,
 * e). Everything is a function of those numbers: nothing is saved, and any number of ranks sees the same sequence. */
#ifndef GENLLAVA_DATA_LOADER_ORDER_H
#define GENLLAVA_DATA_LOADER_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "data/shards/index.h"

typedef struct OrderOptions {
    const double *source_weight; /* [n_sources]; NULL: all 1 */
    int n_sources;
    double epoch; /* records of one epoch that the weights are rescaled to; 0: as they are */
    int64_t mixture_seed, seed;
    bool shuffle;
} OrderOptions;

typedef struct Order Order;
/* The index is borrowed. Fails when the weights select nothing. */
MUST_USE Status order_create(Order **out, const RecordIndex *index, const OrderOptions *o);
void order_free(Order **o);

/* Rows (of the index) of items first … first+n-1. Fails only for want of memory. */
MUST_USE Status order_items(Order *o, int64_t first, int64_t n, uint32_t *rows);
/* Items of the first `epochs` passes over the mixture; a fraction counts of its own epoch's list, rounded to the nearest item, at least
 * one. */
MUST_USE Status order_count(Order *o, double epochs, int64_t *items);
/* How often a row can stand in one epoch at most; 0: never. */
int64_t order_most_copies(const Order *o, uint32_t row);

/* Where position i of n lands: a bijection of 0 … n-1, keyed. */
uint64_t order_permute(uint64_t key, uint64_t n, uint64_t i);
#endif
