/* answers.c: see answers.h. Called by evaluate and its benchmarks. */
#include "eval/bench/answers.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "data/formats/batch_body.h"
#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "kernels/base/table.h"

typedef struct Answer {
    Span key, text; /* in the pool */
    const char *file;
    int line;
    bool known, no_picture;
    bool missing; /* it is none: its question was asked, that is all that is known */
} Answer;

struct Answers {
    Pool pool;
    Answer *item; /* in order of the first answer to each question */
    int64_t n, room, duplicate;
    Table by_key;           /* index + 1, by the hash of a key or what follows it */
    const char *id;         /* member that names the question */
    bool limited, expected; /* expected: of what answers_find looked for last */
};

/* ---------------------------------------------------------------- by key */

static TableKey first_key(Span key) { return table_key(XXH3_64bits(key.s, key.n)); }

static Status make_room(Answers *a)
{
    if (a->n < a->room)
        return OK;
    const int64_t room = 2 * a->room + 1024;
    Answer *more = mem_grow(a->item, (size_t)room * sizeof *more);
    if (!more)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " answers", room);
    a->item = more;
    a->room = room;
    return OK;
}

static Status add(Answers *a, const Answer *answer)
{
    uint64_t *place;
    for (TableKey at = first_key(answer->key);; at = table_next(at)) {
        TRY_IN(table_at(&a->by_key, at, &place), "answers");
        if (!*place)
            break;
        Answer *earlier = &a->item[*place - 1];
        if (!span_equal(earlier->key, answer->key))
            continue;
        a->duplicate++;
        earlier->text = span_copy(&a->pool, answer->text);
        earlier->no_picture = answer->no_picture;
        return pool_status(&a->pool);
    }
    TRY(make_room(a));
    Answer *kept = &a->item[a->n++];
    *place = (uint64_t)a->n;
    *kept = *answer;
    kept->key = span_copy(&a->pool, answer->key);
    kept->text = span_copy(&a->pool, answer->text);
    return pool_status(&a->pool);
}

/* NULL: none has that key. */
static Answer *find_answer(const Answers *a, Span key)
{
    uint64_t place;
    for (TableKey at = first_key(key); (place = table_value(&a->by_key, at)); at = table_next(at))
        if (span_equal(a->item[place - 1].key, key))
            return &a->item[place - 1];
    return NULL;
}

bool answers_find(Answers *a, Span key, Span *text)
{
    Answer *answer = find_answer(a, key);
    a->expected = answer != NULL;
    if (!answer || answer->missing)
        return false;
    answer->known = true;
    *text = answer->text;
    return true;
}

void answers_limit(Answers *a) { a->limited = true; }

Status answers_expect(Answers *a, Span key, bool *missing)
{
    *missing = !find_answer(a, key);
    return *missing ? add(a, &(Answer){.key = key, .text = SPAN(""), .known = true, .missing = true}) : OK;
}

bool answers_not_asked(const Answers *a, bool found) { return a->limited && !found && !a->expected; }

bool answer_has_no_picture(const Json *row)
{
    const Json *metadata = json_get(row, "metadata");
    const Json *says = metadata && metadata->kind == JSON_OBJECT ? json_get(metadata, ANSWER_NO_PICTURE) : NULL;
    return says && says->kind == JSON_BOOL && says->boolean;
}

int64_t answers_without_picture(const Answers *a)
{
    int64_t n = 0;
    for (int64_t i = 0; i < a->n; i++)
        n += a->item[i].no_picture;
    return n;
}

bool answers_lack_pictures(int64_t n_without, int64_t n)
{
    enum { FEW_PERCENT = 3 };
    return n_without * 100 > n * FEW_PERCENT;
}

int64_t answers_duplicate(const Answers *a) { return a->duplicate; }

Status answers_all_known(const Answers *a)
{
    for (int64_t i = 0; i < a->n; i++)
        if (!a->item[i].known)
            return fail(ERR_DATA, "%s:%d: answers \"%.*s\", which is no question of this benchmark and split", a->item[i].file,
                        a->item[i].line, (int)(a->item[i].key.n < 100 ? a->item[i].key.n : 100), a->item[i].key.s);
    return OK;
}

