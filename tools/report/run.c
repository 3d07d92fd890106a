/* run.c: reads a run folder for a report: settings, log, samples, history, machine, what became of the data's rows (report.h). Called by
 * report.c. What is missing or damaged is noted, and never ends the report, but for a folder that is no run at all. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/lock.h"
#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "tools/report/inside.h"
#include "tools/report/report.h"

enum { JSON_MOST = 8 << 20 };

void report_note(ReportRun *run, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    status_text_of(line, sizeof line, format, args);
    va_end(args);
    for (char *p = line; *p; p++)
        *p = *p == '\n' ? ' ' : *p;
    if (run->noting)
        fprintf(run->noting, "%s\n", line);
}

int64_t report_int(const Json *object, const char *key, int64_t absent)
{
    const Json *v = json_get(object, key);
    return v && v->kind == JSON_INT ? v->integer : absent;
}

/* Whether it is there and may be opened; what may not is noted. */
static bool open_noted(ReportRun *run, Inside *f, const char *folder, const char *name, mode_t kind)
{
    const char *why;
    const InsideFound found = inside_open(f, folder, name, kind, &why);
    if (found == INSIDE_REFUSED)
        report_note(run, "%s %s", name, why);
    return found == INSIDE_FOUND;
}

/* What went wrong with a file: only a lack of memory ends the report. The cause is the message behind the last ": ". */
static Status note_failure(ReportRun *run, const char *name, Status s)
{
    const char *why = strrchr(status_message(), ':');
    if (s == ERR_IO && !*run->unread)
        snprintf(run->unread, sizeof run->unread, "%s: cannot be read%s", name, why ? why : "");
    if (s && s != ERR_DATA && s != ERR_NOMEM) /* damage is noted with its place */
        report_note(run, "%s cannot be read to its end%s", name, why ? why : "");
    return s == ERR_NOMEM ? s : OK;
}

/* ---------------------------------------------------------------- small files of JSON */

/* *doc stays NULL where there is none, or it is damaged. */
static Status read_json(JsonDoc **doc, ReportRun *run, const char *name)
{
    Inside f;
    char *text = NULL;
    size_t n = 0;
    if (!open_noted(run, &f, run->folder, name, S_IFREG))
        return OK;
    Status s = f.st.st_size > JSON_MOST ? fail(ERR_DATA, "it has more than %d bytes", JSON_MOST) : file_read(&text, &n, f.path, JSON_MOST);
    inside_close(&f);
    s = s ? s : json_parse(doc, text, n, name);
    if (!s && json_root(*doc)->kind != JSON_OBJECT) {
        json_free(doc);
        s = fail(ERR_DATA, "%s is no object", name);
    }
    mem_free(text);
    if (s == ERR_DATA)
        report_note(run, "%s is damaged: %s", name, status_message());
    return note_failure(run, name, s);
}

typedef Status (*LineVisit)(ReportRun *run, JsonDoc **line, bool *enough); /* may take *line */

/* Calls visit with the lines of a file that can be read, until it has enough. */
static Status visit_lines(ReportRun *run, const char *folder, const char *name, LineVisit visit)
{
    Inside f;
    Rows *rows;
    Row row;
    bool end = false;
    int64_t damaged = 0;
    if (!open_noted(run, &f, folder, name, S_IFREG))
        return OK;
    Status s = rows_open(&rows, f.path, ROWS_LINES);
    while (!s && !(s = rows_next(rows, &row, &end)) && !end) {
        JsonDoc *line = NULL;
        s = row.error ? ERR_DATA : json_parse(&line, row.text, row.n, name);
        damaged += s == ERR_DATA;
        s = s == ERR_DATA ? OK : s ? s : visit(run, &line, &end);
        json_free(&line);
        if (end)
            break;
    }
    rows_close(&rows);
    inside_close(&f);
    if (damaged)
        report_note(run, "%s: %lld of its lines are damaged and left out", name, (long long)damaged);
    return note_failure(run, name, s);
}

