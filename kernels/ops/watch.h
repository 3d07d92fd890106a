/* watch.h: looks on while an opened backend works: its operators run as before, and a visitor is told of each one before and after. Over
 * the null backend that gives the list of what a step would launch; over a device, the place to take the time. */
#ifndef GENLLAVA_KERNELS_OPS_WATCH_H
#define GENLLAVA_KERNELS_OPS_WATCH_H

#include "kernels/ops/cost.h"

#ifdef __cplusplus
extern "C" {
#endif

/* args: the operator's argument struct, valid during the call. Either visitor may be NULL; `after` hears of successes only. */
typedef struct Watcher {
    void *arg;
    void (*before)(void *arg, Op op, const void *args, const Cost *cost);
    void (*after)(void *arg, Op op, const void *args, const Cost *cost);
} Watcher;

/* Open the backend in `b`, then watch_start puts itself before its operators, until it is closed. An operator finds the rest of this from
 * &b.ctx, so callers use &w->b itself, not a copy of it; b.measure hands its operators on, so it is asked before. */
typedef struct Watched {
    Backend b;
    KernelTable inner;
    Watcher watcher; /* may be changed at any time */
} Watched;

void watch_start(Watched *w, Watcher watcher);

#ifdef __cplusplus
}
#endif
#endif
