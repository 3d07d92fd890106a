/* run.c: kernels as the tape calls them (RUN of node.h), with their needed arithmetic counted. */
#include "kernels/ops/cost.h"
#include "train/nn/node.h"

/* A block that is walked computes nothing; one that runs again for its backward was counted when it first ran. */
#define TAPE_RUN(name, Args)                                                    \
    Status tape_run_##name(Tape *t, const Args *a)                              \
    {                                                                           \
        Cost c;                                                                 \
        cost_##name(a, &c);                                                     \
        t->flops += t->walking || t->again ? 0 : c.flops - c.again;             \
        return tape_fail(t, t->backend->ops.name(&t->backend->ctx, a));         \
    }
KERNEL_LIST(TAPE_RUN)
#undef TAPE_RUN

double tape_take_flops(Tape *t)
{
    double flops = t->flops;
    t->flops = 0;
    return flops;
}