void answers_free(Answers **a)
{
    if (!*a)
        return;
    pool_free(&(*a)->pool);
    mem_free((*a)->item);
    table_free(&(*a)->by_key);
    mem_free(*a);
    *a = NULL;
}

/* ---------------------------------------------------------------- lines */

static Span text_of(const Json *v) { return (Span){v->string, v->length}; }

/* What an answer line says; *out false: it counts as if it were not there. */
typedef Status (*ReadLine)(Answers *a, Pool *scratch, AnswerKey key, const Json *row, Answer *answer, bool *out);

static Status read_answer(Answers *a, Pool *scratch, AnswerKey key, const Json *row, Answer *answer, bool *out)
{
    const Json *id = json_get(row, a->id), *text = json_get(row, "text");
    *out = true;
    if (!id || (id->kind != JSON_STRING && id->kind != JSON_INT))
        return fail(ERR_DATA, "%s:%d: has no \"question_id\", a text or an integer", answer->file, answer->line);
    if (!text || text->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%d: \"text\" is %s, expected the answer as text", answer->file, answer->line,
                    text ? json_kind_name(text->kind) : "absent");
    answer->text = text_of(text);
    answer->no_picture = answer_has_no_picture(row);
    answer->key = id->kind == JSON_STRING ? text_of(id) : span_print(scratch, "%" PRId64, id->integer);
    TRY(pool_status(scratch));
    if (key)
        TRY_IN(key(scratch, row, &answer->key), "%s:%d", answer->file, answer->line);
    return pool_status(scratch);
}

static Status read_reply(Answers *a, Pool *scratch, AnswerKey key, const Json *row, Answer *answer, bool *out)
{
    const Json *id = json_get(row, a->id), *body;
    BatchBody reply = {0};
    (void)key;
    if (!id || id->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%d: has no \"custom_id\", a text", answer->file, answer->line);
    answer->key = text_of(id);
    Status s = batch_status(row, &body) == 200 ? batch_body_read(&reply, body) : OK;
    *out = !s && reply.text;
    if (*out)
        answer->text = span_copy(scratch, (Span){reply.text, reply.n});
    batch_body_free(&reply);
    return s ? s : pool_status(scratch);
}

static Status read_row(Answers *a, const char *file, const Row *row, AnswerKey key, ReadLine read)
{
    Answer answer = {.file = file, .line = row->line};
    JsonDoc *doc;
    Pool scratch = {0};
    bool counts;
    Status s = json_parse_at(&doc, row->text, row->n, file, row->line, row->column);
    if (s == ERR_DATA && !row->whole) { /* the writer was stopped inside it */
        log_warn("%s:%d: the last line is torn and is left out", file, row->line);
        return OK;
    }
    TRY(s);
    s = json_root(doc)->kind == JSON_OBJECT ? read(a, &scratch, key, json_root(doc), &answer, &counts)
                                            : fail(ERR_DATA, "%s:%d: is no object, expected an answer a line", file, row->line);
    if (!s && counts)
        s = add(a, &answer);
    json_free(&doc);
    pool_free(&scratch);
    return s;
}

static Status read_file(Answers *a, const char *path, AnswerKey key, ReadLine read)
{
    Rows *rows;
    Row row;
    bool end = false;
    const char *file = file_name(path);
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        s = row.error ? fail(ERR_DATA, "%s:%s", file, row.error) : read_row(a, file, &row, key, read);
    rows_close(&rows);
    return s;
}

static Status read_files(Answers **out, const char *const *files, int n, AnswerKey key, const char *id, ReadLine read)
{
    Answers *a = *out = mem_alloc(sizeof *a);
    if (!a)
        return fail(ERR_NOMEM, "no memory for answers");
    a->id = id;
    a->by_key.kind = TABLE_64;
    Status s = OK;
    for (int i = 0; i < n && !s; i++)
        s = read_file(a, files[i], key, read);
    if (s)
        answers_free(out);
    return s;
}

Status answers_read(Answers **out, const char *const *files, int n, AnswerKey key)
{
    return read_files(out, files, n, key, "question_id", read_answer);
}

Status answers_read_replies(Answers **out, const char *const *files, int n)
{
    return read_files(out, files, n, NULL, "custom_id", read_reply);
}
