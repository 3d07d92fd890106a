/* magicbrush.c: rows of a folder in the layout of MagicBrush: edit_sessions.json, images/IMG_ID/…, and files of captions. A row a turn.
 * Called by records.c, through the table in formats.c, and by mixture.c for what may not be read. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/beneath.h"
#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/formats/line_file.h"
#include "data/formats/rows.h"
#include "data/records/format.h"
#include "data/records/records.h"
#include "kernels/base/arena.h"
#include "kernels/base/table.h"
#include "kernels/base/utf8.h"

static const char SESSIONS[] = "edit_sessions.json", IMAGES[] = "images";

/* The first that is there is read. Global captions describe the whole picture, local ones the change. */
static const char *const CAPTIONS[] = {"global_descriptions.json", "global_description.json", "global_captions.json",
                                       "local_captions.json", "local_descriptions.json"};
enum { N_CAPTIONS = sizeof CAPTIONS / sizeof *CAPTIONS };

typedef enum Picture { INPUT, OUTPUT, MASK, N_PICTURES } Picture;
static const char *const KEYS[N_PICTURES] = {"input", "output", "mask"};
static const ImageRole ROLES[N_PICTURES] = {ROLE_INPUT, ROLE_TARGET, ROLE_MASK};

/* Texts of a row: its id, and the paths of its pictures from the root. */
typedef struct Text {
    char *at;
    size_t capacity;
} Text;

/* What stands under the keys of a file of captions, read when it is asked for: 30 to 45 bytes of memory a key. */
typedef struct Captions {
    char path[PATH_MAX];
    LineFiles file; /* one, or none */
    Table places;   /* by the hash of a key: bytes before its value · 2^LENGTH_BITS + bytes of the value */
    uint64_t read;  /* the place of what is in `value` */
    LineText text;
    JsonDoc *value;
} Captions;
enum { LENGTH_BITS = 25 }; /* a row has at most 16 MiB */

typedef struct Turns {
    const MixtureSource *source;
    const char *root;
    char folder[PATH_MAX], below[16]; /* of the split, and what pictures' paths begin with: "" or "train/" */
    Rows *sessions;
    JsonDoc *turn;
    Captions captions;
    Text session;     /* the present one's IMG_ID */
    int number;       /* of the present turn, from 1 */
    const char *said; /* with the first row, or NULL */
    Text last;        /* the name of the last turn's output; "": the turn did not name it */
    Text id, key, path[N_PICTURES];
} Turns;

/* ---------------------------------------------------------------- places */

/* The folder of a split, from the root: "", the root itself, or the one of that name below it. */
static const char *choose_below(const char *root, const char *split)
{
    char path[PATH_MAX];
    return file_exists(file_join(path, root, SESSIONS)) ? "" : strcmp(split, "val") ? "train" : "dev";
}

static char *folder_of_split(char folder[PATH_MAX], const char *root, const char *below)
{
    if (*below)
        return file_join(folder, root, below);
    snprintf(folder, PATH_MAX, "%s", root);
    return folder;
}

/* Whether a folder goes by a name, as its path is written or by what a link leads to. */
static bool is_called(const char *path, const char *name)
{
    char real[PATH_MAX];
    const char *const paths[] = {path, realpath(path, real) ? real : path};
    const size_t length = strlen(name);
    for (int i = 0; i < 2; i++) {
        const char *p = paths[i];
        size_t n = strlen(p);
        while (n && (p[n - 1] == '/' || (p[n - 1] == '.' && (n == 1 || p[n - 2] == '/'))))
            n--;
        if (n >= length && !strncasecmp(p + n - length, name, length) && (n == length || p[n - length - 1] == '/'))
            return true;
    }
    return false;
}

/* Whether a folder of a split has the name of the other one; a folder above them chooses by the split. */
static bool is_other_split(const char *root, const char *split)
{
    const bool val = !strcmp(split, "val");
    return !*choose_below(root, split) && is_called(root, val ? "train" : "dev") && !is_called(root, val ? "dev" : "train");
}

