/* commands.h: evaluate METRIC: numbers about sets of pictures and features. Called by evaluate. */
#ifndef GENLLAVA_EVAL_METRICS_COMMANDS_H
#define GENLLAVA_EVAL_METRICS_COMMANDS_H

#include "kernels/base/status.h"

/* argv[0]: the metric's name; then its options. */
MUST_USE Status metrics_pixels(int argc, char **argv);
MUST_USE Status metrics_fid(int argc, char **argv);
MUST_USE Status metrics_kid(int argc, char **argv);
MUST_USE Status metrics_clip_score(int argc, char **argv);
#endif
