#include "eval/batch.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/disk.h"
#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { MAX_IMAGES = 64 };

/* What is being answered, and where to. */
typedef struct BatchFile {
    const char *name;
    char folder[4096]; /* where relative paths start */
    int64_t number;    /* of the line or element, from 1 */
    uint64_t asked;
    Answerer *answerer;
    const Sampling *sampling;
    FILE *out;
    const char *out_path;
} BatchFile;

typedef struct BatchRow {
    char *ask, *expected; /* expected may be NULL */
    char *images[MAX_IMAGES];
    int n_images;
} BatchRow;

static void row_free(BatchRow *r)
{
    for (int i = 0; i < r->n_images; i++)
        mem_free(r->images[i]);
    mem_free(r->ask);
    mem_free(r->expected);
    *r = (BatchRow){0};
}

static Status wrong(const BatchFile *b, const char *what, const Json *found, const char *wanted)
{
    return fail(ERR_DATA, "%s:%lld: %s is %s; it takes %s", b->name, (long long)b->number, what, found ? json_kind_name(found->kind) : "missing", wanted);
}

static Status add_image(BatchFile *b, BatchRow *r, const Json *path)
{
    if (path->kind != JSON_STRING)
        return wrong(b, "\"image\"", path, "a path or a list of paths");
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

static Status add_images(BatchFile *b, BatchRow *r, const Json *image)
{
    if (image && image->kind == JSON_ARRAY) {
        for (const Json *e = image->child; e; e = e->next)
            TRY(add_image(b, r, e));
        return OK;
    }
    return image && image->kind != JSON_NULL ? add_image(b, r, image) : OK;
}

/* The text of a LLaVA turn without its image markers and outer blanks. */
static char *plain_text(const Json *turn)
{
    static const char MARKER[] = "<image>";
    const Json *value = json_get(turn, "value");
    if (!value || value->kind != JSON_STRING)
        return NULL;
    char *text = mem_strdup(value->string), *m;
    if (!text)
        return NULL;
    while ((m = strstr(text, MARKER)))
        memmove(m, m + strlen(MARKER), strlen(m + strlen(MARKER)) + 1);
    size_t start = strspn(text, " \n\t\r"), n = strlen(text);
    while (n > start && strchr(" \n\t\r", text[n - 1]))
        n--;
    memmove(text, text + start, n - start);
    text[n - start] = 0;
    return text;
}

static Status read_conversation(BatchFile *b, BatchRow *r, const Json *turns)
{
    const Json *human = turns->kind == JSON_ARRAY ? turns->child : NULL;
    const Json *from = json_get(human, "from");
    if (from && from->kind == JSON_STRING && strcmp(from->string, "human"))
        human = human->next;
    if (human)
        r->ask = plain_text(human);
    if (human && human->next)
        r->expected = plain_text(human->next);
    return r->ask ? OK : wrong(b, "\"conversations\"", turns, "a list of turns {\"from\", \"value\"} with a human one");
}

static Status read_row(BatchFile *b, BatchRow *r, const Json *o)
{
    if (o->kind != JSON_OBJECT)
        return wrong(b, "a question", o, "an object {\"ask\": text, \"image\": path}");
    const Json *ask = json_get(o, "ask"), *turns = json_get(o, "conversations");
    if (json_get(o, "draw") || json_get(o, "edit"))
        return fail(ERR_USAGE, "%s:%lld: drawing and editing need a run with model.diffusion.path", b->name, (long long)b->number);
    TRY(add_images(b, r, json_get(o, "image")));
    if (!ask && turns)
        return read_conversation(b, r, turns);
    if (!ask || ask->kind != JSON_STRING)
        return wrong(b, "\"ask\"", ask, "the text of a question");
    r->ask = mem_strdup(ask->string);
    return r->ask ? OK : fail(ERR_NOMEM, "no memory for a question");
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

static Status write_answer(const BatchFile *b, const Json *object, const BatchRow *r, const char *answer, size_t n_answer)
{
    JsonOut o = {0};
    jsonout_begin_object(&o, NULL);
    jsonout_string(&o, "ask", r->ask);
    for (const Json *c = object->child; c; c = c->next)
        if (strcmp(c->key, "answer") && strcmp(c->key, "ask") && strcmp(c->key, "conversations"))
            write_value(&o, c);
    if (r->expected)
        jsonout_string(&o, "expected", r->expected);
    jsonout_bytes(&o, "answer", answer, n_answer);
    jsonout_end_object(&o);
    Status s = o.failed ? fail(ERR_NOMEM, "no memory for an answer") : OK;
    if (!s && (fwrite(o.text, 1, o.length, b->out) != o.length || fputc('\n', b->out) == EOF))
        s = fail(ERR_IO, "%s: %s", b->out_path, strerror(errno));
    jsonout_free(&o);
    return s;
}

static Status answer_object(BatchFile *b, const Json *object)
{
    BatchRow row = {0};
    char *answer = NULL;
    size_t n_answer = 0;
    Status s = read_row(b, &row, object);
    if (!s) {
        RecordTurn turn = {.human = true, .text = row.ask, .length = strlen(row.ask)};
        Question q = {.turns = &turn, .n_turns = 1, .images = (const char *const *)row.images, .n_images = row.n_images, .index = b->asked++};
        s = fail_context(answerer_ask(b->answerer, &q, b->sampling, NULL, NULL, &answer, &n_answer), "%s:%lld", b->name, (long long)b->number);
    }
    if (!s)
        s = write_answer(b, object, &row, answer, n_answer);
    mem_free(answer);
    row_free(&row);
    log_progress("%llu answers", (unsigned long long)b->asked);
    return s;
}

static Status answer_text(BatchFile *b, const char *text, size_t n, const char *name)
{
    JsonDoc *doc = NULL;
    TRY(json_parse(&doc, text, n, name));
    const Json *root = json_root(doc);
    Status s = OK;
    if (root->kind != JSON_ARRAY)
        s = answer_object(b, root);
    else
        for (const Json *e = root->child; e && !s; e = e->next) {
            b->number++;
            s = answer_object(b, e);
        }
    json_free(&doc);
    return s;
}

static Status answer_lines(BatchFile *b, FILE *in)
{
    char *line = NULL, name[4200];
    size_t capacity = 0;
    ssize_t n;
    Status s = OK;
    while (!s && (n = getline(&line, &capacity, in)) >= 0) {
        b->number++;
        snprintf(name, sizeof name, "%s, line %lld", b->name, (long long)b->number);
        if ((size_t)n != strspn(line, " \t\r\n"))
            s = answer_text(b, line, (size_t)n, name);
    }
    free(line);
    return !s && ferror(in) ? fail(ERR_IO, "%s: %s", b->name, strerror(errno)) : s;
}

/* An array is read whole: sets of questions are small beside the pictures they are about. */
static Status answer_array(BatchFile *b, FILE *in)
{
    char *text = NULL;
    size_t capacity = 0;
    ssize_t n = getdelim(&text, &capacity, EOF, in);
    Status s = n < 0 ? fail(ERR_IO, "%s: %s", b->name, strerror(errno)) : answer_text(b, text, (size_t)n, b->name);
    free(text);
    return s;
}

static Status answer_file(BatchFile *b, FILE *in)
{
    int c;
    while ((c = getc(in)) == ' ' || c == '\n' || c == '\r' || c == '\t')
        ;
    if (c != EOF)
        ungetc(c, in);
    return c == '[' ? answer_array(b, in) : answer_lines(b, in);
}

Status batch_answer(Answerer *a, const char *file, const char *out_dir, const Sampling *sampling)
{
    bool standard = !strcmp(file, "-");
    char copy[4096], path[4200], hidden[4200];
    BatchFile b = {.name = standard ? "standard input" : file, .folder = ".", .answerer = a, .sampling = sampling, .out_path = path};
    if (!standard) {
        snprintf(copy, sizeof copy, "%s", file);
        snprintf(b.folder, sizeof b.folder, "%s", dirname(copy));
    }
    TRY_IN(disk_make_folders(out_dir), "--out");
    snprintf(path, sizeof path, "%s/answers.jsonl", out_dir);
    snprintf(hidden, sizeof hidden, "%s/.answers.jsonl.new", out_dir);
    FILE *in = standard ? stdin : fopen(file, "r");
    if (!in)
        return fail(ERR_MISSING, "--batch %s: %s", file, strerror(errno));
    b.out = fopen(hidden, "w");
    Status s = b.out ? answer_file(&b, in) : fail(ERR_CREATE, "%s: %s", path, strerror(errno));
    if (b.out && fclose(b.out) && !s)
        s = fail(ERR_IO, "%s: %s", path, strerror(errno));
    if (!s && rename(hidden, path))
        s = fail(ERR_IO, "%s: %s", path, strerror(errno));
    if (s)
        unlink(hidden);
    if (!standard)
        fclose(in);
    return s;
}