static bool refuses(const char *root, const char *split, bool is_default, char sentence[256])
{
    char folder[PATH_MAX];
    folder_of_split(folder, root, choose_below(root, split));
    if (is_called(root, "test") || is_called(folder, "test")) {
        snprintf(sentence, 256,
                 "root leads to a folder called \"test\": the authors of MagicBrush ask that its test split is never trained "
                 "on; expected the folder of train or dev, or the one above them");
        return true;
    }
    if (is_default || !is_other_split(root, split))
        return false;
    snprintf(sentence, 256, "root is a folder called \"%s\", and split is \"%s\": expected the split \"%s\", or another root",
             strcmp(split, "val") ? "dev" : "train", split, strcmp(split, "val") ? "val" : "train");
    return true;
}

static const char *find_captions(char path[PATH_MAX], const char *folder)
{
    for (int i = 0; i < N_CAPTIONS; i++)
        if (file_exists(file_join(path, folder, CAPTIONS[i])))
            return path;
    return NULL;
}

/* ---------------------------------------------------------------- files that all rows depend on */

static Status refuse_value(const char *path, const Json *v, const char *expected)
{
    char found[80];
    return fail(ERR_DATA, "%s:%d:%d: expected %s, found %s", path, v->line, v->column, expected, json_show(v, found, sizeof found));
}

static Status text_room(Text *text, size_t n)
{
    if (n <= text->capacity)
        return OK;
    char *grown = mem_grow(text->at, n);
    if (!grown)
        return fail(ERR_NOMEM, "no memory for a name of %zu bytes", n);
    text->at = grown;
    text->capacity = n;
    return OK;
}

static Status set_text(Text *text, const char *to)
{
    TRY(text_room(text, strlen(to) + 1));
    memcpy(text->at, to, strlen(to) + 1);
    return OK;
}

/* The next turn of any session, parsed. */
static Status next_turn(Turns *t, bool *end)
{
    char path[PATH_MAX];
    Row row;
    file_join(path, t->folder, SESSIONS);
    TRY(rows_next(t->sessions, &row, end));
    if (*end)
        return OK;
    if (row.error)
        return fail(ERR_DATA, "%s:%s; expected an object of sessions, {\"IMG_ID\": [turns]}", path, row.error);
    json_free(&t->turn);
    TRY(json_parse_at(&t->turn, row.text, row.n, path, row.line, row.column));
    if (!row.element)
        return refuse_value(path, json_root(t->turn), "the turns of a session, a list");
    const bool goes_on = t->number && !strcmp(t->session.at, row.key);
    t->number = goes_on ? t->number + 1 : 1;
    return goes_on ? OK : set_text(&t->session, row.key);
}

static Status begin_sessions(Turns *t)
{
    char path[PATH_MAX];
    t->number = 0;
    rows_close(&t->sessions);
    return rows_open(&t->sessions, file_join(path, t->folder, SESSIONS), ROWS_MEMBERS);
}

/* All of them are read once, so that a broken file ends the run before its first row. */
static Status open_sessions(Turns *t)
{
    bool end = false;
    TRY(begin_sessions(t));
    while (!end)
        TRY(next_turn(t, &end));
    return begin_sessions(t);
}

/* "IMG_ID/FILE" */
static Status join_key(Text *key, const char *session, const char *file)
{
    const size_t n = strlen(session) + 1 + strlen(file) + 1;
    TRY(text_room(key, n));
    snprintf(key->at, n, "%s/%s", session, file);
    return OK;
}

static TableKey hash_key(const char *key)
{
    const XXH128_hash_t hash = XXH3_128bits(key, strlen(key));
    return (TableKey){{hash.low64, hash.high64}};
}

static Status check_caption(const char *path, const Json *caption)
{
    return caption->kind == JSON_NULL || caption->kind == JSON_STRING ? OK : refuse_value(path, caption, "a caption");
}

