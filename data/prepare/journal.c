#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/prepare/parts.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

#define JOURNAL_SCHEMA "genllava.shards/1"
#define BAD_ROW "{\"bad_row\":"
#define SHARD_LINE "{\"shard\":"
enum { ROWS_SHOWN = 3, N_REASONS = REJECT_BAD_JSON + 1 };

void journal_free(Journal *m)
{
    mem_free(m->made_from);
    mem_free(m->inputs);
    mem_free(m->shards);
    *m = (Journal){0};
}

const JournalShard *journal_shard(const Journal *m, int64_t index)
{
    for (int i = 0; i < m->n_done; i++)
        if (m->shards[i].index == index)
            return &m->shards[i];
    return NULL;
}

static void name_of(char out[PATH_MAX], const char *folder) { snprintf(out, PATH_MAX, "%s/manifest.jsonl", folder); }

bool journal_exists(const char *folder)
{
    char path[PATH_MAX];
    name_of(path, folder);
    return !access(path, F_OK);
}

/* A later line about a shard replaces the earlier one. */
static Status add_shard(Journal *m, const JournalShard *s)
{
    for (int i = 0; i < m->n_done; i++)
        if (m->shards[i].index == s->index) {
            m->shards[i] = *s;
            return OK;
        }
    if (m->n_done == m->capacity) {
        int capacity = m->capacity ? 2 * m->capacity : 16;
        JournalShard *more = mem_grow(m->shards, (size_t)capacity * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for %d shards", capacity);
        m->shards = more;
        m->capacity = capacity;
    }
    m->shards[m->n_done++] = *s;
    return OK;
}

/* ---------------------------------------------------------------- reading */

static int64_t int_of(const Json *o, const char *key)
{
    const Json *v = json_get(o, key);
    return v && v->kind == JSON_INT ? v->integer : -1;
}

static void text_of(char *out, size_t n, const Json *o, const char *key)
{
    const Json *v = json_get(o, key);
    snprintf(out, n, "%s", v && v->kind == JSON_STRING ? v->string : "");
}

/* The JSON text of one member of the head: members are written in a fixed order, each on the one line. NULL when it is not there. */
static Status slice(char **text, const char *line, const char *key, const char *next)
{
    const char *from = strstr(line, key), *to = from ? strstr(from, next) : NULL;
    *text = to ? mem_alloc((size_t)(to - from) - strlen(key) + 1) : NULL;
    if (to && !*text)
        return fail(ERR_NOMEM, "manifest.jsonl: no memory for its head");
    if (to)
        memcpy(*text, from + strlen(key), (size_t)(to - from) - strlen(key));
    return OK;
}

/* A head that cannot be read is as if there were none. */
static Status read_head(Journal *m, const char *line, bool *found)
{
    JsonDoc *doc;
    char schema[32];
    Status s = json_parse(&doc, line, strlen(line), "manifest.jsonl");
    if (s)
        return s == ERR_NOMEM ? s : OK;
    const Json *root = json_root(doc);
    text_of(schema, sizeof schema, root, "schema");
    text_of(m->config, sizeof m->config, root, "config_sha256");
    m->good = int_of(root, "good");
    m->bad = int_of(root, "bad");
    m->n_shards = int_of(root, "shards");
    m->newest_unix = int_of(root, "newest_unix");
    json_free(&doc);
    TRY(slice(&m->made_from, line, "\"made_from\":", ",\"inputs\":"));
    TRY(slice(&m->inputs, line, ",\"inputs\":", ",\"good\":"));
    *found = !strcmp(schema, JOURNAL_SCHEMA) && strlen(m->config) == 64 && m->good >= 0 && m->bad >= 0 && m->n_shards >= 0 && m->made_from && m->inputs;
    return OK;
}

/* A line that a kill cut short is as if it were not there. */
static Status read_shard_line(Journal *m, const char *line)
{
    JsonDoc *doc;
    Status parsed = json_parse(&doc, line, strlen(line), "manifest.jsonl");
    if (parsed)
        return parsed == ERR_NOMEM ? parsed : OK;
    const Json *root = json_root(doc);
    JournalShard s = {.index = int_of(root, "shard"), .bytes = int_of(root, "bytes"), .samples = int_of(root, "samples"),
                      .images = int_of(root, "images"), .tokens = int_of(root, "tokens")};
    text_of(s.file, sizeof s.file, root, "file");
    text_of(s.content, sizeof s.content, root, "content_xxh3");
    text_of(s.sha256, sizeof s.sha256, root, "sha256");
    json_free(&doc);
    bool whole = s.index >= 0 && s.index < m->n_shards && s.bytes > 0 && strlen(s.sha256) == 64 && !strchr(s.file, '/');
    return whole ? add_shard(m, &s) : OK;
}

Status journal_read(Journal *m, const char *folder, bool *found)
{
    char path[PATH_MAX];
    *m = (Journal){0};
    *found = false;
    name_of(path, folder);
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT || errno == ENOTDIR ? OK : fail(ERR_IO, "%s: %s", path, strerror(errno));
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    Status s = file_line(f, path, &line, &capacity, &n);
    if (!s && n > 0)
        s = read_head(m, line, found);
    while (*found && !s && !(s = file_line(f, path, &line, &capacity, &n)) && n > 0)
        if (!strncmp(line, SHARD_LINE, strlen(SHARD_LINE)))
            s = read_shard_line(m, line);
    free(line); /* getline's */
    fclose(f);
    if (s || !*found) {
        journal_free(m);
        *found = false;
    }
    return s;
}

/* ---------------------------------------------------------------- writing */

static void put_head(JsonOut *j, const Journal *m)
{
    jsonout_begin_object(j, NULL);
    jsonout_string(j, "schema", JOURNAL_SCHEMA);
    jsonout_string(j, "config_sha256", m->config);
    jsonout_raw(j, "made_from", m->made_from);
    jsonout_raw(j, "inputs", m->inputs);
    jsonout_int(j, "good", m->good);
    jsonout_int(j, "bad", m->bad);
    jsonout_int(j, "shards", m->n_shards);
    jsonout_int(j, "newest_unix", m->newest_unix);
    jsonout_end_object(j);
}

static void put_shard(JsonOut *j, const JournalShard *s)
{
    jsonout_begin_object(j, NULL);
    jsonout_int(j, "shard", s->index);
    jsonout_string(j, "file", s->file);
    jsonout_int(j, "bytes", s->bytes);
    jsonout_int(j, "samples", s->samples);
    jsonout_int(j, "images", s->images);
    jsonout_int(j, "tokens", s->tokens);
    jsonout_string(j, "content_xxh3", s->content);
    jsonout_string(j, "sha256", s->sha256);
    jsonout_end_object(j);
}

static Status copy_bad_rows(FILE *out, const char *from)
{
    FILE *f = fopen(from, "re");
    if (!f)
        return errno == ENOENT ? OK : fail(ERR_IO, "%s: %s", from, strerror(errno));
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    Status s = OK;
    while (!s && !(s = file_line(f, from, &line, &capacity, &n)) && n > 0)
        if (!strncmp(line, BAD_ROW, strlen(BAD_ROW)) && fputs(line, out) < 0)
            s = fail(ERR_IO, "manifest.jsonl: writing: %s", strerror(errno));
    free(line);
    fclose(f);
    return s;
}

static Status put_line(FILE *out, JsonOut *j)
{
    Status s = OK;
    if (j->failed)
        s = fail(ERR_NOMEM, "manifest.jsonl: no memory for a line");
    else if (fprintf(out, "%s\n", j->text) < 0)
        s = fail(ERR_IO, "manifest.jsonl: writing: %s", strerror(errno));
    jsonout_free(j);
    return s;
}

static Status write_lines(FILE *out, const Journal *m, const char *bad_rows)
{
    JsonOut j = {0};
    put_head(&j, m);
    TRY(put_line(out, &j));
    TRY(copy_bad_rows(out, bad_rows));
    for (int64_t i = 0; i < m->n_shards; i++) {
        const JournalShard *s = journal_shard(m, i);
        if (!s)
            continue;
        put_shard(&j, s);
        TRY(put_line(out, &j));
    }
    return OK;
}

Status journal_write(const Journal *m, const char *folder, const char *bad_jsonl)
{
    char path[PATH_MAX], tmp[PATH_MAX];
    name_of(path, folder);
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp.%d", path, (int)getpid()) >= sizeof tmp)
        return fail(ERR_CREATE, "%s: the name is too long", path);
    FILE *f = fopen(tmp, "we");
    if (!f)
        return fail(errno == ENOSPC ? ERR_IO : ERR_CREATE, "%s: %s", tmp, strerror(errno));
    Status s = write_lines(f, m, bad_jsonl ? bad_jsonl : path);
    if (!s && (fflush(f) || fsync(fileno(f))))
        s = fail(ERR_IO, "%s: writing: %s", tmp, strerror(errno));
    if (fclose(f) && !s)
        s = fail(ERR_IO, "%s: writing: %s", tmp, strerror(errno));
    if (!s && rename(tmp, path))
        s = fail(ERR_IO, "%s: renaming: %s", tmp, strerror(errno));
    if (s)
        unlink(tmp);
    return s ? s : file_sync_folder(folder);
}

Status journal_append(const char *folder, const JournalShard *shard)
{
    char path[PATH_MAX], line[1024];
    name_of(path, folder);
    JsonOut j = {0};
    put_shard(&j, shard);
    /* A line break first: the line before may have been cut short. One write: other processes append as well. */
    int n = j.failed ? 0 : snprintf(line, sizeof line, "\n%s\n", j.text);
    jsonout_free(&j);
    if (n <= 0 || n >= (int)sizeof line)
        return fail(ERR_NOMEM, "no memory for a line of %s", path);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return fail(ERR_IO, "%s: %s", path, strerror(errno));
    ssize_t done = write(fd, line, (size_t)n);
    Status s = done == n ? OK : fail(ERR_IO, "%s: writing: %s", path, strerror(done < 0 ? errno : ENOSPC));
    if (!s && fsync(fd))
        s = fail(ERR_IO, "%s: fsync: %s", path, strerror(errno));
    close(fd);
    return s;
}

/* ---------------------------------------------------------------- telling people */

typedef struct Tally {
    int64_t of[N_REASONS];
} Tally;

static void tell_row(Tally *t, const char *json, size_t n)
{
    JsonDoc *doc;
    if (json_parse(&doc, json, n, "manifest.jsonl"))
        return;
    const Json *row = json_root(doc);
    char file[512], id[128], path[512], reason[32], message[256];
    text_of(file, sizeof file, row, "file");
    text_of(id, sizeof id, row, "id");
    text_of(path, sizeof path, row, "path");
    text_of(reason, sizeof reason, row, "reason");
    text_of(message, sizeof message, row, "message");
    int why = 0;
    for (int r = 1; r < N_REASONS; r++)
        why = strcmp(reason, reject_name((Reject)r)) ? why : r;
    if (t->of[why]++ < ROWS_SHOWN)
        log_warn("%s: row %" PRId64 "%s%s%s left out, %s: %s%s%s", file, int_of(row, "row"), *id ? " (id " : "", id, *id ? ")" : "", reason,
                 path, *path ? ": " : "", message);
    json_free(&doc);
}

static void tell_summary(int64_t good, int64_t bad, const Tally *t, const char *all)
{
    char text[512] = "";
    size_t n = 0;
    for (int r = 1; r < N_REASONS && n < sizeof text; r++)
        if (t->of[r])
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%" PRId64 " %s", n ? ", " : "", t->of[r], reject_name((Reject)r));
    if (bad)
        log_warn("%" PRId64 " of %" PRId64 " rows left out: %s; %s", bad, good + bad, text, all);
}

/* The report is the manifest's bad rows in an envelope; written piece by piece, as there may be many. */
static Status walk_bad_rows(int64_t good, const char *path, FILE *out, Tally *t)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return fail(ERR_IO, "%s: %s", path, strerror(errno));
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    const char *before = "";
    if (out)
        fprintf(out, "{\"schema\":\"genllava.report/1\",\"good\":%" PRId64 ",\"bad_rows\":[", good);
    Status s = OK;
    while (!(s = file_line(f, path, &line, &capacity, &n)) && n > 0) {
        if (strncmp(line, BAD_ROW, strlen(BAD_ROW)) || (size_t)n < strlen(BAD_ROW) + 2)
            continue;
        const char *row = line + strlen(BAD_ROW);
        size_t length = (size_t)n - strlen(BAD_ROW) - 2; /* without "}\n" */
        tell_row(t, row, length);
        if (out)
            fprintf(out, "%s\n%.*s", before, (int)length, row);
        before = ",";
    }
    if (out)
        fprintf(out, "%s]}\n", *before ? "\n" : "");
    free(line);
    fclose(f);
    return s;
}

