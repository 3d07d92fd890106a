/* decoder.c: text generation: the layers of training with recording off and key/value caches (genllava.h). Memory of a pass is measured on
 * the null backend first. Called by infer/answer.c. */
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
    int64_t *length; /* [sequences] positions so far; 0: no prompt yet */
    float *seen;     /* features of the pictures last looked at, [n_seen·patches,D] */
    int32_t n_seen;
    float *logits;                  /* [DECODER_SEQUENCES,V+R] */
    int32_t *ids, *pos, *item, *to; /* [capacity or DECODER_SEQUENCES] */
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
    d->null.tile_bytes = d->g->params.backend->tile_bytes;
    if (measures)
        d->backend = &d->null;
    TRY(runner_create(&d->measure, &d->null, d->g->params.compute));
    return runner_create(&d->real, d->backend, d->g->params.compute);
}

static int64_t logits_width(const Decoder *d) { return d->g->sizes.vocab_size + d->g->sizes.added_rows; }

/* Keys or values of one layer. */
static size_t layer_bytes(const Decoder *d)
{
    const MistralConfig *c = &d->g->llm.config;
    return (size_t)(d->cache.sequences * d->cache.capacity * c->kv_heads * c->head_dim) * dtype_size(d->g->params.compute);
}

static size_t cache_bytes(const Decoder *d) { return 2 * (size_t)d->g->llm.config.layers * layer_bytes(d); }

static Status create_cache(Decoder *d)
{
    TRY_IN(d->backend->mem_create(d->backend, cache_bytes(d), &d->cache_memory),
           "key/value cache of %" PRId64 " times %" PRId64 " positions", d->cache.sequences, d->cache.capacity);
    for (size_t i = 0; i < (size_t)d->g->llm.config.layers; i++) {
        d->cache.k[i] = (char *)d->cache_memory + 2 * i * layer_bytes(d);
        d->cache.v[i] = (char *)d->cache.k[i] + layer_bytes(d);
    }
    return OK;
}

/* measures: all of it on the null backend. */
static Status create(Decoder **out, GenLlava *g, int sequences, int64_t capacity, bool measures)
{
    *out = NULL;
    if (capacity < 1 || capacity > INT32_MAX / DECODER_SEQUENCES)
        return fail(ERR_USAGE, "a context of %" PRId64 " positions, expected 1 … %d", capacity, INT32_MAX / DECODER_SEQUENCES);
    if (sequences < 1 || sequences > DECODER_SEQUENCES)
        return fail(ERR_INTERNAL, "decoder_create: %d sequences, at most %d", sequences, DECODER_SEQUENCES);
    Decoder *d = mem_alloc(sizeof *d);
    if (!d)
        return fail(ERR_NOMEM, "no memory to generate");
    size_t n = (size_t)g->llm.config.layers, ints = (size_t)(capacity + DECODER_SEQUENCES) * sizeof(int32_t);
    *d = (Decoder){.g = g, .backend = g->params.backend, .cache = {.sequences = sequences, .capacity = capacity}};
    d->cache.k = mem_alloc(n * sizeof *d->cache.k);
    d->cache.v = mem_alloc(n * sizeof *d->cache.v);
    d->length = mem_alloc((size_t)sequences * sizeof *d->length);
    d->logits = mem_alloc(DECODER_SEQUENCES * (size_t)logits_width(d) * sizeof *d->logits);
    d->ids = mem_alloc(ints);
    d->pos = mem_alloc(ints);
    d->item = mem_alloc(ints);
    d->to = mem_alloc(ints);
    bool ok = d->cache.k && d->cache.v && d->length && d->logits && d->ids && d->pos && d->item && d->to;
    Status s = ok ? OK : fail(ERR_NOMEM, "no memory to generate");
    if (!s)
        s = create_runners(d, measures);
    if (!s)
        s = create_cache(d);
    if (s)
        decoder_free(&d);
    *out = d;
    return s;
}

Status decoder_create(Decoder **out, GenLlava *g, int sequences, int64_t capacity) { return create(out, g, sequences, capacity, false); }

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
    void *host[] = {(*d)->cache.k, (*d)->cache.v, (*d)->length, (*d)->seen, (*d)->logits, (*d)->ids, (*d)->pos, (*d)->item, (*d)->to};
    for (size_t i = 0; i < sizeof host / sizeof *host; i++)
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