static Status add_captions(Turns *t, const char *path, const Row *row)
{
    uint64_t *place;
    if (row->error)
        return fail(ERR_DATA, "%s:%s; expected an object of captions, {\"IMG_ID\": {\"FILE\": text}} or {\"FILE\": text}", path,
                    row->error);
    json_free(&t->turn);
    TRY(json_parse_at(&t->turn, row->text, row->n, path, row->line, row->column));
    const Json *value = json_root(t->turn);
    if (row->element)
        return refuse_value(path, value, "a caption, or an object of the captions of a session, and no list");
    if (value->kind != JSON_OBJECT)
        TRY(check_caption(path, value));
    else
        for (const Json *file = value->child; file; file = file->next)
            TRY(check_caption(path, file));
    TRY_IN(table_at(&t->captions.places, hash_key(row->key), &place), "%s", path);
    *place = *place ? *place : (uint64_t)row->start << LENGTH_BITS | row->n; /* of two equal keys the first counts */
    return OK;
}

/* {"IMG_ID": {"FILE": caption}} or {"FILE": caption}: all of it is looked at, so that a broken file ends the run before its first row. */
static Status read_captions(Turns *t)
{
    const char *path = find_captions(t->captions.path, t->folder);
    Rows *rows;
    bool end = false;
    if (!path)
        return OK;
    TRY(line_files_open(&t->captions.file, &path, 1));
    TRY(rows_open(&rows, path, ROWS_MEMBERS));
    Status s = OK;
    for (Row row; !s && !(s = rows_next(rows, &row, &end)) && !end;)
        s = add_captions(t, path, &row);
    rows_close(&rows);
    return s;
}

/* What stands under a key; NULL: nothing does. Valid until the next one is read. */
static Status find_value(Captions *c, const char *key, const Json **value)
{
    const uint64_t place = table_value(&c->places, hash_key(key));
    *value = NULL;
    if (!place)
        return OK;
    if (place != c->read) {
        const LinePlace at = {.start = (int64_t)(place >> LENGTH_BITS), .n = (uint32_t)(place & ((1u << LENGTH_BITS) - 1))};
        c->read = 0;
        json_free(&c->value);
        TRY(line_files_read(&c->file, &at, &c->text));
        TRY_IN(json_parse(&c->value, c->text.text, at.n, "a caption"), "%s: changed while it was read", c->file.files->name);
        c->read = place;
    }
    *value = json_root(c->value);
    return OK;
}

static bool is_text(const Json *v) { return v && v->kind == JSON_STRING; }

/* *caption: of a picture of the present session, or NULL. */
static Status find_caption(Turns *t, const char *file, const char **caption)
{
    const Json *v;
    TRY(find_value(&t->captions, t->session.at, &v));
    v = v && v->kind == JSON_OBJECT ? json_get(v, file) : NULL;
    TRY(join_key(&t->key, t->session.at, file));
    if (!is_text(v))
        TRY(find_value(&t->captions, t->key.at, &v));
    if (!is_text(v))
        TRY(find_value(&t->captions, file, &v));
    *caption = is_text(v) ? v->string : NULL;
    return OK;
}

/* ---------------------------------------------------------------- a row */

static void reject(Draft *d, Reject why, const char *message)
{
    d->reject = why;
    snprintf(d->message, sizeof d->message, "%s", message);
}

/* The name that a turn gives, NULL: none. A name that is no text rejects the row. */
static const char *name_in(Draft *d, const Json *turn, const char *key)
{
    const Json *v = json_get(turn, key);
    char message[160], found[80];
    if (!v || v->kind == JSON_NULL || (v->kind == JSON_STRING && !v->length))
        return NULL;
    if (v->kind == JSON_STRING && strlen(v->string) == v->length)
        return v->string;
    snprintf(message, sizeof message, "%d:%d: \"%s\" is %s, expected a file name", v->line, v->column, key,
             json_show(v, found, sizeof found));
    reject(d, REJECT_BAD_JSON, message);
    return NULL;
}

