/* plan.c: deals a step's items to ranks and packs them into passes (plan.h). Called by the loader and model-gpu. */
#include "data/loader/plan.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"

void plan_free(StepPlanning *p)
{
    mem_free(p->items);
    mem_free(p->pass_end);
    mem_free(p->load);
    *p = (StepPlanning){0};
}

Status plan_reserve(StepPlanning *p, int32_t n, int n_ranks)
{
    int32_t most = n > n_ranks ? n : n_ranks;
    if (n <= p->capacity && most <= p->load_capacity)
        return OK;
    plan_free(p);
    p->items = mem_alloc((size_t)n * sizeof *p->items);
    p->pass_end = mem_alloc((size_t)n * sizeof *p->pass_end);
    p->load = mem_alloc((size_t)most * sizeof *p->load);
    if (!p->items || !p->pass_end || !p->load) {
        plan_free(p);
        return fail(ERR_NOMEM, "no memory to plan a step of %d samples", n);
    }
    p->capacity = n;
    p->load_capacity = most;
    return OK;
}

static int longest_first(const void *pa, const void *pb)
{
    const PlanItem *a = pa, *b = pb;
    if (a->length != b->length)
        return a->length < b->length ? 1 : -1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static int by_pass(const void *pa, const void *pb)
{
    const PlanItem *a = pa, *b = pb;
    if (a->pass != b->pass)
        return a->pass < b->pass ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

void plan_share(StepPlanning *p, int32_t n, int n_ranks)
{
    qsort(p->items, (size_t)n, sizeof *p->items, longest_first);
    memset(p->load, 0, (size_t)n_ranks * sizeof *p->load);
    for (int32_t i = 0; i < n; i++) {
        int least = 0;
        for (int r = 1; r < n_ranks; r++)
            if (p->load[r] < p->load[least])
                least = r;
        p->load[least] += p->items[i].length;
        p->items[i].rank = least;
    }
}

void plan_deal(StepPlanning *p, int32_t n, int rank, int n_ranks, int64_t micro_tokens)
{
    plan_share(p, n, n_ranks);
    p->n = 0;
    for (int32_t i = 0; i < n; i++)
        if (p->items[i].rank == rank)
            p->items[p->n++] = p->items[i];
    p->n_passes = 0;
    for (int32_t i = 0; i < p->n; i++) {
        PlanItem *it = &p->items[i];
        it->pass = 0;
        while (it->pass < p->n_passes && p->load[it->pass] + it->length > micro_tokens)
            it->pass++;
        if (it->pass == p->n_passes)
            p->load[p->n_passes++] = 0;
        p->load[it->pass] += it->length;
    }
    qsort(p->items, (size_t)p->n, sizeof *p->items, by_pass);
    for (int32_t i = 0; i < p->n; i++)
        p->pass_end[p->items[i].pass] = i + 1;
}
