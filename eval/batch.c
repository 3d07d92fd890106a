/* batch.c: answers a file of questions and writes answers.jsonl, bad_rows.jsonl beside it (batch.h). Called by generate. */
#include "eval/batch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "eval/text.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

enum { MAX_IMAGES = 64, SAID_BAD_ROWS = 10 };

/* What is being answered, and where to. */
typedef struct BatchFile {
    const char *name;
    const char *image_root; /* what the pictures' paths may not leave, or NULL */
    char folder[PATH_MAX];  /* where relative paths start without one */
    char where[4352];  /* the present row, for people: its line from 1, or in an array its number from 0 */
    int64_t good, bad; /* together: the number of the present row, from 0 */
    Answerer *answerer;
    RecordText system; /* of every question */
    const Sampling *sampling;
    FileDraft out;
    FILE *bad_out;       /* NULL until there is a bad row */
    const char *bad_path;
    Status first_kind;   /* of the first bad row, and why */
    char first_message[512];
} BatchFile;

typedef struct BatchRow {
    Text ask, expected; /* expected.bytes may be NULL */
    char *images[MAX_IMAGES];
    int n_images;
} BatchRow;

static void row_free(BatchRow *r)
{
    for (int i = 0; i < r->n_images; i++)
        mem_free(r->images[i]);
    mem_free(r->ask.bytes);
    mem_free(r->expected.bytes);
    *r = (BatchRow){0};
}

static Status wrong(const BatchFile *b, const char *what, const Json *found, const char *wanted)
{
    return fail(ERR_DATA, "%s: %s is %s; it takes %s", b->where, what, found ? json_kind_name(found->kind) : "missing", wanted);
}

static Status add_image(BatchFile *b, BatchRow *r, const Json *path)
{
    if (path->kind != JSON_STRING)
        return wrong(b, "\"image\"", path, "a path or a list of paths");
    if (r->n_images == MAX_IMAGES)
        return fail(ERR_DATA, "%s: more than %d images", b->where, MAX_IMAGES);
    char full[PATH_MAX];
    bool as_is = b->image_root || path->string[0] == '/';
    char *copy = mem_strdup(as_is ? path->string : file_join(full, b->folder, path->string));
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
    bool none = !image || image->kind == JSON_NULL || (image->kind == JSON_STRING && !image->length); /* as in rows that are trained on */
    return none ? OK : add_image(b, r, image);
}

/* The text of a LLaVA turn without its image markers and outer blanks. */
static Status plain_text(Text *out, const Json *value)
{
    static const char MARKER[] = "<image>";
    const size_t marker = sizeof MARKER - 1;
    Text all;
    TRY(text_copy(&all, value->string, value->length));
    for (char *m; (m = memmem(all.bytes, all.n, MARKER, marker)); all.n -= marker)
        memmove(m, m + marker, all.n - marker - (size_t)(m - all.bytes));
    const char *text = all.bytes;
    utf8_strip(&text, &all.n);
    Status s = text_copy(out, text, all.n);
    mem_free(all.bytes);
    return s;
}

static const Json *text_of(const Json *turn)
{
    const Json *value = json_get(turn, "value");
    return value && value->kind == JSON_STRING ? value : NULL;
}

static Status read_conversation(BatchFile *b, BatchRow *r, const Json *turns)
{
    const Json *human = turns->kind == JSON_ARRAY ? turns->child : NULL;
    const Json *from = json_get(human, "from");
    if (from && from->kind == JSON_STRING && strcmp(from->string, "human"))
        human = human->next;
    if (human && text_of(human))
        TRY(plain_text(&r->ask, text_of(human)));
    if (human && human->next && text_of(human->next))
        TRY(plain_text(&r->expected, text_of(human->next)));
    return r->ask.bytes ? OK : wrong(b, "\"conversations\"", turns, "a list of turns {\"from\", \"value\"} with a human one");
}

static Status read_row(BatchFile *b, BatchRow *r, const Json *o)
{
    if (o->kind != JSON_OBJECT)
        return wrong(b, "a question", o, "an object {\"ask\": text, \"image\": path}");
    const Json *ask = json_get(o, "ask"), *turns = json_get(o, "conversations");
    if (json_get(o, "draw") || json_get(o, "edit"))
        return fail(ERR_USAGE, "%s: this version does not draw or edit pictures yet", b->where);
    TRY(add_images(b, r, json_get(o, "image")));
    if (!ask && turns)
        return read_conversation(b, r, turns);
    if (!ask)
        return fail(ERR_DATA, "%s: neither \"ask\" nor \"conversations\"; a row is {\"ask\": text, \"image\": path} or a LLaVA record {\"conversations\": [{\"from\": \"human\", "
                              "\"value\": text}, …], \"image\": path}", b->where);
    if (ask->kind != JSON_STRING)
        return wrong(b, "\"ask\"", ask, "the text of a question");
    return text_copy(&r->ask, ask->string, ask->length);
}

