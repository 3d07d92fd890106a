/* draw.c: from noise to a picture: guidance, the sampler's steps, and what is drawn at random (draw.h). The networks are diffuser.h's. */
#include "train/infer/draw.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"
#include "train/models/diffuser.h"
#include "train/models/vae.h"

const DrawOptions DRAW_DEFAULTS = {.steps = 50, .guidance = 7.5, .image_guidance = 1.5, .strength = 0.8, .seed = 42};

struct Drawer {
    Diffuser *networks;
    DiffuserSizes sizes;
    const RunConfig *cfg;
    SamplerKind own;      /* of the folder, once it was asked for */
    float *x;             /* [rows,channels] latents */
    float *found, *input; /* of the UNet: [DIFFUSER_ITEMS·rows, channels], [DIFFUSER_ITEMS·rows, columns] */
    float *contexts;      /* [DIFFUSER_ITEMS·queries, width] */
    float *moments;       /* [rows, 2·channels] of the source */
    float *picture;       /* [side,side,3] */
};

/* ---------------------------------------------------------------- opening */

typedef struct Buffer {
    float **at; /* NULL: only its size is wanted */
    int64_t n;
} Buffer;

static void list_buffers(Drawer *d, const DiffuserSizes *s, Buffer list[6])
{
    const Buffer all[6] = {{&d->x, s->rows * s->channels},
                           {&d->found, DIFFUSER_ITEMS * s->rows * s->channels},
                           {&d->input, DIFFUSER_ITEMS * s->rows * s->columns},
                           {&d->contexts, DIFFUSER_ITEMS * s->queries * s->width},
                           {&d->moments, s->rows * 2 * s->channels},
                           {&d->picture, s->side * s->side * 3}};
    memcpy(list, all, sizeof all);
}

static Status create(Drawer *d, GenLlava *model, Backend *backend)
{
    Buffer buffers[6];
    list_buffers(d, &d->sizes, buffers);
    for (int i = 0; i < 6; i++)
        if (!(*buffers[i].at = mem_alloc((size_t)buffers[i].n * sizeof(float))))
            return fail(ERR_NOMEM, "no memory for a picture of %" PRId64 " pixels a side", d->sizes.side);
    return diffuser_open(&d->networks, model, d->cfg, backend);
}

Status drawer_open(Drawer **out, GenLlava *model, const RunConfig *cfg, Backend *backend)
{
    Drawer *d = *out = mem_alloc(sizeof *d);
    if (!d)
        return fail(ERR_NOMEM, "no memory to draw");
    *d = (Drawer){.cfg = cfg, .sizes = diffuser_sizes(model, cfg)};
    Status s = create(d, model, backend);
    if (s)
        drawer_close(out);
    return s;
}

void drawer_close(Drawer **d)
{
    Buffer buffers[6];
    if (!*d)
        return;
    list_buffers(*d, &(*d)->sizes, buffers);
    for (int i = 0; i < 6; i++)
        mem_free(*buffers[i].at);
    diffuser_close(&(*d)->networks);
    mem_free(*d);
    *d = NULL;
}

Status drawer_measure(size_t *device, size_t *host, const GenLlava *model, const RunConfig *cfg, Backend *null)
{
    Drawer none;
    Buffer buffers[6];
    const DiffuserSizes sizes = diffuser_sizes(model, cfg);
    TRY(diffuser_measure(device, host, model, cfg, null));
    list_buffers(&none, &sizes, buffers);
    for (int i = 0; i < 6; i++)
        *host += (size_t)buffers[i].n * sizeof(float);
    *host += sampler_bytes(sizes.rows * sizes.channels);
    return OK;
}

/* ---------------------------------------------------------------- guidance */

/* A picture on its way. */
typedef struct Drawing {
    Drawer *d;
    const DrawOptions *o;
    bool sees;     /* the UNet sees the source, in d->moments … */
    int64_t items; /* evaluations a step: 1 with the context; 2 without and with it; 3 with context and source, source alone, neither */
    Sampler *sampler;
} Drawing;

