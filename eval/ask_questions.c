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

static Status index_create(Index *x, const Asking *k)
{
    for (x->slots = 64; x->slots < 2 * (size_t)k->n; x->slots *= 2)
        ;
    x->slot = mem_alloc(x->slots * sizeof *x->slot);
    return x->slot ? OK : asking_no_memory(k);
}

bool asking_has_picture(const Item *i) { return i->image.n || i->bytes.n; }

static void find_pictures(Asking *k, Index *x)
{
    for (int64_t i = 0; i < k->n; i++) {
        Item *item = &k->item[i];
        item->picture = i;
        if (!asking_has_picture(item))
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

Item *asking_find_open(Asking *k, uint64_t key)
{
    size_t at = key & (k->by_key.slots - 1);
    for (; k->by_key.slot[at]; at = (at + 1) & (k->by_key.slots - 1)) {
        Item *item = &k->item[k->by_key.slot[at] - 1];
        if (!item->answered && item->key == key)
            return item;
    }
    return NULL;
}

Status asking_read(Asking *k, const Bench *b)
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
