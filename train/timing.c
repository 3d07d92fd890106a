/* timing.c: algorithms chosen by the clock, and the same for all ranks (timing.h). */
#include "train/timing.h"

#include <string.h>

enum { OFFERS = 8 }; /* timed for a choice */

void timing_begin(Backend *b)
{
    if (b->time_choices)
        b->time_choices(b, OFFERS);
}

typedef struct Shared {
    Backend *b;
    char *text;
    int64_t n_bytes;
} Shared;

static Status measure_text(void *arg)
{
    Shared *x = arg;
    TRY(x->b->choices(x->b, &x->text));
    x->n_bytes = (int64_t)strlen(x->text) + 1;
    return OK;
}

static Status have_text(void *arg)
{
    (void)arg;
    return OK;
}

static Status share_choices(Dist *d, Shared *x)
{
    TRY(dist_first(d, measure_text, x, &x->n_bytes, sizeof x->n_bytes));
    if (d->rank > 0)
        x->text = mem_alloc((size_t)x->n_bytes);
    if (!x->text)
        return fail(ERR_NOMEM, "the algorithms of rank 0: out of memory");
    TRY(dist_first(d, have_text, NULL, x->text, (size_t)x->n_bytes));
    return d->rank > 0 ? x->b->choose(x->b, x->text) : OK;
}

Status timing_end(Dist *d, Backend *b)
{
    Shared x = {.b = b};
    if (!b->time_choices)
        return OK;
    b->time_choices(b, 0);
    if (d->n_ranks == 1)
        return OK;
    Status s = share_choices(d, &x);
    mem_free(x.text);
    return s;
}
