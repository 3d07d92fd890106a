/* listing.c: see listing.h. After prepare_dataset.py and edit_dataset.py of timothybrooks/instruct-pix2pix. */
#include "data/records/listing.h"

#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

static const char FIRST_PICTURE[] = "_0.jpg";

/* Names, in order. */
typedef struct Names {
    char **items;
    size_t n, capacity;
} Names;

struct Listing {
    char path[PATH_MAX]; /* of the seeds.json; "": there is none */
    const char *root;    /* the caller's */
    Rows *rows;          /* of seeds.json */
    JsonDoc *doc;        /* its entry */
    Names folders;       /* without one: all that hold a pair */
    Names stems;         /* of the present folder */
    const char **seeds;
    size_t seeds_capacity;
    int64_t next, end; /* numbers of folders */
};

const char *listing_file(const Listing *l) { return *l->path ? l->path : NULL; }

/* ---------------------------------------------------------------- names */

static void clear_names(Names *names)
{
    for (size_t i = 0; i < names->n; i++)
        mem_free(names->items[i]);
    names->n = 0;
}

static Status add_name(Names *names, const char *name, size_t length)
{
    if (names->n == names->capacity) {
        const size_t capacity = 2 * names->capacity + 8;
        char **grown = mem_grow(names->items, capacity * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for the names of %zu folders", capacity);
        names->items = grown;
        names->capacity = capacity;
    }
    char *copy = mem_alloc(length + 1);
    if (!copy)
        return fail(ERR_NOMEM, "no memory for the name of a folder");
    memcpy(copy, name, length);
    names->items[names->n++] = copy;
    return OK;
}

static Status seed_room(Listing *l, size_t n)
{
    if (n <= l->seeds_capacity)
        return OK;
    const char **grown = mem_grow(l->seeds, n * sizeof *grown);
    if (!grown)
        return fail(ERR_NOMEM, "%s: no memory for a folder of %zu pairs", l->root, n);
    l->seeds = grown;
    l->seeds_capacity = n;
    return OK;
}

/* ---------------------------------------------------------------- seeds.json */

static bool is_name(const Json *v) { return v->kind == JSON_STRING && v->length && strlen(v->string) == v->length; }

static Status refuse_entry(const Listing *l, const Json *v, const char *expected)
{
    char found[80];
    return fail(ERR_DATA, "%s:%d:%d: %s, found %s", l->path, v->line, v->column, expected, json_show(v, found, sizeof found));
}

/* ["0000000", ["1234567", …]] */
static Status read_entry(Listing *l, const Row *row, ListedFolder *f)
{
    if (row->error)
        return fail(ERR_DATA, "%s:%s", l->path, row->error);
    json_free(&l->doc);
    TRY(json_parse_at(&l->doc, row->text, row->n, l->path, row->line, row->column));
    const Json *entry = json_root(l->doc);
    if (entry->kind != JSON_ARRAY || entry->length != 2)
        return refuse_entry(l, entry, "expected a folder and its seeds, [\"0000000\", [\"1234567\", …]]");
    const Json *name = entry->child, *list = name->next;
    if (!is_name(name))
        return refuse_entry(l, name, "expected the name of a folder");
    if (list->kind != JSON_ARRAY)
        return refuse_entry(l, list, "expected a list of seeds");
    TRY(seed_room(l, list->length));
    *f = (ListedFolder){.name = name->string, .seeds = l->seeds};
    for (const Json *seed = list->child; seed; seed = seed->next) {
        if (!is_name(seed))
            return refuse_entry(l, seed, "expected a seed, a string");
        l->seeds[f->n++] = seed->string;
    }
    return OK;
}

static Status next_entry(Listing *l, ListedFolder *f, bool *end)
{
    Row row;
    TRY(rows_next(l->rows, &row, end));
    return *end ? OK : read_entry(l, &row, f);
}

/* Each entry is read once here, so that a broken one ends the run before it begins. */
static Status count_entries(Listing *l, int64_t *n)
{
    ListedFolder f;
    bool end = false;
    *n = 0;
    TRY(rows_open(&l->rows, l->path, ROWS_LINES_OR_ARRAY));
    for (;;) {
        TRY(next_entry(l, &f, &end));
        if (end)
            break;
        ++*n;
    }
    rows_close(&l->rows);
    return *n ? OK : fail(ERR_DATA, "%s: lists no folder, expected [[\"0000000\", [\"1234567\", …]], …]", l->path);
}

static Status skip_entries(Listing *l, int64_t n)
{
    Row row;
    bool end = false;
    TRY(rows_open(&l->rows, l->path, ROWS_LINES_OR_ARRAY));
    for (int64_t i = 0; i < n && !end; i++)
        TRY(rows_next(l->rows, &row, &end));
    return OK;
}

/* ---------------------------------------------------------------- without one */

static Status take_stem(void *listing, const char *name)
{
    Listing *l = listing;
    return utf8_ends(name, FIRST_PICTURE) ? add_name(&l->stems, name, strlen(name) - (sizeof FIRST_PICTURE - 1)) : OK;
}

/* By the names of the files: 10_0.jpg stands before 1_0.jpg. */
static Status list_stems(Listing *l, const char *folder)
{
    char path[PATH_MAX];
    clear_names(&l->stems);
    return file_list(file_join(path, l->root, folder), take_stem, l);
}

static Status take_folder(void *listing, const char *name)
{
    Listing *l = listing;
    char path[PATH_MAX];
    struct stat st;
    if (stat(file_join(path, l->root, name), &st) || !S_ISDIR(st.st_mode))
        return OK;
    TRY(list_stems(l, name));
    return l->stems.n ? add_name(&l->folders, name, strlen(name)) : OK;
}

static Status list_folders(Listing *l, int64_t *n)
{
    TRY(file_list(l->root, take_folder, l));
    *n = (int64_t)l->folders.n;
    return *n ? OK
              : fail(ERR_DATA, "%s: has no seeds.json, and no folder in it has pictures SEED%s and SEED_1.jpg", l->root, FIRST_PICTURE);
}

static Status next_folder(Listing *l, ListedFolder *f)
{
    const char *name = l->folders.items[l->next];
    TRY(list_stems(l, name));
    TRY(seed_room(l, l->stems.n));
    for (size_t i = 0; i < l->stems.n; i++)
        l->seeds[i] = l->stems.items[i];
    *f = (ListedFolder){.name = name, .seeds = l->seeds, .n = l->stems.n};
    return OK;
}

/* ---------------------------------------------------------------- both */

/* Boundaries floor(0.9 N) and floor(0.95 N), in whole numbers. The last 5 % are to test with. */
static void choose_split(Listing *l, const char *split, int64_t n)
{
    const int64_t val = 9 * n / 10, test = 19 * n / 20;
    l->next = strcmp(split, "val") ? 0 : val;
    l->end = strcmp(split, "val") ? val : test;
}

static Status begin(Listing *l, const char *root, const char *split)
{
    int64_t n;
    l->root = root;
    file_join(l->path, root, "seeds.json");
    const bool listed = file_exists(l->path);
    if (listed)
        TRY(count_entries(l, &n));
    else {
        *l->path = 0;
        TRY(list_folders(l, &n));
    }
    choose_split(l, split, n);
    return listed ? skip_entries(l, l->next) : OK;
}

Status listing_open(Listing **out, const char *root, const char *split)
{
    *out = mem_alloc(sizeof **out);
    if (!*out)
        return fail(ERR_NOMEM, "%s: no memory to list it", root);
    Status s = begin(*out, root, split);
    if (s)
        listing_close(out);
    return s;
}

Status listing_next(Listing *l, ListedFolder *f, bool *end)
{
    *end = l->next >= l->end;
    if (*end)
        return OK;
    if (listing_file(l))
        TRY(next_entry(l, f, end));
    else
        TRY(next_folder(l, f));
    l->next++;
    return *end ? fail(ERR_DATA, "%s: changed while it was read", l->path) : OK;
}

void listing_close(Listing **l)
{
    if (!l || !*l)
        return;
    rows_close(&(*l)->rows);
    json_free(&(*l)->doc);
    clear_names(&(*l)->folders);
    clear_names(&(*l)->stems);
    mem_free((*l)->folders.items);
    mem_free((*l)->stems.items);
    mem_free((*l)->seeds);
    mem_free(*l);
    *l = NULL;
}