/* A report that is no ordinary file (a stream of the program's, /dev/stderr, a pipe) is written in place, others under a temporary name. */
typedef struct Report {
    const char *path;
    char tmp[PATH_MAX];
    FILE *out;
    bool borrowed;
} Report;

static Status report_open(Report *r, const char *path, FILE *stream)
{
    struct stat st;
    *r = (Report){.path = path ? path : "the report", .out = stream, .borrowed = stream};
    if (!path || stream)
        return OK;
    bool in_place = !lstat(path, &st) && !S_ISREG(st.st_mode);
    if (!in_place && (size_t)snprintf(r->tmp, sizeof r->tmp, "%s.tmp.%d", path, (int)getpid()) >= sizeof r->tmp)
        return fail(ERR_CREATE, "%s: the name is too long", path);
    r->out = fopen(in_place ? path : r->tmp, "we");
    return r->out ? OK : fail(errno == ENOSPC ? ERR_IO : ERR_CREATE, "%s: %s", path, strerror(errno));
}

static Status report_close(Report *r, Status s)
{
    if (r->out && !s && (fflush(r->out) || ferror(r->out)))
        s = fail(ERR_IO, "%s: writing: %s", r->path, strerror(errno));
    if (r->out && !r->borrowed && fclose(r->out) && !s)
        s = fail(ERR_IO, "%s: writing: %s", r->path, strerror(errno));
    if (*r->tmp && !s && rename(r->tmp, r->path))
        s = fail(ERR_IO, "%s: %s", r->path, strerror(errno));
    if (*r->tmp && s)
        unlink(r->tmp);
    return s;
}

Status journal_tell(const char *bad_jsonl, int64_t good, int64_t bad, const char *report, FILE *stream, const char *all)
{
    Report r;
    Tally t = {0};
    char in_report[PATH_MAX + 32];
    if (report && !stream) {
        snprintf(in_report, sizeof in_report, "%s lists them all", report);
        all = in_report;
    }
    TRY(report_open(&r, report, stream));
    TRY(report_close(&r, walk_bad_rows(good, bad_jsonl, r.out, &t)));
    tell_summary(good, bad, &t, all);
    return OK;
}

Status journal_report(const Journal *m, const PrepareOptions *o)
{
    char path[PATH_MAX], all[PATH_MAX + 32];
    name_of(path, o->out);
    snprintf(all, sizeof all, "%s lists them all", path);
    return journal_tell(path, m->good, m->bad, o->report, o->report_stream, all);
}
