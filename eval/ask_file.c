/* ask_file.c: the answers to a benchmark on disk, while they come and when they are whole (asking.h). Called by ask.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "eval/asking.h"
#include "kernels/base/log.h"

static void put_member(FILE *out, Span member)
{
    if (member.n)
        fprintf(out, "%.*s, ", (int)member.n, member.s);
}

Status asking_put(const Asking *k, FILE *out, const Item *i, const char *path)
{
    fputs("{\"question_id\": ", out);
    if (i->number)
        fwrite(i->id.s, 1, i->id.n, out);
    else
        json_put_text(out, i->id.s, i->id.n);
    fputs(", ", out);
    put_member(out, i->after_id);
    fputs("\"prompt\": ", out);
    json_put_text(out, i->prompt.s, i->prompt.n);
    fputs(", \"text\": ", out);
    json_put_text(out, i->text.s, i->text.n);
    fputs(", ", out);
    put_member(out, i->after_text);
    fprintf(out, "\"answer_id\": \"%016" PRIx64 "\", \"model_id\": ", i->key);
    json_put_text(out, k->options->model, strlen(k->options->model));
    fprintf(out, ", \"metadata\": {%s}}\n", i->no_picture ? "\"" ANSWER_NO_PICTURE "\": true" : "");
    return ferror(out) ? fail(ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

static Span text_of(const Json *v) { return v && v->kind == JSON_STRING ? (Span){v->string, v->length} : (Span){.s = NULL}; }

static Status take_row(Asking *k, const Json *row, const char *where, int line)
{
    const Span id = text_of(json_get(row, "answer_id")), text = text_of(json_get(row, "text")), model = text_of(json_get(row, "model_id"));
    if (!id.s || !text.s || !model.s)
        return fail(ERR_DATA, "%s:%d: is no answer of this program (an object with text, answer_id and model_id); remove the file to begin "
                              "anew", where, line);
    if (!span_is(model, k->options->model))
        return fail(ERR_USAGE, "%s:%d: is an answer of \"%.*s\", asked is \"%s\"; give another --out, or remove the file to begin anew",
                    where, line, (int)model.n, model.s, k->options->model);
    Item *item = asking_find_open(k, strtoull(id.s, NULL, 16));
    if (!item)
        return fail(ERR_USAGE, "%s:%d: answers a question that is not asked here (again); it was begun with another --split, --limit or "
                               "--chunk: give another --out, or remove the file to begin anew", where, line);
    item->text = span_copy(&k->pool, text);
    item->answered = true;
    item->no_picture = answer_has_no_picture(row);
    k->counts->n_no_picture += item->no_picture;
    k->counts->resumed++;
    return pool_status(&k->pool);
}

/* Takes the answers that are there, up to *end bytes of the file: behind them is nothing, or a line that was being written. */
static Status read_partial(Asking *k, int64_t *end)
{
    Rows *rows;
    Row row;
    bool done = false;
    TRY(rows_open(&rows, k->partial, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &done)) && !done) {
        JsonDoc *doc;
        if (!row.whole) {
            log_warn("%s:%d: the last line is torn; its question is asked again", k->partial, row.line);
            break;
        }
        s = row.error ? fail(ERR_DATA, "%s:%s", k->partial, row.error)
                      : json_parse_at(&doc, row.text, row.n, k->partial, row.line, row.column);
        if (s)
            break;
        s = take_row(k, json_root(doc), k->partial, row.line);
        json_free(&doc);
        *end = row.end;
    }
    rows_close(&rows);
    return s;
}

Status asking_open(Asking *k)
{
    int64_t end = 0;
    if ((size_t)snprintf(k->partial, sizeof k->partial, "%s.partial", k->options->out) >= sizeof k->partial)
        return fail(ERR_CREATE, "%s: the name is too long", k->options->out);
    TRY(lock_take_file(&k->lock, k->partial, "written", false));
    if (file_exists(k->partial))
        TRY(read_partial(k, &end));
    if (k->counts->resumed)
        log_info("%s: %" PRId64 " of %" PRId64 " questions are answered already", k->partial, k->counts->resumed, k->n);
    TRY(file_append(&k->out, k->partial));
    return ftruncate(fileno(k->out), (off_t)end) ? fail(ERR_IO, "%s: %s", k->partial, strerror(errno)) : OK;
}

Status asking_publish(const Asking *k)
{
    FileDraft draft;
    TRY(file_draft(&draft, k->options->out));
    Status s = OK;
    for (int64_t i = 0; i < k->n && !s; i++)
        s = asking_put(k, draft.out, &k->item[i], draft.path);
    TRY(file_publish(&draft, s));
    return file_remove(k->partial);
}
