/* meter.h: what a benchmark asks of the cuda backend beside its operators: the time on the device itself, copies, memory in use. */
#ifndef GENLLAVA_KERNELS_CUDA_METER_H
#define GENLLAVA_KERNELS_CUDA_METER_H

#include "kernels/ops/table.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Meter Meter;

/* For `n_marks` moments on the backend's stream; b stays open for as long. */
MUST_USE Status meter_open(Meter **out, Backend *b, int n_marks);
void meter_close(Meter **m); /* NULL is fine */
/* Notes the moment when everything asked of the device so far is done. */
MUST_USE Status meter_mark(Meter *m, int mark);
/* Waits for both moments; the seconds between them. */
MUST_USE Status meter_between(Meter *m, int from, int to, double *seconds);
/* Device to device, by the runtime itself. */
MUST_USE Status meter_copy(Meter *m, void *dst, const void *src, size_t n_bytes);
/* Of the whole device, with what others use of it. */
MUST_USE Status meter_memory(size_t *used, size_t *total);
/* Of driver and runtime, as 1000·major + 10·minor. */
MUST_USE Status meter_versions(int *driver, int *runtime);

#ifdef __cplusplus
}
#endif
#endif