/* What a pass works on besides the decoder: which rows, and what it gives the host. */
typedef struct Work {
    Batch b;
    int32_t cu[DECODER_SEQUENCES + 1];
    bool begins;                       /* a sequence, whose last row's logits are wanted; else those of every row */
    int32_t length[DECODER_SEQUENCES]; /* of every sequence after this pass */
    float *host;                       /* NULL: nobody asks for it */
} Work;

/* The features of the pictures. */
static Status look_pass(Decoder *d, Runner *r, const Work *w)
{
    begin_pass(r);
    Tensor *features = genllava_features(r->tape, d->g, &w->b);
    if (features && r == &d->real && w->host) /* while measuring there are no values */
        nn_values(r->tape, features, w->host);
    return tape_status(r->tape);
}

/* The features of the pictures last looked at. */
static Tensor *seen(Decoder *d, Runner *r, const Batch *b)
{
    const bool measured = r == &d->measure || !d->seen;
    const int64_t n = (int64_t)b->n_images * d->g->sizes.patches;
    return b->n_images ? nn_input(r->tape, measured ? NULL : d->seen, n, d->g->sizes.hidden) : NULL;
}

/* The rows of w enter the cache; logits go to the host. */
static Status logits_pass(Decoder *d, Runner *r, const Work *w)
{
    static const int32_t ZEROS[DECODER_SEQUENCES];
    Tape *t = r->tape;
    const Batch *b = &w->b;
    begin_pass(r);
    KvCache cache = d->cache;
    const int32_t last = b->n_tokens - 1;
    const int64_t more = w->begins ? 0 : b->n_tokens - cache.sequences;
    cache.begins = w->begins;
    cache.to = tape_ints(t, d->to, b->n_tokens);
    cache.length = w->begins ? NULL : tape_ints(t, w->length, cache.sequences);
    cache.first = more > 0 ? tape_ints(t, ZEROS, more) : NULL;
    Tensor *x = genllava_states(t, d->g, b, seen(d, r, b), &cache);
    if (w->begins)
        x = nn_gather_rows(t, x, tape_ints(t, &last, 1), 1);
    nn_logits(t, mistral_norm(t, &d->g->llm, x), d->g->llm.head, d->g->rows.head, w->host);
    return tape_status(t);
}

