/* diffuser.c: one pass of a network a call, on a tape that is measured beforehand and then reused (diffuser.h). */
#include "train/models/diffuser.h"

#include "train/models/image_losses.h"
#include "kernels/base/log.h"
#include "train/models/model.h"

/* A tape and the memory it works in. */
typedef struct Runner {
    Tape *tape;
    Arena keep, scratch;
} Runner;

struct Diffuser {
    GenLlava *g;
    DiffuserSizes sizes;
    Backend *backend;
    Runner real;
    void *keep_memory, *scratch_memory;
};

DiffuserSizes diffuser_sizes(const GenLlava *g, const RunConfig *cfg)
{
    int64_t side = cfg->model.diffusion.size;
    Plane latents = vae_latents(&g->vae, (Plane){1, side, side});
    return (DiffuserSizes){.side = side, .rows = plane_rows(&latents), .channels = g->vae.config.latent,
                           .columns = g->unet.config.in_channels, .queries = g->gen_head.config.queries,
                           .width = g->gen_head.config.context, .scaling = g->vae.config.scaling};
}

const NoiseSchedule *diffuser_schedule(const Diffuser *d) { return &d->g->diffusion.schedule; }

/* ---------------------------------------------------------------- networks */

/* Arrays are NULL while measuring. */
typedef struct Pass {
    const GenLlava *g;
    const DiffuserSizes *sizes;
    int64_t items;
    const float *latents, *contexts;
    const int32_t *timestep, *words;
    const uint8_t *pixels;
} Pass;

static Plane latents_of(const Pass *p) { return vae_latents(&p->g->vae, (Plane){p->items, p->sizes->side, p->sizes->side}); }

static Tensor *learned_null(Tape *t, const void *arg) { return image_null_context(t, ((const Pass *)arg)->g); }

static Tensor *read_words(Tape *t, const void *arg)
{
    const Pass *p = arg;
    return clip_text_forward(t, &p->g->text_encoder, p->words, 1);
}

static Tensor *encode(Tape *t, const void *arg)
{
    const Pass *p = arg;
    return vae_moments(t, &p->g->vae, p->pixels, (Plane){1, p->sizes->side, p->sizes->side});
}

static Tensor *predict(Tape *t, const void *arg)
{
    const Pass *p = arg;
    Tensor *x = nn_input(t, p->latents, p->items * p->sizes->rows, p->sizes->columns);
    Tensor *context = nn_input(t, p->contexts, p->items * p->sizes->queries, p->sizes->width);
    return unet_forward(t, &p->g->unet, x, latents_of(p), p->timestep, context); /* [items·rows, channels] */
}

static Tensor *decode(Tape *t, const void *arg)
{
    const Pass *p = arg;
    Plane pictures;
    return vae_decode(t, &p->g->vae, nn_input(t, p->latents, p->sizes->rows, p->sizes->channels), latents_of(p), &pictures);
}

/* ---------------------------------------------------------------- passes */

static Status runner_create(Runner *r, Backend *backend, const GenLlava *g, const RunConfig *cfg)
{
    return tape_create(&r->tape, &(TapeOptions){.backend = backend, .keep = &r->keep, .scratch = &r->scratch,
                                                .compute = g->params.compute, .winograd = cfg->train.winograd});
}

static Status run(Runner *r, EvaluateFn fn, const Pass *p, float *to)
{
    tape_reset(r->tape, 0);
    nn_evaluate(r->tape, fn, p, to);
    return tape_status(r->tape);
}

static bool has_text_encoder(const RunConfig *cfg) { return part_wanted(part_find("text_encoder"), cfg); }
static bool has_noise_loss(const RunConfig *cfg) { return cfg->loss.generate == IMAGE_LOSS_NOISE || cfg->loss.edit == IMAGE_LOSS_NOISE; }
static bool sees_sources(const RunConfig *cfg) { return cfg->model.diffusion.edit != EDIT_LLM_ONLY; }

/* Every network once on a tape that measures. */
static Status walk(Runner *r, const GenLlava *g, const RunConfig *cfg, const DiffuserSizes *sizes)
{
    const struct {
        bool runs;
        EvaluateFn fn;
        int64_t items;
    } NETWORKS[] = {{has_noise_loss(cfg), learned_null, 1},
                    {has_text_encoder(cfg), read_words, 1},
                    {sees_sources(cfg), encode, 1},
                    {true, predict, sizes->columns > sizes->channels ? DIFFUSER_ITEMS : DIFFUSER_ITEMS - 1},
                    {true, decode, 1}};
    for (size_t i = 0; i < sizeof NETWORKS / sizeof *NETWORKS; i++)
        if (NETWORKS[i].runs)
            TRY(run(r, NETWORKS[i].fn, &(Pass){.g = g, .sizes = sizes, .items = NETWORKS[i].items}, NULL));
    return OK;
}

