#include "eval/batch.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { MAX_IMAGES = 64 };

typedef struct BatchReader {
    FILE *in;
    const char *name;
    char folder[4096]; /* where relative paths start */
    char *line;
    size_t capacity;
    int64_t number; /* of the line, from 1 */
} BatchReader;

typedef struct BatchRow {
    JsonDoc *doc;
    const char *ask;
    size_t ask_length;
    char *images[MAX_IMAGES];
    int n_images;
} BatchRow;

static void row_free(BatchRow *r)
{
    for (int i = 0; i < r->n_images; i++)
        mem_free(r->images[i]);
    json_free(&r->doc);
    *r = (BatchRow){0};
}

static Status add_image(BatchReader *b, BatchRow *r, const Json *path)
{
    if (path->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%lld: \"image\" holds %s; it takes a path or a list of paths", b->name, (long long)b->number,
                    json_kind_name(path->kind));
    if (r->n_images == MAX_IMAGES)
        return fail(ERR_DATA, "%s:%lld: more than %d images", b->name, (long long)b->number, MAX_IMAGES);
    char full[8192];
    snprintf(full, sizeof full, "%s%s%s", path->string[0] == '/' ? "" : b->folder, path->string[0] == '/' ? "" : "/", path->string);
    char *copy = mem_strdup(full);
    if (!copy)
        return fail(ERR_NOMEM, "no memory for a path");
    r->images[r->n_images++] = copy;
    return OK;
}

static Status read_row(BatchReader *b, BatchRow *r, size_t n)
{
    char name[4200];
    snprintf(name, sizeof name, "%s, line %lld", b->name, (long long)b->number);
    TRY(json_parse(&r->doc, b->line, n, name));
    const Json *root = json_root(r->doc), *ask = json_get(root, "ask"), *image = json_get(root, "image");
    if (root->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s:%lld: a line holds %s; it takes an object {\"ask\": text, \"image\": path}", b->name, (long long)b->number,
                    json_kind_name(root->kind));
    if (json_get(root, "draw") || json_get(root, "edit"))
        return fail(ERR_USAGE, "%s:%lld: drawing and editing need a run with model.diffusion.path", b->name, (long long)b->number);
    if (!ask || ask->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%lld: \"ask\" is %s; it takes the text of a question", b->name, (long long)b->number,
                    ask ? json_kind_name(ask->kind) : "missing");
    r->ask = ask->string;
    r->ask_length = ask->length;
    if (image && image->kind == JSON_ARRAY)
        for (const Json *e = image->child; e; e = e->next)
            TRY(add_image(b, r, e));
    else if (image && image->kind != JSON_NULL)
        TRY(add_image(b, r, image));
    return OK;
}

static void write_value(JsonOut *o, const Json *v)
{
    switch (v->kind) {
    case JSON_NULL: jsonout_string(o, v->key, NULL); break;
    case JSON_BOOL: jsonout_bool(o, v->key, v->boolean); break;
    case JSON_INT: jsonout_int(o, v->key, v->integer); break;
    case JSON_REAL: jsonout_real(o, v->key, v->real); break;
    case JSON_STRING: jsonout_string(o, v->key, v->string); break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        (v->kind == JSON_ARRAY ? jsonout_begin_array : jsonout_begin_object)(o, v->key);
        for (const Json *c = v->child; c; c = c->next)
            write_value(o, c);
        (v->kind == JSON_ARRAY ? jsonout_end_array : jsonout_end_object)(o);
    }
}

/* The row's own object with the answer put behind its members. */
static Status write_answer(FILE *out, const char *path, const BatchRow *r, const char *answer)
{
    JsonOut o = {0};
    jsonout_begin_object(&o, NULL);
    for (const Json *c = json_root(r->doc)->child; c; c = c->next)
        if (strcmp(c->key, "answer"))
            write_value(&o, c);
    jsonout_string(&o, "answer", answer);
    jsonout_end_object(&o);
    Status s = o.failed ? fail(ERR_NOMEM, "no memory for an answer") : OK;
    if (!s && (fwrite(o.text, 1, o.length, out) != o.length || fputc('\n', out) == EOF))
        s = fail(ERR_IO, "%s: %s", path, strerror(errno));
    jsonout_free(&o);
    return s;
}

static Status answer_rows(Answerer *a, BatchReader *b, FILE *out, const char *path, const Sampling *sampling)
{
    ssize_t n;
    uint64_t index = 0;
    while ((n = getline(&b->line, &b->capacity, b->in)) >= 0) {
        b->number++;
        if ((size_t)n == strspn(b->line, " \t\r\n"))
            continue;
        BatchRow row = {0};
        char *answer = NULL;
        Status s = read_row(b, &row, (size_t)n);
        if (!s) {
            RecordTurn turn = {.human = true, .text = row.ask, .length = row.ask_length};
            Question q = {.turns = &turn, .n_turns = 1, .images = (const char *const *)row.images, .n_images = row.n_images, .index = index++};
            s = fail_context(answerer_ask(a, &q, sampling, NULL, NULL, &answer), "%s:%lld", b->name, (long long)b->number);
        }
        if (!s)
            s = write_answer(out, path, &row, answer);
        mem_free(answer);
        row_free(&row);
        TRY(s);
        log_progress("%llu answers", (unsigned long long)index);
    }
    return ferror(b->in) ? fail(ERR_IO, "%s: %s", b->name, strerror(errno)) : OK;
}

Status batch_answer(Answerer *a, const char *file, const char *out_dir, const Sampling *sampling)
{
    bool standard = !strcmp(file, "-");
    BatchReader b = {.name = standard ? "standard input" : file, .folder = "."};
    char copy[4096], path[4200], hidden[4200];
    if (!standard) {
        snprintf(copy, sizeof copy, "%s", file);
        snprintf(b.folder, sizeof b.folder, "%s", dirname(copy));
    }
    if (mkdir(out_dir, 0777) && errno != EEXIST)
        return fail(ERR_CREATE, "--out %s: %s", out_dir, strerror(errno));
    snprintf(path, sizeof path, "%s/answers.jsonl", out_dir);
    snprintf(hidden, sizeof hidden, "%s/.answers.jsonl.new", out_dir);
    b.in = standard ? stdin : fopen(file, "r");
    if (!b.in)
        return fail(ERR_MISSING, "--batch %s: %s", file, strerror(errno));
    FILE *out = fopen(hidden, "w");
    Status s = out ? answer_rows(a, &b, out, path, sampling) : fail(ERR_CREATE, "%s: %s", path, strerror(errno));
    if (out && fclose(out) && !s)
        s = fail(ERR_IO, "%s: %s", path, strerror(errno));
    if (!s && rename(hidden, path))
        s = fail(ERR_IO, "%s: %s", path, strerror(errno));
    if (s)
        unlink(hidden);
    if (!standard)
        fclose(b.in);
    free(b.line);
    return s;
}
