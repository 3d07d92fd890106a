/* captions.c: pictures and their captions: COCO's annotations (.json), tables as of CC3M (.tsv), and rows {"caption", "file", "id"?}
 * (.jsonl). Keeps the first few captions of a picture where the source says so (`each`), over all its files. A row of formats.c. */
#include "data/records/captions.h"

#include <string.h>
#include <xxhash.h>

#include "data/records/draft.h"
#include "data/records/feed_rows.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

/* How many rows of a picture were kept, by a hash of its name: 20 to 30 bytes a picture. */
typedef struct Counts {
    struct Count {
        uint64_t picture; /* 0: an empty slot */
        int64_t n;
    } * slots;
    size_t n, capacity;
} Counts;

typedef struct Captions {
    const Feed *of; /* the kind of file */
    void *fed;
    const MixtureSource *s;
    Counts kept;
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

/* The slot of a picture, or the empty one where it would go. */
static struct Count *slot_of(struct Count *slots, size_t capacity, uint64_t picture)
{
    size_t i = (size_t)((unsigned __int128)picture * capacity >> 64);
    while (slots[i].picture && slots[i].picture != picture)
        i = i + 1 < capacity ? i + 1 : 0;
    return &slots[i];
}

static Status make_room(Counts *c)
{
    enum { FIRST_CAPACITY = 1024 };
    if (c->n < c->capacity / 5 * 4)
        return OK;
    const size_t capacity = c->capacity ? c->capacity / 2 * 3 : FIRST_CAPACITY;
    struct Count *slots = mem_alloc(capacity * sizeof *slots);
    if (!slots)
        return fail(ERR_NOMEM, "no memory to count the rows of %zu pictures", c->n);
    for (size_t i = 0; i < c->capacity; i++)
        if (c->slots[i].picture)
            *slot_of(slots, capacity, c->slots[i].picture) = c->slots[i];
    mem_free(c->slots);
    c->slots = slots;
    c->capacity = capacity;
    return OK;
}

/* Counts a row of a picture; *kept: it is among the first `each`. */
static Status count_row(Counts *c, const char *picture, int64_t each, bool *kept)
{
    const uint64_t hash = XXH3_64bits(picture, strlen(picture));
    TRY(make_room(c));
    struct Count *slot = slot_of(c->slots, c->capacity, hash ? hash : 1);
    c->n += !slot->picture;
    slot->picture = hash ? hash : 1;
    *kept = slot->n < each;
    slot->n += *kept;
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
    mem_free(c->kept.slots);
    mem_free(c);
    *feed = NULL;
}

const Feed CAPTIONS_FEED = {
    .open = open_captions, .next = next_caption, .close = close_captions, .again = open_next, .endings = {".json", ".tsv", ".jsonl"}};
