/* outcome.c: what became of the rows of a mixture: counted by the first pass, kept in the manifest, told and judged by prepare (parts.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/json_write.h"
#include "data/prepare/parts.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

static const char *const GOOD = "good";

const char *outcome_choice_name(Reject r) { return r == REJECT_LISTED ? "excluded" : reject_name(r); }

static const char *name_of(int why) { return why == REJECT_NONE ? GOOD : reject_name((Reject)why); }

Status outcome_create(Outcome *o, int n_sources)
{
    *o = (Outcome){.rows = mem_alloc((size_t)n_sources * sizeof *o->rows), .n_sources = n_sources};
    return o->rows ? OK : fail(ERR_NOMEM, "no memory to count the rows of %d sources", n_sources);
}

void outcome_free(Outcome *o)
{
    mem_free(o->rows);
    *o = (Outcome){0};
}

int64_t outcome_count(const Outcome *o, Reject why)
{
    int64_t n = 0;
    for (int i = 0; i < o->n_sources; i++)
        n += o->rows[i][why];
    return n;
}

void outcome_sum_up(const Outcome *o, PrepareResult *r)
{
    r->filtered = outcome_count(o, REJECT_FILTERED);
    r->duplicates = outcome_count(o, REJECT_NEAR);
    r->excluded = outcome_count(o, REJECT_LISTED);
    r->renamed = o->renamed;
    r->cut_rows = o->cut_rows;
    r->cut_tokens = o->cut_tokens;
}

/* Rows of all sources that nobody wants. */
static int64_t count_choices(const Outcome *o)
{
    int64_t n = 0;
    for (int r = 0; r < N_REASONS; r++)
        n += reject_is_choice((Reject)r) ? outcome_count(o, (Reject)r) : 0;
    return n;
}

/* ---------------------------------------------------------------- in the manifest */

void outcome_write(cJSON *to, const Outcome *o)
{
    cJSON *sources = cJSON_AddArrayToObject(to, "sources");
    for (int i = 0; i < o->n_sources; i++) {
        cJSON *source = json_add(sources, NULL, cJSON_CreateObject());
        for (int r = 0; r < N_REASONS; r++)
            if (o->rows[i][r])
                json_add_int(source, name_of(r), o->rows[i][r]);
    }
    cJSON *tasks = cJSON_AddObjectToObject(to, "tasks");
    for (int t = 0; t < N_TASKS; t++) {
        cJSON *task = cJSON_AddObjectToObject(tasks, TASK_NAMES[t]);
        json_add_int(task, GOOD, o->good_of[t]);
        json_add_int(task, "bad", o->bad_of[t]);
    }
    json_add_int(to, "cut_files", o->cut_files);
    json_add_int(to, "renamed_pictures", o->renamed);
    json_add_int(to, "cut_rows", o->cut_rows);
    json_add_int(to, "cut_trained_tokens", o->cut_tokens);
}

static int64_t count_of(const Json *o, const char *key, int64_t most)
{
    const Json *v = json_get(o, key);
    return v && v->kind == JSON_INT && v->integer > 0 && v->integer <= most ? v->integer : 0;
}

Status outcome_read(Outcome *o, const Json *from)
{
    const Json *sources = json_get(from, "sources"), *s = sources && sources->kind == JSON_ARRAY ? sources->child : NULL;
    TRY(outcome_create(o, s ? (int)sources->length : 0));
    for (int i = 0; s; s = s->next, i++)
        for (int r = 0; r < N_REASONS; r++)
            o->rows[i][r] = count_of(s, name_of(r), UINT32_MAX);
    for (int t = 0; t < N_TASKS; t++) {
        const Json *task = json_get(json_get(from, "tasks"), TASK_NAMES[t]);
        o->good_of[t] = count_of(task, GOOD, UINT32_MAX);
        o->bad_of[t] = count_of(task, "bad", UINT32_MAX);
    }
    o->cut_files = count_of(from, "cut_files", UINT32_MAX);
    o->renamed = count_of(from, "renamed_pictures", UINT32_MAX);
    o->cut_rows = count_of(from, "cut_rows", UINT32_MAX);
    o->cut_tokens = count_of(from, "cut_trained_tokens", INT64_MAX);
    return OK;
}

/* ---------------------------------------------------------------- for people */

/* "9 missing, 3 corrupt", the commonest first. Returns how many rows that are. */
static int64_t tell_reasons(const int64_t rows[N_REASONS], char *text, size_t n)
{
    int64_t left[N_REASONS], all = 0;
    size_t at = 0;
    memcpy(left, rows, sizeof left);
    for (int r = 0; r < N_REASONS; r++)
        left[r] = r == REJECT_NONE || reject_is_choice((Reject)r) ? 0 : left[r];
    *text = 0;
    for (;;) {
        int most = 0;
        for (int r = 0; r < N_REASONS; r++)
            most = left[r] > left[most] ? r : most;
        if (!left[most])
            return all;
        if (at < n)
            at += (size_t)snprintf(text + at, n - at, "%s%" PRId64 " %s", all ? ", " : "", left[most], name_of(most));
        all += left[most];
        left[most] = 0;
    }
}

