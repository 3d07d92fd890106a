/* order.c: the order of records over all epochs, as a function of seed and epoch (order.h). Called by the loader. */
#include "data/loader/order.h"

#include <math.h>

#include "kernels/base/arena.h"
#include "kernels/base/philox.h"

enum { CACHED_EPOCHS = 4, ROUNDS = 4 /* of a strong function: enough (Luby and Rackoff 1988) */ };
static const double LEAST_EPOCH = 0.01, MOST_EPOCH = 4e9; /* below, looking for the next record could take forever; above, no list fits */

/* One epoch's list, before the permutation. */
typedef struct EpochList {
    int64_t epoch, n, used; /* used: clock of the last look */
    uint32_t *rows;         /* [n] */
} EpochList;

struct Order {
    const RecordIndex *index;
    OrderOptions o;
    double *weight;        /* [n_sources] after rescaling */
    bool same_every_epoch; /* all weights are whole numbers */
    int64_t *end;          /* [n_ends] items up to and with epoch e */
    int64_t n_ends, cap_ends, clock;
    EpochList lists[CACHED_EPOCHS];
};

/* ---------------------------------------------------------------- the bijection */

/* A balanced Feistel network over the smallest even number of bits that holds n, walked until it lands inside 0 … n-1 (Black and Rogaway
 * 2002, "Ciphers with arbitrary finite domains": cycle walking keeps it a bijection). */
uint64_t order_permute(uint64_t key, uint64_t n, uint64_t i)
{
    if (n < 2)
        return i;
    unsigned half = 1;
    while (half < 32 && n > UINT64_C(1) << 2 * half)
        half++;
    const uint32_t low = half == 32 ? UINT32_MAX : (UINT32_C(1) << half) - 1;
    do {
        uint32_t left = (uint32_t)(i >> half), right = (uint32_t)i & low;
        for (uint32_t round = 0; round < ROUNDS; round++) {
            uint32_t next = (left ^ philox4x32(key, right, round, 0, 0).v[0]) & low;
            left = right;
            right = next;
        }
        i = (uint64_t)left << half | right;
    } while (i >= n);
    return i;
}

/* ---------------------------------------------------------------- membership */

static int64_t copies(const Order *o, const IndexRow *row, int64_t epoch)
{
    double w = o->weight[row->source], whole = floor(w);
    if (w == whole)
        return (int64_t)whole;
    uint64_t h = philox_key((uint64_t)o->o.mixture_seed, RANDOM_MIXTURE, row->uid, (uint64_t)epoch);
    return (int64_t)whole + ((double)(h >> 11) * 0x1p-53 < w - whole);
}

int64_t order_most_copies(const Order *o, uint32_t row) { return (int64_t)ceil(o->weight[o->index->rows[row].source]); }

static int64_t count_epoch(const Order *o, int64_t epoch)
{
    int64_t n = 0;
    for (int64_t i = 0; i < o->index->n; i++)
        n += copies(o, &o->index->rows[i], epoch);
    return n;
}

/* Items of epochs 0 … epoch; extends the table as far as needed. */
static Status epoch_end(Order *o, int64_t epoch, int64_t *end)
{
    if (o->same_every_epoch) {
        *end = (epoch + 1) * o->end[0];
        return OK;
    }
    while (o->n_ends <= epoch) {
        if (o->n_ends == o->cap_ends) {
            int64_t cap = o->cap_ends ? 2 * o->cap_ends : 16;
            int64_t *more = mem_grow(o->end, (size_t)cap * sizeof *more);
            if (!more)
                return fail(ERR_NOMEM, "no memory for the sizes of %lld epochs", (long long)cap);
            o->end = more;
            o->cap_ends = cap;
        }
        o->end[o->n_ends] = (o->n_ends ? o->end[o->n_ends - 1] : 0) + count_epoch(o, o->n_ends);
        o->n_ends++;
    }
    *end = o->end[epoch];
    return OK;
}

static Status list_of(Order *o, int64_t epoch, EpochList **out)
{
    int64_t key = o->same_every_epoch ? 0 : epoch;
    EpochList *oldest = &o->lists[0];
    for (int i = 0; i < CACHED_EPOCHS; i++) {
        EpochList *l = &o->lists[i];
        if (l->rows && l->epoch == key) {
            l->used = ++o->clock;
            *out = l;
            return OK;
        }
        if (l->used < oldest->used)
            oldest = l;
    }
    int64_t n = o->same_every_epoch ? o->end[0] : count_epoch(o, key), at = 0;
    uint32_t *rows = mem_grow(oldest->rows, (size_t)n * sizeof *rows);
    if (!rows)
        return fail(ERR_NOMEM, "no memory for the order of %lld items", (long long)n);
    for (int64_t i = 0; i < o->index->n; i++)
        for (int64_t c = copies(o, &o->index->rows[i], key); c > 0; c--)
            rows[at++] = (uint32_t)i;
    *oldest = (EpochList){.epoch = key, .n = n, .used = ++o->clock, .rows = rows};
    *out = oldest;
    return OK;
}