static Status take_change(ReportRun *run, JsonDoc **line, bool *enough)
{
    (void)enough;
    JsonDoc **place = &run->changes[run->n_changes++ % CHANGES_MAX]; /* the newest stay */
    json_free(place);
    *place = *line;
    *line = NULL;
    return OK;
}

static void sort_changes(ReportRun *run)
{
    JsonDoc *sorted[CHANGES_MAX];
    const int first = (int)(run->n_changes % CHANGES_MAX);
    if (run->n_changes <= CHANGES_MAX)
        return;
    for (int i = 0; i < CHANGES_MAX; i++)
        sorted[i] = run->changes[(first + i) % CHANGES_MAX];
    memcpy(run->changes, sorted, sizeof sorted);
}

/* ---------------------------------------------------------------- what became of the rows of the data */

/* The head of a manifest, then some of the rows that were left out. */
static Status take_prepared(ReportRun *run, JsonDoc **line, bool *enough)
{
    JsonDoc **place = NULL;
    if (!run->prepared)
        place = &run->prepared;
    else if (json_get(json_root(*line), "bad_row"))
        place = &run->bad_rows[run->n_bad_rows++];
    if (place) {
        *place = *line;
        *line = NULL;
    }
    *enough = !place || run->n_bad_rows == BAD_ROWS_MAX;
    return OK;
}

/* Shards lie in the run folder, or beside it in shards/H; where the settings name another place, that is a stranger's word. */
static Status read_prepared(ReportRun *run)
{
    char folder[PATH_MAX], name[64];
    const Json *shards = json_get(json_get(run->config ? json_root(run->config) : NULL, "data"), "shards");
    const char *hash = shards && shards->kind == JSON_STRING ? strrchr(shards->string, '/') : NULL;
    if (!hash || strlen(hash + 1) > 40 || !strcmp(hash, "/.."))
        return OK;
    snprintf(name, sizeof name, "shards/%s/manifest.jsonl", hash + 1);
    TRY(visit_lines(run, file_join(folder, run->folder, ".."), name, take_prepared));
    return run->prepared ? OK : visit_lines(run, run->folder, "shards/manifest.jsonl", take_prepared);
}

/* ---------------------------------------------------------------- the folder */

