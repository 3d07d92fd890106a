/* runlog.c: writes train.jsonl, TensorBoard events, the step line, environment.json (runlog.h). Called by the loop. */
#include "train/log/runlog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/held.h"
#include "data/formats/json_write.h"
#include "data/pictures/image.h"
#include "data/formats/rows.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "train/log/tensorboard.h"

struct RunLog {
    FILE *jsonl;
    char path[PATH_MAX];
    TensorBoard *tensorboard;
    int64_t every, total;
    double speed, pace; /* running means: tokens a second, seconds a step */
};

/* ---------------------------------------------------------------- train.jsonl */

/* *k: -1 when it is not the whole line of a step. */
static Status step_of_row(int64_t *k, const Row *row, const char *path)
{
    JsonDoc *doc;
    *k = -1;
    if (!row->whole || row->error)
        return OK;
    Status s = json_parse(&doc, row->text, row->n, path);
    if (s)
        return s == ERR_NOMEM ? s : OK;
    const Json *step = json_get(json_root(doc), "step");
    if (step && step->kind == JSON_INT && json_get(json_root(doc), "loss"))
        *k = step->integer;
    json_free(&doc);
    return OK;
}

typedef struct CutBack {
    int64_t lost; /* whole lines that are no step at all */
    bool from_0;  /* its first step is 0: an earlier version wrote it */
} CutBack;

