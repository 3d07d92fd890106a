/* scaling.h: steps of several GPUs on paper: what it costs that their shares of a batch differ, and to sum gradients. Called by model-gpu.
 * A prediction to measure against, not a measurement. */
#ifndef GENLLAVA_TOOLS_BENCH_SCALING_H
#define GENLLAVA_TOOLS_BENCH_SCALING_H

#include "kernels/base/status.h"
#include "tools/bench/roofline.h"

enum { SCALING_NODE = 8 }; /* GPUs of a machine */

/* Of the wires between GPUs. Every GPU has a network card of its own. */
typedef struct Wires {
    double nvlink, network;       /* fractions of the published bandwidth that sums reach */
    double nvlink_us, network_us; /* from a GPU to the next, for the smallest piece */
} Wires;
extern const double SCALING_NETWORK_GBYTES; /* published, each way, of a GPU's card */

/* Seconds of a sum of so many bytes by a ring over n GPUs: each sends 2 (n-1) / n of them, in 2 (n-1) pieces one after the other. Beyond a
 * machine the rings, one for each card, are as fast as the slower of both wires. */
double scaling_sum_seconds(const Device *d, const Wires *w, double bytes, int n);

/* Tokens of ranks in steps that are dealt as train deals them. */
typedef struct Shares {
    double mean, most; /* of a rank; of the rank with most: means over the steps */
} Shares;

typedef struct Lengths Lengths;
/* Of the samples of a folder of shards, in a shuffled order; folder NULL: made up, as LENGTHS_MADE_UP says. */
MUST_USE Status lengths_open(Lengths **out, const char *folder, int patches, int64_t most);
void lengths_close(Lengths **l);
#define LENGTHS_MADE_UP "made up: of 20 samples 19 have a picture; texts are log-normal with median 180 and sigma 0.9"
/* Of n ranks with `samples` for each and step. */
MUST_USE Status lengths_share(Lengths *l, Shares *out, int64_t samples, int n);
#endif