/* Path of a picture from the root: the file `name` of the session, or IMG_ID-WHATk.png; k 0: without a number. */
static Status set_path(Turns *t, Text *path, const char *name, const char *what, int k)
{
    const char *id = t->session.at;
    const size_t n = sizeof t->below + sizeof IMAGES + 2 * strlen(id) + (name ? strlen(name) : 0) + 48;
    TRY(text_room(path, n));
    int at = snprintf(path->at, n, "%s%s/%s/", t->below, IMAGES, id);
    if (name)
        snprintf(path->at + at, n - (size_t)at, "%s", name);
    else if (k)
        snprintf(path->at + at, n - (size_t)at, "%s-%s%d.png", id, what, k);
    else
        snprintf(path->at + at, n - (size_t)at, "%s-%s.png", id, what);
    return OK;
}

/* errno of looking for a picture below the folder of the split; 0: it is there. */
static int look_for(const Turns *t, const char *path)
{
    const int found = beneath_find(t->folder, path + strlen(t->below)), error = errno;
    if (found >= 0)
        close(found);
    return found >= 0 ? 0 : error;
}

/* Its input is the output of the turn before, and a mask is there only if its file is, where the turn does not name them. */
static Status find_pictures(Turns *t, Draft *d, const char *const named[N_PICTURES])
{
    const int k = t->number;
    if (named[INPUT] || k == 1)
        TRY(set_path(t, &t->path[INPUT], named[INPUT], "input", 0));
    else
        TRY(set_path(t, &t->path[INPUT], *t->last.at ? t->last.at : NULL, "output", k - 1));
    TRY(set_path(t, &t->path[OUTPUT], named[OUTPUT], "output", k));
    TRY(set_path(t, &t->path[MASK], named[MASK], "mask", k));
    for (int i = 0; i < N_PICTURES; i++) {
        const int error = look_for(t, t->path[i].at);
        if (i == MASK && !named[MASK] && error)
            continue;
        if (error == EXDEV && !d->reject) {
            char sentence[256];
            snprintf(sentence, sizeof sentence, "%s the folder %.200s", beneath_way_out(t->folder, t->path[i].at + strlen(t->below)),
                     t->folder);
            reject(d, REJECT_OUTSIDE_ROOT, sentence);
            snprintf(d->reject_path, sizeof d->reject_path, "%.255s", t->path[i].at);
        }
        d->images[d->n_images++] = (RecordImage){t->path[i].at, ROLES[i]};
    }
    return OK;
}

static Status set_id(Turns *t, Draft *d)
{
    const size_t n = strlen(t->session.at) + 16;
    TRY(text_room(&t->id, n));
    snprintf(t->id.at, n, "%s/%d", t->session.at, t->number);
    d->id = t->id.at;
    return OK;
}

static Status read_turn(Turns *t, Draft *d, const Json *turn)
{
    char message[160], found[80];
    if (turn->kind != JSON_OBJECT) {
        snprintf(message, sizeof message, "%d:%d: a turn is %s, expected an object", turn->line, turn->column,
                 json_show(turn, found, sizeof found));
        reject(d, REJECT_BAD_JSON, message);
        return set_text(&t->last, "");
    }
    const char *named[N_PICTURES];
    for (int i = 0; i < N_PICTURES; i++)
        named[i] = name_in(d, turn, KEYS[i]);
    const Json *instruction = json_get(turn, "instruction");
    if (instruction && instruction->kind != JSON_STRING && instruction->kind != JSON_NULL) {
        snprintf(message, sizeof message, "%d:%d: \"instruction\" is %s, expected a text", instruction->line, instruction->column,
                 json_show(instruction, found, sizeof found));
        reject(d, REJECT_BAD_JSON, message);
    }
    TRY(find_pictures(t, d, named));
    TRY(set_text(&t->last, named[OUTPUT] ? named[OUTPUT] : ""));
    if (instruction && instruction->kind == JSON_STRING)
        d->instruction = (RecordText){instruction->string, instruction->length};
    return OK;
}