static Status write_answer(const BatchFile *b, const Json *object, const BatchRow *r, const char *answer, size_t n_answer)
{
    cJSON *o = cJSON_CreateObject();
    json_add_bytes(o, "ask", r->ask.bytes, r->ask.n);
    for (const Json *c = object->child; c; c = c->next)
        if (strcmp(c->key, "answer") && strcmp(c->key, "ask") && strcmp(c->key, "conversations"))
            json_add_value(o, c->key, c);
    if (r->expected.bytes)
        json_add_bytes(o, "expected", r->expected.bytes, r->expected.n);
    json_add_bytes(o, "answer", answer, n_answer);
    return json_print(b->out.out, &o, JSON_LINE, b->out.path);
}

/* What a row can be to blame for; the others end the batch. */
static bool is_of_the_row(Status s) { return s == ERR_DATA || s == ERR_MISSING || s == ERR_IO || s == ERR_USAGE; }

/* A row that cannot be answered is said, listed and left out: the present sentence says why. object: NULL when it is not JSON. */
static Status leave_out(BatchFile *b, Status why, const Json *object, const BatchRow *r)
{
    const char *message = status_message();
    int64_t number = b->good + b->bad++;
    if (b->bad == 1) {
        b->first_kind = why;
        snprintf(b->first_message, sizeof b->first_message, "%s", message);
    }
    if (b->bad <= SAID_BAD_ROWS)
        log_warn("%s", message);
    const Json *id = json_get(object, "id");
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "file", b->name);
    json_add_int(o, "row", number);
    if (id)
        json_add_value(o, "id", id);
    cJSON_AddStringToObject(o, "path", r && r->n_images ? r->images[0] : "");
    cJSON_AddStringToObject(o, "message", message);
    if (!b->bad_out && !(b->bad_out = fopen(b->bad_path, "w"))) {
        cJSON_Delete(o);
        return fail(ERR_CREATE, "%s: %s", b->bad_path, strerror(errno));
    }
    return json_print(b->bad_out, &o, JSON_LINE, b->bad_path);
}

static Status answer_object(BatchFile *b, const Json *object)
{
    BatchRow row = {0};
    char *answer = NULL;
    size_t n_answer = 0;
    Status s = read_row(b, &row, object);
    if (!s) {
        RecordTurn turn = {.human = true, .text = row.ask.bytes, .length = row.ask.n};
        Question q = {.system = b->system, .turns = &turn, .n_turns = 1, .image_root = b->image_root, .images = (const char *const *)row.images, .n_images = row.n_images,
                      .index = (uint64_t)(b->good + b->bad)};
        s = fail_context(answerer_ask(b->answerer, &q, b->sampling, NULL, NULL, &answer, &n_answer), "%s", b->where);
    }
    if (is_of_the_row(s)) {
        s = leave_out(b, s, object, &row);
    } else if (!s) {
        b->good++;
        s = write_answer(b, object, &row, answer, n_answer);
    }
    mem_free(answer);
    row_free(&row);
    log_progress("%lld answers", (long long)b->good);
    return s;
}

static Status answer_row(BatchFile *b, const Row *row)
{
    JsonDoc *doc = NULL;
    if (row->element)
        snprintf(b->where, sizeof b->where, "%s: row %lld", b->name, (long long)(b->good + b->bad));
    else
        snprintf(b->where, sizeof b->where, "%s:%d", b->name, row->line);
    Status s = row->error ? fail(ERR_DATA, "%s:%s", b->name, row->error) : json_parse_at(&doc, row->text, row->n, b->name, row->line, row->column);
    s = s == ERR_DATA ? leave_out(b, s, NULL, NULL) : s ? s : answer_object(b, json_root(doc));
    json_free(&doc);
    return s;
}

static Status answer_file(BatchFile *b, Rows *in)
{
    for (bool end = false;;) {
        Row row;
        TRY(rows_next(in, &row, &end));
        if (end)
            break;
        TRY(answer_row(b, &row));
    }
    const long long rows = b->good + b->bad;
    if (!rows)
        return fail(ERR_DATA, "%s: holds no questions", b->name);
    if (!b->good)
        return fail(b->first_kind == ERR_USAGE ? ERR_USAGE : ERR_DATA, "none of the %lld rows of %s can be answered; the first: %s", rows, b->name, b->first_message);
    if (b->bad)
        log_warn("%lld of %lld rows left out; they are listed in %s", (long long)b->bad, rows, b->bad_path);
    return OK;
}

Status batch_answer(Answerer *a, const char *file, const char *image_root, const char *out_dir, RecordText system, const Sampling *sampling)
{
    bool standard = !strcmp(file, "-");
    char bad[PATH_MAX];
    BatchFile b = {.name = standard ? "standard input" : file, .image_root = image_root, .folder = ".", .answerer = a, .system = system, .sampling = sampling, .bad_path = bad};
    if (!standard)
        file_folder(b.folder, file);
    TRY_IN(file_make_folders(out_dir), "--out");
    Rows *in;
    TRY_IN(rows_open(&in, file, ROWS_LINES_OR_ARRAY), "--batch");
    unlink(file_join(bad, out_dir, "bad_rows.jsonl")); /* of an earlier batch */
    char path[PATH_MAX];
    Status s = file_draft(&b.out, file_join(path, out_dir, "answers.jsonl"));
    if (!s)
        s = answer_file(&b, in);
    if (b.bad_out && fclose(b.bad_out) && !s)
        s = fail(ERR_IO, "%s: %s", bad, strerror(errno));
    s = file_publish(&b.out, s);
    rows_close(&in);
    return s;
}
