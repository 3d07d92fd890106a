/* stats_texts.c: the most frequent answers of a mixture, and rows that say and show the same (stats.h). Called by stats.c.
 *
 * What is kept of each answer is a hash and where it stands, 16 bytes; of each row as much. The few texts that are told are read again. */
#include <stdlib.h>
#include <string.h>

#include "data/formats/json.h"
#include "data/prepare/stats.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

typedef struct Answer {
    uint64_t hash;
    uint32_t row, turn;
} Answer;

/* What a row says and shows. */
typedef struct Said {
    uint64_t hash;
    uint32_t row;
    uint16_t source;
} Said;

void texts_free(TextStats *t)
{
    mem_free(t->answers);
    mem_free(t->said);
    mem_free(t->pairs.pair);
    for (int i = 0; i < t->n_top; i++)
        mem_free(t->top[i].text);
    for (int i = 0; i < t->n_examples; i++) {
        mem_free(t->examples[i].uid);
        mem_free(t->examples[i].earlier_uid);
    }
    *t = (TextStats){0};
}

static Status grow(void *array, size_t n, size_t *capacity, size_t size)
{
    void **at = array;
    if (n < *capacity)
        return OK;
    const size_t more = *capacity + *capacity / 2 + 1024;
    void *grown = mem_grow(*at, more * size);
    if (!grown)
        return fail(ERR_NOMEM, "no memory to compare %zu texts", more);
    *at = grown;
    *capacity = more;
    return OK;
}

/* ---------------------------------------------------------------- what a row says */

static Status add_answer(TextStats *t, int64_t row, uint32_t turn, const Json *value)
{
    const char *text = value->string;
    size_t n = value->length;
    utf8_strip(&text, &n);
    if (!n || (n == strlen(GEN_MARKER) && !memcmp(text, GEN_MARKER, n)))
        return OK;
    TRY(grow(&t->answers, t->n_answers, &t->answers_capacity, sizeof *t->answers));
    t->answers[t->n_answers++] = (Answer){XXH3_64bits(text, n), (uint32_t)row, turn};
    return OK;
}

/* The answers are noted; what is said in all is added to `said`, *bytes so far, each turn with a mark of who says it before it. */
static Status read_turns(TextStats *t, int64_t row, const Json *document, char *said, size_t *bytes)
{
    uint32_t k = 0;
    for (const Json *turn = json_get(document, "turns")->child; turn; turn = turn->next, k++) {
        const Json *value = json_get(turn, "value");
        const bool answer = *json_get(turn, "from")->string == 'g';
        said[(*bytes)++] = answer ? '\1' : '\2';
        *bytes += record_comparable(said + *bytes, value->string, value->length, " .!?");
        if (answer)
            TRY(add_answer(t, row, k, value));
    }
    return OK;
}

Status texts_add(TextStats *t, int64_t row, int source, const char *line, size_t n, uint64_t pictures)
{
    JsonDoc *doc;
    size_t bytes = 0;
    TRY(json_parse(&doc, line, n, "the scan"));
    char *said = mem_alloc(n); /* a turn is shorter than its JSON */
    Status s = said ? read_turns(t, row, json_root(doc), said, &bytes) : fail(ERR_NOMEM, "no memory for the text of a row");
    if (!s)
        s = grow(&t->said, t->n_said, &t->said_capacity, sizeof *t->said);
    if (!s)
        t->said[t->n_said++] = (Said){XXH3_64bits_withSeed(said, bytes, pictures), (uint32_t)row, (uint16_t)source};
    mem_free(said);
    json_free(&doc);
    return s;
}

/* ---------------------------------------------------------------- the most frequent answers */

static int by_answer(const void *a, const void *b)
{
    const Answer *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->row != y->row ? (x->row < y->row ? -1 : 1) : (x->turn > y->turn) - (x->turn < y->turn);
}

/* An answer and how often it is given; the first of them stands for all. */
typedef struct Given {
    Answer first;
    int64_t n;
} Given;

static bool comes_before(const Given *a, const Given *b)
{
    return a->n != b->n ? a->n > b->n : a->first.row != b->first.row ? a->first.row < b->first.row : a->first.turn < b->first.turn;
}

/* Into the list of the most frequent, if it belongs there. */
static void rank_given(Given list[STATS_ANSWERS], int *n, Given g)
{
    int at = *n;
    while (at && comes_before(&g, &list[at - 1]))
        at--;
    if (at == STATS_ANSWERS)
        return;
    *n += *n < STATS_ANSWERS;
    memmove(list + at + 1, list + at, (size_t)(*n - at - 1) * sizeof *list);
    list[at] = g;
}

/* A good row's line, parsed. */
static Status read_line(const ScanFiles *scan, int64_t row, JsonDoc **doc)
{
    ScanRow r;
    *doc = NULL;
    TRY(scan_rows(scan, row, 1, &r));
    char *line = mem_alloc(r.n_text);
    Status s = line ? scan_row_contents(scan, &r, NULL, NULL, NULL, line) : fail(ERR_NOMEM, "no memory for the text of a row");
    if (!s)
        s = json_parse(doc, line, r.n_text, "the scan");
    mem_free(line);
    return s;
}

