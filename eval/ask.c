/* ask.c: asks a model the questions of a benchmark, sorted by picture, and writes the answers in their official order (ask.h). Called by
 * evaluate. */
#include "eval/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "train/dist/signals.h"

/* A question and its answer; texts lie in the pool. */
typedef struct Item {
    Span id, prompt, suffix, after_id, after_text;
    Span image, bytes; /* path or file; both empty: no picture */
    Span text;
    bool number, answered;
    uint64_t key;    /* its "answer_id": of id and prompt, since a benchmark may repeat an id with other questions */
    int64_t picture; /* the first item with the same picture; of one without any: itself */
} Item;

/* Items by the hash of something of theirs. Those that are alike have slots of their own, in order. */
typedef struct Index {
    int64_t *slot; /* item + 1; 0: empty */
    size_t slots;  /* a power of two */
} Index;

typedef struct Asking {
    const AskOptions *options;
    const BenchData *data;
    Answerer *answerer;
    AskCounts *counts;
    Pool pool;
    Item *item;
    int64_t n, room;
    Index by_key;
    int64_t *order; /* items to be asked, one picture after the other */
    int64_t n_order;
    RecordTurn turn; /* of the present question */
    Span asked;
    Pool scratch;
    uint8_t *pixels;
    int64_t loaded; /* the picture in pixels, -1: none … */
    int64_t broken; /* … and the one that could not be read */
    char partial[PATH_MAX];
    FILE *out;
} Asking;

enum { SAID = 10 }; /* warnings about single questions */

/* ---------------------------------------------------------------- questions */

static Status no_memory(const Asking *k) { return fail(ERR_NOMEM, "no memory for %" PRId64 " questions", k->n); }

static Status add_question(void *arg, const BenchQuestion *q)
{
    Asking *k = arg;
    if (k->data->limit && k->n == k->data->limit)
        return OK;
    if (k->n == k->room) {
        k->room = 2 * k->room + 1024;
        Item *more = mem_grow(k->item, (size_t)k->room * sizeof *more);
        if (!more)
            return no_memory(k);
        k->item = more;
    }
    Pool *p = &k->pool;
    k->item[k->n++] = (Item){.id = span_copy(p, q->id),
                             .prompt = span_copy(p, q->prompt),
                             .suffix = span_copy(p, q->suffix.s ? q->suffix : SPAN("")),
                             .after_id = span_copy(p, q->after_id.s ? q->after_id : SPAN("")),
                             .after_text = span_copy(p, q->after_text.s ? q->after_text : SPAN("")),
                             .image = span_copy(p, span_of(q->image && !q->bytes ? q->image : "")),
                             .bytes = span_copy(p, q->bytes ? (Span){(const char *)q->bytes, q->n_bytes} : SPAN("")),
                             .number = q->number,
                             .key = XXH3_64bits_withSeed(q->prompt.s, q->prompt.n, XXH3_64bits(q->id.s, q->id.n))};
    return pool_status(p);
}

/* Keeps the chunk's items alone. */
static void keep_chunk(Asking *k)
{
    const AskOptions *o = k->options;
    const int64_t n = k->n, piece = o->n_chunks ? (n + o->n_chunks - 1) / o->n_chunks : n;
    const int64_t first = o->n_chunks ? (o->chunk - 1) * piece : 0, begin = first < n ? first : n;
    k->n = n - begin < piece ? n - begin : piece;
    if (k->n)
        memmove(k->item, k->item + begin, (size_t)k->n * sizeof *k->item);
}

static Status index_create(Index *x, const Asking *k)
{
    for (x->slots = 64; x->slots < 2 * (size_t)k->n; x->slots *= 2)
        ;
    x->slot = mem_alloc(x->slots * sizeof *x->slot);
    return x->slot ? OK : no_memory(k);
}

static bool has_picture(const Item *i) { return i->image.n || i->bytes.n; }

