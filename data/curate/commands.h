/* commands.h: the commands of `curate`, each a row of the table in curate.c. */
#ifndef GENLLAVA_DATA_CURATE_COMMANDS_H
#define GENLLAVA_DATA_CURATE_COMMANDS_H

#include <stdio.h>

#include "kernels/base/status.h"

/* argv[0] stands for the command's name; its options follow. Results go to `out`. */
typedef Status Command(int argc, char **argv, FILE *out);

Command curate_request, curate_ingest, curate_filter, curate_stats;
#endif
