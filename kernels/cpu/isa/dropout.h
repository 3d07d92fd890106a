/* dropout.h: rows with some of their elements dropped, for dropout itself and for the adapters that read them. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_DROPOUT_H
#define GENLLAVA_KERNELS_CPU_ISA_DROPOUT_H

#include "kernels/cpu/isa/isa.h"

enum { DROP_ROUNDS = 10 };

/* y = m∘x·scale (+ y): act.h's mask m of a key. */
typedef struct Dropping {
    int64_t cols, ldx, ldy;
    DType x_type, y_type;
    const int32_t *row_pos, *row_item;
    const void *x;
    void *y;
    bool accumulate;
    float scale;
    uint32_t threshold, key0[DROP_ROUNDS], key1[DROP_ROUNDS]; /* of the rounds of Philox */
    uint32_t group[VL];                                       /* eight columns each, of the lanes */
} Dropping;

/* Sets the mask, and the scale that keeps the mean. */
void NAME(dropping)(Dropping *d, double p, uint64_t key);
/* Rows begin … end-1 of all of these, one after the other. */
void NAME(drop_rows)(const Dropping *d, int64_t begin, int64_t end);
static const double DROP_NS = 0.5; /* an element, for parallel_for */
#endif
