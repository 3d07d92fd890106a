/* tally.c: tells how many records ended for which reason (tally.h). */
#include "data/curate/tally.h"

#include <inttypes.h>

const char *const TALLY_FORMATS[] = {"text", "json", NULL};

void tally_add(cJSON *to, const Tally *t)
{
    char key[64];
    cJSON *rejected = json_add(to, "rejected", cJSON_CreateObject());
    for (Reason r = REASON_NONE + 1; r < N_REASONS; r++) {
        snprintf(key, sizeof key, "%s.%s", stage_name(reason_stage(r)), reason_name(r));
        if (t->n[r])
            json_add_int(rejected, key, t->n[r]);
    }
}

void tally_print(FILE *out, const Tally *t)
{
    for (Reason r = REASON_NONE + 1; r < N_REASONS; r++)
        if (t->n[r])
            fprintf(out, "%12" PRId64 "  %s.%s\n", t->n[r], stage_name(reason_stage(r)), reason_name(r));
}
