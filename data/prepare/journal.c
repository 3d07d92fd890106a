/* journal.c: reads and writes manifest.jsonl: which shards are finished, which rows were left out (parts.h). Called by prepare.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "data/prepare/parts.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

#define NAME "manifest.jsonl"
#define JOURNAL_SCHEMA "genllava.shards/1"
#define BAD_ROW "{\"bad_row\":"
#define SHARD_LINE "{\"shard\":"
enum { ROWS_SHOWN = 3 };

void journal_free(Journal *m)
{
    mem_free(m->made_from);
    mem_free(m->inputs);
    outcome_free(&m->outcome);
    mem_free(m->shards);
    *m = (Journal){0};
}

const JournalShard *journal_shard(const Journal *m, int64_t index)
{
    return index >= 0 && index < m->n_shards && *m->shards[index].file ? &m->shards[index] : NULL;
}

Status journal_size(Journal *m, int64_t n_shards)
{
    JournalShard *shards = mem_alloc((size_t)n_shards * sizeof *shards);
    if (!shards)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " shards", n_shards);
    mem_free(m->shards);
    m->shards = shards;
    m->n_shards = n_shards;
    return OK;
}

bool journal_exists(const char *folder)
{
    char path[PATH_MAX];
    return file_exists(file_join(path, folder, NAME));
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

/* The JSON text of a member, as it was written; NULL when it is not there. */
static Status copy_member(char **text, const Json *o, const char *key)
{
    const Json *v = json_get(o, key);
    cJSON *copy = v ? json_copy(v) : NULL;
    return v ? json_to_text(text, &copy, JSON_INLINE, NAME) : OK;
}

static Status read_head(Journal *m, const Json *root, bool *found)
{
    char schema[32];
    text_of(schema, sizeof schema, root, "schema");
    text_of(m->config, sizeof m->config, root, "config_sha256");
    m->good = int_of(root, "good");
    m->bad = int_of(root, "bad");
    const int64_t n_shards = int_of(root, "shards");
    m->newest_unix = int_of(root, "newest_unix");
    TRY(copy_member(&m->made_from, root, "made_from"));
    TRY(copy_member(&m->inputs, root, "inputs"));
    TRY(outcome_read(&m->outcome, json_get(root, "outcome")));
    *found = !strcmp(schema, JOURNAL_SCHEMA) && strlen(m->config) == 64 && m->good >= 0 && m->good <= UINT32_MAX && m->bad >= 0 &&
             m->bad <= UINT32_MAX && n_shards >= (m->good > 0) && n_shards <= m->good && n_shards <= SHARDS_MOST && m->made_from &&
             m->inputs;
    return *found ? journal_size(m, n_shards) : OK;
}

static void read_shard(Journal *m, const Json *root)
{
    const int64_t index = int_of(root, "shard");
    char file[64];
    JournalShard s = {.index = index, .bytes = int_of(root, "bytes"), .samples = int_of(root, "samples"),
                      .images = int_of(root, "images"), .tokens = int_of(root, "tokens")};
    text_of(s.file, sizeof s.file, root, "file");
    text_of(s.content, sizeof s.content, root, "content_xxh3");
    text_of(s.sha256, sizeof s.sha256, root, "sha256");
    shard_file_name(file, sizeof file, index, m->n_shards);
    if (index >= 0 && index < m->n_shards && s.bytes > 0 && s.samples >= 0 && s.images >= 0 && s.tokens >= 0 && strlen(s.sha256) == 64 &&
        !strcmp(s.file, file))
        m->shards[index] = s; /* a later line about a shard replaces the earlier one */
}

static bool begins(const Row *row, const char *start) { return row->n >= strlen(start) && !memcmp(row->text, start, strlen(start)); }

/* A line that cannot be read, as a kill may cut one short, is as if it were not there. */
static Status read_row(Journal *m, const Row *row, bool head, bool *found)
{
    JsonDoc *doc = NULL;
    if (row->error || (!head && !begins(row, SHARD_LINE)))
        return OK;
    Status s = json_parse(&doc, row->text, row->n, NAME);
    if (!s && head)
        s = read_head(m, json_root(doc), found);
    else if (!s)
        read_shard(m, json_root(doc));
    json_free(&doc);
    return s == ERR_DATA ? OK : s;
}