static Status copy_answer(AnswerStats *out, const ScanFiles *scan, const Given *g)
{
    JsonDoc *doc;
    TRY(read_line(scan, g->first.row, &doc));
    const Json *turn = json_get(json_root(doc), "turns")->child;
    for (uint32_t k = 0; k < g->first.turn; k++)
        turn = turn->next;
    const Json *value = json_get(turn, "value");
    const char *text = value->string;
    *out = (AnswerStats){.n = g->n, .length = value->length};
    utf8_strip(&text, &out->length);
    out->text = mem_alloc(out->length + 1);
    if (out->text)
        memcpy(out->text, text, out->length);
    json_free(&doc);
    return out->text ? OK : fail(ERR_NOMEM, "no memory for an answer");
}

static Status rank_answers(TextStats *t, const ScanFiles *scan)
{
    Given list[STATS_ANSWERS + 1];
    int n = 0;
    if (t->n_answers)
        qsort(t->answers, t->n_answers, sizeof *t->answers, by_answer);
    for (size_t i = 0, end; i < t->n_answers; i = end) {
        for (end = i; end < t->n_answers && t->answers[end].hash == t->answers[i].hash;)
            end++;
        if (end - i > 1)
            rank_given(list, &n, (Given){t->answers[i], (int64_t)(end - i)});
    }
    for (; t->n_top < n; t->n_top++)
        TRY(copy_answer(&t->top[t->n_top], scan, &list[t->n_top]));
    return OK;
}

/* ---------------------------------------------------------------- equal rows */

static int by_said(const void *a, const void *b)
{
    const Said *x = a, *y = b;
    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : (x->row > y->row) - (x->row < y->row);
}

/* The first few by their place in the mixture are kept. */
static void keep_example(TextStats *t, int64_t row, int64_t earlier)
{
    int at = t->n_examples;
    while (at && row < t->examples[at - 1].row)
        at--;
    if (at == STATS_EXAMPLES)
        return;
    t->n_examples += t->n_examples < STATS_EXAMPLES;
    memmove(t->examples + at + 1, t->examples + at, (size_t)(t->n_examples - at - 1) * sizeof *t->examples);
    t->examples[at] = (EqualRows){.row = row, .earlier = earlier};
}

static Status copy_uid(char **out, const ScanFiles *scan, int64_t row)
{
    JsonDoc *doc;
    TRY(read_line(scan, row, &doc));
    *out = mem_strdup(json_get(json_root(doc), "uid")->string);
    json_free(&doc);
    return *out ? OK : fail(ERR_NOMEM, "no memory for a uid");
}

static Status find_equal(TextStats *t, const ScanFiles *scan)
{
    if (t->n_said)
        qsort(t->said, t->n_said, sizeof *t->said, by_said);
    for (size_t first = 0, i = 1; i < t->n_said; i++) {
        const Said *s = &t->said[i], *f = &t->said[first];
        first = s->hash == f->hash ? first : i;
        if (first == i)
            continue;
        t->equal++;
        if (s->source == f->source)
            continue;
        t->equal_across++;
        TRY(pairs_add(&t->pairs, s->source, f->source));
        keep_example(t, s->row, f->row);
    }
    for (int i = 0; i < t->n_examples; i++) {
        TRY(copy_uid(&t->examples[i].uid, scan, t->examples[i].row));
        TRY(copy_uid(&t->examples[i].earlier_uid, scan, t->examples[i].earlier));
    }
    pairs_sum_up(&t->pairs);
    return OK;
}

Status texts_sum_up(TextStats *t, const ScanFiles *scan)
{
    TRY(rank_answers(t, scan));
    return find_equal(t, scan);
}

/* ---------------------------------------------------------------- pairs of sources */

Status pairs_add(PairList *p, int source, int earlier)
{
    TRY(grow(&p->pair, p->n, &p->capacity, sizeof *p->pair));
    p->pair[p->n++] = (uint32_t)source << 16 | (uint32_t)earlier;
    return OK;
}

static int by_pair(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void pairs_sum_up(PairList *p)
{
    if (p->n)
        qsort(p->pair, p->n, sizeof *p->pair, by_pair);
    for (size_t i = 0, end; i < p->n; i = end) {
        for (end = i; end < p->n && p->pair[end] == p->pair[i];)
            end++;
        const PairStats pair = {(int)(p->pair[i] >> 16), (int)(p->pair[i] & 0xffff), (int64_t)(end - i)};
        int at = p->n_most;
        while (at && pair.rows > p->most[at - 1].rows)
            at--;
        if (at == STATS_PAIRS)
            continue;
        p->n_most += p->n_most < STATS_PAIRS;
        memmove(p->most + at + 1, p->most + at, (size_t)(p->n_most - at - 1) * sizeof *p->most);
        p->most[at] = pair;
    }
}
