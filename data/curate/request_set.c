/* request_set.c: reads what `curate request` left for ingest (request_set.h). */
#include "data/curate/request_set.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "kernels/base/arena.h"

static Status fail_damaged(const RequestSet *s, size_t number, const char *what)
{
    return fail(ERR_DATA, "%s:%zu: %s; make the requests anew with curate request", s->path, number + 1, what);
}

/* ---------------------------------------------------------------- ids */

static Status add_line(RequestSet *s, const Row *row)
{
    JsonDoc *doc = NULL;
    bool added = false;
    const size_t number = s->ids.n;
    if (row->error)
        return fail(ERR_DATA, "%s:%s", s->path, row->error);
    if (number == s->room) {
        const size_t room = 2 * number + 64;
        LinePlace *grown = mem_grow(s->places, room * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "%s: no memory for %zu requests", s->path, room);
        s->places = grown;
        s->room = room;
    }
    s->places[number] = (LinePlace){.start = row->start, .n = (uint32_t)row->n};
    TRY(json_parse_at(&doc, row->text, row->n, s->path, row->line, row->column));
    const Json *id = json_get(json_root(doc), "custom_id");
    Status status = id && id->kind == JSON_STRING ? ids_add(&s->ids, id->string, &added) : OK;
    json_free(&doc);
    TRY(status);
    return added ? OK : fail_damaged(s, number, id ? "its custom_id stands there twice" : "no request with a custom_id");
}

static Status read_ids(RequestSet *s)
{
    Rows *rows;
    Row row;
    bool end = false;
    TRY(line_files_open(&s->records, &(const char *){s->path}, 1));
    TRY(rows_open(&rows, s->records.files->path, ROWS_LINES));
    Status status = OK;
    while (!status && !(status = rows_next(rows, &row, &end)) && !end)
        status = add_line(s, &row);
    rows_close(&rows);
    return status;
}

Status request_set_open(RequestSet *s, const char *folder)
{
    struct stat st;
    *s = (RequestSet){.ids = {.kind = TABLE_64}, .file = -1, .lines = -1};
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    file_join(s->path, folder, "records.jsonl");
    if (stat(folder, &st))
        return fail(ERR_MISSING, "--requests %s: %s; it is the folder that curate request made", folder, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return fail(ERR_MISSING, "--requests %s: is %s, expected the folder that curate request made", folder, file_kind(st.st_mode));
    Status status = recipe_load_requests(&s->recipe, folder);
    if (!status)
        status = read_ids(s);
    if (status)
        request_set_close(s);
    return status;
}

void request_set_close(RequestSet *s)
{
    recipe_free(&s->recipe);
    table_free(&s->ids);
    line_files_close(&s->records);
    mem_free(s->places);
    mem_free(s->text.text);
    mem_free(s->head.text);
    if (s->lines >= 0)
        close(s->lines);
    *s = (RequestSet){.file = -1, .lines = -1};
}

/* ---------------------------------------------------------------- a request */

/* A text, or NULL. */
static const char *text_of(const Json *root, const char *key)
{
    const Json *v = json_get(root, key);
    return v && v->kind == JSON_STRING ? v->string : NULL;
}

static int64_t number_of(const Json *root, const char *key)
{
    const Json *v = json_get(root, key);
    return v && v->kind == JSON_INT ? v->integer : -1;
}

static int role_of(const char *name)
{
    for (int i = 0; name && i < N_ROLES; i++)
        if (!strcmp(name, ROLE_NAMES[i]))
            return i;
    return -1;
}

/* *fine is false when they are no list of pictures. */
static Status read_images(Request *r, const Json *list, bool *fine)
{
    *fine = list && list->kind == JSON_ARRAY;
    if (!*fine)
        return OK;
    if (list->length > (size_t)r->room) {
        RecordImage *grown = mem_grow(r->images, list->length * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for %zu pictures", list->length);
        r->images = grown;
        r->room = (int)list->length;
    }
    r->n_images = 0;
    for (const Json *i = list->child; i && *fine; i = i->next) {
        const char *path = text_of(i, "path");
        const int role = role_of(text_of(i, "role"));
        *fine = path && role >= 0;
        r->images[r->n_images++] = (RecordImage){path, (ImageRole)(role < 0 ? 0 : role)};
    }
    return OK;
}

Status request_read(RequestSet *s, Request *r, size_t number)
{
    char id[ID_DIGITS + 1];
    bool fine;
    const LinePlace *place = &s->places[number];
    json_free(&r->doc);
    TRY(line_files_read(&s->records, place, &s->text));
    TRY(json_parse_at(&r->doc, s->text.text, place->n, s->path, (int)number + 1, 1));
    const Json *root = json_root(r->doc);
    r->custom_id = text_of(root, "custom_id");
    r->uid = text_of(root, "uid");
    r->source = text_of(root, "source");
    r->split = text_of(root, "split");
    r->license = text_of(root, "license");
    r->src_prompt = text_of(root, "src_prompt");
    const int64_t file = number_of(root, "file");
    r->file = (int)file;
    r->offset = number_of(root, "offset");
    r->bytes = number_of(root, "bytes");
    TRY(read_images(r, json_get(root, "images"), &fine));
    if (!fine || !r->custom_id || !r->uid || file < 0 || file > INT_MAX || r->offset < 0 || r->bytes < 0)
        return fail_damaged(s, number, "lacks what curate request writes");
    id_make(id, s->recipe.template_sha256, r->uid);
    return strcmp(id, r->custom_id) ? fail_damaged(s, number, "its custom_id is not that of its uid and of recipe.json") : OK;
}

void request_free(Request *r)
{
    json_free(&r->doc);
    mem_free(r->images);
    *r = (Request){.doc = NULL};
}
