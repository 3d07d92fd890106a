/* dropout.h: rows with some of their elements dropped, for dropout itself and for the adapters that read them. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_DROPOUT_H
#define GENLLAVA_KERNELS_CPU_ISA_DROPOUT_H

#include "kernels/cpu/isa/philox_lanes.h"

/* y = m∘x·scale (+ add): act.h's mask m of a key. x, y and add may be the same matrix. */
typedef struct Dropping {
    int64_t cols, ldx, ldy, ld_add;
    DType x_type, y_type, add_type;
    const int32_t *row_pos, *row_item;
    const void *x, *add; /* add: NULL for nothing */
    void *y;
    float scale;
    uint32_t threshold;
    PhiloxLanes random; /* groups of eight columns */
} Dropping;

/* Sets the mask. */
void NAME(dropping)(Dropping *d, double p, uint64_t key);
void NAME(drop)(CpuDevice *device, const Dropping *d, int64_t rows);
#endif