/* The caption of the target, or the instruction. */
static Status set_prompt(Turns *t, Draft *d)
{
    const char *caption;
    TRY(find_caption(t, strrchr(t->path[OUTPUT].at, '/') + 1, &caption));
    size_t n = caption ? strlen(caption) : 0;
    if (caption)
        utf8_strip(&caption, &n);
    d->sd_prompt = n ? (RecordText){caption, n} : d->instruction;
    return OK;
}

static Status next_row(void *feed, Draft *d, bool *end)
{
    Turns *t = feed;
    TRY(next_turn(t, end));
    if (*end)
        return OK;
    TRY(set_id(t, d));
    d->note = t->said;
    t->said = NULL;
    d->split = t->source->split;
    d->prov.file = SESSIONS;
    TRY(read_turn(t, d, json_root(t->turn)));
    return d->reject ? OK : set_prompt(t, d);
}

static void close_feed(void **feed)
{
    Turns *t = *feed;
    if (!t)
        return;
    rows_close(&t->sessions);
    json_free(&t->turn);
    line_files_close(&t->captions.file);
    table_free(&t->captions.places);
    mem_free(t->captions.text.text);
    json_free(&t->captions.value);
    mem_free(t->session.at);
    mem_free(t->last.at);
    mem_free(t->id.at);
    mem_free(t->key.at);
    for (int i = 0; i < N_PICTURES; i++)
        mem_free(t->path[i].at);
    mem_free(t);
    *feed = NULL;
}

static Status open_files(Turns *t, const MixtureSource *s, const char *root)
{
    t->source = s;
    t->root = root;
    const char *below = choose_below(root, s->split);
    snprintf(t->below, sizeof t->below, "%s%s", below, *below ? "/" : "");
    folder_of_split(t->folder, root, below);
    if (is_other_split(root, s->split))
        t->said = "this is a folder called \"dev\", read as the split \"train\", the default; to hold it out, write \"split\": \"val\"";
    TRY(open_sessions(t));
    return read_captions(t);
}

static Status open_feed(void **feed, const MixtureSource *s, const char *root)
{
    *feed = mem_alloc(sizeof(Turns));
    if (!*feed)
        return fail(ERR_NOMEM, "%s: no memory to read it", root);
    Status failed = open_files(*feed, s, root);
    if (failed)
        close_feed(feed);
    return failed;
}

/* ---------------------------------------------------------------- what the rows depend on */

static Status visit_folder(const Turns *t, FeedVisit visit, void *arg)
{
    char below[PATH_MAX], path[PATH_MAX];
    struct stat st;
    const int found = beneath_find(t->folder, file_join(below, IMAGES, t->session.at));
    const bool is_folder = found >= 0 && !fstat(found, &st) && S_ISDIR(st.st_mode);
    if (found >= 0)
        close(found);
    return is_folder ? visit(arg, file_join(path, t->folder, below)) : OK;
}

static Status visit_folders(Turns *t, FeedVisit visit, void *arg)
{
    for (bool end = false; !end;) {
        TRY(next_turn(t, &end));
        if (!end && t->number == 1)
            TRY(visit_folder(t, visit, arg));
    }
    return OK;
}

/* The names in a session's folder say which turns have a mask. */
static Status visit_inputs(const MixtureSource *s, const char *root, FeedVisit visit, void *arg)
{
    void *feed;
    char path[PATH_MAX];
    TRY(open_feed(&feed, s, root));
    Turns *t = feed;
    Status failed = visit(arg, file_join(path, t->folder, SESSIONS));
    if (!failed && find_captions(path, t->folder))
        failed = visit(arg, path);
    if (!failed)
        failed = visit_folders(t, visit, arg);
    close_feed(&feed);
    return failed;
}

const Feed MAGICBRUSH_FEED = {.open = open_feed, .next = next_row, .close = close_feed, .inputs = visit_inputs, .refuses = refuses};
