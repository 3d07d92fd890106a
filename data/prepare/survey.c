/* survey.c: the first pass alone, in a temporary folder that is gone afterwards (parts.h), and prepare_index, which plans with it. Called
 * by train, export.c and stats.c. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/prepare/parts.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* Where the survey that goes on lies. */
static char folder[PATH_MAX], bad_rows[PATH_MAX];

void prepare_abandon(void)
{
    unlink(bad_rows);
    rmdir(folder);
}

static Status survey_in(const PrepareOptions *o, ScanKeep keep, SurveyUse use, void *arg, PrepareResult *r)
{
    ScanFiles scan;
    TRY(scan_run(&scan, o, folder, keep));
    const ScanTotals t = scan.totals;
    *r = (PrepareResult){.good = t.good, .bad = t.bad, .shards = shards_for(o, t.good), .images = t.images};
    outcome_sum_up(&scan.outcome, r);
    Status s = journal_tell(bad_rows, &scan.outcome, o, "prepare --report FILE.json lists them all");
    if (!s)
        s = outcome_judge(&scan.outcome, o);
    if (!s)
        s = use(arg, &scan);
    scan_close(&scan);
    return s;
}

/* The sentence stays that of the failure. */
static Status remove_after(Status s)
{
    char sentence[4096];
    snprintf(sentence, sizeof sentence, "%s", status_message());
    if (file_remove(folder))
        log_warn("%s", status_message());
    return fail(s, "%s", sentence);
}

Status survey_run(const PrepareOptions *o, ScanKeep keep, SurveyUse use, void *arg, PrepareResult *result)
{
    *result = (PrepareResult){0};
    TRY(file_make_temporary(folder, "scan"));
    file_join(bad_rows, folder, "bad.jsonl");
    Status s = survey_in(o, keep, use, arg, result);
    s = s ? remove_after(s) : file_remove(folder);
    *folder = *bad_rows = 0;
    return s;
}

static Status copy_index(void *index, const ScanFiles *scan)
{
    RecordIndex *out = index;
    const int64_t good = scan->totals.good;
    out->n_images = scan->totals.images;
    out->rows = mem_alloc((size_t)good * sizeof *out->rows);
    if (!out->rows)
        return fail(ERR_NOMEM, "no memory for the index of %" PRId64 " rows", good);
    for (; out->n < good; out->n++) {
        ScanRow row;
        TRY(scan_rows(scan, out->n, 1, &row));
        out->rows[out->n] = row.index;
    }
    return OK;
}

Status prepare_index(const PrepareOptions *o, RecordIndex *out, PrepareResult *result)
{
    *out = (RecordIndex){.patches = o->encoder.patches};
    Status s = survey_run(o, SCAN_ROWS, copy_index, out, result);
    if (s)
        index_free(out);
    return s;
}
