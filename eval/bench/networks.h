/* networks.h: what networks make of the drawings of a benchmark, of their goals and of captions: files of features in a folder, one for
 * each network and what it looked at, a row a drawing. Called by the benchmarks of pictures. */
#ifndef GENLLAVA_EVAL_BENCH_NETWORKS_H
#define GENLLAVA_EVAL_BENCH_NETWORKS_H

#include "eval/bench/span.h"

/* X(symbol, name of the file without .h5, .npy or .npz). Rows of all but the two of FID are found by their names (networks_row). */
#define FEATURE_LIST(X)                                                                                               \
    X(CLIP_MADE, "clip-made") X(CLIP_GOAL, "clip-goal") X(CLIP_TEXT, "clip-text") X(DINO_MADE, "dino-made")           \
    X(DINO_GOAL, "dino-goal") X(INCEPTION_MADE, "inception-made") X(INCEPTION_GOAL, "inception-goal") X(LPIPS, "lpips")
typedef enum FeatureKind {
#define FEATURE_ENUM(symbol, name) FEATURE_##symbol,
    FEATURE_LIST(FEATURE_ENUM)
#undef FEATURE_ENUM
    N_FEATURES
} FeatureKind;
extern const char *const FEATURE_NAMES[N_FEATURES];

typedef struct Networks Networks;
/* Opens the files that the folder has. folder NULL: none. reference: in place of the folder's inception-goal, NULL: none. networks_close
 * also after an error; it removes a folder that is temporary. */
MUST_USE Status networks_open(Networks **out, const char *folder, const char *reference, bool is_temporary);
void networks_close(Networks **f); /* NULL is fine */
void networks_remove(const char *folder);
/* The name of a drawing's row: that of its file without the ending. */
Span networks_row(const char *drawing);
bool networks_has_file(const char *folder, FeatureKind k);

/* Cosines of drawing and goal (CLIP-I, DINO), of drawing and caption (CLIP-T), of goal and caption (what CLIP-T can be); the second also
 * with negative ones as 0; LPIPS of drawing and goal. */
typedef enum NetworkMetric {
    METRIC_CLIP_I,
    METRIC_DINO,
    METRIC_CLIP_T,
    METRIC_CLIP_T_ORACLE,
    METRIC_CLIP_SCORE,
    METRIC_LPIPS,
    N_METRICS
} NetworkMetric;

/* Means over drawings, in their order. */
typedef struct NetworkSums {
    double sum[N_METRICS];
    int64_t n[N_METRICS];
} NetworkSums;
/* Adds what the files say about a drawing; f NULL: nothing. A drawing that a file of drawings, goals or distances lacks is ERR_DATA; one
 * without a caption has no CLIP-T. */
MUST_USE Status networks_add(Networks *f, NetworkSums *sums, const char *drawing);
bool networks_know(const Networks *f, NetworkMetric m);         /* the files that it needs are there */
double networks_mean(const NetworkSums *sums, NetworkMetric m); /* NaN of none */
/* The Fréchet inception distance of n drawings and the goals; *known false: the files are not there. */
MUST_USE Status networks_fid(Networks *f, int64_t n, bool *known, double *fid);
#endif
