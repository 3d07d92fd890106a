/* reversed.c: rows that describe a picture, turned around: their answer is the caption of a picture to draw. LLaVA-Pretrain, ShareGPT4V and
 * whatever else is rows of one question and one answer. A row of formats.c. */
#include <stdio.h>
#include <string.h>

#include "data/records/draft.h"
#include "data/records/feed_rows.h"
#include "kernels/base/arena.h"

typedef struct Reversed {
    FeedRows rows;
    Record rec; /* what the row says as it stands */
    RowRoom room;
} Reversed;

static Status open_reversed(void **feed, const MixtureSource *s, const char *path)
{
    Reversed *r = *feed = mem_alloc(sizeof *r);
    return r ? feed_rows_open(&r->rows, s, path, ROWS_LINES_OR_ARRAY) : fail(ERR_NOMEM, "%s: no memory to read it", path);
}

static void check_form(Draft *d, const Record *rec, const Json *row)
{
    const RecordTurn *t = rec->turns;
    if (rec->system.length || rec->n_turns != 2 || !t[0].human || t[1].human)
        draft_reject(d, REJECT_BAD_TURNS, "%d:%d: %s%d turn%s, expected one from human and one from gpt, which is the caption", row->line,
                     row->column, rec->system.length ? "a system text and " : "", rec->n_turns, status_plural(rec->n_turns));
    else if (rec->n_images != 1 || rec->images[0].role != ROLE_INPUT)
        draft_reject(d, REJECT_BAD_TURNS, "%d:%d: %d pictures, expected one, which the answer describes", row->line, row->column,
                     rec->n_images);
}

/* A row that its source's filter leaves out is judged by its scores alone. */
static Status take_row(Reversed *r, Draft *d, const Json *row)
{
    const char *uid;
    Record *rec = &r->rec;
    *rec = (Record){.id = "", .weight = 1, .images = rec->images, .turns = rec->turns, .scores = rec->scores};
    TRY(row_fields(rec, &r->room, row, r->rows.s, &uid));
    feed_id(&r->rows, d, json_get(row, "id"));
    d->id = uid ? uid : d->id;
    d->scores = rec->scores;
    d->n_scores = rec->n_scores;
    if (rec->reject == REJECT_FILTERED)
        return OK;
    if (rec->reject) {
        draft_reject(d, rec->reject, "%s", rec->message);
        snprintf(d->reject_path, sizeof d->reject_path, "%s", rec->reject_path);
    } else {
        check_form(d, rec, row);
    }
    if (d->reject)
        return OK;
    d->caption = (RecordText){rec->turns[1].text, rec->turns[1].length};
    draft_picture(d, r->rows.s, rec->images[0].path);
    return OK;
}

static Status next_reversed(void *feed, Draft *d, bool *end)
{
    Reversed *r = feed;
    const Json *row;
    TRY(feed_rows_next(&r->rows, d, &row, end));
    return row ? take_row(r, d, row) : OK;
}

static void close_reversed(void **feed)
{
    Reversed *r = *feed;
    feed_rows_close(&r->rows);
    row_room_free(&r->rec, &r->room);
    mem_free(r);
    *feed = NULL;
}

const Feed REVERSED_FEED = {.open = open_reversed, .next = next_reversed, .close = close_reversed};
