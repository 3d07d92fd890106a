/* scaling.c: steps of several GPUs on paper (scaling.h). Called by model-gpu. */
#include "tools/bench/scaling.h"

#include <math.h>

#include "data/loader/order.h"
#include "data/loader/plan.h"
#include "data/shards/shard_set.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"

const double SCALING_NETWORK_GBYTES = 50; /* 400 Gb/s */

double scaling_sum_seconds(const Device *d, const Wires *w, double bytes, int n)
{
    const double inside = 1e9 * d->nvlink_gbytes * w->nvlink, between = 1e9 * SCALING_NODE * SCALING_NETWORK_GBYTES * w->network;
    const double rate = n > SCALING_NODE ? fmin(inside, between) : inside, hop_us = n > SCALING_NODE ? w->network_us : w->nvlink_us;
    return 2.0 * (n - 1) / n * bytes / rate + 2.0 * (n - 1) * 1e-6 * hop_us;
}

/* ---------------------------------------------------------------- lengths */

struct Lengths {
    ShardSet shards;
    RecordIndex made_up;
    const RecordIndex *index;
    Order *order;
    StepPlanning plan;
    uint32_t *rows;
};

static Status make_lengths_up(RecordIndex *x, int patches, int64_t most)
{
    enum { N = 1 << 16, ONE_WITHOUT = 20 };
    const double median = 180, sigma = 0.9;
    const uint64_t key = philox_key(1, RANDOM_SAMPLING, 0, 0);
    *x = (RecordIndex){.rows = mem_alloc(N * sizeof *x->rows), .n = N};
    if (!x->rows)
        return fail(ERR_NOMEM, "lengths of %d samples: out of memory", (int)N);
    for (uint32_t i = 0; i < N; i++) {
        Philox4 r = philox4x32(key, i, 0, 0, 0);
        float normal[2];
        philox_normal2(r.v[0], r.v[1], normal);
        double length = (i % ONE_WITHOUT ? patches : 0) + 1 + floor(median * exp(sigma * (double)normal[0]));
        x->rows[i] = (IndexRow){.uid = i, .record = i, .expanded = (uint32_t)fmin(length, (double)most), .weight = 1};
    }
    return OK;
}

Status lengths_open(Lengths **out, const char *folder, int patches, int64_t most)
{
    const OrderOptions options = {.n_sources = 1, .seed = 1, .shuffle = true};
    Lengths *l = *out = mem_alloc(sizeof *l);
    if (!l)
        return fail(ERR_NOMEM, "lengths of samples: out of memory");
    *l = (Lengths){.index = folder ? &l->shards.index : &l->made_up};
    TRY(folder ? shards_open(&l->shards, folder, -1, 0) : make_lengths_up(&l->made_up, patches, most));
    return order_create(&l->order, l->index, &options);
}

void lengths_close(Lengths **lengths)
{
    Lengths *l = *lengths;
    if (!l)
        return;
    order_free(&l->order);
    plan_free(&l->plan);
    mem_free(l->rows);
    index_free(&l->made_up);
    shards_close(&l->shards);
    mem_free(l);
    *lengths = NULL;
}

Status lengths_share(Lengths *l, Shares *out, int64_t samples, int n)
{
    enum { STEPS = 16 };
    const int32_t batch = (int32_t)(samples * n);
    *out = (Shares){0};
    TRY(plan_reserve(&l->plan, batch, n));
    mem_free(l->rows);
    l->rows = mem_alloc((size_t)batch * sizeof *l->rows);
    if (!l->rows)
        return fail(ERR_NOMEM, "a step of %d samples: out of memory", batch);
    for (int64_t step = 0; step < STEPS; step++) {
        TRY(order_items(l->order, step * batch, batch, l->rows));
        for (int32_t i = 0; i < batch; i++)
            l->plan.items[i] = (PlanItem){.row = l->rows[i], .item = i, .length = (int32_t)l->index->rows[l->rows[i]].expanded};
        plan_share(&l->plan, batch, n);
        int64_t all = 0, most = 0;
        for (int r = 0; r < n; r++) {
            all += l->plan.load[r];
            most = l->plan.load[r] > most ? l->plan.load[r] : most;
        }
        out->mean += (double)all / n / STEPS;
        out->most += (double)most / STEPS;
    }
    return OK;
}