/* A step's line, under its number from 1. */
static Status copy_line(FILE *out, const Row *row, int64_t k, const CutBack *c, const char *path)
{
    static const char BEGIN[] = "{\"step\":";
    const size_t n = sizeof BEGIN - 1;
    bool renumber = c->from_0 && row->n > n && !memcmp(row->text, BEGIN, n);
    size_t done = renumber ? n + strspn(row->text + n, "0123456789") : 0;
    if ((renumber && fprintf(out, "%s%lld", BEGIN, (long long)k) < 0) || fwrite(row->text + done, 1, row->n - done, out) != row->n - done ||
        putc('\n', out) == EOF)
        return fail(ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    return OK;
}

/* The lines of steps 1 … step, each once, go to `out`. */
static Status copy_steps(FILE *out, const char *path, int64_t step, CutBack *c)
{
    Rows *rows;
    Row row;
    bool end = false, any = false, *seen = mem_alloc((size_t)step + 1);
    if (!seen)
        return fail(ERR_NOMEM, "%s: out of memory", path);
    Status s = rows_open(&rows, path, ROWS_LINES);
    while (!s && !(s = rows_next(rows, &row, &end)) && !end) {
        int64_t k;
        s = step_of_row(&k, &row, path);
        c->from_0 |= !s && !any && k == 0;
        any |= !s && k >= 0;
        if (s || k > step) /* so that it has a successor */
            continue;
        k += k >= 0 && c->from_0;
        c->lost += k <= 0 && (row.whole || row.error);
        if (k <= 0 || k > step || seen[k])
            continue;
        seen[k] = true;
        s = copy_line(out, &row, k, c, path);
    }
    rows_close(&rows);
    mem_free(seen);
    return s;
}

/* A new file takes its place: whatever else the old one was a name of stays as it is. */
static Status cut_back(const char *path, int64_t step)
{
    FileDraft d;
    FILE *old;
    CutBack c = {0};
    TRY(file_append(&old, path)); /* it is a file, and ours */
    fclose(old);
    TRY(file_draft(&d, path));
    Status s = step ? copy_steps(d.out, path, step, &c) : OK;
    TRY(file_publish(&d, s));
    if (c.lost)
        log_warn("%s: %lld of its lines told of no step and are gone", path, (long long)c.lost);
    if (c.from_0)
        log_info("%s: an earlier version counted its steps from 0; now its first is 1", path);
    return OK;
}

static const char *join_name(char to[64], const char *first, const char *second)
{
    snprintf(to, 64, "%s%s", first, second);
    return to;
}

/* *line: what was written. mem_free */
static Status write_line(RunLog *l, const StepRecord *r, char **line)
{
    char key[64];
    cJSON *o = cJSON_CreateObject();
    json_add_int(o, "step", r->step);
    json_add_real(o, "loss", r->losses.total);
    for (int i = 0; i < N_LOSSES; i++)
        if (r->losses.present[i])
            json_add_real(o, LOSSES[i].key, r->losses.values[i]);
    if (r->validated) {
        json_add_real(o, "loss_validation", r->validation.total);
        for (int i = 0; i < N_LOSSES; i++)
            if (r->validation.present[i])
                json_add_real(o, join_name(key, "loss_validation_", LOSSES[i].name), r->validation.values[i]);
    }
    json_add_real(o, "lr", r->lr);
    for (int i = 0; i < r->n_rates; i++)
        json_add_real(o, join_name(key, "lr_", r->rates[i].name), r->rates[i].lr);
    json_add_real(o, "grad_norm", r->grad_norm);
    json_add_int(o, "samples", r->samples);
    json_add_int(o, "tokens", r->tokens);
    json_add_int(o, "images", r->images);
    json_add_real(o, "seconds", r->seconds);
    if (r->peak_share > 0)
        json_add_real(o, "peak_share", r->peak_share);
    if (r->n_ranks > 1)
        json_add_real(o, "waited", r->waited);
    json_add_int(o, "skipped_steps", r->skipped_steps);
    json_add_int(o, "skipped_samples", r->skipped_samples);
    TRY(json_to_text(line, &o, JSON_INLINE, l->path));
    return fprintf(l->jsonl, "%s\n", *line) < 0 || fflush(l->jsonl) ? fail(ERR_IO, "%s: cannot be written: %s", l->path, strerror(errno))
                                                                    : OK;
}

/* ---------------------------------------------------------------- lines for people */

static const char *duration(double seconds, char buf[32])
{
    long s = (long)(seconds + 0.5);
    if (s < 3600)
        snprintf(buf, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(buf, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    return buf;
}

/* What the step line tells, in its order; on a narrow terminal those with the highest rank are left out. */
typedef struct Field {
    int rank;
    char text[64];
} Field;
enum { FIELDS = 9 };

static int columns_of(const Field *fields)
{
    int n = 0;
    for (int i = 0; i < FIELDS; i++)
        n += *fields[i].text ? (n ? 2 : 0) + (int)strlen(fields[i].text) : 0;
    return n;
}

/* columns: 0: as many as there are. */
static void drop_fields(Field *fields, int columns)
{
    while (columns && columns_of(fields) > columns) {
        Field *last = &fields[0];
        for (int i = 1; i < FIELDS; i++)
            last = *fields[i].text && fields[i].rank > last->rank ? &fields[i] : last;
        if (last == &fields[0])
            return;
        *last->text = 0;
    }
}

static void fill_fields(Field *fields, const RunLog *l, const StepRecord *r)
{
    char left[32], group[32] = "";
    if (r->n_rates)
        snprintf(group, sizeof group, " (%s)", r->rates[r->shown].name);
    const double lr = r->n_rates ? r->rates[r->shown].lr : r->lr;
    for (int i = 0; i < FIELDS; i++)
        fields[i] = (Field){.rank = (const int[FIELDS]){0, 1, 3, 5, 6, 4, 7, 2, 8}[i]};
    snprintf(fields[0].text, sizeof fields[0].text, "step %lld/%lld", (long long)r->step, (long long)l->total);
    snprintf(fields[1].text, sizeof fields[1].text, "loss %.4f", r->losses.total);
    snprintf(fields[2].text, sizeof fields[2].text, "lr %.3g%s", lr, group);
    snprintf(fields[3].text, sizeof fields[3].text, "grad %.3g", r->grad_norm);
    snprintf(fields[4].text, sizeof fields[4].text, "%.0f tokens/s", l->speed);
    snprintf(fields[5].text, sizeof fields[5].text, "%.3g s/step", l->pace);
    if (r->n_ranks > 1)
        snprintf(fields[6].text, sizeof fields[6].text, "%.0f %% waited", 100 * r->waited);
    snprintf(fields[7].text, sizeof fields[7].text, "%s left", duration(l->pace * (double)(l->total - r->step), left));
    if (r->peak_share > 0)
        snprintf(fields[8].text, sizeof fields[8].text, "%.3g %% of peak", 100 * r->peak_share);
}

/* members: the step's line of train.jsonl. Every log.every steps the line stays; on a terminal the others are seen until the next. */
static void show(RunLog *l, const StepRecord *r, const char *members)
{
    const double keep = 0.9; /* of the running means */
    double speed = r->seconds > 0 ? (double)r->tokens / r->seconds : 0;
    Field fields[FIELDS];
    char line[FIELDS * sizeof(Field)];
    size_t n = 0;
    l->speed = l->pace > 0 ? keep * l->speed + (1 - keep) * speed : speed;
    l->pace = l->pace > 0 ? keep * l->pace + (1 - keep) * r->seconds : r->seconds;
    fill_fields(fields, l, r);
    drop_fields(fields, log_columns());
    for (int i = 0; i < FIELDS; i++)
        if (*fields[i].text)
            n += (size_t)snprintf(line + n, sizeof line - n, "%s%s", n ? "  " : "", fields[i].text);
    if (r->step % l->every == 0 || r->step == l->total)
        log_event(members, "%s", line);
    else
        log_progress("%s", line);
}

/* ---------------------------------------------------------------- the log */

Status runlog_open(RunLog **out, const char *folder, const RunConfig *cfg, int64_t step, int64_t total)
{
    char tb[PATH_MAX];
    *out = NULL;
    RunLog *l = mem_alloc(sizeof *l);
    if (!l)
        return fail(ERR_NOMEM, "%s: out of memory", folder);
    l->every = cfg->log.every;
    l->total = total;
    file_join(l->path, folder, "train.jsonl");
    Status s = cut_back(l->path, step);
    if (s == OK)
        s = file_append(&l->jsonl, l->path);
    if (s == OK && cfg->log.tensorboard)
        s = tensorboard_open(&l->tensorboard, file_join(tb, folder, "tb"), step + 1);
    if (s != OK)
        runlog_close(&l);
    *out = l;
    return s;
}

/* A line for people, and points. */
static Status log_validation(RunLog *l, const StepRecord *r)
{
    char tag[64], line[256] = "";
    int n = 0;
    for (int i = 0; i < N_LOSSES; i++)
        if (r->validation.present[i])
            n += snprintf(line + n, sizeof line - (size_t)n, "%s%s %.4f", n ? ", " : " (", LOSSES[i].name, r->validation.values[i]);
    log_info("step %lld: validation loss %.4f%s%s%s", (long long)r->step, r->validation.total, line, n ? ")" : "",
             r->best_step == r->step ? ", the lowest so far" : "");
    if (!l->tensorboard)
        return OK;
    TRY(tensorboard_scalar(l->tensorboard, "loss_validation/all", r->step, r->validation.total));
    for (int i = 0; i < N_LOSSES; i++)
        if (r->validation.present[i])
            TRY(tensorboard_scalar(l->tensorboard, join_name(tag, "loss_validation/", LOSSES[i].name), r->step, r->validation.values[i]));
    return tensorboard_flush(l->tensorboard);
}

Status runlog_step(RunLog *l, const StepRecord *r)
{
    char *line = NULL;
    Status s = write_line(l, r, &line);
    if (!s)
        show(l, r, line);
    mem_free(line);
    TRY(s);
    if (r->validated)
        TRY(log_validation(l, r));
    if (!l->tensorboard || (r->step % l->every && r->step != l->total))
        return OK;
    char tag[64];
    TRY(tensorboard_scalar(l->tensorboard, "loss/all", r->step, r->losses.total));
    for (int i = 0; i < N_LOSSES; i++)
        if (r->losses.present[i])
            TRY(tensorboard_scalar(l->tensorboard, LOSSES[i].tag, r->step, r->losses.values[i]));
    TRY(tensorboard_scalar(l->tensorboard, "optim/lr", r->step, r->lr));
    for (int i = 0; i < r->n_rates; i++)
        TRY(tensorboard_scalar(l->tensorboard, join_name(tag, "optim/lr_", r->rates[i].name), r->step, r->rates[i].lr));
    TRY(tensorboard_scalar(l->tensorboard, "optim/grad_norm", r->step, r->grad_norm));
    TRY(tensorboard_scalar(l->tensorboard, "speed/tokens_per_second", r->step, r->seconds > 0 ? (double)r->tokens / r->seconds : 0));
    return tensorboard_flush(l->tensorboard);
}

/* ---------------------------------------------------------------- scores of benchmarks */

Status runlog_has_suite(const RunLog *l, bool *has)
{
    static const char KEY[] = ",\"suite_";
    Rows *rows;
    Row row;
    bool end = false;
    *has = false;
    TRY(rows_open(&rows, l->path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        *has = !row.error && memmem(row.text, row.n, KEY, sizeof KEY - 1);
    rows_close(&rows);
    return s;
}

/* Writes `members`, "{…}", over the brace that ends the last line: in one piece, so that a kill leaves the line with all of them or none.
 */
static Status extend_line(const RunLog *l, const char *members)
{
    static const char END[] = "}\n";
    const off_t n_end = sizeof END - 1;
    char end[sizeof END] = "";
    const int fd = held_open(l->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
    const off_t at = fd < 0 ? -1 : lseek(fd, -n_end, SEEK_END);
    Status s = at >= 0 && pread(fd, end, sizeof END - 1, at) == n_end && !strcmp(end, END)
                   ? OK
                   : fail(ERR_IO, "%s: its last line is not that of a step", l->path);
    const size_t n = strlen(members);
    char *text = mem_alloc(n + 2);
    if (text)
        snprintf(text, n + 2, ",%s\n", members + 1);
    if (!s)
        s = text ? file_write_at(fd, l->path, text, n + 1, at) : fail(ERR_NOMEM, "no memory for scores of %zu bytes", n);
    mem_free(text);
    if (fd >= 0)
        close(fd);
    return s;
}

Status runlog_suite(RunLog *l, int64_t step, const SuiteScore *scores, int n)
{
    enum { SHOWN = 1024 };
    char name[NAME_MAX + sizeof "suite_"], line[SHOWN] = "", *members;
    cJSON *o = cJSON_CreateObject();
    for (int i = 0; i < n; i++) {
        const size_t used = strlen(line);
        snprintf(name, sizeof name, "suite_%s", scores[i].name);
        json_add_real(o, name, scores[i].value);
        snprintf(line + used, sizeof line - used, "%s %s %.2f", i ? "," : "", scores[i].name, scores[i].value);
    }
    TRY(json_to_text(&members, &o, JSON_INLINE, l->path));
    if (n)
        log_event(members, "step %lld:%s", (long long)step, line);
    Status s = n ? extend_line(l, members) : OK;
    mem_free(members);
    for (int i = 0; i < n && !s && l->tensorboard; i++) {
        snprintf(name, sizeof name, "suite/%s", scores[i].name);
        s = tensorboard_scalar(l->tensorboard, name, step, scores[i].value);
    }
    return !s && l->tensorboard ? tensorboard_flush(l->tensorboard) : s;
}

Status runlog_picture(RunLog *l, int64_t step, const char *tag, const char *png)
{
    enum { MOST = 1 << 28 };
    char *bytes;
    size_t n;
    ImageHeader h;
    Reject reject;
    if (!l->tensorboard)
        return OK;
    TRY(file_read(&bytes, &n, png, MOST));
    Status s = fail_context(image_header(&h, (const uint8_t *)bytes, n, IMAGE_MAX_PIXELS, &reject), "%s", png);
    if (!s)
        s = tensorboard_image(l->tensorboard, tag, step, h.width, h.height, bytes, n);
    mem_free(bytes);
    return s ? s : tensorboard_flush(l->tensorboard);
}

Status runlog_sync(RunLog *l)
{
    if (fflush(l->jsonl) || fsync(fileno(l->jsonl)))
        return fail(ERR_IO, "%s: cannot be written: %s", l->path, strerror(errno));
    return OK;
}

void runlog_close(RunLog **l)
{
    if (*l) {
        if ((*l)->jsonl)
            fclose((*l)->jsonl);
        tensorboard_close(&(*l)->tensorboard);
        mem_free(*l);
    }
    *l = NULL;
}

/* ---------------------------------------------------------------- history.jsonl */

/* difference: lines. */
Status runlog_change(const char *folder, int64_t step, const char *from, const char *difference)
{
    char path[PATH_MAX];
    cJSON *o = cJSON_CreateObject();
    json_add_int(o, "step", step);
    json_add_text(o, "from", from);
    cJSON *lines = cJSON_AddArrayToObject(o, "difference");
    for (const char *line = difference; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        json_add_bytes(lines, NULL, line, strcspn(line, "\n"));
    FILE *f;
    TRY(file_append(&f, file_join(path, folder, "history.jsonl")));
    Status s = json_print(f, &o, JSON_LINE, path);
    cJSON_Delete(o);
    if (!s && (fflush(f) || fsync(fileno(f))))
        s = fail(ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    fclose(f);
    return s;
}

/* ---------------------------------------------------------------- environment.json */

static void processor_name(char *buf, size_t n)
{
    char line[512];
    snprintf(buf, n, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
            snprintf(buf, n, "%.*s", (int)strcspn(strchr(line, ':') + 2, "\n"), strchr(line, ':') + 2);
            break;
        }
    if (f)
        fclose(f);
}

/* The resolved file names carry the versions: libdnnl.so.2.6, libhdf5_serial.so.103.3.0. */
static int add_library(struct dl_phdr_info *info, size_t size, void *out)
{
    (void)size;
    char path[PATH_MAX];
    if (info->dlpi_name && *info->dlpi_name == '/' && realpath(info->dlpi_name, path))
        json_add_text(out, NULL, strrchr(path, '/') + 1);
    return 0;
}

Status runlog_environment(const char *folder, const Backend *backend, DType compute, int n_ranks, RunPlanned planned)
{
    char path[PATH_MAX], processor[256], when[64];
    time_t now = time(NULL);
    struct tm utc;
    processor_name(processor, sizeof processor);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "version", GENLLAVA_VERSION);
    cJSON_AddStringToObject(o, "compiler", __VERSION__);
    cJSON_AddStringToObject(o, "started", when);
    cJSON_AddStringToObject(o, "processor", processor);
    json_add_int(o, "cores", sysconf(_SC_NPROCESSORS_ONLN));
    json_add_int(o, "threads", omp_get_max_threads());
    json_add_int(o, "ranks", n_ranks);
    cJSON_AddStringToObject(o, "backend", backend->name);
    cJSON_AddStringToObject(o, "device", backend->description);
    cJSON_AddStringToObject(o, "compute", dtype_name(compute));
    cJSON *plan = cJSON_AddObjectToObject(o, "planned");
    json_add_int(plan, "steps", planned.steps);
    json_add_int(plan, "memory", planned.memory);
    dl_iterate_phdr(add_library, cJSON_AddArrayToObject(o, "libraries"));
    return json_save(file_join(path, folder, "environment.json"), &o);
}
