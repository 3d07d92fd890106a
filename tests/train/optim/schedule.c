/* schedule.h against values of transformers' get_cosine/linear/constant_schedule_with_warmup. */
#include <math.h>

#include "tests/harness.h"
#include "train/optim/schedule.h"

TEST(schedule_warmup_is_rounded_up)
{
    CHECK_INT(schedule_warmup(0.03, 100), 3);
    CHECK_INT(schedule_warmup(0.03, 101), 4);
    CHECK_INT(schedule_warmup(0.03, 1), 1);
    CHECK_INT(schedule_warmup(0, 100), 0);
    CHECK_INT(schedule_warmup(1, 100), 1);
    CHECK_INT(schedule_warmup(7, 100), 7);
    CHECK_INT(schedule_warmup(2.5, 100), 3);
}

static const struct {
    ScheduleChoice kind;
    int64_t step, total, warmup;
    double factor;
} CASES[] = {
    {SCHEDULE_COSINE, 0, 10, 2, 0},
    {SCHEDULE_COSINE, 1, 10, 2, 0.5},
    {SCHEDULE_COSINE, 2, 10, 2, 1},
    {SCHEDULE_COSINE, 6, 10, 2, 0.5},
    {SCHEDULE_COSINE, 9, 10, 2, 0.03806023374435663},
    {SCHEDULE_COSINE, 0, 10, 0, 1},
    {SCHEDULE_COSINE, 0, 1, 1, 0},
    {SCHEDULE_LINEAR, 1, 10, 2, 0.5},
    {SCHEDULE_LINEAR, 2, 10, 2, 1},
    {SCHEDULE_LINEAR, 9, 10, 2, 0.125},
    {SCHEDULE_CONSTANT, 1, 10, 4, 0.25},
    {SCHEDULE_CONSTANT, 9, 10, 4, 1},
};

TEST(schedule_factors)
{
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        double f = schedule_factor(CASES[i].kind, CASES[i].step, CASES[i].total, CASES[i].warmup);
        CHECK_MSG(fabs(f - CASES[i].factor) < 1e-15, "case %zu: factor %.17g, wanted %.17g", i, f, CASES[i].factor);
    }
}
