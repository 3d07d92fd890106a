/* ranks.c: see ranks.h. */
#include "eval/ranks.h"

#include "train/dist/launch.h"

static int exit_code;

int ranks_exit_code(void) { return exit_code; }

Status ranks_open(Dist *d, int64_t n, bool *is_rank)
{
    *is_rank = true;
    if (n)
        TRY(launch_ranks((int)n, is_rank, &exit_code));
    return *is_rank ? dist_open(d) : OK;
}

Status ranks_place(Dist *d, Opening *o)
{
    o->local_rank = d->local_rank;
    return dist_processes(d, &o->processes);
}