/* A pass beside the cache; the context of its target goes to the host. */
static Status context_pass(Decoder *d, Runner *r, const Work *w)
{
    Tape *t = r->tape;
    begin_pass(r);
    Tensor *context = image_context(t, d->g, genllava_states(t, d->g, &w->b, seen(d, r, &w->b), NULL), &w->b);
    if (context && r == &d->real && w->host)
        nn_values(t, context, w->host);
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

typedef Status (*Pass)(Decoder *d, Runner *r, const Work *w);

static Status measured_pass(Decoder *d, Pass pass, const Work *w)
{
    TRY(pass(d, &d->measure, w));
    TRY(grow(d, &d->real.keep, &d->keep_memory, d->measure.keep.peak));
    TRY(grow(d, &d->real.scratch, &d->scratch_memory, d->measure.scratch.peak));
    return pass(d, &d->real, w);
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

/* The rows of one text from its first position on. */
static Status begin_text(Decoder *d, Work *w, const int32_t *ids, int64_t n, int32_t n_images)
{
    int64_t length = 0;
    TRY(expand(d, ids, n, n_images, &length));
    if (!length)
        return fail(ERR_DATA, "the prompt is empty");
    if (n_images && n_images != d->n_seen)
        return fail(ERR_INTERNAL, "a prompt about %d pictures after a look at %d", n_images, d->n_seen);
    for (int64_t i = 0; i < length; i++)
        d->pos[i] = (int32_t)i;
    *w = (Work){.begins = true, .cu = {0, (int32_t)length}};
    w->b = (Batch){.n_segments = 1,
                   .n_tokens = (int32_t)length,
                   .n_images = n_images,
                   .max_segment = (int32_t)length,
                   .cu = w->cu,
                   .id = d->ids,
                   .pos = d->pos,
                   .item = d->item};
    return OK;
}

Status decoder_look(Decoder *d, const uint8_t *pixels, int32_t n_images)
{
    const ModelSizes *s = &d->g->sizes;
    Work w = {.b = {.n_images = n_images, .image_height = s->image_height, .image_width = s->image_width, .pixels = pixels}};
    mem_free(d->seen);
    d->seen = NULL;
    d->n_seen = 0;
    if (pixels) {
        size_t n_bytes = (size_t)n_images * (size_t)s->patches * (size_t)s->hidden * sizeof *d->seen;
        d->seen = w.host = mem_alloc(n_bytes);
        if (!d->seen)
            return fail(ERR_NOMEM, "no memory for what is seen of %d pictures, %zu bytes", n_images, n_bytes);
    }
    TRY(measured_pass(d, look_pass, &w));
    d->n_seen = n_images;
    return OK;
}

Status decoder_prompt(Decoder *d, int sequence, const int32_t *ids, int64_t n, int32_t n_images)
{
    Work w;
    d->length[sequence] = 0;
    TRY(begin_text(d, &w, ids, n, n_images));
    for (int32_t i = 0; i < w.b.n_tokens; i++)
        d->to[i] = (int32_t)(sequence * d->cache.capacity + i);
    w.host = d->logits + sequence * logits_width(d);
    TRY(measured_pass(d, logits_pass, &w));
    d->length[sequence] = w.b.n_tokens;
    return OK;
}

Status decoder_context(Decoder *d, const int32_t *ids, int64_t n, int32_t n_images, float *context)
{
    Work w;
    TRY(begin_text(d, &w, ids, n, n_images));
    const int32_t first = w.b.n_tokens - (int32_t)d->g->rows.visual;
    if (first < 1)
        return fail(ERR_INTERNAL, "decoder_context: %d tokens, %d of them visual", w.b.n_tokens, (int)d->g->rows.visual);
    w.b.n_targets = 1;
    w.b.target_row = &first;
    w.host = context;
    return measured_pass(d, context_pass, &w);
}

/* One row each of the first sequences, up to the last that goes on; those that do not go on have a row that enters nothing. Where a row's
 * sums depend on how many rows there are, there are always DECODER_SEQUENCES. */
static int32_t step_rows(const Decoder *d, const int32_t *ids)
{
    int32_t n = (int32_t)d->cache.sequences;
    while (n && ids[n - 1] < 0)
        n--;
    return !n || d->g->params.backend->rows_alike ? n : DECODER_SEQUENCES;
}

Status decoder_step(Decoder *d, const int32_t *ids)
{
    Work w = {.host = d->logits};
    const int32_t rows = step_rows(d, ids);
    for (int32_t i = 0; i < rows; i++) {
        const bool goes_on = i < d->cache.sequences && ids[i] >= 0;
        const int64_t length = goes_on ? d->length[i] : 0;
        if (goes_on && !length)
            return fail(ERR_INTERNAL, "decoder_step before decoder_prompt");
        if (length >= d->cache.capacity)
            return fail(ERR_DATA, "the text has reached the %" PRId64 " positions there is room for", d->cache.capacity);
        d->ids[i] = goes_on ? ids[i] : 0;
        d->pos[i] = (int32_t)length;
        d->to[i] = goes_on ? (int32_t)(i * d->cache.capacity + length) : -1;
        w.cu[i + 1] = i + 1;
    }
    for (int64_t i = 0; i < d->cache.sequences; i++)
        w.length[i] = i < rows && ids[i] >= 0 ? (int32_t)d->length[i] + 1 : 1;
    w.b = (Batch){.n_segments = rows, .n_tokens = rows, .max_segment = 1, .cu = w.cu, .id = d->ids, .pos = d->pos, .item = d->item};
    if (rows)
        TRY(measured_pass(d, logits_pass, &w));
    for (int32_t i = 0; i < rows && i < d->cache.sequences; i++)
        d->length[i] += ids[i] >= 0;
    return OK;
}

const float *decoder_logits(const Decoder *d, int sequence) { return d->logits + sequence * logits_width(d); }

size_t decoder_bytes(const Decoder *d) { return cache_bytes(d) + d->real.keep.capacity + d->real.scratch.capacity; }

Status decoder_measure(size_t *n_bytes, GenLlava *g, int sequences, int64_t capacity, const int32_t *ids, int64_t n, int32_t n_images,
                       bool to_context)
{
    Decoder *d;
    *n_bytes = 0;
    TRY(create(&d, g, sequences, capacity, true));
    Status s = n_images ? decoder_look(d, NULL, n_images) : OK;
    if (!s)
        s = to_context ? decoder_context(d, ids, n, n_images, NULL) : decoder_prompt(d, 0, ids, n, n_images);
    if (s == OK)
        *n_bytes = decoder_bytes(d);
    decoder_free(&d);
    return s;
}