void outcome_say(const Outcome *o, const PrepareOptions *p, const char *all)
{
    int64_t sums[N_REASONS];
    char text[512];
    for (int r = 0; r < N_REASONS; r++)
        sums[r] = outcome_count(o, (Reject)r);
    const int64_t bad = tell_reasons(sums, text, sizeof text);
    if (bad)
        log_warn("%" PRId64 " of %" PRId64 " row%s left out: %s; %s", bad, sums[REJECT_NONE] + bad, status_plural(sums[REJECT_NONE] + bad),
                 text, all);
    for (int t = 0; t < N_TASKS; t++)
        if (o->bad_of[t] && !o->good_of[t] && sums[REJECT_NONE])
            log_warn("of task \"%s\" not one of %" PRId64 " row%s can be used", TASK_NAMES[t], o->bad_of[t], status_plural(o->bad_of[t]));
    if (o->cut_files)
        log_warn("%" PRId64 " data file%s could not be read to the end: the rows behind are missing, and nobody knows how many",
                 o->cut_files, status_plural(o->cut_files));
    for (int i = 0; i < o->n_sources && i < p->mixture->n_sources; i++)
        if (o->rows[i][REJECT_FILTERED] && !o->rows[i][REJECT_NONE])
            log_warn("source \"%s\": its filter leaves out %" PRId64 " row%s, and none is left", p->mixture->sources[i].name,
                     o->rows[i][REJECT_FILTERED], status_plural(o->rows[i][REJECT_FILTERED]));
    if (sums[REJECT_FILTERED])
        log_info("%" PRId64 " row%s not wanted by the filter of %s source", sums[REJECT_FILTERED],
                 sums[REJECT_FILTERED] == 1 ? " is" : "s are", sums[REJECT_FILTERED] == 1 ? "its" : "their");
    if (sums[REJECT_NEAR])
        log_info("%" PRId64
                 " row%s a picture that nearly equals one of an earlier source, and \"near_duplicates\": \"drop\" leaves them out",
                 sums[REJECT_NEAR], sums[REJECT_NEAR] == 1 ? " has" : "s have");
    if (sums[REJECT_LISTED])
        log_info("%" PRId64 " row%s a picture of the list exclude_image_ids and %s left out", sums[REJECT_LISTED],
                 sums[REJECT_LISTED] == 1 ? " has" : "s have", sums[REJECT_LISTED] == 1 ? "is" : "are");
    else if (p->mixture->exclude_file && sums[REJECT_NONE] + bad)
        log_warn("%s: no row is left out for it: no picture has one of its numbers or names (case counts, folders do not)",
                 p->mixture->exclude_file);
    if (o->renamed)
        log_warn("%" PRId64 " picture%s found under another ending", o->renamed, o->renamed == 1 ? " was" : "s were");
    if (o->cut_rows)
        log_warn("%" PRId64 " row%s cut to data.max_tokens = %" PRId64 ", which costs %" PRId64 " trained token%s", o->cut_rows,
                 o->cut_rows == 1 ? " was" : "s were", p->encoder.max_tokens, o->cut_tokens, status_plural(o->cut_tokens));
}

Status outcome_judge(const Outcome *o, const PrepareOptions *p)
{
    char list[4096] = "", reasons[512];
    size_t n = 0;
    int64_t good = outcome_count(o, REJECT_NONE), bad = 0;
    for (int i = 0; i < o->n_sources && i < p->mixture->n_sources; i++) {
        int64_t wrong = tell_reasons(o->rows[i], reasons, sizeof reasons), rows = wrong + o->rows[i][REJECT_NONE];
        bad += wrong;
        if (rows && (double)wrong / (double)rows > p->max_bad && n < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n,
                                  "%ssource \"%s\": %" PRId64 " of %" PRId64
                                  " row%s cannot be used (%s), and data.max_bad allows a share of %g",
                                  n ? "\n" : "", p->mixture->sources[i].name, wrong, rows, status_plural(rows), reasons, p->max_bad);
    }
    if (!good && o->n_sources) {
        const int64_t unwanted = count_choices(o);
        if (!bad && !unwanted)
            return fail(ERR_DATA, "the files of the mixture hold no rows");
        return fail(ERR_DATA, "none of the %" PRId64 " row%s of the mixture can be used%s", bad + unwanted, status_plural(bad + unwanted),
                    bad                              ? ""
                    : outcome_count(o, REJECT_LISTED) ? ": the filters and exclude_image_ids want none"
                                                      : ": the filters want none");
    }
    if (p->strict && bad)
        return fail(ERR_DATA, "%" PRId64 " of %" PRId64 " row%s cannot be used, and --strict allows none%s", bad, good + bad,
                    status_plural(good + bad), o->cut_files ? "; a data file could not be read to its end, it is named above" : "");
    return n ? fail(ERR_DATA, "%s; mend the data, or raise data.max_bad", list) : OK;
}