static int compare_steps(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static Status note_checkpoint(void *arg, const char *name)
{
    ReportRun *run = arg;
    if (strncmp(name, "checkpoint-", 11) || !name[11] || strspn(name + 11, "0123456789") != strlen(name + 11) || strlen(name) > 26)
        return OK;
    const int64_t step = strtoll(name + 11, NULL, 10);
    if (run->n_checkpoints < CHECKPOINTS_MAX) {
        run->checkpoints[run->n_checkpoints++] = step;
        return OK;
    }
    int least = 0;
    for (int i = 1; i < CHECKPOINTS_MAX; i++)
        least = run->checkpoints[i] < run->checkpoints[least] ? i : least;
    if (step > run->checkpoints[least])
        run->checkpoints[least] = step;
    return OK;
}

static Status read_folder(ReportRun *run)
{
    Inside f;
    if (open_noted(run, &f, run->folder, "tb", S_IFDIR)) {
        run->has_board = true;
        inside_close(&f);
    }
    if (!open_noted(run, &f, run->folder, ".", S_IFDIR))
        return OK;
    run->going_on = lock_is_held(f.path);
    const Status s = file_list(f.path, note_checkpoint, run);
    inside_close(&f);
    qsort(run->checkpoints, (size_t)run->n_checkpoints, sizeof *run->checkpoints, compare_steps);
    return s;
}

static Status read_log(ReportRun *run)
{
    Inside f;
    run->curves = mem_alloc(sizeof *run->curves);
    if (!run->curves)
        return fail(ERR_NOMEM, "curves: no memory");
    run->curves->per_column = 1;
    if (!open_noted(run, &f, run->folder, "train.jsonl", S_IFREG))
        return OK;
    run->written = f.st.st_mtime;
    Status s = curves_read(run->curves, f.path);
    inside_close(&f);
    if (s == ERR_DATA)
        report_note(run, "train.jsonl cannot be read to its end: %s", status_message());
    s = note_failure(run, "train.jsonl", s);
    if (run->curves->damaged)
        report_note(run, "train.jsonl: %lld of its lines are damaged and left out, the first of them %s", (long long)run->curves->damaged,
                    run->curves->damage);
    if (run->curves->left_out)
        report_note(run, "train.jsonl: more than %d kinds of numbers; the others are left out", CURVES_MAX);
    return s;
}

static Status name_run(ReportRun *run)
{
    char folder[PATH_MAX], real[PATH_MAX];
    const Json *name = json_get(run->config ? json_root(run->config) : NULL, "name");
    snprintf(folder, sizeof folder, "%s", realpath(run->folder, real) ? real : run->folder);
    const char *slash = strrchr(folder, '/');
    run->name = mem_strdup(name && name->kind == JSON_STRING && name->length && name->length < 256 ? name->string
                           : slash                                                                 ? slash + 1
                                                                                                   : folder);
    return run->name ? OK : fail(ERR_NOMEM, "%s: no memory", run->folder);
}

static void find_total(ReportRun *run)
{
    const Json *environment = run->environment ? json_root(run->environment) : NULL;
    const Json *train = json_get(run->config ? json_root(run->config) : NULL, "train");
    run->total = report_int(json_get(environment, "planned"), "steps", 0);
    run->total = run->total > 0 ? run->total : report_int(train, "steps", 0);
}

Status report_check(const char *folder)
{
    Inside f;
    const char *why = "";
    struct stat st;
    if (stat(folder, &st))
        return fail(ERR_MISSING, "%s: %s; expected a run folder, as train leaves in save.dir/name", folder, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return fail(ERR_DATA, "%s: is %s, expected a run folder, as train leaves in save.dir/name", folder, file_kind(st.st_mode));
    if (inside_open(&f, folder, "MANIFEST.json", S_IFREG, &why) == INSIDE_FOUND) {
        inside_close(&f);
        return fail(ERR_DATA, "%s: is a checkpoint, expected the run folder that it lies in", folder);
    }
    static const char *const FILES[] = {"train.jsonl", "config.resolved.json"};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        const InsideFound found = inside_open(&f, folder, FILES[i], S_IFREG, &why);
        if (found == INSIDE_FOUND)
            inside_close(&f);
        if (found != INSIDE_NONE)
            return OK;
    }
    return fail(ERR_DATA, "%s: is no run folder, as it holds neither train.jsonl nor config.resolved.json; "
                          "expected what train leaves in save.dir/name", folder);
}

static Status read_all(ReportRun *run)
{
    TRY(read_json(&run->config, run, "config.resolved.json"));
    TRY(read_json(&run->environment, run, "environment.json"));
    TRY(name_run(run));
    TRY(read_log(run));
    TRY(read_folder(run));
    TRY(visit_lines(run, run->folder, "history.jsonl", take_change));
    sort_changes(run);
    TRY(read_prepared(run));
    TRY(report_samples_read(run));
    find_total(run);
    return OK;
}

Status report_read(ReportRun *run, const char *folder)
{
    *run = (ReportRun){.folder = folder};
    TRY(report_check(folder));
    run->noting = open_memstream(&run->notes, &run->n_notes);
    Status s = run->noting ? fail_context(read_all(run), "%s", folder) : fail(ERR_NOMEM, "%s: no memory", folder);
    if (run->noting && fclose(run->noting) && !s)
        s = fail(ERR_NOMEM, "%s: no memory", folder);
    run->noting = NULL;
    return s;
}

void report_free(ReportRun *run)
{
    mem_free(run->name);
    mem_free(run->notes);
    json_free(&run->config);
    json_free(&run->environment);
    json_free(&run->prepared);
    for (int i = 0; i < CHANGES_MAX; i++)
        json_free(&run->changes[i]);
    for (int i = 0; i < BAD_ROWS_MAX; i++)
        json_free(&run->bad_rows[i]);
    if (run->curves)
        curves_free(run->curves);
    report_samples_free(&run->samples);
}
