/* Text generation: the layers of training with recording off and a key/value cache. Memory of a pass is measured on the null backend first.
 */
#include <inttypes.h>

#include "train/models/image_losses.h"
#include "train/models/model.h"

/* A tape and the memory it works in. */
typedef struct Runner {
    Tape *tape;
    Arena keep, scratch;
} Runner;

struct Decoder {
    GenLlava *g;
    Backend *backend, null;
    Runner measure, real;
    KvCache cache;
    void *cache_memory, *keep_memory, *scratch_memory;
    float *logits;             /* [V+R] */
    int32_t *ids, *pos, *item; /* [capacity] */
};

static Status runner_create(Runner *r, Backend *backend, DType compute)
{
    return tape_create(&r->tape, &(TapeOptions){.backend = backend, .keep = &r->keep, .scratch = &r->scratch, .compute = compute});
}

static Status create_runners(Decoder *d, bool measures)
{
    arena_measure(&d->measure.keep);
    arena_measure(&d->measure.scratch);
    TRY(null_open(&d->null));
    if (measures)
        d->backend = &d->null;
    TRY(runner_create(&d->measure, &d->null, d->g->params.compute));
    return runner_create(&d->real, d->backend, d->g->params.compute);
}

/* Keys or values of one layer. */
static size_t layer_bytes(const Decoder *d)
{
    const MistralConfig *c = &d->g->llm.config;
    return (size_t)(d->cache.capacity * c->kv_heads * c->head_dim) * dtype_size(d->g->params.compute);
}

static size_t cache_bytes(const Decoder *d) { return 2 * (size_t)d->g->llm.config.layers * layer_bytes(d); }

static Status create_cache(Decoder *d)
{
    TRY_IN(d->backend->mem_create(d->backend, cache_bytes(d), &d->cache_memory), "key/value cache of %" PRId64 " positions",
           d->cache.capacity);
    for (size_t i = 0; i < (size_t)d->g->llm.config.layers; i++) {
        d->cache.k[i] = (char *)d->cache_memory + 2 * i * layer_bytes(d);
        d->cache.v[i] = (char *)d->cache.k[i] + layer_bytes(d);
    }
    return OK;
}

/* measures: all of it on the null backend. */
static Status create(Decoder **out, GenLlava *g, int64_t capacity, bool measures)
{
    *out = NULL;
    if (capacity < 1 || capacity > INT32_MAX)
        return fail(ERR_USAGE, "a context of %" PRId64 " positions, expected 1 … %d", capacity, INT32_MAX);
    Decoder *d = mem_alloc(sizeof *d);
    if (!d)
        return fail(ERR_NOMEM, "no memory to generate");
    size_t n = (size_t)g->llm.config.layers, ints = (size_t)capacity * sizeof(int32_t);
    *d = (Decoder){.g = g, .backend = g->params.backend, .cache.capacity = capacity};
    d->cache.k = mem_alloc(n * sizeof *d->cache.k);
    d->cache.v = mem_alloc(n * sizeof *d->cache.v);
    d->logits = mem_alloc((size_t)(g->sizes.vocab_size + g->sizes.added_rows) * sizeof *d->logits);
    d->ids = mem_alloc(ints);
    d->pos = mem_alloc(ints);
    d->item = mem_alloc(ints);
    Status s = d->cache.k && d->cache.v && d->logits && d->ids && d->pos && d->item ? OK : fail(ERR_NOMEM, "no memory to generate");
    if (!s)
        s = create_runners(d, measures);
    if (!s)
        s = create_cache(d);
    if (s)
        decoder_free(&d);
    *out = d;
    return s;
}

Status decoder_create(Decoder **out, GenLlava *g, int64_t capacity) { return create(out, g, capacity, false); }

void decoder_free(Decoder **d)
{
    if (!*d)
        return;
    tape_free(&(*d)->measure.tape);
    tape_free(&(*d)->real.tape);
    void *device[] = {(*d)->cache_memory, (*d)->keep_memory, (*d)->scratch_memory};
    for (int i = 0; i < 3; i++)
        if (device[i])
            (*d)->backend->mem_destroy((*d)->backend, device[i]);
    if ((*d)->null.close)
        (*d)->null.close(&(*d)->null);
    void *host[] = {(*d)->cache.k, (*d)->cache.v, (*d)->logits, (*d)->ids, (*d)->pos, (*d)->item};
    for (int i = 0; i < 6; i++)
        mem_free(host[i]);
    mem_free(*d);
    *d = NULL;
}

static void begin_pass(Runner *r)
{
    tape_reset(r->tape, 0);
    tape_record(r->tape, false);
    r->keep.peak = r->scratch.peak = 0;
}

/* One pass over the rows of b, which enter the cache; the last row's logits go to the host. */
static Status logits_pass(Decoder *d, Runner *r, const Batch *b, float *host)
{
    Tape *t = r->tape;
    begin_pass(r);
    KvCache cache = d->cache;
    int32_t now = (int32_t)cache.length + b->n_tokens, last = b->n_tokens - 1;
    cache.length_now = tape_ints(t, &now, 1);
    Tensor *x = genllava_states(t, d->g, b, &cache);
    Tensor *hs = mistral_norm(t, &d->g->llm, nn_gather_rows(t, x, tape_ints(t, &last, 1), 1));
    nn_logits(t, hs, d->g->llm.head, d->g->rows.head, host);
    return tape_status(t);
}

