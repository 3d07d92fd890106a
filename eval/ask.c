/* ask.c: asks a model the questions of a benchmark, sorted by picture, and writes the answers in their official order (ask.h). Called by
 * evaluate, and by what asks a suite while a run trains. */
#include "eval/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "eval/asking.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "train/dist/signals.h"

enum { SAID = 10 }; /* warnings about single questions */

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
        return asking_no_memory(k);
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
    const Item *item = &k->item[k->order[k->begin + i]];
    pool_reset(&k->scratch);
    const Span text = span_join(&k->scratch, (const Span[]){item->prompt, item->suffix}, 2, "");
    TRY(pool_status(&k->scratch));
    TRY(check_markers(text, asking_has_picture(item)));
    k->turn = (RecordTurn){.human = true, .text = text.s, .length = text.n};
    *q = (Question){.turns = &k->turn, .n_turns = 1, .n_images = asking_has_picture(item), .index = (uint64_t)k->order[k->begin + i]};
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
    const Item *item = &k->item[k->order[k->begin + i]];
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

/* What became of a question, with the text of the answer, or why there is none. */
typedef struct Told {
    int64_t item, n_bytes;
    Status why;
    bool of_picture; /* … it is missing or broken */
} Told;

static Status accept(Asking *k, const Told *t, const char *bytes)
{
    Item *item = &k->item[t->item];
    if (t->why) {
        int64_t *count = t->of_picture ? &k->counts->n_no_picture : &k->counts->n_refused;
        item->no_picture = t->of_picture;
        if (++*count <= SAID)
            log_warn("question %.*s: %.*s; its answer is empty", (int)item->id.n, item->id.s, (int)t->n_bytes, bytes);
    }
    item->text = span_copy(&k->pool, t->why ? SPAN("") : (Span){bytes, (size_t)t->n_bytes});
    item->answered = true;
    TRY(pool_status(&k->pool));
    TRY(asking_put(k, k->out, item, k->partial));
    k->counts->asked++;
    log_progress("%" PRId64 " of %" PRId64 " questions", k->counts->resumed + k->counts->asked, k->n);
    return fflush(k->out) ? fail(ERR_IO, "%s: %s", k->partial, strerror(errno)) : OK;
}

static bool is_first(const Asking *k) { return !k->options->dist || !k->options->dist->rank; }

/* Until the ranks meet. */
static Status keep_told(Asking *k, const Told *t, const char *bytes)
{
    const size_t n = k->told_n + sizeof *t + (size_t)t->n_bytes;
    if (n > k->told_room) {
        char *more = mem_grow(k->told, 2 * n);
        if (!more)
            return asking_no_memory(k);
        k->told = more;
        k->told_room = 2 * n;
    }
    memcpy(k->told + k->told_n, t, sizeof *t);
    memcpy(k->told + k->told_n + sizeof *t, bytes, (size_t)t->n_bytes);
    k->told_n = n;
    return OK;
}

static Status take_answer(void *user, int64_t i, Status why, const char *text, size_t n)
{
    Asking *k = user;
    const Item *item = &k->item[k->order[k->begin + i]];
    const char *bytes = why ? status_message() : text;
    const Told t = {.item = k->order[k->begin + i],
                    .n_bytes = (int64_t)(why ? strlen(bytes) : n),
                    .why = why,
                    .of_picture = asking_has_picture(item) && k->broken == item->picture};
    return is_first(k) ? accept(k, &t, bytes) : keep_told(k, &t, bytes);
}

static const char *stopped(void) { return signals_name(signals_received()); }

/* Of those in `order` from `begin` to `end`. */
static QuestionList list_of(Asking *k, int64_t begin, int64_t end)
{
    k->begin = begin;
    return (QuestionList){.n = end - begin, .user = k, .question = give_question, .pictures = give_picture, .answer = take_answer};
}

static Sampling sampling_of(const Bench *b)
{
    return (Sampling){.top_p = 1, .max_new_tokens = b->max_new_tokens, .stopped = stopped}; /* greedy */
}

static Status ask_some(Asking *k, const Bench *b, int64_t begin, int64_t end)
{
    const int at_once = k->options->at_once;
    const QuestionList list = list_of(k, begin, end);
    const Sampling greedy = sampling_of(b);
    return answerer_ask_all(k->answerer, &list, &greedy, at_once ? at_once : ASK_AT_ONCE);
}

/* ---------------------------------------------------------------- ranks */

static Status tell_first(Asking *k)
{
    void *all;
    size_t n;
    Told t;
    TRY(dist_gather(k->options->dist, k->told, k->told_n, &all, &n));
    k->told_n = 0;
    Status s = OK;
    for (const char *at = all, *end = at ? at + n : at; at < end && !s; at += sizeof t + (size_t)t.n_bytes) {
        memcpy(&t, at, sizeof t);
        s = accept(k, &t, at + sizeof t);
    }
    mem_free(all);
    return s;
}

