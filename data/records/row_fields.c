/* row_fields.c: reads the fields of a row, unified or not, into a Record (row_fields.h). Called by records.c. */
#include "data/records/row_fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "data/records/parsed.h"
#include "data/records/slips.h"
#include "data/records/turns.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/utf8.h"

void row_reject(Record *rec, Reject why, const char *format, ...)
{
    if (rec->reject)
        return;
    va_list args;
    va_start(args, format);
    status_text_of(rec->message, sizeof rec->message, format, args);
    va_end(args);
    rec->reject = why;
}

void row_wrong(Record *rec, Reject why, const Json *v, const char *key, const char *expected)
{
    char found[80];
    row_reject(rec, why, "%d:%d: \"%s\" is %s, expected %s", v->line, v->column, key, json_show(v, found, sizeof found), expected);
}

static int named(const char *const *names, int n, const Json *v)
{
    for (int i = 0; i < n; i++)
        if (v->kind == JSON_STRING && !strcmp(v->string, names[i]))
            return i;
    return -1;
}

static bool is_null(const Json *v) { return !v || v->kind == JSON_NULL; }

static void *grown(void *array, int *room, size_t n, size_t size, bool *failed)
{
    if (n <= (size_t)*room)
        return array;
    void *more = n > INT32_MAX ? NULL : mem_grow(array, n * size);
    *failed |= !more;
    if (more)
        *room = (int)n;
    return more ? more : array;
}

Status row_room(Record *rec, RowRoom *room, size_t images, size_t turns, size_t scores)
{
    bool failed = false;
    rec->images = grown(rec->images, &room->images, images, sizeof *rec->images, &failed);
    rec->turns = grown(rec->turns, &room->turns, turns, sizeof *rec->turns, &failed);
    rec->scores = grown(rec->scores, &room->scores, scores, sizeof *rec->scores, &failed);
    return failed ? fail(ERR_NOMEM, "no memory for a row with %zu parts", images + turns + scores) : OK;
}

void row_room_free(Record *rec, RowRoom *room)
{
    mem_free(rec->images);
    mem_free(rec->turns);
    mem_free(rec->scores);
    mem_free(room->text);
    rec->images = NULL;
    rec->turns = NULL;
    rec->scores = NULL;
    *room = (RowRoom){0};
}

/* ---------------------------------------------------------------- images */

static void add_image(Record *rec, const Json *path, ImageRole role, const char *key)
{
    if (parsed_is_name(path))
        rec->images[rec->n_images++] = (RecordImage){path->string, role};
    else
        row_wrong(rec, REJECT_BAD_JSON, path, key, "a file name");
}

static Status unified_images(Record *rec, RowRoom *room, const Json *list)
{
    if (is_null(list))
        return OK;
    if (list->kind != JSON_ARRAY) {
        row_wrong(rec, REJECT_BAD_JSON, list, "images", "an array");
        return OK;
    }
    TRY(row_room(rec, room, list->length, 0, 0));
    for (const Json *i = list->child; i; i = i->next) {
        const Json *path = json_get(i, "path"), *role = json_get(i, "role");
        int r = is_null(role) ? ROLE_INPUT : named(ROLE_NAMES, N_ROLES, role);
        if (!path)
            row_reject(rec, REJECT_BAD_JSON, "%d:%d: this image has no \"path\"", i->line, i->column);
        else if (r < 0)
            row_wrong(rec, REJECT_BAD_JSON, role, "role", "input, target or mask");
        else
            add_image(rec, path, (ImageRole)r, "path");
    }
    return OK;
}

/* ---------------------------------------------------------------- the rest */

static void read_task(Record *rec, const Json *task, bool unified)
{
    int t = is_null(task) ? (int)rec->task : named(TASK_NAMES, N_TASKS, task);
    if (t >= 0)
        rec->task = (Task)t;
    else if (unified) /* other people's rows may mean something else by it */
        row_wrong(rec, REJECT_BAD_JSON, task, "task", "understand, generate or edit");
}

static void read_weight(Record *rec, const Json *weight)
{
    if (is_null(weight))
        return;
    if ((weight->kind == JSON_INT || weight->kind == JSON_REAL) && weight->real >= 0 && isfinite((float)weight->real))
        rec->weight = (float)weight->real;
    else
        row_wrong(rec, REJECT_BAD_JSON, weight, "weight", "a number from 0");
}

/* Those that are numbers. */
static Status read_scores(Record *rec, RowRoom *room, const Json *scores)
{
    if (!scores || scores->kind != JSON_OBJECT)
        return OK;
    TRY(row_room(rec, room, 0, 0, scores->length));
    for (const Json *m = scores->child; m; m = m->next)
        if (m->kind == JSON_INT || m->kind == JSON_REAL)
            rec->scores[rec->n_scores++] = (RecordScore){m->key, m->real};
    return OK;
}

