/* caption_coco.c: COCO's captions: one object with "images" (id, file_name) and "annotations" (id, image_id, caption), in any order, a
 * record an annotation. The file is read twice, for the pictures' names and for the annotations; in memory are the names alone. Called by
 * captions.c. */
#include <string.h>

#include "data/records/captions.h"
#include "data/records/draft.h"
#include "data/records/feed_rows.h"
#include "data/records/keyed.h"
#include "kernels/base/arena.h"

static const char IMAGES[] = "images", ANNOTATIONS[] = "annotations";

typedef struct Coco {
    FeedRows rows;
    Keyed names;
} Coco;

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
    return id && parsed_is_name(name) ? keyed_add(&c->names, id, name->string) : OK;
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
    const char *id = parsed_id(image, buf), *file = id ? keyed_find(&c->names, id) : NULL;
    feed_id(&c->rows, d, json_get(row, "id"));
    TRY(feed_scores(&c->rows, d, row));
    feed_caption_text(&c->rows, d, row);
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
    keyed_free(&c->names);
    mem_free(c);
    *feed = NULL;
}

const Feed COCO_FEED = {.open = open_coco, .next = next_annotation, .close = close_coco};
