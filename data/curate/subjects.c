/* subjects.c: reads what requests are made of (subjects.h). */
#include "data/curate/subjects.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/beneath.h"
#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "data/pictures/image.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

struct Subjects {
    RecipeKind kind;
    Subject now;
    int room; /* of now.images */
    /* of a file */
    const char *file, *name;
    char place[PATH_MAX + 16];
    Rows *rows;
    JsonDoc *doc;
    /* of a folder */
    const char *folder;
    char **paths;
    size_t n_paths, next;
};

/* ---------------------------------------------------------------- a record */

static bool is_null(const Json *v) { return !v || v->kind == JSON_NULL; }
static bool is_text(const Json *v) { return v && v->kind == JSON_STRING && v->length && strlen(v->string) == v->length; }
static const char *text_of(const Json *v) { return is_text(v) ? v->string : NULL; }

static Status wrong(const Subjects *r, const Json *v, const char *key, const char *expected)
{
    char found[80];
    return fail(ERR_DATA, "%s:%d:%d: \"%s\" is %s, expected %s", r->name, v->line, v->column, key, json_show(v, found, sizeof found),
                expected);
}

static int find_name(const char *const *names, int n, const Json *v)
{
    for (int i = 0; i < n; i++)
        if (v->kind == JSON_STRING && !strcmp(v->string, names[i]))
            return i;
    return -1;
}

static Status add_image(Subjects *r, const Json *path, ImageRole role, const char *key)
{
    enum { FIRST = 4 };
    Subject *s = &r->now;
    if (!is_text(path))
        return wrong(r, path, key, "a file name");
    if (s->n_images == r->room) {
        int room = r->room ? 2 * r->room : FIRST;
        RecordImage *grown = mem_grow(s->images, (size_t)room * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "%s: no memory for a record of %d pictures", r->name, s->n_images);
        s->images = grown;
        r->room = room;
    }
    s->images[s->n_images++] = (RecordImage){path->string, role};
    return OK;
}

static Status read_unified_images(Subjects *r, const Json *list)
{
    if (is_null(list))
        return OK;
    if (list->kind != JSON_ARRAY)
        return wrong(r, list, "images", "a list of {\"path\", \"role\"}");
    for (const Json *i = list->child; i; i = i->next) {
        const Json *path = json_get(i, "path"), *role = json_get(i, "role");
        int which = is_null(role) ? ROLE_INPUT : find_name(ROLE_NAMES, N_ROLES, role);
        if (!path)
            return wrong(r, i, "images", "a list of {\"path\", \"role\"}");
        if (which < 0)
            return wrong(r, role, "role", "input, target or mask");
        TRY(add_image(r, path, (ImageRole)which, "path"));
    }
    return OK;
}

/* "image": a name or a list of names. The last of an edit's two, and the one that is drawn, are targets. */
static Status read_plain_images(Subjects *r, const Json *image)
{
    Task task = RECIPE_KINDS[r->kind].task;
    if (is_null(image))
        return OK;
    if (image->kind != JSON_ARRAY)
        return add_image(r, image, task == TASK_GENERATE ? ROLE_TARGET : ROLE_INPUT, "image");
    for (const Json *i = image->child; i; i = i->next) {
        bool target = task == TASK_GENERATE || (task == TASK_EDIT && i != image->child);
        TRY(add_image(r, i, target ? ROLE_TARGET : ROLE_INPUT, "image"));
    }
    return OK;
}

static Status read_unified(Subjects *r, const Json *row)
{
    const Json *task = json_get(row, "task");
    int which = is_null(task) ? TASK_UNDERSTAND : find_name(TASK_NAMES, N_TASKS, task);
    if (which < 0)
        return wrong(r, task, "task", "understand, generate or edit");
    r->now.task = (Task)which;
    return read_unified_images(r, json_get(row, "images"));
}

static Status read_origin(Subjects *r, const Json *row)
{
    Subject *s = &r->now;
    const Json *split = json_get(row, "split"), *license = json_get(json_get(row, "prov"), "license");
    s->source = text_of(json_get(row, "source"));
    s->split = text_of(split);
    s->license = text_of(license ? license : json_get(row, "license"));
    if (s->split && !strcmp(s->split, "test"))
        return wrong(r, split, "split", "no rows of a test split: nothing may be learned from them");
    return OK;
}

