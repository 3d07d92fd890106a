/* probe.c: rows of a file of questions become prompts of a model (probe.h). */
#include "tools/convert/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "data/records/row_fields.h"
#include "data/text/encode.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "train/config/plan.h"
#include "train/infer/answer.h"

typedef struct ProbeFile {
    Probe *to;
    const Model *m;
    const char *name;
    char folder[PATH_MAX]; /* where relative paths start */
    char where[PATH_MAX + 64];
    Tokenizer *tok;
    EncoderOptions encoder;
    EncodedSample encoded;
} ProbeFile;

/* ---------------------------------------------------------------- rows */

static Status wrong(const ProbeFile *f, const char *key, const Json *found, const char *wanted)
{
    return fail(ERR_DATA, "%s: \"%s\" is %s; it takes %s", f->where, key, json_kind_name(found->kind), wanted);
}

static Status add_image(const ProbeFile *f, ProbePrompt *p, const char *path)
{
    char full[PATH_MAX];
    char **images = mem_grow(p->images, (size_t)(p->n_images + 1) * sizeof *images);
    if (!images)
        return fail(ERR_NOMEM, "no memory for a path");
    p->images = images;
    images[p->n_images] = mem_strdup(path[0] == '/' ? path : file_join(full, f->folder, path));
    return images[p->n_images++] ? OK : fail(ERR_NOMEM, "no memory for a path");
}

static Status add_images(const ProbeFile *f, ProbePrompt *p, const Json *image)
{
    const bool none = !image || image->kind == JSON_NULL || (image->kind == JSON_STRING && !image->length);
    if (none)
        return OK;
    const Json *one = image->kind == JSON_ARRAY ? image->child : image;
    for (; one; one = image->kind == JSON_ARRAY ? one->next : NULL) {
        if (one->kind != JSON_STRING)
            return wrong(f, "image", one, "a path or a list of paths");
        TRY(add_image(f, p, one->string));
    }
    return OK;
}

/* ids of the prompt that an answer would follow. */
static Status encode(ProbeFile *f, ProbePrompt *p, const Record *rec)
{
    const int64_t positions = stream_sizes(f->m->stream)->positions;
    TRY_IN(encode_prompt(&f->encoded, &f->encoder, f->tok, rec->system, rec->turns, rec->n_turns, p->n_images, rec->task), "%s", f->where);
    if (positions && f->encoded.expanded > positions)
        return fail(ERR_DATA, "%s: takes %" PRId64 " tokens with its pictures, the language model has %" PRId64 " positions", f->where,
                    f->encoded.expanded, positions);
    p->n = f->encoded.n;
    p->ids = mem_alloc((size_t)p->n * sizeof *p->ids);
    if (!p->ids)
        return fail(ERR_NOMEM, "no memory for a prompt");
    memcpy(p->ids, f->encoded.id, (size_t)p->n * sizeof *p->ids);
    for (int64_t i = 0; i < p->n; i++)
        if (p->ids[i] != ID_IMAGE && p->ids[i] >= model_rows(f->m))
            return fail(ERR_DATA, "%s: has the token %d, and the model %" PRId64 " tokens", f->where, p->ids[i], model_rows(f->m));
    return OK;
}

static Status read_question(ProbeFile *f, ProbePrompt *p, const Json *row, const char *key, Task task)
{
    const Json *text = json_get(row, key), *system = json_get(row, "system");
    if (text->kind != JSON_STRING)
        return wrong(f, key, text, "a text");
    if (system && system->kind != JSON_STRING && system->kind != JSON_NULL)
        return wrong(f, "system", system, "what the model is told first");
    RecordTurn turn = {true, text->string, text->length};
    Record rec = {.task = task, .turns = &turn, .n_turns = 1};
    if (system && system->kind == JSON_STRING)
        rec.system = (RecordText){system->string, system->length};
    TRY(add_images(f, p, json_get(row, "image")));
    return encode(f, p, &rec);
}

/* From its first question up to its last one. Questions without markers are stripped, as generate does. */
static Status encode_turns(ProbeFile *f, ProbePrompt *p, Record *rec)
{
    if (rec->reject && rec->reject != REJECT_EXCLUDED)
        return fail(ERR_DATA, "%s: %s", f->where, rec->message);
    for (int i = 0; i < rec->n_images; i++)
        if (rec->images[i].role == ROLE_INPUT)
            TRY(add_image(f, p, rec->images[i].path));
    Record asked = *rec;
    const int skipped = rec->n_turns && !rec->turns[0].human;
    asked.turns += skipped;
    asked.n_turns -= skipped;
    asked.n_turns -= asked.n_turns && !asked.turns[asked.n_turns - 1].human;
    for (int i = 0; i < asked.n_turns; i++)
        if (asked.turns[i].human && !record_count_marker(&asked.turns[i], IMAGE_MARKER))
            utf8_strip(&asked.turns[i].text, &asked.turns[i].length);
    return encode(f, p, &asked);
}

