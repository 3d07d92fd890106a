/* laion.c: LAION's GPT-4V captions (laion/gpt4v-dataset, a Parquet file whose pictures are links), as rows of JSON once the pictures have
 * been fetched: {"link", "caption", "message_id", …, "file": where the picture lies}. A row of formats.c. */
#include "data/records/feed_rows.h"
#include "kernels/base/arena.h"

static Status open_laion(void **feed, const struct MixtureSource *s, const char *path)
{
    *feed = mem_alloc(sizeof(FeedRows));
    return *feed ? feed_rows_open(*feed, s, path, ROWS_LINES_OR_ARRAY) : fail(ERR_NOMEM, "%s: no memory to read it", path);
}

static Status next_laion(void *feed, Draft *d, bool *end)
{
    const Json *row;
    TRY(feed_rows_next(feed, d, &row, end));
    return row ? feed_caption(feed, d, row, "message_id") : OK;
}

static void close_laion(void **feed)
{
    feed_rows_close(*feed);
    mem_free(*feed);
    *feed = NULL;
}

const Feed LAION_FEED = {.open = open_laion, .next = next_laion, .close = close_laion};