/* ---------------------------------------------------------------- entries */

Status order_items(Order *o, int64_t first, int64_t n, uint32_t *rows)
{
    int64_t epoch = 0, end;
    if (o->same_every_epoch)
        epoch = first / o->end[0];
    for (int64_t i = 0; i < n;) {
        TRY(epoch_end(o, epoch, &end));
        if (first + i >= end) {
            epoch++;
            continue;
        }
        EpochList *l = NULL;
        TRY(list_of(o, epoch, &l));
        uint64_t key = philox_key((uint64_t)o->o.seed, RANDOM_ORDER, (uint64_t)epoch, 0);
        for (; i < n && first + i < end; i++) {
            uint64_t place = (uint64_t)(first + i - (end - l->n));
            rows[i] = l->rows[o->o.shuffle ? order_permute(key, (uint64_t)l->n, place) : place];
        }
    }
    return OK;
}

Status order_count(Order *o, double epochs, int64_t *items)
{
    int64_t whole = (int64_t)floor(epochs), before = 0, end;
    if (whole > 0)
        TRY(epoch_end(o, whole - 1, &before));
    double rest = epochs - (double)whole;
    *items = before;
    if (rest > 0) {
        TRY(epoch_end(o, whole, &end));
        *items += (int64_t)floor(rest * (double)(end - before) + 0.5);
    }
    if (*items < 1)
        *items = 1;
    return OK;
}

static Status rescale(Order *o)
{
    const RecordIndex *x = o->index;
    double selected = 0;
    for (int64_t i = 0; i < x->n; i++) {
        if (x->rows[i].source >= o->o.n_sources)
            return fail(ERR_DATA, "record %u comes from source %d, the mixture has %d; run prepare again", x->rows[i].record,
                        x->rows[i].source, o->o.n_sources);
        selected += o->weight[x->rows[i].source];
    }
    if (selected <= 0)
        return fail(ERR_DATA, "the mixture selects nothing: no record has a weight above 0 (sources[].weight)");
    double expected = o->o.epoch > 0 ? o->o.epoch : selected;
    if (expected < LEAST_EPOCH || expected > MOST_EPOCH)
        return fail(ERR_USAGE, "the mixture's weights select about %g records in an epoch; %g to %g are possible", expected, LEAST_EPOCH,
                    MOST_EPOCH);
    for (int s = 0; s < o->o.n_sources; s++) {
        if (o->o.epoch > 0)
            o->weight[s] *= o->o.epoch / selected;
        o->same_every_epoch = o->same_every_epoch && o->weight[s] == floor(o->weight[s]);
    }
    return OK;
}

Status order_create(Order **out, const RecordIndex *index, const OrderOptions *options)
{
    Order *o = mem_alloc(sizeof *o);
    *out = o;
    if (!o)
        return fail(ERR_NOMEM, "no memory for the order");
    *o = (Order){.index = index, .o = *options, .same_every_epoch = true};
    if (!options->source_weight) /* every source counts once */
        for (int64_t i = 0; i < index->n; i++)
            if (index->rows[i].source >= o->o.n_sources)
                o->o.n_sources = index->rows[i].source + 1;
    o->weight = mem_alloc((size_t)o->o.n_sources * sizeof *o->weight);
    Status s = o->weight ? OK : fail(ERR_NOMEM, "no memory for the order");
    for (int i = 0; i < o->o.n_sources && !s; i++)
        o->weight[i] = options->source_weight ? options->source_weight[i] : 1;
    if (!s)
        s = rescale(o);
    bool same = o->same_every_epoch;
    o->same_every_epoch = false;
    int64_t end;
    if (!s)
        s = epoch_end(o, 0, &end);
    o->same_every_epoch = same;
    if (s)
        order_free(out);
    return s;
}

void order_free(Order **po)
{
    Order *o = *po;
    *po = NULL;
    if (!o)
        return;
    for (int i = 0; i < CACHED_EPOCHS; i++)
        mem_free(o->lists[i].rows);
    mem_free(o->weight);
    mem_free(o->end);
    mem_free(o);
}