/* Which items have the context, and which the source. */
static bool has_context(const Drawing *w, int64_t item) { return w->items == 1 || item == (w->items == 2); }
static bool has_source(const Drawing *w, int64_t item) { return w->sees && item < 2; }

/* The source beside the latents does not change from step to step. */
static void put_sources(const Drawing *w)
{
    const DiffuserSizes *s = &w->d->sizes;
    for (int64_t i = 0; i < w->items; i++)
        for (int64_t p = 0; p < s->rows; p++)
            for (int64_t c = s->channels; c < s->columns; c++)
                w->d->input[(i * s->rows + p) * s->columns + c] =
                    has_source(w, i) ? w->d->moments[p * 2 * s->channels + c - s->channels] : 0;
}

static Status put_contexts(const Drawing *w, ImageLoss loss, const float *context)
{
    const DiffuserSizes *s = &w->d->sizes;
    const int64_t n = s->queries * s->width;
    const float *null = NULL;
    for (int64_t i = 0; i < w->items; i++) {
        float *to = w->d->contexts + i * n;
        const float *from = has_context(w, i) ? context : null;
        if (from)
            memcpy(to, from, (size_t)n * sizeof *to);
        else {
            TRY_IN(diffuser_null_context(w->d->networks, loss, to), "the context of nothing");
            null = to;
        }
    }
    return OK;
}

static void put_latents(const Drawing *w)
{
    const DiffuserSizes *s = &w->d->sizes;
    for (int64_t row = 0; row < w->items * s->rows; row++)
        memcpy(w->d->input + row * s->columns, w->d->x + row % s->rows * s->channels, (size_t)s->channels * sizeof(float));
}

/* What is found for the first item becomes what all of them say: model.md 5.6. */
static void guide(const Drawing *w)
{
    const int64_t n = w->d->sizes.rows * w->d->sizes.channels;
    const double text = w->o->guidance, image = w->o->image_guidance;
    float *a = w->d->found, *b = a + n, *c = b + n;
    for (int64_t i = 0; w->items > 1 && i < n; i++)
        a[i] = (float)(w->items == 2 ? (double)a[i] + text * ((double)b[i] - (double)a[i])
                                     : (double)c[i] + text * ((double)a[i] - (double)b[i]) + image * ((double)b[i] - (double)c[i]));
}

/* ---------------------------------------------------------------- a picture */

/* Streams of the purpose RANDOM_SAMPLING: answers in text have the first one. */
enum { DRAW_NOISE = 1, DRAW_POSTERIOR };

static void draw_normals(const DrawOptions *o, int stream, float *to, int64_t n)
{
    noise_normals(philox_key(o->seed, RANDOM_SAMPLING, o->index, (uint64_t)stream), 0, 0, to, n);
}

/* The source's latents, drawn of what the encoder gives. to [rows,channels] */
static void sample_source(const Drawing *w, float *to)
{
    const DiffuserSizes *s = &w->d->sizes;
    draw_normals(w->o, DRAW_POSTERIOR, to, s->rows * s->channels);
    for (int64_t i = 0; i < s->rows * s->channels; i++) {
        const float *of = w->d->moments + i / s->channels * 2 * s->channels + i % s->channels;
        to[i] = (float)(s->scaling * (double)vae_sample(of[0], of[s->channels], to[i]));
    }
}

static Status check_finite(const float *x, int64_t n, const char *what, int64_t done, int64_t of)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return fail(ERR_DATA, "%s of a picture are not finite after %" PRId64 " of %" PRId64 " evaluations of the UNet: lower the "
                                  "guidance, compute in f32 (train.compute), or look for damaged weights", what, done, of);
    return OK;
}

