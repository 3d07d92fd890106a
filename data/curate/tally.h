/* tally.h: how many records ended at which stage and for which reason, as ingest and filter tell it; and the form
 * in which all commands tell their results. */
#ifndef GENLLAVA_DATA_CURATE_TALLY_H
#define GENLLAVA_DATA_CURATE_TALLY_H

#include <stdint.h>
#include <stdio.h>

#include "data/curate/verdict.h"
#include "data/formats/json_write.h"

/* Rows of a table of options (cli.h). f: something with format (1: JSON) and quiet. */
#define TALLY_CLI_OPTIONS(f)                                                                                                             \
    {"--format", CLI_CHOICE, &(f).format, "text|json", "The result for people (the default), or as one JSON object.", 0, 0,              \
     TALLY_FORMATS, false},                                                                                                              \
    {"--quiet", CLI_FLAG, &(f).quiet, NULL, "Only errors on standard error.", 0, 0, NULL, false}
extern const char *const TALLY_FORMATS[];

typedef struct Tally {
    int64_t n[N_REASONS];
} Tally;

/* "rejected": {"stage.reason": n}, in the order of the stages, of reasons that there were. */
void tally_add(cJSON *to, const Tally *t);
/* The same for people, a line a reason. */
void tally_print(FILE *out, const Tally *t);
#endif
