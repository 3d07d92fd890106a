/* caption_coco.c: COCO's captions: one object with "images" (id, file_name) and "annotations" (id, image_id, caption), in any order, a
 * record an annotation. The file is read twice, for the pictures' names and for the annotations; in memory are the names alone. Called by
 * captions.c. */
#include <string.h>
#include <xxhash.h>

#include "data/records/captions.h"
#include "data/records/draft.h"
#include "data/records/feed_rows.h"
#include "kernels/base/arena.h"

static const char IMAGES[] = "images", ANNOTATIONS[] = "annotations";

/* Ids of pictures and their files' names: a table of places in one text, "ID\0NAME\0" each. */
typedef struct Names {
    size_t *slots; /* place + 1; 0: empty */
    size_t n, capacity;
    char *text;
    size_t text_n, text_capacity;
} Names;

typedef struct Coco {
    FeedRows rows;
    Names names;
} Coco;

/* ---------------------------------------------------------------- names */

/* The slot of an id, or the empty one where it would go. */
static size_t *slot_of(const Names *names, size_t *slots, size_t capacity, const char *id)
{
    size_t i = (size_t)((unsigned __int128)XXH3_64bits(id, strlen(id)) * capacity >> 64);
    while (slots[i] && strcmp(names->text + slots[i] - 1, id) != 0)
        i = i + 1 < capacity ? i + 1 : 0;
    return &slots[i];
}

static Status no_memory(const Names *names) { return fail(ERR_NOMEM, "no memory for the names of %zu pictures", names->n); }

static Status make_room(Names *names, size_t bytes)
{
    enum { FIRST_CAPACITY = 1024, FIRST_BYTES = 1 << 16 };
    if (names->text_n + bytes > names->text_capacity) {
        const size_t capacity = names->text_capacity / 2 * 3 + bytes + FIRST_BYTES;
        char *text = mem_grow(names->text, capacity);
        if (!text)
            return no_memory(names);
        names->text = text;
        names->text_capacity = capacity;
    }
    if (names->n < names->capacity / 5 * 4)
        return OK;
    const size_t capacity = names->capacity ? names->capacity / 2 * 3 : FIRST_CAPACITY;
    size_t *slots = mem_alloc(capacity * sizeof *slots);
    if (!slots)
        return no_memory(names);
    for (size_t i = 0; i < names->capacity; i++)
        if (names->slots[i])
            *slot_of(names, slots, capacity, names->text + names->slots[i] - 1) = names->slots[i];
    mem_free(names->slots);
    names->slots = slots;
    names->capacity = capacity;
    return OK;
}

/* Of two pictures with one id the first counts. */
static Status add_name(Names *names, const char *id, const char *file)
{
    const size_t id_bytes = strlen(id) + 1, file_bytes = strlen(file) + 1;
    TRY(make_room(names, id_bytes + file_bytes));
    size_t *slot = slot_of(names, names->slots, names->capacity, id);
    if (*slot)
        return OK;
    *slot = names->text_n + 1;
    memcpy(names->text + names->text_n, id, id_bytes);
    memcpy(names->text + names->text_n + id_bytes, file, file_bytes);
    names->text_n += id_bytes + file_bytes;
    names->n++;
    return OK;
}

static const char *name_of(const Names *names, const char *id)
{
    if (!names->capacity)
        return NULL;
    const size_t place = *slot_of(names, names->slots, names->capacity, id);
    return place ? names->text + place - 1 + strlen(id) + 1 : NULL;
}

/* ---------------------------------------------------------------- the file */

/* A picture without an id or a name is one that no annotation finds. */
static Status add_picture(Coco *c, const Row *piece, const char *path)
{
    char fault[FAULT_BYTES], buf[ID_BYTES];
    bool ends_file;
    TRY(parsed_row(&c->rows.doc, piece, 0, fault, &ends_file));
    if (*fault)
        return fail(ERR_DATA, "%s:%s", path, fault);
    const char *id = parsed_id(json_get(json_root(c->rows.doc), "id"), buf);
    const Json *name = json_get(json_root(c->rows.doc), "file_name");
    return id && parsed_is_name(name) ? add_name(&c->names, id, name->string) : OK;
}

/* Reads the whole file, so that one which is no COCO file, or was cut off, is refused before its first row. */
static Status read_names(Coco *c, const char *path)
{
    bool end = false, images = false, annotations = false;
    for (Row piece; !end;) {
        TRY(rows_next(c->rows.rows, &piece, &end));
        if (end)
            break;
        if (piece.error)
            return fail(ERR_DATA, "%s:%s; COCO's captions are one object with \"images\" and \"annotations\"", path, piece.error);
        annotations |= !strcmp(piece.key, ANNOTATIONS);
        if (strcmp(piece.key, IMAGES) != 0)
            continue;
        images = true;
        TRY(add_picture(c, &piece, path));
    }
    if (!images || !annotations)
        return fail(ERR_DATA, "%s: nothing in its \"%s\", expected COCO's captions, one object with \"images\" and \"annotations\"", path,
                    images ? ANNOTATIONS : IMAGES);
    return OK;
}

static Status open_coco(void **feed, const MixtureSource *s, const char *path)
{
    Coco *c = *feed = mem_alloc(sizeof *c);
    if (!c)
        return fail(ERR_NOMEM, "%s: no memory to read it", path);
    TRY(feed_rows_open(&c->rows, s, path, ROWS_MEMBERS));
    TRY(read_names(c, path));
    feed_rows_close(&c->rows);
    return feed_rows_open(&c->rows, s, path, ROWS_MEMBERS);
}

static Status take_annotation(Coco *c, Draft *d, const Json *row)
{
    char buf[ID_BYTES];
    const Json *image = json_get(row, "image_id");
    const char *id = parsed_id(image, buf), *file = id ? name_of(&c->names, id) : NULL;
    feed_id(&c->rows, d, json_get(row, "id"));
    TRY(feed_scores(&c->rows, d, row));
    feed_text(d, &d->caption, row, "caption");
    if (!id)
        draft_reject(d, REJECT_BAD_JSON, "%d:%d: this annotation has no \"image_id\", a number or a text", row->line, row->column);
    else if (!file)
        draft_reject(d, REJECT_MISSING, "%d:%d: \"images\" has no file_name for the image_id %.60s", image->line, image->column, id);
    else
        draft_picture(d, c->rows.s, file);
    return OK;
}

static Status next_annotation(void *feed, Draft *d, bool *end)
{
    Coco *c = feed;
    Row piece;
    const Json *row;
    do {
        TRY(rows_next(c->rows.rows, &piece, end));
        if (*end)
            return OK;
        if (piece.error)
            return fail(ERR_DATA, "%s", piece.error);
    } while (strcmp(piece.key, ANNOTATIONS) != 0);
    TRY(feed_rows_take(&c->rows, &piece, d, &row));
    return row ? take_annotation(c, d, row) : OK;
}

static void close_coco(void **feed)
{
    Coco *c = *feed;
    feed_rows_close(&c->rows);
    mem_free(c->names.slots);
    mem_free(c->names.text);
    mem_free(c);
    *feed = NULL;
}

const Feed COCO_FEED = {.open = open_coco, .next = next_annotation, .close = close_coco};