/* One pass over the rows of b, beside the cache; the context of its target goes to the host. */
static Status context_pass(Decoder *d, Runner *r, const Batch *b, float *host)
{
    Tape *t = r->tape;
    begin_pass(r);
    Tensor *context = image_context(t, d->g, genllava_states(t, d->g, b, NULL), b);
    if (context && r == &d->real && host) /* while measuring there are no values */
        nn_values(t, context, host);
    return tape_status(t);
}

/* An arena over backend memory of at least `needed` bytes. */
static Status grow(Decoder *d, Arena *a, void **memory, size_t needed)
{
    if (*memory && a->capacity >= needed)
        return OK;
    if (*memory)
        d->backend->mem_destroy(d->backend, *memory);
    *memory = NULL;
    TRY(d->backend->mem_create(d->backend, needed, memory));
    arena_borrow(a, *memory, needed);
    return OK;
}

typedef Status (*Pass)(Decoder *d, Runner *r, const Batch *b, float *host);

static Status measured_pass(Decoder *d, Pass pass, const Batch *b, float *host)
{
    TRY(pass(d, &d->measure, b, host));
    TRY(grow(d, &d->real.keep, &d->keep_memory, d->measure.keep.peak));
    TRY(grow(d, &d->real.scratch, &d->scratch_memory, d->measure.scratch.peak));
    return pass(d, &d->real, b, host);
}

/* Writes the ids with every image placeholder repeated for each patch; n is how many there are. */
static Status expand(Decoder *d, const int32_t *ids, int64_t n, int32_t n_images, int64_t *expanded)
{
    int64_t at = 0, images = 0, patches = d->g->sizes.patches;
    for (int64_t i = 0; i < n; i++) {
        int64_t copies = ids[i] == ID_IMAGE ? patches : 1;
        images += ids[i] == ID_IMAGE;
        if (at + copies > d->cache.capacity)
            return fail(ERR_DATA, "the prompt has more than the %" PRId64 " positions there is room for", d->cache.capacity);
        for (int64_t k = 0; k < copies; k++)
            d->ids[at++] = ids[i];
    }
    if (images != n_images)
        return fail(ERR_DATA, "the prompt has %" PRId64 " image placeholders for %d pictures", images, n_images);
    *expanded = at;
    return OK;
}

/* The batch of one sample; cu: room for its bounds. */
static Status make_batch(Decoder *d, Batch *b, int32_t cu[2], const int32_t *ids, int64_t n, const uint8_t *pixels, int32_t n_images)
{
    int64_t length = 0;
    TRY(expand(d, ids, n, n_images, &length));
    if (!length)
        return fail(ERR_DATA, "the prompt is empty");
    for (int64_t i = 0; i < length; i++)
        d->pos[i] = (int32_t)i;
    cu[0] = 0;
    cu[1] = (int32_t)length;
    *b = (Batch){.n_segments = 1,
                 .n_tokens = (int32_t)length,
                 .n_images = n_images,
                 .max_segment = (int32_t)length,
                 .cu = cu,
                 .id = d->ids,
                 .pos = d->pos,
                 .item = d->item,
                 .image_height = d->g->sizes.image_height,
                 .image_width = d->g->sizes.image_width,
                 .pixels = pixels};
    return OK;
}

Status decoder_prompt(Decoder *d, const int32_t *ids, int64_t n, const uint8_t *pixels, int32_t n_images)
{
    Batch b;
    int32_t cu[2];
    TRY(make_batch(d, &b, cu, ids, n, pixels, n_images));
    d->cache.length = 0;
    TRY(measured_pass(d, logits_pass, &b, d->logits));
    d->cache.length = b.n_tokens;
    return OK;
}

Status decoder_context(Decoder *d, const int32_t *ids, int64_t n, const uint8_t *pixels, int32_t n_images, float *context)
{
    Batch b;
    int32_t cu[2], first;
    TRY(make_batch(d, &b, cu, ids, n, pixels, n_images));
    first = b.n_tokens - (int32_t)d->g->rows.visual;
    if (first < 1)
        return fail(ERR_INTERNAL, "decoder_context: %d tokens, %d of them visual", b.n_tokens, (int)d->g->rows.visual);
    b.n_targets = 1;
    b.target_row = &first;
    return measured_pass(d, context_pass, &b, context);
}

Status decoder_step(Decoder *d, int32_t id)
{
    if (!d->cache.length)
        return fail(ERR_INTERNAL, "decoder_step before decoder_prompt");
    if (d->cache.length >= d->cache.capacity)
        return fail(ERR_DATA, "the text has reached the %" PRId64 " positions there is room for", d->cache.capacity);
    const int32_t cu[2] = {0, 1}, pos = (int32_t)d->cache.length, item = 0;
    Batch b = {.n_segments = 1, .n_tokens = 1, .max_segment = 1, .cu = cu, .id = &id, .pos = &pos, .item = &item};
    TRY(measured_pass(d, logits_pass, &b, d->logits));
    d->cache.length++;
    return OK;
}

const float *decoder_logits(const Decoder *d) { return d->logits; }

size_t decoder_bytes(const Decoder *d) { return cache_bytes(d) + d->real.keep.capacity + d->real.scratch.capacity; }

Status decoder_measure(size_t *n_bytes, GenLlava *g, int64_t capacity, const int32_t *ids, int64_t n, int32_t n_images, bool to_context)
{
    Decoder *d;
    *n_bytes = 0;
    TRY(create(&d, g, capacity, true));
    Status s = to_context ? decoder_context(d, ids, n, NULL, n_images, NULL) : decoder_prompt(d, ids, n, NULL, n_images);
    if (s == OK)
        *n_bytes = decoder_bytes(d);
    decoder_free(&d);
    return s;
}
