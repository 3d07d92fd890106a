/* captions.c: pictures and their captions: COCO's annotations (.json), tables as of CC3M (.tsv), and rows {"caption", "file", "id"?}
 * (.jsonl). Keeps the first few captions of a picture where the source says so (`each`), over all its files. A row of formats.c. */
#include "data/records/captions.h"

#include <string.h>
#include <xxhash.h>

#include "data/records/draft.h"
#include "data/records/feed_rows.h"
#include "kernels/base/arena.h"
#include "kernels/base/table.h"
#include "kernels/base/utf8.h"

typedef struct Captions {
    const Feed *of; /* the kind of file */
    void *fed;
    const MixtureSource *s;
    Table kept; /* rows of a picture, by a hash of its name */
} Captions;

/* ---------------------------------------------------------------- rows of JSON */

static Status open_rows(void **feed, const MixtureSource *s, const char *path)
{
    *feed = mem_alloc(sizeof(FeedRows));
    return *feed ? feed_rows_open(*feed, s, path, ROWS_LINES_OR_ARRAY) : fail(ERR_NOMEM, "%s: no memory to read it", path);
}

static Status next_row(void *feed, Draft *d, bool *end)
{
    const Json *row;
    TRY(feed_rows_next(feed, d, &row, end));
    return row ? feed_caption(feed, d, row, "id") : OK;
}

static void close_rows(void **feed)
{
    feed_rows_close(*feed);
    mem_free(*feed);
    *feed = NULL;
}

static const Feed ROWS_FEED = {.open = open_rows, .next = next_row, .close = close_rows};

/* ---------------------------------------------------------------- rows of a picture */

/* Counts a row of a picture; *kept: it is among the first `each`. */
static Status count_row(Table *rows, const char *picture, int64_t each, bool *kept)
{
    uint64_t *n;
    TRY_IN(table_at(rows, table_key(XXH3_64bits(picture, strlen(picture))), &n), "pictures with captions");
    *kept = (int64_t)*n < each;
    *n += *kept;
    return OK;
}

/* ---------------------------------------------------------------- the feed */

/* mixture.c lets no other endings pass. */
static const Feed *feed_of(const char *path)
{
    return utf8_ends(path, ".tsv") ? &TSV_FEED : utf8_ends(path, ".jsonl") ? &ROWS_FEED : &COCO_FEED;
}

static Status open_next(void *feed, const char *path)
{
    Captions *c = feed;
    if (c->fed)
        c->of->close(&c->fed);
    c->of = feed_of(path);
    return c->of->open(&c->fed, c->s, path);
}

static Status open_captions(void **feed, const MixtureSource *s, const char *path)
{
    Captions *c = *feed = mem_alloc(sizeof *c);
    if (!c)
        return fail(ERR_NOMEM, "%s: no memory to read it", path);
    c->s = s;
    c->kept.kind = TABLE_64;
    return open_next(c, path);
}

static Status next_caption(void *feed, Draft *d, bool *end)
{
    Captions *c = feed;
    const Draft empty = *d;
    for (bool kept = false; !kept;) {
        *d = empty;
        TRY(c->of->next(c->fed, d, end));
        kept = *end || !c->s->each || !draft_stands(d, c->s);
        if (!kept)
            TRY(count_row(&c->kept, d->images[0].path, c->s->each, &kept));
    }
    return OK;
}

static void close_captions(void **feed)
{
    Captions *c = *feed;
    if (c->fed)
        c->of->close(&c->fed);
    table_free(&c->kept);
    mem_free(c);
    *feed = NULL;
}

const Feed CAPTIONS_FEED = {
    .open = open_captions, .next = next_caption, .close = close_captions, .again = open_next, .endings = {".json", ".tsv", ".jsonl"}};
