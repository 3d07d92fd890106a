/* commands.h: evaluate features: what networks make of pictures and texts, into a file. Called by evaluate. */
#ifndef GENLLAVA_EVAL_FEATURES_COMMANDS_H
#define GENLLAVA_EVAL_FEATURES_COMMANDS_H

#include "kernels/base/status.h"

/* argv[0]: "features"; then its options. */
MUST_USE Status features_command(int argc, char **argv);
#endif
