/* folder.c: rows of a folder of pictures with a text of the same name beside each: cat.jpg and cat.txt. A row a line of the text that is
 * not blank: a caption of the picture. Keeps the first few of a picture where the source says so (`each`). Folders inside are not entered.
 * Called by records.c, through the table in formats.c. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/formats/file.h"
#include "data/records/draft.h"
#include "data/records/root_file.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

static const char BOM[] = "\xEF\xBB\xBF";

/* A name in the folder, and the text beside it, which has none itself. */
typedef struct Name {
    char *name;
    const struct Name *text; /* NULL: there is none */
    bool is_text, is_used;   /* used: there is a picture of that name */
} Name;

typedef struct Folder {
    const MixtureSource *source;
    const char *root;
    Name *names; /* in order */
    size_t n, capacity, next;
    const Name *picture; /* the present one */
    char *text;          /* its captions */
    const char *at, *end;
    int64_t line, kept; /* lines of it so far, from 1; captions so far */
    Reject reject;      /* of the whole text */
    char message[256];
} Folder;

/* ---------------------------------------------------------------- names */

/* Bytes of a name before its ending. */
static size_t stem_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? (size_t)(dot - name) : strlen(name);
}

static bool is_text(const char *name) { return !strcasecmp(name + stem_of(name), ".txt"); }

/* Hidden files are those of the system. */
static Status add_name(void *arg, const char *name)
{
    Folder *f = arg;
    if (*name == '.')
        return OK;
    if (f->n == f->capacity) {
        const size_t capacity = 2 * f->capacity + 64;
        Name *grown = mem_grow(f->names, capacity * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "%s: no memory for the names of %zu files", f->root, capacity);
        f->names = grown;
        f->capacity = capacity;
    }
    char *copy = mem_strdup(name);
    if (!copy)
        return fail(ERR_NOMEM, "%s: no memory for the name of a file", f->root);
    f->names[f->n++] = (Name){.name = copy, .is_text = is_text(name)};
    return OK;
}

static int by_name(const void *a, const void *b) { return strcmp(((const Name *)a)->name, ((const Name *)b)->name); }

static void find_text(Folder *f, Name *picture)
{
    char name[NAME_MAX + 8];
    static const char *const ENDINGS[] = {".txt", ".TXT"};
    for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS && !picture->text; i++) {
        snprintf(name, sizeof name, "%.*s%s", (int)stem_of(picture->name), picture->name, ENDINGS[i]);
        Name *text = bsearch(&(Name){.name = name}, f->names, f->n, sizeof *f->names, by_name);
        picture->text = text;
        if (text)
            text->is_used = true;
    }
}

/* ---------------------------------------------------------------- captions of a picture */

static Status open_text(Folder *f)
{
    size_t n = 0;
    mem_free(f->text);
    f->text = NULL;
    f->line = f->kept = 0;
    TRY(root_file_read(f->root, f->picture->text->name, &f->text, &n, &f->reject, f->message));
    f->at = f->text;
    f->end = f->text ? f->text + n : NULL;
    if (n >= sizeof BOM - 1 && !memcmp(f->at, BOM, sizeof BOM - 1))
        f->at += sizeof BOM - 1;
    return OK;
}

/* The next line that is not blank; false: there is none. */
static bool next_line(Folder *f, RecordText *line)
{
    while (f->at < f->end) {
        const char *stop = memchr(f->at, '\n', (size_t)(f->end - f->at));
        *line = (RecordText){f->at, (size_t)((stop ? stop : f->end) - f->at)};
        f->at = stop ? stop + 1 : f->end;
        f->line++;
        utf8_strip(&line->text, &line->length);
        if (line->length)
            return true;
    }
    return false;
}

static void check_utf8(const Folder *f, Draft *d, RecordText line)
{
    size_t i = 0;
    for (int k; i < line.length && (k = utf8_decode(line.text + i, line.length - i, NULL)); i += (size_t)k)
        ;
    if (i < line.length)
        draft_reject(d, REJECT_BAD_JSON, "line %lld: expected UTF-8, found the byte 0x%02x", (long long)f->line,
                     (unsigned char)line.text[i]);
}

/* ---------------------------------------------------------------- rows */

static void name_row(const Folder *f, Draft *d, const Name *file)
{
    d->id = file->name;
    snprintf(d->reject_path, sizeof d->reject_path, "%.255s", file->text ? file->text->name : file->name);
    d->prov = (RecordProvenance){.file = file->text ? file->text->name : NULL, .index = f->line - 1};
}

static void fill_caption(const Folder *f, Draft *d, RecordText caption)
{
    name_row(f, d, f->picture);
    check_utf8(f, d, caption);
    d->caption = caption;
    draft_picture(d, f->source, f->picture->name);
}

/* A name without a partner, or a text that cannot be read or says nothing. */
static void fill_bad(const Folder *f, Draft *d, const Name *file)
{
    name_row(f, d, file);
    const int stem = (int)stem_of(file->name);
    if (file->is_text)
        draft_reject(d, REJECT_MISSING, "no picture of this name is beside it");
    else if (!file->text)
        draft_reject(d, REJECT_NO_PROMPT, "no caption is beside it, expected one in %.*s.txt", stem, file->name);
    else if (f->reject)
        draft_reject(d, f->reject, "%s", f->message);
    else
        draft_reject(d, REJECT_NO_PROMPT, "the text is empty, expected a caption of %.100s", file->name);
}

/* Captions of the present picture, then the next name. */
static Status next_row(void *feed, Draft *d, bool *end)
{
    Folder *f = feed;
    RecordText caption;
    for (;;) {
        if (f->picture && (!f->source->each || f->kept < f->source->each) && next_line(f, &caption)) {
            f->kept++;
            fill_caption(f, d, caption);
            return OK;
        }
        const Name *done = f->picture;
        f->picture = NULL;
        if (done && !f->kept) {
            fill_bad(f, d, done);
            return OK;
        }
        *end = f->next == f->n;
        if (*end)
            return OK;
        const Name *file = &f->names[f->next++];
        if (file->is_used)
            continue;
        if (!file->text) {
            fill_bad(f, d, file);
            return OK;
        }
        f->picture = file;
        TRY(open_text(f));
    }
}

static void close_feed(void **feed)
{
    Folder *f = *feed;
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++)
        mem_free(f->names[i].name);
    mem_free(f->names);
    mem_free(f->text);
    mem_free(f);
    *feed = NULL;
}

static Status open_feed(void **feed, const MixtureSource *s, const char *root)
{
    Folder *f = *feed = mem_alloc(sizeof *f);
    if (!f)
        return fail(ERR_NOMEM, "%s: no memory to read it", root);
    f->source = s;
    f->root = root;
    const Status failed = file_list(root, add_name, f);
    if (failed) {
        close_feed(feed);
        return failed;
    }
    for (size_t i = 0; i < f->n; i++)
        if (!f->names[i].is_text)
            find_text(f, &f->names[i]);
    return OK;
}

/* The texts, and the folder, whose names say which there are. */
static Status visit_inputs(const MixtureSource *s, const char *root, FeedVisit visit, void *arg)
{
    void *feed;
    TRY(open_feed(&feed, s, root));
    const Folder *f = feed;
    Status failed = visit(arg, root);
    for (size_t i = 0; i < f->n && !failed; i++)
        if (f->names[i].is_used)
            failed = root_file_visit(root, f->names[i].name, visit, arg);
    close_feed(&feed);
    return failed;
}

const Feed FOLDER_FEED = {.open = open_feed, .next = next_row, .close = close_feed, .inputs = visit_inputs};
