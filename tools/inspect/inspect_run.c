/* inspect_run.c: pages of inspect about checkpoints and run folders (inspect.h). */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/inspect/inspect.h"
#include "train/store/checkpoint.h"

enum { LARGEST_JSON = 64 << 20 };

/* ---------------------------------------------------------------- a checkpoint */

/* A JSON file of the folder, or *doc = NULL when there is none. */
static Status read_json(const char *folder, const char *name, JsonDoc **doc)
{
    char path[PATH_MAX];
    *doc = NULL;
    return file_exists(file_join(path, folder, name)) ? json_read_file(doc, path) : OK;
}

/* Adds a file of JSON to the output, where there is one. */
static Status add_file(cJSON *j, const char *folder, const char *name, const char *key)
{
    char path[PATH_MAX], *text;
    size_t n;
    if (!file_exists(file_join(path, folder, name)))
        return OK;
    JsonDoc *doc;
    TRY(file_read(&text, &n, path, LARGEST_JSON));
    Status s = json_parse(&doc, text, n, path);
    if (!s) {
        json_add_value(j, key, json_root(doc));
        json_free(&doc);
    }
    mem_free(text);
    return s;
}

static Status checkpoint_json(const InspectOptions *o)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "kind", "checkpoint");
    cJSON_AddStringToObject(j, "path", o->path);
    cJSON_AddTrueToObject(j, "verified");
    Status s = add_file(j, o->path, "state.json", "state");
    if (!s)
        s = add_file(j, o->path, "MANIFEST.json", "manifest");
    if (!s)
        return json_print(o->out, &j, JSON_PRETTY, o->path);
    cJSON_Delete(j);
    return s;
}

static void print_value(FILE *out, const Json *v)
{
    if (v->kind == JSON_STRING)
        utf8_cell(out, v->string, 0);
    else if (v->kind == JSON_INT)
        fprintf(out, "%" PRId64, v->integer);
    else if (v->kind == JSON_REAL)
        fprintf(out, "%.9g", v->real);
    else if (v->kind == JSON_BOOL)
        fprintf(out, "%s", v->boolean ? "true" : "false");
    else
        fprintf(out, "%s", json_kind_name(v->kind));
}

static void print_members(FILE *out, const JsonDoc *doc)
{
    for (const Json *v = doc ? json_root(doc)->child : NULL; v; v = v->next) {
        if (v->kind == JSON_ARRAY || v->kind == JSON_OBJECT)
            continue;
        fputs("  ", out);
        utf8_cell(out, v->key ? v->key : "", 20);
        fputc(' ', out);
        print_value(out, v);
        fputc('\n', out);
    }
}

static Status checkpoint_text(const InspectOptions *o)
{
    JsonDoc *manifest, *state = NULL;
    TRY(read_json(o->path, "MANIFEST.json", &manifest));
    Status s = read_json(o->path, "state.json", &state);
    const Json *files = manifest ? json_get(json_root(manifest), "files") : NULL;
    utf8_cell(o->out, o->path, 0);
    fputs(": checkpoint, every file verified\n", o->out);
    print_members(o->out, state);
    fprintf(o->out, "files\n");
    for (const Json *f = files ? files->child : NULL; f; f = f->next) {
        const Json *name = json_get(f, "name"), *bytes = json_get(f, "bytes");
        char size[32];
        if (!name || !bytes || name->kind != JSON_STRING || bytes->kind != JSON_INT)
            continue;
        fputs("  ", o->out);
        utf8_cell(o->out, name->string, 36);
        fprintf(o->out, " %s\n", file_size_text(size, sizeof size, (size_t)bytes->integer));
    }
    json_free(&state);
    json_free(&manifest);
    return s;
}

Status inspect_checkpoint(const InspectOptions *o)
{
    TRY(checkpoint_verify(o->path));
    return o->json ? checkpoint_json(o) : checkpoint_text(o);
}

/* ---------------------------------------------------------------- a run folder */

typedef struct RunFound {
    char checkpoints[256][64];
    bool whole[256];
    int n;
    int64_t steps;    /* lines of train.jsonl */
    char *last;       /* the last of them */
    char damage[512]; /* of the first damaged checkpoint */
} RunFound;