static void find_pictures(Asking *k, Index *x)
{
    for (int64_t i = 0; i < k->n; i++) {
        Item *item = &k->item[i];
        item->picture = i;
        if (!has_picture(item))
            continue;
        size_t at = (XXH3_64bits(item->image.s, item->image.n) ^ XXH3_64bits(item->bytes.s, item->bytes.n)) & (x->slots - 1);
        for (; x->slot[at]; at = (at + 1) & (x->slots - 1)) {
            const Item *other = &k->item[x->slot[at] - 1];
            if (span_equal(other->image, item->image) && span_equal(other->bytes, item->bytes))
                break;
        }
        if (!x->slot[at])
            x->slot[at] = i + 1;
        item->picture = x->slot[at] - 1;
    }
}

static void index_keys(Asking *k)
{
    for (int64_t i = 0; i < k->n; i++) {
        size_t at = k->item[i].key & (k->by_key.slots - 1);
        while (k->by_key.slot[at])
            at = (at + 1) & (k->by_key.slots - 1);
        k->by_key.slot[at] = i + 1;
    }
}

/* The first item of that key without an answer; NULL: none. */
static Item *find_open(Asking *k, uint64_t key)
{
    size_t at = key & (k->by_key.slots - 1);
    for (; k->by_key.slot[at]; at = (at + 1) & (k->by_key.slots - 1)) {
        Item *item = &k->item[k->by_key.slot[at] - 1];
        if (!item->answered && item->key == key)
            return item;
    }
    return NULL;
}

static Status read_questions(Asking *k, const Bench *b)
{
    Index pictures = {.slots = 0};
    TRY(b->questions(k->data, add_question, k));
    if (!k->n)
        return bench_empty(b, k->data);
    keep_chunk(k);
    TRY(index_create(&k->by_key, k));
    index_keys(k);
    TRY(index_create(&pictures, k));
    find_pictures(k, &pictures);
    mem_free(pictures.slot);
    return OK;
}

/* ---------------------------------------------------------------- the answers on disk */

static void put_member(FILE *out, Span member)
{
    if (member.n)
        fprintf(out, "%.*s, ", (int)member.n, member.s);
}

static Status put_answer(const Asking *k, FILE *out, const Item *i, const char *path)
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
    fputs(", \"metadata\": {}}\n", out);
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
    Item *item = find_open(k, strtoull(id.s, NULL, 16));
    if (!item)
        return fail(ERR_USAGE, "%s:%d: answers a question that is not asked here (again); it was begun with another --split, --limit or "
                               "--chunk: give another --out, or remove the file to begin anew", where, line);
    item->text = span_copy(&k->pool, text);
    item->answered = true;
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

static Status open_partial(Asking *k)
{
    int64_t end = 0;
    if ((size_t)snprintf(k->partial, sizeof k->partial, "%s.partial", k->options->out) >= sizeof k->partial)
        return fail(ERR_CREATE, "%s: the name is too long", k->options->out);
    if (file_exists(k->partial))
        TRY(read_partial(k, &end));
    if (k->counts->resumed)
        log_info("%s: %" PRId64 " of %" PRId64 " questions are answered already", k->partial, k->counts->resumed, k->n);
    TRY(file_append(&k->out, k->partial));
    return ftruncate(fileno(k->out), (off_t)end) ? fail(ERR_IO, "%s: %s", k->partial, strerror(errno)) : OK;
}

static Status publish(const Asking *k)
{
    FileDraft draft;
    TRY(file_draft(&draft, k->options->out));
    Status s = OK;
    for (int64_t i = 0; i < k->n && !s; i++)
        s = put_answer(k, draft.out, &k->item[i], draft.path);
    TRY(file_publish(&draft, s));
    return file_remove(k->partial);
}

/* ---------------------------------------------------------------- asking */

static int by_picture(const void *a, const void *b, void *arg)
{
    const Item *item = arg;
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b, p = item[x].picture, q = item[y].picture;
    return p != q ? (p > q) - (p < q) : (x > y) - (x < y);
}