static Status read_row(Subjects *r, const Json *row)
{
    Subject *s = &r->now;
    const Json *schema = json_get(row, "schema"), *uid = json_get(row, "uid");
    if (row->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s:%d:%d: a record is %s, expected an object", r->name, row->line, row->column, json_kind_name(row->kind));
    if (schema && (schema->kind != JSON_STRING || strcmp(schema->string, "genllava.sample/1")))
        return wrong(r, schema, "schema", "\"genllava.sample/1\"");
    if (!uid)
        return fail(ERR_DATA,
                    "%s:%d:%d: this record has no \"uid\", expected {\"uid\", \"image\", …} or a unified record; prepare --export "
                    "makes unified records of other layouts",
                    r->name, row->line, row->column);
    if (!is_text(uid))
        return wrong(r, uid, "uid", "a text that is not empty");
    s->uid = uid->string;
    s->row = row;
    TRY(read_origin(r, row));
    s->unified = schema || json_get(row, "images");
    return s->unified ? read_unified(r, row) : read_plain_images(r, json_get(row, "image"));
}

static Status next_record(Subjects *r, const Subject **out, bool *last)
{
    Row row;
    bool end;
    TRY(rows_next(r->rows, &row, &end));
    if (end)
        return OK;
    snprintf(r->place, sizeof r->place, "%s:%d", r->name, row.line);
    *last = row.error && row.last;
    if (row.error)
        return fail(ERR_DATA, "%s:%s", r->name, row.error);
    TRY(json_parse_at(&r->doc, row.text, row.n, r->name, row.line, row.column));
    TRY(read_row(r, json_root(r->doc)));
    *out = &r->now;
    return OK;
}

/* ---------------------------------------------------------------- pictures of a folder */

/* Pictures, and what cannot be looked at or is one by its name alone: that is named when it is asked for. Folders that links lead to are
 * not entered. */
static bool may_be_picture(const char *folder, const char *path)
{
    char name[32];
    uint8_t start[32];
    struct stat st;
    int found = beneath_find(folder, path);
    if (found < 0)
        return true;
    snprintf(name, sizeof name, "/proc/self/fd/%d", found);
    bool is_file = !fstat(found, &st) && S_ISREG(st.st_mode);
    int fd = is_file ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd < 0 ? -1 : read(fd, start, sizeof start);
    close(found);
    if (fd >= 0)
        close(fd);
    return is_file && (n < 0 || image_identify(start, (size_t)n) != IMAGE_UNKNOWN || image_is_named(path));
}

static Status add_path(Subjects *r, const char *path)
{
    if (!(r->n_paths & (r->n_paths - 1))) { /* full at every power of two */
        char **grown = mem_grow(r->paths, (r->n_paths ? 2 * r->n_paths : 1) * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "%s: no memory for the names of %zu pictures", r->folder, r->n_paths);
        r->paths = grown;
    }
    r->paths[r->n_paths] = mem_strdup(path);
    return r->paths[r->n_paths] ? (r->n_paths++, OK) : fail(ERR_NOMEM, "%s: no memory for the names of its pictures", r->folder);
}

typedef struct Walk {
    Subjects *reader;
    const char *below; /* the folder's path from the one that was given, "" or ending with a slash */
} Walk;

static Status visit(void *arg, const char *name)
{
    const Walk *w = arg;
    char path[PATH_MAX], whole[PATH_MAX];
    struct stat st;
    if (snprintf(path, sizeof path, "%s%s/", w->below, name) >= (int)sizeof path)
        return fail(ERR_DATA, "%s/%s%s: is too long a path", w->reader->folder, w->below, name);
    size_t n = strlen(path) - 1;
    path[n] = 0;
    if (!lstat(file_join(whole, w->reader->folder, path), &st) && S_ISDIR(st.st_mode)) {
        path[n] = '/';
        return file_list(whole, visit, &(Walk){w->reader, path});
    }
    return may_be_picture(w->reader->folder, path) ? add_path(w->reader, path) : OK;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool is_utf8(const char *text)
{
    size_t n = strlen(text);
    for (int step; n; text += step, n -= (size_t)step)
        if (!(step = utf8_decode(text, n, NULL)))
            return false;
    return true;
}

static Status next_path(Subjects *r, const Subject **out)
{
    if (r->next == r->n_paths)
        return OK;
    const char *path = r->paths[r->next++];
    const Json name = {.kind = JSON_STRING, .string = path, .length = strlen(path)};
    TRY(read_plain_images(r, &name));
    r->now.uid = path;
    r->now.place = r->folder;
    r->now.unfit = is_utf8(path) ? NULL : "its name is not UTF-8, which a request must be";
    *out = &r->now;
    return OK;
}

/* ---------------------------------------------------------------- fields */

/* Where a unified record has what a plain one has under these names; NULL: at its top, under that name. */
static const char *field_in_sd(const Subject *s, const char *field)
{
    bool edit = s->task == TASK_EDIT;
    if (!s->unified || s->task == TASK_UNDERSTAND)
        return NULL;
    if (!strcmp(field, "caption"))
        return edit ? "src_prompt" : "prompt";
    return !strcmp(field, "instruction") ? "instruction" : !strcmp(field, "output") ? "prompt" : NULL;
}

static const Json *find_field(const Subject *s, const char *field)
{
    const char *inside = field_in_sd(s, field);
    const Json *v = inside ? json_get(json_get(s->row, "sd"), inside) : json_get(s->row, field);
    return is_null(v) ? NULL : v;
}

const char *subject_caption(const Subject *s) { return s->row ? text_of(find_field(s, "caption")) : NULL; }

/* Whether it is a text or a number. */
static bool put_scalar(Line *out, const Json *v)
{
    char *number;
    if (v->kind == JSON_STRING) {
        line_escape(out, v->string, v->length);
    } else if (v->kind == JSON_INT || v->kind == JSON_REAL) {
        cJSON *copy = json_copy(v);
        out->no_memory |= json_to_text(&number, &copy, JSON_INLINE, "a number") != OK;
        line_put(out, number ? number : "", number ? strlen(number) : 0);
        mem_free(number);
    }
    return v->kind == JSON_STRING || v->kind == JSON_INT || v->kind == JSON_REAL;
}

static Status put_field(const Subject *s, const char *field, Line *out)
{
    if (!s->row) {
        if (strcmp(field, "uid") && strcmp(field, "file"))
            return fail(ERR_DATA, "%s: a picture alone has no field \"%s\", which user of the recipe names; give --records with that field",
                        s->place, field);
        line_escape(out, s->uid, strlen(s->uid));
        return OK;
    }
    const char *inside = field_in_sd(s, field);
    const Json *v = find_field(s, field);
    if (!v)
        return fail(ERR_DATA, "%s: record \"%s\" has no field \"%s%s\", which user of the recipe names as {%s}", s->place, s->uid,
                    inside ? "sd." : "", inside ? inside : field, field);
    bool fits = v->kind == JSON_ARRAY || put_scalar(out, v);
    for (const Json *e = v->kind == JSON_ARRAY ? v->child : NULL; e && fits; e = e->next) {
        if (e != v->child)
            line_put(out, "\\n", 2);
        fits = put_scalar(out, e);
    }
    char found[80];
    return fits ? OK
                : fail(ERR_DATA, "%s: field \"%s\" of record \"%s\" is %s, expected a text, a number or a list of them", s->place, field,
                       s->uid, json_show(v, found, sizeof found));
}

Status subject_prompt(const Subject *s, const Recipe *recipe, Line *out)
{
    for (const char *p = recipe->user; *p;) {
        size_t plain = strcspn(p, "{");
        line_escape(out, p, plain);
        p += plain;
        if (!*p)
            break;
        char field[128];
        size_t n = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_");
        if (n && p[n + 1] == '}') {
            snprintf(field, sizeof field, "%.*s", (int)n, p + 1);
            TRY(put_field(s, field, out));
            p += n + 2;
        } else {
            line_put(out, p++, 1);
        }
    }
    return OK;
}

/* ---------------------------------------------------------------- from outside */

static Status check_folder(const char *folder)
{
    struct stat st;
    if (stat(folder, &st))
        return fail(ERR_MISSING, "%s: %s", folder, strerror(errno));
    return S_ISDIR(st.st_mode) ? OK : fail(ERR_MISSING, "%s: is %s, expected a folder of pictures", folder, file_kind(st.st_mode));
}

static Status open_folder(Subjects *r)
{
    TRY(check_folder(r->folder));
    TRY(file_list(r->folder, visit, &(Walk){r, ""}));
    if (r->n_paths)
        qsort(r->paths, r->n_paths, sizeof *r->paths, by_bytes);
    return r->n_paths ? OK : fail(ERR_DATA, "%s: there is no picture in it (JPEG, PNG, GIF or WebP)", r->folder);
}

Status subjects_rewind(Subjects *r)
{
    r->next = 0;
    if (!r->file)
        return OK;
    rows_close(&r->rows);
    return rows_open(&r->rows, r->file, ROWS_LINES);
}

static Status create(Subjects **out, const Subjects *as)
{
    *out = mem_alloc(sizeof **out);
    if (!*out)
        return fail(ERR_NOMEM, "no memory to read %s", as->file ? as->name : as->folder);
    **out = *as;
    Status s = as->file ? subjects_rewind(*out) : open_folder(*out);
    if (s)
        subjects_close(out);
    return s;
}

Status subjects_of_records(Subjects **out, const char *file, const char *name, RecipeKind kind)
{
    return create(out, &(Subjects){.file = file, .name = name, .kind = kind});
}

Status subjects_of_folder(Subjects **out, const char *folder, RecipeKind kind)
{
    return create(out, &(Subjects){.folder = folder, .kind = kind});
}

Status subjects_next(Subjects *r, const Subject **out, bool *last)
{
    RecordImage *images = r->now.images;
    r->now = (Subject){.images = images, .place = r->place};
    *out = NULL;
    *last = false;
    json_free(&r->doc);
    return r->file ? next_record(r, out, last) : next_path(r, out);
}

void subjects_close(Subjects **r)
{
    if (!*r)
        return;
    rows_close(&(*r)->rows);
    json_free(&(*r)->doc);
    for (size_t i = 0; i < (*r)->n_paths; i++)
        mem_free((*r)->paths[i]);
    mem_free((*r)->paths);
    mem_free((*r)->now.images);
    mem_free(*r);
    *r = NULL;
}
