/* op.h: operators by number, for those who treat all of them alike. */
#ifndef GENLLAVA_KERNELS_OPS_OP_H
#define GENLLAVA_KERNELS_OPS_OP_H

#include "kernels/ops/table.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum Op {
#define OP_ENUM(name, Args) OP_##name,
    KERNEL_LIST(OP_ENUM)
#undef OP_ENUM
    N_OPS
} Op;

const char *op_name(Op op);
/* args: the operator's argument struct. */
MUST_USE Status op_call(Backend *b, Op op, const void *args);

#ifdef __cplusplus
}
#endif
#endif
