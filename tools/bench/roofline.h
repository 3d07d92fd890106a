/* roofline.h: how long an operator should take on a device, from what it must do (kernels/ops/cost.h) and what the device's maker
 * publishes. A prediction to measure against, not a measurement. */
#ifndef GENLLAVA_TOOLS_BENCH_ROOFLINE_H
#define GENLLAVA_TOOLS_BENCH_ROOFLINE_H

#include "kernels/ops/watch.h"
#include "train/measure/peak.h"

/* What is assumed to be reached of the published figures, and what every operator costs besides. */
typedef struct Reached {
    double matmul, attention, convolution, bandwidth, integer; /* fractions; convolution: forwards and to images, by cuDNN */
    double adapters; /* … of products of our own: kernels/ops/adapter.h, weights of convolutions */
    double gap_us;   /* of one operator to the next */
} Reached;

/* Matmuls with a dimension of at most this: the adapters' and other small ones, which do not fill the device's tiles or wait for memory. */
enum { ROOFLINE_NARROW = 384 };
bool roofline_narrow(Op op, const Cost *c);

typedef struct Line {
    Op op;
    int64_t m, n, k; /* of every launch of this line; 0 in sums over shapes */
    bool narrow;     /* a matmul with a dimension of at most ROOFLINE_NARROW */
    int64_t launches;
    double flops, bytes, seconds;
    double ideal; /* seconds of the line's matmul arithmetic alone at the rate that large matmuls reach */
    bool memory_bound;
} Line;

/* Collects launches by operator and shape. */
typedef struct Roofline {
    const Device *device;
    Reached reached;
    Line *lines;
    int n, capacity;
    bool failed; /* out of memory */
} Roofline;

Watcher roofline_watcher(Roofline *r);
double roofline_seconds(const Device *d, const Reached *reached, Op op, const Cost *c);
/* What remains when shapes are told apart no more: one line an operator, narrow matmuls by themselves, the longest first. */
void roofline_by_operator(Roofline *r);
void roofline_free(Roofline *r);
#endif