/* The bytes of the two arenas. */
static Status measure(size_t *keep, size_t *scratch, const GenLlava *g, const RunConfig *cfg, Backend *null)
{
    Runner r = {.tape = NULL};
    DiffuserSizes sizes = diffuser_sizes(g, cfg);
    arena_measure(&r.keep);
    arena_measure(&r.scratch);
    Status s = runner_create(&r, null, g, cfg);
    if (!s)
        s = walk(&r, g, cfg, &sizes);
    tape_free(&r.tape);
    *keep = r.keep.peak;
    *scratch = r.scratch.peak;
    return s;
}

/* Pixels in f32, and once more in the type of the device, on their way there. */
static size_t staging_bytes(const DiffuserSizes *s, const RunConfig *cfg)
{
    return sees_sources(cfg) ? (size_t)(s->side * s->side * 3) * 2 * sizeof(float) : 0;
}

Status diffuser_measure(size_t *device, size_t *host, const GenLlava *g, const RunConfig *cfg, Backend *null)
{
    size_t keep, scratch;
    DiffuserSizes sizes = diffuser_sizes(g, cfg);
    TRY(measure(&keep, &scratch, g, cfg, null));
    *device = keep + scratch;
    *host = staging_bytes(&sizes, cfg);
    return OK;
}

static Status create(Diffuser *d, const RunConfig *cfg)
{
    size_t keep, scratch;
    Backend null;
    TRY(d->backend->measure ? d->backend->measure(d->backend, &null) : null_open(&null));
    Status s = measure(&keep, &scratch, d->g, cfg, &null);
    null.close(&null);
    TRY(s);
    TRY_IN(d->backend->mem_create(d->backend, keep, &d->keep_memory), "what the networks that draw work in");
    TRY_IN(d->backend->mem_create(d->backend, scratch, &d->scratch_memory), "what the networks that draw work in");
    arena_borrow(&d->real.keep, d->keep_memory, keep);
    arena_borrow(&d->real.scratch, d->scratch_memory, scratch);
    return runner_create(&d->real, d->backend, d->g, cfg);
}

Status diffuser_open(Diffuser **out, GenLlava *g, const RunConfig *cfg, Backend *backend)
{
    Diffuser *d = *out = mem_alloc(sizeof *d);
    if (!d)
        return fail(ERR_NOMEM, "no memory to draw");
    *d = (Diffuser){.g = g, .backend = backend, .sizes = diffuser_sizes(g, cfg)};
    Status s = create(d, cfg);
    if (s)
        diffuser_close(out);
    return s;
}

void diffuser_close(Diffuser **d)
{
    if (!*d)
        return;
    tape_free(&(*d)->real.tape);
    if ((*d)->keep_memory)
        (*d)->backend->mem_destroy((*d)->backend, (*d)->keep_memory);
    if ((*d)->scratch_memory)
        (*d)->backend->mem_destroy((*d)->backend, (*d)->scratch_memory);
    mem_free(*d);
    *d = NULL;
}

static Pass pass_of(const Diffuser *d) { return (Pass){.g = d->g, .sizes = &d->sizes, .items = 1}; }

Status diffuser_caption_context(Diffuser *d, const char *caption, float *context)
{
    Pass p = pass_of(d);
    int32_t length = (int32_t)d->g->text_encoder.config.length, *words = mem_alloc((size_t)length * sizeof *words);
    if (!words)
        return fail(ERR_NOMEM, "no memory for a prompt of %d tokens", length);
    p.words = words;
    int32_t n = 0;
    Status s = clip_token_count(d->g->text_encoder.tokenizer, caption, &n);
    if (!s && n > length)
        log_warn("the text has %d tokens, of which the text encoder reads %d: what is behind is not seen", n, length);
    if (!s)
        s = clip_tokenize(d->g->text_encoder.tokenizer, caption, length, words);
    if (!s)
        s = run(&d->real, read_words, &p, context);
    mem_free(words);
    return s;
}

Status diffuser_null_context(Diffuser *d, ImageLoss loss, float *context)
{
    const Pass p = pass_of(d);
    return loss == IMAGE_LOSS_NOISE ? run(&d->real, learned_null, &p, context) : diffuser_caption_context(d, "", context);
}

Status diffuser_encode(Diffuser *d, const uint8_t *pixels, float *moments)
{
    Pass p = pass_of(d);
    p.pixels = pixels;
    return run(&d->real, encode, &p, moments);
}

Status diffuser_predict(Diffuser *d, int64_t items, const float *latents, int32_t timestep, const float *contexts, float *noise)
{
    const int32_t times[DIFFUSER_ITEMS] = {timestep, timestep, timestep};
    Pass p = pass_of(d);
    p.items = items;
    p.latents = latents;
    p.contexts = contexts;
    p.timestep = times;
    return run(&d->real, predict, &p, noise);
}

Status diffuser_decode(Diffuser *d, const float *latents, float *picture)
{
    Pass p = pass_of(d);
    p.latents = latents;
    return run(&d->real, decode, &p, picture);
}