static Status sort_open(Asking *k)
{
    k->order = mem_alloc((size_t)(k->n + 1) * sizeof *k->order);
    if (!k->order)
        return no_memory(k);
    for (int64_t i = 0; i < k->n; i++)
        if (!k->item[i].answered)
            k->order[k->n_order++] = i;
    qsort_r(k->order, (size_t)k->n_order, sizeof *k->order, by_picture, k->item);
    return OK;
}

/* A text may say where its picture stands (ScienceQA). */
static Status check_markers(Span text, int n_pictures)
{
    const Span marker = SPAN("<image>");
    int n = 0;
    for (ptrdiff_t at; (at = py_find(text, marker)) >= 0; n++)
        text = (Span){text.s + at + marker.n, text.n - (size_t)at - marker.n};
    return !n || n == n_pictures ? OK : fail(ERR_DATA, "its text has %d <image>, and it has %d pictures", n, n_pictures);
}

static Status give_question(void *user, int64_t i, Question *q)
{
    Asking *k = user;
    const Item *item = &k->item[k->order[i]];
    pool_reset(&k->scratch);
    const Span text = span_join(&k->scratch, (const Span[]){item->prompt, item->suffix}, 2, "");
    TRY(pool_status(&k->scratch));
    TRY(check_markers(text, has_picture(item)));
    k->turn = (RecordTurn){.human = true, .text = text.s, .length = text.n};
    *q = (Question){.turns = &k->turn, .n_turns = 1, .n_images = has_picture(item), .index = (uint64_t)k->order[i]};
    return OK;
}

static Status load_picture(Asking *k, const Item *item)
{
    char path[PATH_MAX];
    const ImagePrep *prep = answerer_prep(k->answerer);
    if (item->bytes.n)
        return answer_picture_bytes(prep, (const uint8_t *)item->bytes.s, item->bytes.n, item->id.s, k->pixels);
    return answer_picture(prep, NULL, file_join(path, k->data->dir, item->image.s), k->pixels);
}

static Status give_picture(void *user, int64_t i, Question *q, int64_t *which)
{
    Asking *k = user;
    const Item *item = &k->item[k->order[i]];
    if (!k->pixels)
        k->pixels = mem_alloc(answerer_picture_bytes(k->answerer));
    if (!k->pixels)
        return fail(ERR_NOMEM, "no memory for a picture");
    if (k->loaded != item->picture) {
        k->loaded = -1;
        k->broken = item->picture;
        TRY(load_picture(k, item));
        k->broken = -1;
        k->loaded = item->picture;
    }
    q->pixels = k->pixels;
    *which = item->picture;
    return OK;
}

static Status take_answer(void *user, int64_t i, Status why, const char *text, size_t n)
{
    Asking *k = user;
    Item *item = &k->item[k->order[i]];
    if (why) {
        const bool picture = has_picture(item) && k->broken == item->picture;
        int64_t *count = picture ? &k->counts->n_no_picture : &k->counts->n_refused;
        if (++*count <= SAID)
            log_warn("question %.*s: %s; its answer is empty", (int)item->id.n, item->id.s, status_message());
    }
    item->text = span_copy(&k->pool, why ? SPAN("") : (Span){text, n});
    item->answered = true;
    TRY(pool_status(&k->pool));
    TRY(put_answer(k, k->out, item, k->partial));
    k->counts->asked++;
    log_progress("%" PRId64 " of %" PRId64 " questions", k->counts->resumed + k->counts->asked, k->n);
    return fflush(k->out) ? fail(ERR_IO, "%s: %s", k->partial, strerror(errno)) : OK;
}

static const char *stopped(void) { return signals_name(signals_received()); }

static QuestionList list_of(Asking *k)
{
    return (QuestionList){.n = k->n_order, .user = k, .question = give_question, .pictures = give_picture, .answer = take_answer};
}