static Status run_steps(Drawing *w)
{
    Drawer *d = w->d;
    const DrawOptions *o = w->o;
    const int64_t of = sampler_evaluations(w->sampler), n = d->sizes.rows * d->sizes.channels;
    for (int64_t i = 0; i < of; i++) {
        const char *why = o->stopped ? o->stopped() : NULL;
        if (why)
            return fail(ERR_PREEMPTED, "%s", why);
        put_latents(w);
        TRY(diffuser_predict(d->networks, w->items, d->input, sampler_timestep(w->sampler), d->contexts, d->found));
        guide(w);
        sampler_step(w->sampler, d->found, d->x);
        TRY(check_finite(d->x, n, "the latents", i + 1, of));
        if (o->progress)
            o->progress(o->user, i + 1, of);
    }
    return OK;
}

/* As diffusers' VaeImageProcessor and numpy round. */
static uint8_t byte_of(float x) { return (uint8_t)rintf(fminf(fmaxf(x / 2 + 0.5f, 0), 1) * 255); }

static Status decode(Drawer *d, uint8_t *rgb, int64_t evaluations)
{
    const DiffuserSizes *s = &d->sizes;
    const int64_t n = s->side * s->side * 3;
    for (int64_t i = 0; i < s->rows * s->channels; i++)
        d->x[i] = (float)((double)d->x[i] / s->scaling);
    TRY_IN(diffuser_decode(d->networks, d->x, d->picture), "decoding the latents");
    TRY(check_finite(d->picture, n, "the pixels", evaluations, evaluations));
    for (int64_t i = 0; i < n; i++)
        rgb[i] = byte_of(d->picture[i]);
    return OK;
}

static Status draw(Drawing *w, ImageLoss loss, const float *context, bool starts_there, uint8_t *rgb)
{
    float *start = starts_there ? w->d->found : NULL; /* not in use yet */
    put_sources(w);
    TRY(put_contexts(w, loss, context));
    if (start)
        sample_source(w, start);
    draw_normals(w->o, DRAW_NOISE, w->d->x, w->d->sizes.rows * w->d->sizes.channels);
    sampler_begin(w->sampler, start, w->d->x);
    TRY(run_steps(w));
    return decode(w->d, rgb, sampler_evaluations(w->sampler));
}

static Status create_sampler(Sampler **out, Drawer *d, const DrawOptions *o, double strength)
{
    char folder[PATH_MAX];
    file_join(folder, d->cfg->model.diffusion.path, "scheduler");
    if (o->sampler == SAMPLER_OF_FOLDER && !d->own)
        TRY(sampler_of_folder(&d->own, folder));
    return sampler_create(out, &(SamplerOptions){.kind = o->sampler ? o->sampler : d->own, .folder = folder,
                                                 .schedule = diffuser_schedule(d->networks), .steps = o->steps, .strength = strength,
                                                 .n = d->sizes.rows * d->sizes.channels});
}

Status drawer_caption(Drawer *d, const char *caption, float *context) { return diffuser_caption_context(d->networks, caption, context); }

Status draw_picture(Drawer *d, Task task, const float *context, const uint8_t *source, const DrawOptions *o, uint8_t *rgb)
{
    const bool starts_there = source && d->cfg->model.diffusion.edit == EDIT_SDEDIT, sees = source && d->sizes.columns > d->sizes.channels;
    const ImageLoss learned = task == TASK_EDIT ? d->cfg->loss.edit : d->cfg->loss.generate,
                    loss = d->cfg->captions ? IMAGE_LOSS_L2NORM : learned;
    Drawing w = {.d = d, .o = o, .sees = sees, .items = 1};
    if (o->guidance > 1)
        w.items = !sees ? 2 : o->image_guidance >= 1 ? 3 : 1; /* as diffusers: without one of the two there is neither */
    TRY(create_sampler(&w.sampler, d, o, starts_there ? o->strength : 1));
    Status s = starts_there || sees ? fail_context(diffuser_encode(d->networks, source, d->moments), "encoding the source") : OK;
    if (!s)
        s = draw(&w, loss, context, starts_there, rgb);
    sampler_free(&w.sampler);
    return s;
}