static Status add_checkpoint(void *found, const char *name)
{
    RunFound *f = found;
    if (!strncmp(name, "checkpoint-", 11) && f->n < 256 && strlen(name) < sizeof f->checkpoints[0])
        memcpy(f->checkpoints[f->n++], name, strlen(name) + 1);
    return OK;
}

static Status find_checkpoints(const char *folder, RunFound *f)
{
    TRY(file_list(folder, add_checkpoint, f));
    for (int i = 0; i < f->n; i++) {
        char path[PATH_MAX];
        Status s = checkpoint_verify(file_join(path, folder, f->checkpoints[i]));
        if (s == ERR_NOMEM)
            return s;
        f->whole[i] = s == OK;
        if (!f->whole[i] && !*f->damage)
            snprintf(f->damage, sizeof f->damage, "%s", status_message());
    }
    return OK;
}

static Status read_log(const char *folder, RunFound *f)
{
    char path[PATH_MAX];
    Rows *rows;
    Row row;
    bool end = false;
    if (!file_exists(file_join(path, folder, "train.jsonl")))
        return OK;
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end && row.whole) { /* else a run is writing it just now */
        f->steps++;
        mem_free(f->last);
        f->last = mem_alloc(row.n + 1);
        s = f->last ? OK : fail(ERR_NOMEM, "no memory for a line of %s", path);
        if (!s)
            memcpy(f->last, row.text, row.n);
    }
    rows_close(&rows);
    return s;
}

/* The last line of the log; NULL when there is none, or it is not JSON. */
static Status parse_last(JsonDoc **last, const RunFound *f)
{
    *last = NULL;
    Status s = f->last ? json_parse(last, f->last, strlen(f->last), "train.jsonl") : OK;
    return s == ERR_NOMEM ? s : OK;
}

static Status run_json(const InspectOptions *o, const RunFound *f)
{
    JsonDoc *last;
    TRY(parse_last(&last, f));
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "kind", "run");
    cJSON_AddStringToObject(j, "path", o->path);
    json_add_int(j, "logged_steps", f->steps);
    if (last)
        json_add_value(j, "last", json_root(last));
    json_free(&last);
    cJSON *checkpoints = cJSON_AddArrayToObject(j, "checkpoints");
    for (int i = 0; i < f->n; i++) {
        cJSON *c = json_add(checkpoints, NULL, cJSON_CreateObject());
        cJSON_AddStringToObject(c, "name", f->checkpoints[i]);
        cJSON_AddBoolToObject(c, "verified", f->whole[i]);
    }
    Status s = add_file(j, o->path, "config.resolved.json", "config");
    if (!s)
        return json_print(o->out, &j, JSON_PRETTY, o->path);
    cJSON_Delete(j);
    return s;
}

static Status run_text(const InspectOptions *o, const RunFound *f)
{
    JsonDoc *last;
    TRY(parse_last(&last, f));
    utf8_cell(o->out, o->path, 0);
    fprintf(o->out, ": run, %" PRId64 " steps logged (report shows it; generate --checkpoint and convert --from take it)\n", f->steps);
    if (last)
        print_members(o->out, last);
    json_free(&last);
    for (int i = 0; i < f->n; i++) {
        utf8_cell(o->out, f->checkpoints[i], 0);
        fprintf(o->out, "  %s\n", f->whole[i] ? "verified" : "DAMAGED");
    }
    if (!f->n)
        fprintf(o->out, "no checkpoint yet\n");
    return OK;
}

/* Damaged checkpoints are shown, and make the exit code 65. */
Status inspect_run(const InspectOptions *o)
{
    RunFound *f = mem_alloc(sizeof *f);
    if (!f)
        return fail(ERR_NOMEM, "no memory to look at %s", o->path);
    Status s = find_checkpoints(o->path, f);
    if (!s)
        s = read_log(o->path, f);
    if (!s && o->json)
        s = run_json(o, f);
    else if (!s)
        s = run_text(o, f);
    if (!s && *f->damage)
        s = fail(ERR_DATA, "%s", f->damage);
    mem_free(f->last);
    mem_free(f);
    return s;
}