/* The ranks share a number of questions at a time, a piece each, and meet: rank 0 gets the answers, and all stop together. */
static Status ask_shared(Asking *k, const Bench *b)
{
    enum { EACH = 64 };
    Dist *d = k->options->dist;
    for (int64_t first = 0; first < k->n_order; first += EACH * d->n_ranks) {
        const int64_t left = k->n_order - first, n = left < EACH * d->n_ranks ? left : EACH * d->n_ranks;
        Status s = ask_some(k, b, first + n * d->rank / d->n_ranks, first + n * (d->rank + 1) / d->n_ranks);
        if (s != ERR_PREEMPTED)
            TRY(s);
        TRY(tell_first(k));
        int32_t signal = signals_received();
        TRY(dist_agree(d, &signal, 1));
        if (signal)
            return fail(ERR_PREEMPTED, "%s", signals_name(signal));
    }
    return OK;
}

static Status open_file(void *arg)
{
    Asking *k = arg;
    TRY(asking_open(k));
    for (int64_t i = 0; i < k->n; i++)
        k->known[i] = k->item[i].answered;
    return OK;
}

/* Rank 0 has the file, and tells the others what it holds. */
static Status open_shared(Asking *k)
{
    Dist *d = k->options->dist;
    int32_t n[] = {(int32_t)k->n, -(int32_t)k->n};
    TRY(dist_agree(d, n, 2));
    if (n[0] != -n[1])
        return fail(ERR_DATA, "the ranks find %d to %d questions in %s: it must be the same for all", -n[1], n[0], k->data->dir);
    TRY(dist_first(d, open_file, k, k->known, (size_t)k->n));
    for (int64_t i = 0; i < k->n; i++)
        k->item[i].answered = k->known[i];
    return OK;
}

static Status close_file(void *arg)
{
    Asking *k = arg;
    const bool bad = fclose(k->out);
    k->out = NULL;
    return bad ? fail(ERR_IO, "%s: %s", k->partial, strerror(errno)) : asking_publish(k);
}

/* ---------------------------------------------------------------- the whole */

/* Where this is more than a few, a score of the answers is of no use, however it looks: an empty answer to POPE is a yes. */
static void warn_of_pictures(const Asking *k)
{
    const Item *first = NULL;
    int64_t n = 0;
    for (const Item *i = k->item; i < k->item + k->n; i++) {
        n += asking_has_picture(i);
        first = first || !i->no_picture ? first : i;
    }
    if (!first || !answers_lack_pictures(k->counts->n_no_picture, n))
        return;
    const bool has_path = first->image.n > 0;
    const Span name = has_path ? first->image : first->id;
    log_warn("%s %" PRId64 " of %" PRId64 " pictures that are asked about could not be read, the first of them %s%s%.*s: a score of these "
             "answers says nothing about the model. Put the pictures there, remove %s and ask again",
             k->counts->n_no_picture == n ? "NONE:" : "MANY:", k->counts->n_no_picture, n, has_path ? k->data->dir : "that of question ",
             has_path ? "/" : "", (int)name.n, name.s, k->options->out);
}

static void say_counts(const Asking *k, Status s)
{
    if (s == ERR_PREEMPTED)
        log_info("stopped by %s: %" PRId64 " of %" PRId64 " questions are answered, in %s; the same command goes on", status_message(),
                 k->counts->resumed + k->counts->asked, k->n, k->partial);
    if (k->counts->n_no_picture)
        log_warn("%" PRId64 " questions have an empty answer, as their picture is missing or broken", k->counts->n_no_picture);
    if (k->counts->n_refused)
        log_warn("%" PRId64 " questions have an empty answer, as they cannot be asked", k->counts->n_refused);
}

static Status ask(Asking *k, const Bench *b)
{
    const bool shared = k->options->dist && k->options->dist->n_ranks > 1;
    TRY(asking_read(k, b));
    k->counts->n = k->n;
    k->known = mem_alloc((size_t)k->n);
    if (!k->known)
        return asking_no_memory(k);
    TRY(shared ? open_shared(k) : open_file(k));
    TRY(sort_open(k));
    Status s = shared ? ask_shared(k, b) : ask_some(k, b, 0, k->n_order);
    if (is_first(k))
        say_counts(k, s);
    TRY(s);
    TRY(shared ? dist_first(k->options->dist, close_file, k, NULL, 0) : close_file(k));
    if (is_first(k))
        warn_of_pictures(k);
    return OK;
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
        return fail(ERR_USAGE, "evaluate %s: asks no questions, but for pictures", b->name);
    TRY(b->questions(d, pass_over, NULL));
    if (access(file_folder(folder, out), W_OK))
        return fail(ERR_CREATE, "--out %s: the folder %s: %s", out, folder, strerror(errno));
    return OK;
}

static void close_asking(Asking *k)
{
    if (k->out)
        fclose(k->out);
    mem_free(k->told);
    lock_release(&k->lock);
    mem_free(k->known);
    pool_free(&k->pool);
    pool_free(&k->scratch);
    mem_free(k->item);
    table_free(&k->by_key);
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
    TRY(asking_read(k, b));
    TRY(sort_open(k));
    const QuestionList list = list_of(k, 0, k->n_order);
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