/* A row that has scores, but not the one that is asked for, tells which: its name may be misspelt, and no row would ever have it. */
static void lacks_score(Record *rec, const char *score, const RecordScore *scores, int n)
{
    enum { SHOWN = 8 };
    const char *names[SHOWN], *near = NULL;
    char list[160] = "";
    for (int i = 0; i < n && i < SHOWN; i++) {
        names[i] = scores[i].name;
        const size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", scores[i].name);
    }
    if (n)
        near = cli_nearest(score, names, n < SHOWN ? n : SHOWN);
    row_reject(rec, REJECT_FILTERED, "no score \"%.60s\"%s%.80s%s%.60s%s", score, n ? "; it has " : "", list,
               near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    if (n && !rec->note)
        rec->note = rec->message;
}

void row_check_filters(Record *rec, const MixtureSource *source, const RecordScore *scores, int n)
{
    for (int i = 0; i < source->n_filters; i++) {
        const MixtureFilter *f = &source->filters[i];
        int k = 0;
        while (k < n && strcmp(scores[k].name, f->score))
            k++;
        if (k == n)
            lacks_score(rec, f->score, scores, n);
        else if (!(scores[k].value >= f->least && scores[k].value <= f->most))
            row_reject(rec, REJECT_FILTERED, "the score \"%.100s\" is %.6g, wanted %.6g to %.6g", f->score, scores[k].value, f->least,
                       f->most);
    }
}

static const char *text_of(const Json *v) { return v && v->kind == JSON_STRING && v->length ? v->string : NULL; }

/* What a diffusion model is told ends at a NUL. */
static const char *sd_text(Record *rec, const Json *sd, const char *key)
{
    const Json *v = json_get(sd, key);
    const char *text = text_of(v);
    if (text && strlen(text) != v->length)
        row_wrong(rec, REJECT_BAD_JSON, v, key, "a text without U+0000");
    return text;
}

static void read_provenance(RecordProvenance *p, const Json *prov)
{
    const Json *index = json_get(prov, "index");
    *p = (RecordProvenance){.file = text_of(json_get(prov, "file")),
                            .index = index && index->kind == JSON_INT ? index->integer : -1,
                            .license = text_of(json_get(prov, "license")),
                            .curator = text_of(json_get(prov, "curator")),
                            .model = text_of(json_get(prov, "model")),
                            .template_sha256 = text_of(json_get(prov, "template")),
                            .request = text_of(json_get(prov, "request"))};
}

static Status read_unified(Record *rec, RowRoom *room, const Json *row, const MixtureSource *source, const char **uid)
{
    const Json *schema = json_get(row, "schema"), *id = json_get(row, "uid"), *split = json_get(row, "split"), *sd = json_get(row, "sd");
    *uid = text_of(id);
    if (*uid)
        rec->id = *uid;
    else if (!is_null(id))
        row_wrong(rec, REJECT_BAD_JSON, id, "uid", "a string that is not empty");
    slips_of_unified(rec, row);
    TRY(read_scores(rec, room, json_get(row, "scores")));
    row_check_filters(rec, source, rec->scores, rec->n_scores); /* before all else: what is not wanted need not be as it should */
    if (schema && (schema->kind != JSON_STRING || strcmp(schema->string, UNIFIED_SCHEMA)))
        row_wrong(rec, REJECT_BAD_JSON, schema, "schema", "\"" UNIFIED_SCHEMA "\"");
    read_task(rec, json_get(row, "task"), true);
    read_weight(rec, json_get(row, "weight"));
    rec->sd_prompt = sd_text(rec, sd, "prompt");
    rec->sd_src_prompt = sd_text(rec, sd, "src_prompt");
    rec->sd_instruction = sd_text(rec, sd, "instruction");
    rec->split = text_of(split);
    rec->origin = text_of(json_get(row, "source"));
    read_provenance(&rec->prov, json_get(row, "prov"));
    if (!rec->prov.license)
        rec->prov.license = source->license;
    TRY(unified_images(rec, room, json_get(row, "images")));
    TRY(turns_unified(rec, room, row, "turns"));
    if (split && split->kind == JSON_STRING && !strcmp(split->string, "test"))
        row_reject(rec, REJECT_EXCLUDED, "its split is test");
    return OK;
}

static Status read_legacy(Record *rec, RowRoom *room, const Json *row, const MixtureSource *source)
{
    TRY(read_scores(rec, room, json_get(row, "scores")));
    row_check_filters(rec, source, rec->scores, rec->n_scores);
    rec->prov = (RecordProvenance){.index = -1, .license = source->license};
    read_task(rec, json_get(row, "task"), false);
    slips_of_row(rec, row);
    if (!is_null(json_get(row, "video")) || !is_null(json_get(row, "videos")))
        row_reject(rec, REJECT_BAD_TURNS, "it is about a video (\"%s\"), and only pictures are read",
                   is_null(json_get(row, "video")) ? "videos" : "video");
    const Json *messages = json_get(row, "messages");
    return turns_of_row(rec, room, row, is_null(json_get(row, "conversations")) && !is_null(messages) ? "messages" : "conversations");
}

Status row_fields(Record *rec, RowRoom *room, const Json *row, const MixtureSource *source, const char **unified_uid)
{
    *unified_uid = NULL;
    if (row->kind != JSON_OBJECT) {
        row_reject(rec, REJECT_BAD_JSON, "%d:%d: a row is %s, expected an object", row->line, row->column, json_kind_name(row->kind));
        return OK;
    }
    bool unified = json_get(row, "schema") || (json_get(row, "turns") && !json_get(row, "conversations"));
    return unified ? read_unified(rec, room, row, source, unified_uid) : read_legacy(rec, room, row, source);
}