static Sampling sampling_of(const Bench *b)
{
    return (Sampling){.top_p = 1, .max_new_tokens = b->max_new_tokens, .stopped = stopped}; /* greedy */
}

static Status ask_all(Asking *k, const Bench *b)
{
    const int at_once = k->options->at_once;
    const QuestionList list = list_of(k);
    const Sampling greedy = sampling_of(b);
    Status s = answerer_ask_all(k->answerer, &list, &greedy, at_once ? at_once : ASK_AT_ONCE);
    if (s == ERR_PREEMPTED)
        log_info("stopped by %s: %" PRId64 " of %" PRId64 " questions are answered, in %s; the same command goes on", status_message(),
                 k->counts->resumed + k->counts->asked, k->n, k->partial);
    return s;
}

static Status ask(Asking *k, const Bench *b)
{
    TRY(read_questions(k, b));
    k->counts->n = k->n;
    TRY(open_partial(k));
    TRY(sort_open(k));
    Status s = ask_all(k, b);
    if (fclose(k->out) && !s)
        s = fail(ERR_IO, "%s: %s", k->partial, strerror(errno));
    k->out = NULL;
    if (!s)
        s = publish(k);
    if (k->counts->n_no_picture)
        log_warn("%" PRId64 " questions have an empty answer, as their picture is missing or broken", k->counts->n_no_picture);
    if (k->counts->n_refused)
        log_warn("%" PRId64 " questions have an empty answer, as they cannot be asked", k->counts->n_refused);
    return s;
}

static Status pass_over(void *arg, const BenchQuestion *q)
{
    (void)arg;
    (void)q;
    return OK;
}

Status ask_check(const Bench *b, const BenchData *d, const char *out)
{
    char folder[PATH_MAX];
    if (!b->questions)
        return fail(ERR_USAGE, "evaluate %s: asks no questions; draw its pictures with generate --batch, then evaluate %s score", b->name,
                    b->name);
    TRY(b->questions(d, pass_over, NULL));
    if (access(file_folder(folder, out), W_OK))
        return fail(ERR_CREATE, "--out %s: the folder %s: %s", out, folder, strerror(errno));
    return OK;
}

static void close_asking(Asking *k)
{
    if (k->out)
        fclose(k->out);
    pool_free(&k->pool);
    pool_free(&k->scratch);
    mem_free(k->item);
    mem_free(k->by_key.slot);
    mem_free(k->order);
    mem_free(k->pixels);
}

Status bench_ask(const Bench *b, const BenchData *d, Answerer *a, const AskOptions *o, AskCounts *counts)
{
    Asking k = {.options = o, .data = d, .answerer = a, .counts = counts, .loaded = -1, .broken = -1};
    *counts = (AskCounts){0};
    if (file_exists(o->out)) {
        log_info("%s: is whole and is left alone", o->out);
        return OK;
    }
    Status s = ask(&k, b);
    close_asking(&k);
    return s;
}

static Status measure(Asking *k, const Bench *b, int64_t *n_bytes, int64_t *host)
{
    const Sampling greedy = sampling_of(b);
    size_t n;
    TRY(read_questions(k, b));
    TRY(sort_open(k));
    const QuestionList list = list_of(k);
    TRY(answerer_all_bytes(k->answerer, &list, &greedy, ASK_AT_ONCE, &n));
    *n_bytes = (int64_t)n;
    *host = k->n * (int64_t)(sizeof *k->item + sizeof *k->order);
    for (const Item *i = k->item; i < k->item + k->n; i++)
        *host += (int64_t)(i->id.n + i->prompt.n + i->suffix.n + i->image.n + i->bytes.n);
    return OK;
}

Status bench_ask_bytes(const Bench *b, const BenchData *d, Answerer *a, int64_t *n_bytes, int64_t *host)
{
    Asking k = {.options = &(AskOptions){0}, .data = d, .answerer = a, .loaded = -1, .broken = -1};
    Status s = measure(&k, b, n_bytes, host);
    close_asking(&k);
    return s;
}
