/* matvec.h: a few rows times a Linear's weight, as text generation needs it: the weight is read once, in the order of its memory. */
#ifndef GENLLAVA_KERNELS_CPU_ISA_MATVEC_H
#define GENLLAVA_KERNELS_CPU_ISA_MATVEC_H

#include "kernels/cpu/isa/isa.h"

enum { MATVEC_ROWS = 8, MATVEC_MOST_K = 1 << 16 };

/* A matmul with m <= MATVEC_ROWS, k <= MATVEC_MOST_K and b_trans. */
Status NAME(matvec)(CpuDevice *d, const Matmul *a);
#endif
