/* watch.c: stands between a backend and its callers and tells a visitor of each call (watch.h). Called by benchmarks. */
#include "kernels/ops/watch.h"

#include <stddef.h>

static Watched *watched_of(KernelCtx *ctx) { return (Watched *)(void *)((char *)ctx - offsetof(Watched, b) - offsetof(Backend, ctx)); }

#define WATCH_OPERATOR(name, Args)                                              \
    static Status watch_##name(KernelCtx *ctx, const Args *args)                \
    {                                                                           \
        Watched *w = watched_of(ctx);                                           \
        Cost cost;                                                              \
        cost_##name(args, &cost);                                               \
        if (w->watcher.before)                                                  \
            w->watcher.before(w->watcher.arg, OP_##name, args, &cost);          \
        TRY(w->inner.name(ctx, args));                                          \
        if (w->watcher.after)                                                   \
            w->watcher.after(w->watcher.arg, OP_##name, args, &cost);           \
        return OK;                                                              \
    }
KERNEL_LIST(WATCH_OPERATOR)
#undef WATCH_OPERATOR

void watch_start(Watched *w, Watcher watcher)
{
    w->inner = w->b.ops;
    w->watcher = watcher;
#define WATCH_TAKE(name, Args) w->b.ops.name = watch_##name;
    KERNEL_LIST(WATCH_TAKE)
#undef WATCH_TAKE
}
