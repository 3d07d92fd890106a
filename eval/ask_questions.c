/* ask_questions.c: reads the questions of a benchmark to ask them (asking.h). Called by ask.c. */
#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "eval/asking.h"
#include "kernels/base/arena.h"

Status asking_no_memory(const Asking *k) { return fail(ERR_NOMEM, "no memory for %" PRId64 " questions", k->n); }

static Status add_question(void *arg, const BenchQuestion *q)
{
    Asking *k = arg;
    if (k->data->limit && k->n == k->data->limit)
        return OK;
    if (k->n == k->room) {
        k->room = 2 * k->room + 1024;
        Item *more = mem_grow(k->item, (size_t)k->room * sizeof *more);
        if (!more)
            return asking_no_memory(k);
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

bool asking_has_picture(const Item *i) { return i->image.n || i->bytes.n; }

static Status find_pictures(Asking *k, Table *pictures)
{
    for (int64_t i = 0; i < k->n; i++) {
        Item *item = &k->item[i];
        uint64_t *place;
        item->picture = i;
        if (!asking_has_picture(item))
            continue;
        TableKey at = table_key(XXH3_64bits(item->image.s, item->image.n) ^ XXH3_64bits(item->bytes.s, item->bytes.n));
        for (;; at = table_next(at)) {
            TRY_IN(table_at(pictures, at, &place), "pictures");
            const Item *other = *place ? &k->item[*place - 1] : item;
            if (span_equal(other->image, item->image) && span_equal(other->bytes, item->bytes))
                break;
        }
        *place = *place ? *place : (uint64_t)i + 1;
        item->picture = (int64_t)*place - 1;
    }
    return OK;
}

static Status index_keys(Asking *k)
{
    k->by_key.kind = TABLE_64;
    for (int64_t i = 0; i < k->n; i++) {
        uint64_t *place;
        TableKey at = table_key(k->item[i].key);
        TRY_IN(table_at(&k->by_key, at, &place), "questions");
        while (*place)
            TRY_IN(table_at(&k->by_key, at = table_next(at), &place), "questions");
        *place = (uint64_t)i + 1;
    }
    return OK;
}

Item *asking_find_open(Asking *k, uint64_t key)
{
    uint64_t place;
    for (TableKey at = table_key(key); (place = table_value(&k->by_key, at)); at = table_next(at)) {
        Item *item = &k->item[place - 1];
        if (!item->answered && item->key == key)
            return item;
    }
    return NULL;
}

Status asking_read(Asking *k, const Bench *b)
{
    Table pictures = {.kind = TABLE_64};
    TRY(b->questions(k->data, add_question, k));
    if (!k->n)
        return bench_empty(b, k->data);
    keep_chunk(k);
    TRY(index_keys(k));
    Status s = find_pictures(k, &pictures);
    table_free(&pictures);
    return s;
}
