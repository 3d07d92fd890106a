/* prompts.c: reads the prompts of target images (prompts.h). Called by the loader. */
#include "data/loader/prompts.h"

#include <inttypes.h>
#include <string.h>

#include "data/records/row_fields.h"
#include "kernels/base/arena.h"

enum { LINES_BYTES = 32 << 20 /* rows' text that is read at a time, if no row alone is longer */ };

void prompts_free(Prompts *p)
{
    mem_free(p->text);
    mem_free(p->at);
    mem_free(p->first);
    *p = (Prompts){0};
}

const char *prompts_of(const Prompts *p, uint32_t row, int k) { return p->text + p->at[p->first[row] + (uint64_t)k]; }

static Status append(Prompts *p, const char *prompt)
{
    const size_t bytes = strlen(prompt) + 1;
    if (p->n + bytes > p->capacity) {
        const size_t capacity = p->n + bytes + p->capacity / 2;
        char *more = mem_grow(p->text, capacity);
        if (!more)
            return fail(ERR_NOMEM, "no memory for %zu bytes of prompts", capacity);
        p->text = more;
        p->capacity = capacity;
    }
    memcpy(p->text + p->n, prompt, bytes);
    p->n += bytes;
    return OK;
}

static Status append_targets(Prompts *p, const Record *rec, const IndexRow *row, uint64_t first)
{
    if (rec->reject)
        return fail(ERR_DATA, "%s", rec->message);
    for (int k = 0; k < row->targets; k++) {
        char *prompt;
        p->at[first + (uint64_t)k] = p->n;
        TRY(record_prompt(rec, k, &prompt));
        Status s = append(p, prompt);
        mem_free(prompt);
        TRY(s);
    }
    return OK;
}

/* From the text of one row, as it stood in its file. */
static Status read_row(Prompts *p, const char *line, size_t n, const IndexRow *row, uint64_t first)
{
    static const MixtureSource NO_FILTERS = {0};
    Record rec = {.task = (Task)row->task};
    RowRoom room = {0};
    JsonDoc *doc;
    const char *uid;
    TRY(json_parse_at(&doc, line, n, "its text", 1, 1));
    Status s = row_fields(&rec, &room, json_root(doc), &NO_FILTERS, &uid);
    if (!s)
        s = append_targets(p, &rec, row, first);
    row_room_free(&rec, &room);
    json_free(&doc);
    return s;
}

int prompts_count(const IndexRow *row) { return row->task != TASK_UNDERSTAND ? row->targets : 0; }

/* Samples from `first` on whose lines are read together. */
static int64_t lines_at_once(const Shard *s, int64_t first)
{
    int64_t n = 1;
    while (first + n < s->attr.n_samples && s->text_off[first + n + 1] - s->text_off[first] <= LINES_BYTES)
        n++;
    return n;
}

static Status read_lines(Prompts *p, const Shard *s, const IndexRow *rows, const uint64_t *targets, int64_t first, int64_t n)
{
    char *lines;
    bool any = false;
    for (int64_t i = first; i < first + n && !any; i++)
        any = prompts_count(&rows[i]) > 0;
    if (!any)
        return OK;
    TRY(shard_lines(s, first, n, &lines));
    Status r = OK;
    for (int64_t i = first; i < first + n && !r; i++) {
        const char *line = lines + (s->text_off[i] - s->text_off[first]);
        if (prompts_count(&rows[i]))
            r = fail_context(read_row(p, line, s->text_off[i + 1] - s->text_off[i], &rows[i], targets[i]),
                             "%s: sample %" PRId64 ", row %u of the mixture", s->path, i, rows[i].record);
    }
    mem_free(lines);
    return r;
}

Status prompts_read(Prompts *p, const ShardSet *set)
{
    const RecordIndex *x = &set->index;
    uint64_t targets = 0;
    *p = (Prompts){.first = mem_alloc((size_t)x->n * sizeof *p->first)};
    for (int64_t i = 0; i < x->n && p->first; i++) {
        p->first[i] = targets;
        targets += (uint64_t)prompts_count(&x->rows[i]);
    }
    p->n_targets = (int64_t)targets;
    p->at = mem_alloc((size_t)targets * sizeof *p->at);
    if (!p->first || !p->at)
        return fail(ERR_NOMEM, "no memory for the prompts of %" PRIu64 " target images", targets);
    for (int64_t k = 0; k < set->n; k++) {
        const Shard *s = set->shards[k];
        for (int64_t first = 0, n; first < s->attr.n_samples; first += n) {
            n = lines_at_once(s, first);
            TRY(read_lines(p, s, x->rows + set->first[k], p->first + set->first[k], first, n));
        }
    }
    return OK;
}
