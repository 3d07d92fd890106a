/* plan.h: an optimiser step's items dealt to ranks and packed into passes, from lengths alone.
 *
 * Longest first (ties: lower item first), each to the rank with the fewest tokens so far (ties: lower rank); in that order each into the
 * first pass of its rank with room for it. Inside a pass items stand in the order of the step. */
#ifndef GENLLAVA_DATA_LOADER_PLAN_H
#define GENLLAVA_DATA_LOADER_PLAN_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct PlanItem {
    uint32_t row;   /* of the index */
    int32_t item;   /* within the step */
    int32_t length; /* expanded rows */
    int32_t rank, pass;
} PlanItem;

typedef struct StepPlanning {
    PlanItem *items;     /* after plan_deal: this rank's, grouped by pass */
    int32_t n, n_passes; /* of this rank */
    int32_t *pass_end;   /* [n_passes] */
    int64_t *load;       /* scratch: tokens of ranks, then of passes */
    int32_t capacity, load_capacity;
} StepPlanning;
void plan_free(StepPlanning *p);
/* Room for n items in p->items; the caller fills row, item and length. */
MUST_USE Status plan_reserve(StepPlanning *p, int32_t n, int n_ranks);
/* The items' ranks, longest first, and in load[0 … n_ranks-1] their tokens. */
void plan_share(StepPlanning *p, int32_t n, int n_ranks);
void plan_deal(StepPlanning *p, int32_t n, int rank, int n_ranks, int64_t micro_tokens);
#endif
