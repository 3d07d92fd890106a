/* feed_rows.c: see feed_rows.h. */
#include "data/records/feed_rows.h"

#include <stdio.h>
#include <string.h>

#include "data/records/draft.h"
#include "kernels/base/arena.h"

static const char CAPTION_KEY[] = "caption";

Status feed_rows_open(FeedRows *f, const MixtureSource *s, const char *path, RowsForm form)
{
    f->s = s;
    return rows_open(&f->rows, path, form);
}

void feed_rows_close(FeedRows *f)
{
    rows_close(&f->rows);
    json_free(&f->doc);
    mem_free(f->scores);
    f->scores = NULL;
    f->scores_room = 0;
}

Status feed_rows_take(FeedRows *f, const Row *piece, Draft *d, const Json **row)
{
    char fault[FAULT_BYTES];
    *row = NULL;
    d->row = f->n++;
    d->line = piece->line;
    d->column = piece->column;
    TRY(parsed_row(&f->doc, piece, d->row, fault, &d->ends_file));
    if (*fault) {
        draft_reject(d, REJECT_BAD_JSON, "%s", fault);
        return OK;
    }
    const Json *root = json_root(f->doc);
    d->surrogates = json_replaced_surrogates(f->doc);
    if (root->kind == JSON_OBJECT)
        *row = root;
    else
        draft_reject(d, REJECT_BAD_JSON, "%d:%d: a row is %s, expected an object", root->line, root->column, json_kind_name(root->kind));
    return OK;
}

Status feed_rows_next(FeedRows *f, Draft *d, const Json **row, bool *end)
{
    Row piece;
    *row = NULL;
    TRY(rows_next(f->rows, &piece, end));
    return *end ? OK : feed_rows_take(f, &piece, d, row);
}

/* ---------------------------------------------------------------- fields */

static bool is_null(const Json *v) { return !v || v->kind == JSON_NULL; }

static void wrong(Draft *d, const Json *v, const char *key, const char *expected)
{
    char found[80];
    draft_reject(d, REJECT_BAD_JSON, "%d:%d: \"%s\" is %s, expected %s", v->line, v->column, key, json_show(v, found, sizeof found),
                 expected);
}

void feed_id(FeedRows *f, Draft *d, const Json *id) { d->id = parsed_id(id, f->id); }

void feed_text(Draft *d, RecordText *to, const Json *row, const char *key)
{
    const Json *v = json_get(row, key);
    if (is_null(v))
        return;
    if (v->kind == JSON_STRING)
        *to = (RecordText){v->string, v->length};
    else
        wrong(d, v, key, "a text");
}

void feed_lacks(Draft *d, Reject why, const Json *row, const char *key)
{
    enum { SHOWN = 5 };
    char keys[160] = "";
    int n = 0;
    for (const Json *m = row->child; m && n < SHOWN; m = m->next, n++) {
        const size_t at = strlen(keys);
        snprintf(keys + at, sizeof keys - at, "%s\"%.24s\"", n ? ", " : "", m->key);
    }
    draft_reject(d, why, "%d:%d: no \"%s\"; the row has %s%s", row->line, row->column, key, n ? keys : "no keys",
                 (int)row->length > n ? ", …" : "");
}

void feed_caption_text(FeedRows *f, Draft *d, const Json *row)
{
    if (json_get(row, CAPTION_KEY))
        feed_text(d, &d->caption, row, CAPTION_KEY);
    else
        feed_lacks(d, f->s->as == TASK_GENERATE ? REJECT_NO_PROMPT : REJECT_NO_TRAINED, row, CAPTION_KEY);
}

Status feed_scores(FeedRows *f, Draft *d, const Json *row)
{
    const Json *scores = json_get(row, "scores");
    if (!scores || scores->kind != JSON_OBJECT)
        return OK;
    if (scores->length > f->scores_room) {
        RecordScore *grown = mem_grow(f->scores, scores->length * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for a row with %zu scores", scores->length);
        f->scores = grown;
        f->scores_room = scores->length;
    }
    for (const Json *m = scores->child; m; m = m->next)
        if (m->kind == JSON_INT || m->kind == JSON_REAL)
            f->scores[d->n_scores++] = (RecordScore){m->key, m->real};
    d->scores = f->scores;
    return OK;
}

Status feed_caption(FeedRows *f, Draft *d, const Json *row, const char *id_key)
{
    static const char FILE_KEY[] = "file";
    const Json *file = json_get(row, FILE_KEY);
    feed_id(f, d, json_get(row, id_key));
    TRY(feed_scores(f, d, row));
    feed_caption_text(f, d, row);
    if (!file)
        feed_lacks(d, REJECT_MISSING, row, FILE_KEY);
    else if (is_null(file) || (file->kind == JSON_STRING && !file->length))
        draft_picture(d, f->s, NULL);
    else if (parsed_is_name(file))
        draft_picture(d, f->s, file->string);
    else
        wrong(d, file, FILE_KEY, "a file name");
    return OK;
}
