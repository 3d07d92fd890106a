/* schedule.h: the factor by which every learning rate is multiplied at a step (Hugging Face's get_scheduler, spec: schedule). */
#ifndef GENLLAVA_TRAIN_OPTIM_SCHEDULE_H
#define GENLLAVA_TRAIN_OPTIM_SCHEDULE_H

#include "train/config/config.h"

/* Steps of warm-up: below 1 a fraction of the run, rounded up; from 1 a number of steps. */
int64_t schedule_warmup(double warmup, int64_t total);
/* step from 0: the first update has factor 0 when there is a warm-up. */
double schedule_factor(ScheduleChoice kind, int64_t step, int64_t total, int64_t warmup);
#endif
