/* peak.h: how much matrix arithmetic a processor can do a second, to be compared with what a step needs: published of GPUs, measured on
 * CPUs. Called by the loop, and by the tools that predict times. */
#ifndef GENLLAVA_TRAIN_MEASURE_PEAK_H
#define GENLLAVA_TRAIN_MEASURE_PEAK_H

#include "kernels/ops/table.h"

typedef struct Device {
    const char *name; /* as model-gpu --device spells it */
    const char *text;
    double bf16_tflops, f32_tflops, tbytes; /* published: dense products of bf16, multiply-adds of f32, memory */
    int processors;                         /* streaming multiprocessors */
    double integer_tops;                    /* instructions on integers: not published, see DEVICES */
    double nvlink_gbytes;                   /* published, each way, of all links to the GPUs of its machine */
    const char *begins;                     /* how the description of a backend on it begins */
} Device;
extern const Device DEVICES[]; /* ends with a zeroed entry */

/* Of products of `compute`. On the CPU the best rate of some that are timed for 0.1 s, with operands in what is left of `room`: nothing
 * that lies there already is touched. Infinite: not known. */
double peak_flops(Backend *b, DType compute, Arena *room);
#endif