Status journal_read(Journal *m, const char *folder, bool *found)
{
    char path[PATH_MAX];
    Rows *rows;
    Row row;
    bool end = false;
    *m = (Journal){0};
    *found = false;
    int fd;
    if (!file_exists(file_join(path, folder, NAME)))
        return OK;
    TRY(file_open(&fd, path)); /* rows_open waits for a pipe */
    close(fd);
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = rows_next(rows, &row, &end);
    if (!s && !end)
        s = read_row(m, &row, true, found);
    while (*found && !s && !(s = rows_next(rows, &row, &end)) && !end)
        s = read_row(m, &row, false, found);
    rows_close(&rows);
    if (s || !*found) {
        journal_free(m);
        *found = false;
    }
    return s;
}

/* ---------------------------------------------------------------- writing */

static cJSON *head_of(const Journal *m)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "schema", JOURNAL_SCHEMA);
    cJSON_AddStringToObject(o, "config_sha256", m->config);
    cJSON_AddRawToObject(o, "made_from", m->made_from);
    cJSON_AddRawToObject(o, "inputs", m->inputs);
    json_add_int(o, "good", m->good);
    json_add_int(o, "bad", m->bad);
    json_add_int(o, "shards", m->n_shards);
    json_add_int(o, "newest_unix", m->newest_unix);
    outcome_write(cJSON_AddObjectToObject(o, "outcome"), &m->outcome);
    return o;
}

static cJSON *line_of(const JournalShard *s)
{
    cJSON *o = cJSON_CreateObject();
    json_add_int(o, "shard", s->index);
    cJSON_AddStringToObject(o, "file", s->file);
    json_add_int(o, "bytes", s->bytes);
    json_add_int(o, "samples", s->samples);
    json_add_int(o, "images", s->images);
    json_add_int(o, "tokens", s->tokens);
    cJSON_AddStringToObject(o, "content_xxh3", s->content);
    cJSON_AddStringToObject(o, "sha256", s->sha256);
    return o;
}

/* The rows of a file that tell of rows that were left out; *end: no more. */
static Status next_bad(Rows *rows, Row *row, bool *end)
{
    do
        TRY(rows_next(rows, row, end));
    while (!*end && (row->error || row->n <= strlen(BAD_ROW) || !begins(row, BAD_ROW)));
    return OK;
}

static Status copy_bad_rows(FILE *out, const char *from)
{
    Rows *rows;
    Row row;
    bool end = false;
    if (!file_exists(from))
        return OK;
    TRY(rows_open(&rows, from, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = next_bad(rows, &row, &end)) && !end)
        if (fwrite(row.text, 1, row.n, out) != row.n || fputc('\n', out) == EOF)
            s = fail(ERR_IO, NAME ": cannot be written: %s", strerror(errno));
    rows_close(&rows);
    return s;
}

static Status write_lines(FILE *out, const Journal *m, const char *bad_rows)
{
    cJSON *line = head_of(m);
    TRY(json_print(out, &line, JSON_LINE, NAME));
    TRY(copy_bad_rows(out, bad_rows));
    for (int64_t i = 0; i < m->n_shards; i++) {
        const JournalShard *s = journal_shard(m, i);
        line = s ? line_of(s) : NULL;
        if (s)
            TRY(json_print(out, &line, JSON_LINE, NAME));
    }
    return OK;
}

Status journal_write(const Journal *m, const char *folder, const char *bad_jsonl)
{
    char path[PATH_MAX];
    FileDraft d;
    TRY(file_draft(&d, file_join(path, folder, NAME)));
    TRY(file_publish(&d, write_lines(d.out, m, bad_jsonl ? bad_jsonl : path)));
    return file_sync_folder(folder);
}

