/* op.c: operators by number: their names, a call by number (op.h). Called by benchmarks and tests. */
#include "kernels/ops/op.h"

#define OP_CALL(name, Args) \
    static Status call_##name(Backend *b, const void *args) { return b->ops.name(&b->ctx, args); }
KERNEL_LIST(OP_CALL)
#undef OP_CALL

static const struct {
    const char *name;
    Status (*call)(Backend *b, const void *args);
} OPS[N_OPS] = {
#define OP_ENTRY(name, Args) {#name, call_##name},
    KERNEL_LIST(OP_ENTRY)
#undef OP_ENTRY
};

const char *op_name(Op op) { return OPS[op].name; }
Status op_call(Backend *b, Op op, const void *args) { return OPS[op].call(b, args); }
