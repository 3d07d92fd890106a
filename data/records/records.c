/* records.c: gives out the rows of a mixture, one after the other (records.h). Called by prepare. */
#include "data/records/records.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/formats/mistakes.h"
#include "data/formats/rows.h"
#include "data/records/draft.h"
#include "data/records/exclude.h"
#include "data/records/parsed.h"
#include "data/records/uids.h"
#include "kernels/base/arena.h"

struct RecordReader {
    bool root_checked; /* of the present source */
    bool open;         /* a file is being read */
    const Mixture *m;
    int source, file; /* of the file being read, or the next one */
    Rows *rows;       /* of the open file, whose rows are records already; or: */
    const Feed *feed; /* of a public layout */
    void *fed;
    int64_t number, row, taken;
    JsonDoc *doc;
    Record rec;
    RowRoom room;
    DraftText texts;
    Table uids;
    Exclude exclude;
    char *uid, *wanted; /* scratch */
    size_t uid_capacity;
    int64_t surrogates;
};

/* ---------------------------------------------------------------- what is missing */

/* What somebody may have meant by a name under which nothing is. */
static const char *hint_of(const char *path)
{
    return strstr(path, "://")    ? "; addresses are not fetched"
           : strpbrk(path, "*?[") ? "; wildcards are not read, list the files"
                                  : "";
}

/* What is wrong with the folder of a source's pictures, or NULL. A layout that is a folder has no other one. */
static const char *root_trouble(const MixtureSource *s)
{
    struct stat st;
    if (s->format->keys & KEY_ROOT)
        return NULL;
    if (s->image_root && stat(s->image_root, &st))
        return strerror(errno);
    return s->image_root && !S_ISDIR(st.st_mode) ? "is not a folder" : NULL;
}

static void add_missing_roots(Mistakes *missing, const Mixture *m)
{
    for (int i = 0; i < m->n_sources; i++) {
        const MixtureSource *s = &m->sources[i];
        const char *trouble = root_trouble(s);
        if (trouble)
            mistakes_add(missing, s->image_root, 0, 0, "%s%s (image_root of source \"%s\" of the mixture)", trouble, hint_of(s->image_root),
                         s->name);
    }
}