Status journal_append(const char *folder, const JournalShard *shard)
{
    char path[PATH_MAX], line[1024], *text;
    cJSON *o = line_of(shard);
    TRY(json_to_text(&text, &o, JSON_LINE, file_join(path, folder, NAME)));
    /* A line break first: the line before may have been cut short. One write: other processes append as well. */
    int n = snprintf(line, sizeof line, "\n%s", text);
    mem_free(text);
    if (n >= (int)sizeof line)
        return fail(ERR_INTERNAL, "%s: a line of %d bytes", path, n);
    int fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
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

/* How many rows of each reason were told. */
typedef struct Told {
    int64_t of[N_REASONS];
} Told;

/* *told false: the row cannot be read. */
static Status tell_row(Told *t, const char *json, size_t n, bool *told)
{
    JsonDoc *doc;
    const Status s = json_parse(&doc, json, n, NAME);
    *told = !s;
    if (s)
        return s == ERR_DATA ? OK : s;
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
    if (t->of[why]++ < ROWS_SHOWN || json_get(row, "ends_file")) /* more is lost there than this row */
        log_warn("%s: row %" PRId64 "%s%s%s left out, %s: %s%s%s", file, int_of(row, "row"), *id ? " (id " : "", id, *id ? ")" : "", reason,
                 path, *path ? ": " : "", message);
    json_free(&doc);
    return OK;
}

/* The members of the report but its rows, then the manifest's bad rows in an envelope; written piece by piece, as there may be many. */
static Status begin_report(FILE *out, const Outcome *outcome)
{
    char *text;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "schema", "genllava.report/1");
    json_add_int(o, "good", outcome_count(outcome, REJECT_NONE));
    cJSON *left_out = cJSON_AddObjectToObject(o, "left_out");
    for (int r = 0; r < N_REASONS; r++)
        if (reject_is_choice((Reject)r))
            json_add_int(left_out, outcome_choice_name((Reject)r), outcome_count(outcome, (Reject)r));
    outcome_write(o, outcome);
    TRY(json_to_text(&text, &o, JSON_LINE, "the report"));
    text[strcspn(text, "\n")] = 0;
    fprintf(out, "%.*s,\"bad_rows\":[", (int)strlen(text) - 1, text);
    mem_free(text);
    return OK;
}

static Status walk_bad_rows(const Outcome *outcome, const char *path, FILE *out, Told *t)
{
    Rows *rows;
    Row row;
    bool end = false;
    const char *before = "";
    if (out)
        TRY(begin_report(out, outcome));
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = next_bad(rows, &row, &end)) && !end) {
        const char *inner = row.text + strlen(BAD_ROW);
        size_t n = row.n - strlen(BAD_ROW) - 1; /* without its "}" */
        bool told;
        s = tell_row(t, inner, n, &told);
        if (!told)
            continue;
        if (out)
            fprintf(out, "%s\n%.*s", before, (int)n, inner);
        before = ",";
    }
    if (out)
        fprintf(out, "%s]}\n", *before ? "\n" : "");
    rows_close(&rows);
    return s || !out || (!fflush(out) && !ferror(out)) ? s : fail(ERR_IO, "the report: cannot be written: %s", strerror(errno));
}

/* What is written to a report. */
typedef struct Telling {
    const Outcome *outcome;
    const char *bad_jsonl;
    Told told;
} Telling;

static Status write_report(void *telling, FILE *out)
{
    Telling *t = telling;
    return walk_bad_rows(t->outcome, t->bad_jsonl, out, &t->told);
}

Status journal_tell(const char *bad_jsonl, const Outcome *outcome, const PrepareOptions *o, const char *all)
{
    Telling t = {.outcome = outcome, .bad_jsonl = bad_jsonl};
    char in_report[PATH_MAX + 32];
    bool to_file = o->report && !o->report_stream;
    TRY(to_file ? file_deliver(o->report, write_report, &t) : write_report(&t, o->report_stream));
    snprintf(in_report, sizeof in_report, "%s lists them all", o->report ? o->report : "");
    outcome_say(outcome, o, to_file ? in_report : all);
    return OK;
}

Status journal_report(const Journal *m, const PrepareOptions *o)
{
    char path[PATH_MAX], all[PATH_MAX + 32];
    snprintf(all, sizeof all, "%s lists them all", file_join(path, o->out, NAME));
    return journal_tell(path, &m->outcome, o, all);
}