static Status read_record(ProbeFile *f, ProbePrompt *p, const Json *row)
{
    static const MixtureSource NO_SOURCE = {.name = NULL};
    Record rec = {.id = ""};
    RowRoom room = {0};
    const char *uid;
    Status s = row_fields(&rec, &room, row, &NO_SOURCE, &uid);
    if (!s)
        s = encode_turns(f, p, &rec);
    row_room_free(&rec, &room);
    return s;
}

static Status read_object(ProbeFile *f, ProbePrompt *p, const Json *row)
{
    static const struct {
        const char *key;
        Task task;
    } ASKED[] = {{"ask", TASK_UNDERSTAND}, {"draw", TASK_GENERATE}, {"edit", TASK_EDIT}};
    for (size_t i = 0; i < sizeof ASKED / sizeof *ASKED; i++)
        if (json_get(row, ASKED[i].key))
            return read_question(f, p, row, ASKED[i].key, ASKED[i].task);
    if (json_get(row, "question_id") && json_get(row, "text"))
        return read_question(f, p, row, "text", TASK_UNDERSTAND);
    if (json_get(row, "conversations") || json_get(row, "messages") || json_get(row, "turns"))
        return read_record(f, p, row);
    return fail(ERR_DATA, "%s: asks nothing; a row is {\"ask\": text, \"image\": path}, as for generate --batch", f->where);
}

static void free_prompt(ProbePrompt *p)
{
    for (int i = 0; i < p->n_images; i++)
        mem_free(p->images[i]);
    mem_free(p->images);
    mem_free(p->ids);
}

static Status check_pictures(const ProbeFile *f, const ProbePrompt *p)
{
    uint8_t *pixels = NULL;
    Status s = fail_context(probe_pixels(f->m, p, &pixels), "%s", f->where);
    mem_free(pixels);
    return s;
}

static Status add_prompt(ProbeFile *f, const ProbePrompt *p)
{
    Probe *to = f->to;
    if (to->n == to->capacity) {
        const int capacity = to->capacity ? 2 * to->capacity : 16;
        ProbePrompt *list = mem_grow(to->list, (size_t)capacity * sizeof *list);
        if (!list)
            return fail(ERR_NOMEM, "%s: no memory for its prompts", f->name);
        to->list = list;
        to->capacity = capacity;
    }
    to->list[to->n++] = *p;
    return OK;
}

static Status read_prompt(ProbeFile *f, const Json *row)
{
    ProbePrompt p = {0};
    Status s = read_object(f, &p, row);
    if (!s)
        s = check_pictures(f, &p);
    if (!s)
        s = add_prompt(f, &p);
    if (s)
        free_prompt(&p);
    return s;
}

static Status read_row(ProbeFile *f, const Row *row)
{
    JsonDoc *doc = NULL;
    if (row->error)
        return fail(ERR_DATA, "%s:%s", f->name, row->error);
    snprintf(f->where, sizeof f->where, "%s:%d", f->name, row->line);
    Status s = json_parse_at(&doc, row->text, row->n, f->name, row->line, row->column);
    if (!s)
        s = read_prompt(f, json_root(doc));
    json_free(&doc);
    return s;
}

/* ---------------------------------------------------------------- the file */

static Status read_rows(ProbeFile *f)
{
    Rows *rows;
    Row row;
    bool end = false;
    TRY(rows_open(&rows, f->name, ROWS_LINES_OR_ARRAY));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        s = read_row(f, &row);
    rows_close(&rows);
    return s;
}

Status probe_read(Probe *p, const Model *m, const char *file)
{
    char path[PATH_MAX];
    ProbeFile f = {.to = p, .m = m, .name = file, .encoder = plan_encoder(&m->cfg, stream_sizes(m->stream))};
    file_folder(f.folder, file);
    TRY(tokenizer_open(&f.tok, file_join(path, m->cfg.model.llm.path, "tokenizer.model")));
    Status s = read_rows(&f);
    tokenizer_close(&f.tok);
    encoded_free(&f.encoded);
    TRY_IN(s, "--probe");
    return p->n ? OK : fail(ERR_DATA, "--probe %s: holds no prompts", file);
}

void probe_free(Probe *p)
{
    for (int i = 0; i < p->n; i++)
        free_prompt(&p->list[i]);
    mem_free(p->list);
    *p = (Probe){0};
}

Status probe_pixels(const Model *m, const ProbePrompt *p, uint8_t **pixels)
{
    *pixels = NULL;
    if (!p->n_images)
        return OK;
    if (!m->vision)
        return fail(ERR_DATA, "%s has no vision tower, so it cannot look at %s", m->path, p->images[0]);
    ImagePrep prep = stream_preprocessor(m->stream)->prep;
    prep.max_pixels = m->cfg.data.max_pixels;
    const size_t one = (size_t)prep.width * (size_t)prep.height * 3;
    *pixels = mem_alloc(one * (size_t)p->n_images);
    if (!*pixels)
        return fail(ERR_NOMEM, "no memory for %d pictures", p->n_images);
    for (int i = 0; i < p->n_images; i++)
        TRY(answer_picture(&prep, NULL, p->images[i], *pixels + one * (size_t)i));
    return OK;
}
