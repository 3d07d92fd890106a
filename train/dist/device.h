/* device.h: the device a config asks for, and the type to compute in. */
#ifndef GENLLAVA_TRAIN_DIST_DEVICE_H
#define GENLLAVA_TRAIN_DIST_DEVICE_H

#include "kernels/ops/table.h"
#include "train/config/config.h"

/* Refuses a device that this build has no backend for. */
MUST_USE Status device_check(const RunConfig *cfg);
/* Opens the backend alone; local_rank: as below. why [n]: why auto takes no GPU although this build could, else "". */
MUST_USE Status device_pick(Backend *b, DeviceChoice device, int local_rank, char *why, size_t n);
/* Opens the backend of cfg->device (auto: cuda where there is one, else cpu) and says in one line what was chosen. The ranks of a machine
 * take its GPUs in turn. *compute: BF16 or F32, as train.compute says; auto takes BF16 where the device multiplies it natively. */
MUST_USE Status device_open(Backend *b, const RunConfig *cfg, int local_rank, DType *compute);
/* An arena over the backend's memory, and giving it back; one that was never taken is fine. */
MUST_USE Status device_arena_create(Arena *a, Backend *b, size_t n_bytes);
void device_arena_free(Arena *a, Backend *b);
#endif