/* Files are read more than once: no pipes. */
static void add_missing_file(Mistakes *missing, const MixtureSource *s, const char *path, const char *what, bool folder)
{
    struct stat st;
    if (stat(path, &st) || access(path, R_OK))
        mistakes_add(missing, path, 0, 0, "cannot be opened: %s%s (%s of source \"%s\" of the mixture)", strerror(errno), hint_of(path),
                     folder ? "root" : what, s->name);
    else if (folder ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        mistakes_add(missing, path, 0, 0, "is %s, expected a %s (source \"%s\" of the mixture)", file_kind(st.st_mode),
                     folder ? "folder" : "JSON file", s->name);
}

static void add_missing_list(Mistakes *missing, const char *path)
{
    struct stat st;
    if (stat(path, &st) || access(path, R_OK))
        mistakes_add(missing, path, 0, 0, "cannot be opened: %s (exclude_image_ids of the mixture)", strerror(errno));
    else if (!S_ISREG(st.st_mode))
        mistakes_add(missing, path, 0, 0, "is %s, expected a file (exclude_image_ids of the mixture)", file_kind(st.st_mode));
}

static void add_missing_files(Mistakes *missing, const MixtureSource *s)
{
    for (int k = 0; k < s->n_files; k++)
        add_missing_file(missing, s, s->files[k], "a file", s->format->keys & KEY_ROOT);
    if (s->requests_file)
        add_missing_file(missing, s, s->requests_file, "the requests", false);
}

Status mixture_check_files(const Mixture *m, bool folders)
{
    Mistakes missing = {.lines = NULL};
    for (int i = 0; i < m->n_sources; i++)
        add_missing_files(&missing, &m->sources[i]);
    if (m->exclude_file)
        add_missing_list(&missing, m->exclude_file);
    if (missing.n || folders)
        add_missing_roots(&missing, m);
    return mistakes_end(&missing, ERR_MISSING, "the mixture");
}

/* ---------------------------------------------------------------- uids */

static Status uid_room(RecordReader *r, size_t n)
{
    if (n <= r->uid_capacity)
        return OK;
    char *uid = mem_grow(r->uid, n), *wanted;
    if (uid)
        r->uid = uid;
    wanted = uid ? mem_grow(r->wanted, n) : NULL;
    if (!wanted)
        return fail(ERR_NOMEM, "no memory for a uid of %zu bytes", n);
    r->wanted = wanted;
    r->uid_capacity = n;
    return OK;
}

/* SOURCE/ID with #1, #2 … where it is taken; a row without an id (NULL) is known by its number in its file. */
static Status make_uid(RecordReader *r, const char *id)
{
    char buf[ID_BYTES];
    const char *source = r->m->sources[r->source].name;
    Record *rec = &r->rec;
    if (!id)
        snprintf(buf, sizeof buf, "%" PRId64, rec->row);
    size_t n = strlen(source) + 1 + strlen(id ? id : buf) + 1;
    TRY(uid_room(r, n + 2 * ID_BYTES));
    snprintf(r->wanted, n, "%s/%s", source, id ? id : buf);
    TRY(uids_add_numbered(&r->uids, r->wanted, r->uid));
    rec->uid = r->uid;
    if (id && !*rec->id)
        rec->id = r->wanted + strlen(source) + 1;
    return OK;
}

static Status use_uid(RecordReader *r, const char *uid)
{
    bool added;
    TRY(uids_add(&r->uids, uid, &added));
    r->rec.uid = uid;
    if (!added && !r->rec.reject) {
        r->rec.reject = REJECT_DUP;
        snprintf(r->rec.message, sizeof r->rec.message, "the uid \"%.200s\" was used by an earlier row", uid);
    }
    return OK;
}

/* ---------------------------------------------------------------- rows */

static Status read_row(RecordReader *r, const Row *row)
{
    Record *rec = &r->rec;
    const char *uid = NULL;
    char buf[ID_BYTES];
    rec->json = row->text;
    rec->json_length = row->n;
    TRY(parsed_row(&r->doc, row, rec->row, rec->message, &rec->ends_file));
    if (*rec->message) {
        rec->reject = REJECT_BAD_JSON;
        return OK;
    }
    r->surrogates += json_replaced_surrogates(r->doc);
    TRY(row_fields(rec, &r->room, json_root(r->doc), &r->m->sources[r->source], &uid));
    return uid ? use_uid(r, uid) : make_uid(r, parsed_id(json_get(json_root(r->doc), "id"), buf));
}

/* A row without an id is known by its number; one that cannot be read, by nothing. */
static Status take_draft(RecordReader *r, const Draft *d)
{
    char number[ID_BYTES];
    snprintf(number, sizeof number, "%" PRId64, r->rec.row);
    r->surrogates += d->surrogates;
    if (d->id || d->reject != REJECT_BAD_JSON)
        TRY(make_uid(r, d->id ? d->id : number));
    return draft_record(&r->rec, &r->room, &r->texts, d, &r->m->sources[r->source]);
}

static void start_record(RecordReader *r)
{
    const MixtureSource *s = &r->m->sources[r->source];
    json_free(&r->doc);
    r->rec = (Record){.number = r->number++,
                      .source = r->source,
                      .file = s->files[r->file],
                      .file_index = r->file,
                      .row = r->row++,
                      .id = "",
                      .uid = "",
                      .task = s->task,
                      .weight = 1,
                      .prov.index = -1,
                      .images = r->rec.images,
                      .turns = r->rec.turns,
                      .scores = r->rec.scores};
}

static Status open_file(RecordReader *r, const MixtureSource *s)
{
    const char *path = s->files[r->file];
    r->row = 0;
    r->feed = s->format->feed[s->as];
    r->open = true;
    if (!r->feed)
        return rows_open(&r->rows, path, ROWS_LINES_OR_ARRAY);
    return r->fed ? r->feed->again(r->fed, path) : r->feed->open(&r->fed, s, path);
}

static void close_feed(RecordReader *r)
{
    if (r->fed)
        r->feed->close(&r->fed);
}

/* Opens the next file, if there is one. */
static Status next_file(RecordReader *r)
{
    while (r->source < r->m->n_sources) {
        const MixtureSource *s = &r->m->sources[r->source];
        if (r->file < s->n_files && !(s->max && r->taken >= s->max))
            return open_file(r, s);
        close_feed(r);
        r->source++;
        r->file = 0;
        r->taken = 0;
        r->root_checked = false;
    }
    return OK;
}

/* Asked when a source's first row with a picture comes: text needs no folder. */
static Status check_root(const Mixture *m, const MixtureSource *s)
{
    Mistakes missing = {.lines = NULL};
    if (root_trouble(s))
        add_missing_roots(&missing, m);
    return mistakes_end(&missing, ERR_MISSING, "the mixture");
}

static void close_file(RecordReader *r)
{
    rows_close(&r->rows);
    if (r->fed && !r->feed->again)
        close_feed(r);
    r->open = false;
    r->file++;
}

/* Rows that stand otherwise; their uids are used all the same. */
static void check_exclusion(RecordReader *r)
{
    Record *rec = &r->rec;
    for (int i = 0; i < rec->n_images && !rec->reject; i++)
        if (exclude_fits(&r->exclude, rec->images[i].path)) {
            rec->reject = REJECT_LISTED;
            snprintf(rec->message, sizeof rec->message, "its picture is on the list %.200s", r->m->exclude_file);
        }
}

/* The next row of the open file into r->rec. */
static Status read_next(RecordReader *r, bool *end)
{
    if (r->feed) {
        Draft d = {.row = -1, .prov.index = -1};
        TRY(r->feed->next(r->fed, &d, end));
        if (*end)
            return OK;
        r->row = d.row < 0 ? r->row : d.row;
        start_record(r);
        return take_draft(r, &d);
    }
    Row row;
    TRY(rows_next(r->rows, &row, end));
    if (*end)
        return OK;
    start_record(r);
    return read_row(r, &row);
}

Status records_next(RecordReader *r, const Record **rec)
{
    *rec = NULL;
    for (;;) {
        if (!r->open)
            TRY(next_file(r));
        if (!r->open)
            return OK;
        const MixtureSource *s = &r->m->sources[r->source];
        bool end = s->max && r->taken >= s->max;
        if (!end)
            TRY_IN(read_next(r, &end), "%s", s->files[r->file]);
        if (!end) {
            if (r->rec.n_images && !r->root_checked)
                TRY(check_root(r->m, s));
            r->root_checked |= r->rec.n_images > 0;
            check_exclusion(r);
            r->taken += !r->rec.reject;
            *rec = &r->rec;
            return OK;
        }
        close_file(r);
    }
}

/* ---------------------------------------------------------------- opening */

Status records_open(RecordReader **out, const Mixture *m)
{
    *out = NULL;
    TRY(mixture_check_files(m, false));
    *out = mem_alloc(sizeof **out);
    if (!*out)
        return fail(ERR_NOMEM, "no memory to read the mixture");
    (*out)->m = m;
    (*out)->uids.kind = TABLE_SET;
    Status s = m->exclude_file ? exclude_load(&(*out)->exclude, m->exclude_file) : OK;
    if (s)
        records_close(out);
    return s;
}

int64_t records_replaced_surrogates(const RecordReader *r) { return r->surrogates; }

void records_close(RecordReader **r)
{
    if (!r || !*r)
        return;
    close_file(*r);
    close_feed(*r);
    draft_text_free(&(*r)->texts);
    json_free(&(*r)->doc);
    table_free(&(*r)->uids);
    row_room_free(&(*r)->rec, &(*r)->room);
    exclude_free(&(*r)->exclude);
    mem_free((*r)->uid);
    mem_free((*r)->wanted);
    mem_free(*r);
    *r = NULL;
}
