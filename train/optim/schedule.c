/* schedule.c: the learning rate's factor at a step (schedule.h). Called by the loop. */
#include "train/optim/schedule.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

int64_t schedule_warmup(double warmup, int64_t total) { return (int64_t)ceil(warmup < 1 ? (double)total * warmup : warmup); }

double schedule_factor(ScheduleChoice kind, int64_t step, int64_t total, int64_t warmup)
{
    if (step < warmup)
        return (double)step / (double)(warmup > 1 ? warmup : 1);
    double rest = (double)(total - warmup > 1 ? total - warmup : 1), factor = 1;
    if (kind == SCHEDULE_COSINE)
        factor = 0.5 * (1 + cos(PI * ((double)(step - warmup) / rest)));
    else if (kind == SCHEDULE_LINEAR)
        factor = (double)(total - step) / rest;
    return factor > 0 ? factor : 0;
}
