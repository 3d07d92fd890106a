/* diffusion.c: the noise loss (diffusion.h). Latents are small, so noise is mixed into them on the host, in f32. */
#include "train/models/diffusion.h"

#include <inttypes.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "train/config/plan.h"
#include "train/models/image_losses.h"
#include "train/models/model.h"

/* ---------------------------------------------------------------- the part */

Status diffusion_configure(GenLlava *g, const RunConfig *cfg)
{
    char folder[PATH_MAX];
    g->diffusion.dropout = cfg->loss.condition_dropout;
    g->diffusion.micro_images = cfg->train.micro_images;
    if (plan_caches(cfg, CACHE_LATENTS)) /* nobody else reads what the latents are like */
        TRY(vae_configure(g, cfg));
    return unet_read_config(&g->unet.config, part_folder(part_find("unet"), cfg, folder));
}

static Status open_numbers(Diffusion *d, const RunConfig *cfg)
{
    char folder[PATH_MAX];
    TRY(noise_schedule_load(&d->schedule, file_join(folder, cfg->model.diffusion.path, "scheduler")));
    return cfg->debug.replay ? replay_open(&d->replay, cfg->debug.replay) : OK;
}

void diffusion_free(GenLlava *g)
{
    noise_schedule_free(&g->diffusion.schedule);
    replay_close(&g->diffusion.replay);
    unet_release(&g->unet);
}

/* Whether UNet and VAE belong together, and the size of pictures to them. */
static Status check_sizes(const GenLlava *g, const RunConfig *cfg)
{
    const UnetConfig *c = &g->unet.config;
    int64_t latent = g->vae.config.latent;
    if (c->out_channels != latent)
        return fail(ERR_DATA, "model.diffusion.path: %s: latent_channels of vae/config.json is %" PRId64 ", out_channels of "
                              "unet/config.json is %" PRId64 "; they must be equal: take VAE and UNet of one model",
                    cfg->model.diffusion.path, latent, c->out_channels);
    Plane size = {1, cfg->model.diffusion.size, cfg->model.diffusion.size}, latents = vae_latents(&g->vae, size);
    int64_t factor = (int64_t)1 << (g->vae.config.levels - 1);
    if (latents.height * factor != size.height)
        return fail(ERR_USAGE, "model.diffusion.size is %" PRId64 ", expected a multiple of %" PRId64 ", by which the VAE of %s divides it",
                    size.height, factor, cfg->model.diffusion.path);
    Plane smallest = unet_smallest(&g->unet, latents);
    if (!plane_rows(&smallest))
        return fail(ERR_USAGE, "model.diffusion.size is %" PRId64 ", of which the UNet of %s leaves nothing on its way down; raise it",
                    size.height, cfg->model.diffusion.path);
    return OK;
}

Status diffusion_declare(GenLlava *g, const RunConfig *cfg)
{
    TRY(open_numbers(&g->diffusion, cfg));
    if (cfg->model.diffusion.edit == EDIT_TRAIN_CONV_IN)
        g->unet.config.in_channels *= 2;
    TRY(unet_declare_weights(&g->unet, &g->params, cfg->model.diffusion.unet == TRAIN_CONV_IN ? UNET_REST : UNET_ALL));
    return g->params.failed ? OK : check_sizes(g, cfg); /* weights for which there was no memory: params_create says so */
}

Status diffusion_declare_conv_in(GenLlava *g, const RunConfig *cfg)
{
    (void)cfg;
    return unet_declare_weights(&g->unet, &g->params, UNET_CONV_IN);
}

/* The folder of a UNet that was trained whole says how many input channels it has now. */
Status diffusion_describe(const GenLlava *g, const RunConfig *cfg, const char *folder)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    if (cfg->model.diffusion.edit != EDIT_TRAIN_CONV_IN)
        return OK;
    TRY(json_read_file(&doc, file_join(path, folder, "unet/config.json")));
    cJSON *o = cJSON_CreateObject();
    for (const Json *m = json_root(doc)->child; m; m = m->next)
        if (strcmp(m->key, "in_channels"))
            json_add_value(o, m->key, m);
        else
            json_add_int(o, m->key, g->unet.config.in_channels);
    if (!json_get(json_root(doc), "in_channels"))
        json_add_int(o, "in_channels", g->unet.config.in_channels);
    json_free(&doc);
    return json_save(path, &o);
}

/* ---------------------------------------------------------------- what is drawn for a target */

typedef struct TargetDraw {
    double dropout; /* u of spec 4.5 */
    int32_t timestep;
    uint32_t item; /* of the sample within the step */
    ReplayRow row;
} TargetDraw;

/* Streams of the purpose RANDOM_NOISE. */
enum { DRAW_TIMESTEP, DRAW_DROPOUT, DRAW_NOISE, DRAW_POSTERIOR };
static const char *const REPLAYED[] = {"timestep", "drop", "noise", "posterior"};

static Status draw_numbers(Tape *t, const Diffusion *d, TargetDraw *draw)
{
    double timestep;
    if (!d->replay) {
        Philox4 when = philox4x32(tape_key(t, RANDOM_NOISE, DRAW_TIMESTEP), 0, draw->item, (uint32_t)draw->row.target, 0);
        Philox4 whether = philox4x32(tape_key(t, RANDOM_NOISE, DRAW_DROPOUT), 0, draw->item, (uint32_t)draw->row.target, 0);
        draw->timestep = (int32_t)((uint64_t)when.v[0] * (uint64_t)d->schedule.n >> 32);
        draw->dropout = (double)philox_uniform(whether.v[0]);
        return OK;
    }
    TRY(replay_number(d->replay, REPLAYED[DRAW_TIMESTEP], draw->row, (double)d->schedule.n, &timestep));
    TRY(replay_number(d->replay, REPLAYED[DRAW_DROPOUT], draw->row, 1, &draw->dropout));
    draw->timestep = (int32_t)timestep;
    if (timestep != (double)draw->timestep)
        return fail(ERR_DATA, "debug.replay: timestep %g of row %d of the mixture is no whole number", timestep, draw->row.record);
    return OK;
}

static Status draw_targets(Tape *t, const GenLlava *g, const Batch *b, const int32_t *target, int64_t n, TargetDraw *draw)
{
    for (int64_t i = 0; target && i < n; i++) {
        int32_t k = target[i], segment = b->target_segment[k], first = k, end = k + 1;
        while (first > 0 && b->target_segment[first - 1] == segment)
            first--;
        while (end < b->n_targets && b->target_segment[end] == segment)
            end++;
        draw[i] = (TargetDraw){.item = (uint32_t)b->item[b->target_row[k]],
                               .row = {.uid = b->uid[segment],
                                       .record = b->record[segment],
                                       .target = k - first,
                                       .n_targets = end - first}};
        TRY(draw_numbers(t, &g->diffusion, &draw[i]));
        if (!tape_records(t)) /* nothing is dropped where nothing is learned */
            draw[i].dropout = 1;
    }
    return OK;
}

/* Standard normals for the latents of a target: rows [height·width, channels]. */
static Status draw_normals(Tape *t, const Diffusion *d, const TargetDraw *draw, int what, Plane latents, int64_t channels, float *to)
{
    if (d->replay)
        return replay_image(d->replay, REPLAYED[what], draw->row, channels, latents.height, latents.width, to);
    const int64_t n = latents.height * latents.width * channels;
    noise_normals(tape_key(t, RANDOM_NOISE, (uint64_t)what), draw->item, (uint32_t)draw->row.target, to, n);
    return OK;
}

/* ---------------------------------------------------------------- a few pictures at a time */

typedef struct NoiseLoss {
    const GenLlava *g;
    const LossPass *pass;
    const int32_t *target; /* NULL: the batch has no arrays */
    const TargetDraw *draw;
    double *sum;
} NoiseLoss;

/* Moments [n·height·width, 2·channels] of the latents of pictures picture[target[i]], i = at …: those that are cached, else made of
 * pixels. Where there is no picture they are not set. */
static float *picture_moments(Tape *t, const NoiseLoss *l, int64_t at, int64_t n, const uint8_t *pixels, const float *cached,
                              const int32_t *picture)
{
    const int64_t size = l->pass->batch->target_size;
    const size_t each = (size_t)l->g->sizes.moments, square = 3 * (size_t)size * (size_t)size;
    float *moments = tape_host(t, (size_t)n * each * sizeof *moments);
    for (int64_t i = 0; moments && i < n; i++) {
        const int32_t k = l->target ? picture[l->target[at + i]] : -1;
        float *to = moments + (size_t)i * each;
        if (k >= 0 && l->g->cached[CACHE_LATENTS])
            memcpy(to, cached + (size_t)k * each, each * sizeof *to);
        else if ((k >= 0 || !l->target) && !l->g->cached[CACHE_LATENTS])
            vae_encode(t, &l->g->vae, l->target ? pixels + (size_t)k * square : NULL, size, to);
    }
    return moments;
}

/* Of one picture: noisy latents and, behind their channels, those of the source. */
typedef struct Mixing {
    int64_t pixels, channels, columns; /* of the latents; of a row of `input` */
    double scaling, signal, noise;
    const float *moments, *posterior, *epsilon;
    const float *source; /* moments; NULL: nothing is seen of it */
    float *input;
} Mixing;

/* z_t = √ᾱ·s·z + √(1-ᾱ)·ε, z a sample of the picture's distribution; of the source it is the mean, not scaled. */
static void mix_latents(const Mixing *m)
{
    for (int64_t i = 0; i < m->pixels; i++)
        for (int64_t c = 0; c < m->channels; c++) {
            int64_t at = i * m->channels + c;
            const float *of = m->moments + 2 * i * m->channels + c;
            double z = m->scaling * (double)vae_sample(of[0], of[m->channels], m->posterior[at]);
            m->input[i * m->columns + c] = (float)(m->signal * z + m->noise * (double)m->epsilon[at]);
            if (m->columns > m->channels)
                m->input[i * m->columns + m->channels + c] = m->source ? m->source[2 * i * m->channels + c] : 0;
        }
}

/* Some target of the chunk has a source that is not dropped. */
static bool sees_source(const NoiseLoss *l, int64_t i)
{
    const Batch *b = l->pass->batch;
    double d = l->g->diffusion.dropout, u = l->draw[i].dropout;
    return b->source_picture[l->target[i]] >= 0 && !(u >= d && u < 3 * d);
}

/* What the UNet is given for a chunk, and what it should find. */
typedef struct ChunkInput {
    float *input;   /* [n·pixels, columns] */
    float *epsilon; /* [n·pixels, channels] */
    float *weight;  /* [n] */
    int32_t *timestep;
} ChunkInput;

static void fill_input(Tape *t, const NoiseLoss *l, int64_t at, int64_t n, Plane latents, const ChunkInput *c)
{
    const GenLlava *g = l->g;
    const Batch *b = l->pass->batch;
    const NoiseSchedule *schedule = &g->diffusion.schedule;
    int64_t pixels = latents.height * latents.width, channels = g->vae.config.latent, columns = g->unet.config.in_channels;
    bool seen = !l->target;
    for (int64_t i = at; l->target && i < at + n; i++)
        seen |= sees_source(l, i);
    const float *moments = picture_moments(t, l, at, n, b->target_pixels, b->target_moments, b->target_picture);
    const float *source =
        columns > channels && seen ? picture_moments(t, l, at, n, b->source_pixels, b->source_moments, b->source_picture) : NULL;
    float *posterior = tape_host(t, (size_t)(pixels * channels) * sizeof *posterior);
    for (int64_t i = 0; l->target && i < n && !tape_status(t); i++) {
        const TargetDraw *draw = &l->draw[at + i];
        int64_t first = i * pixels * channels;
        tape_fail(t, draw_normals(t, &g->diffusion, draw, DRAW_POSTERIOR, latents, channels, posterior));
        tape_fail(t, draw_normals(t, &g->diffusion, draw, DRAW_NOISE, latents, channels, c->epsilon + first));
        c->timestep[i] = draw->timestep;
        c->weight[i] = b->target_weight[l->target[at + i]];
        Mixing mixing = {.pixels = pixels, .channels = channels, .columns = columns, .scaling = g->vae.config.scaling,
                         .signal = schedule->signal[draw->timestep], .noise = schedule->noise[draw->timestep],
                         .moments = moments + 2 * first, .posterior = posterior, .epsilon = c->epsilon + first,
                         .source = source && sees_source(l, at + i) ? source + 2 * first : NULL, .input = c->input + i * pixels * columns};
        mix_latents(&mixing);
    }
}

/* The loss of targets at … at+n-1, whose contexts are [n·queries,C]. */
static Tensor *noise_of_chunk(Tape *t, const void *arg, Tensor *context, int64_t at, int64_t n)
{
    const NoiseLoss *l = arg;
    const GenLlava *g = l->g;
    int64_t size = l->pass->batch->target_size, channels = g->vae.config.latent, columns = g->unet.config.in_channels;
    Plane latents = vae_latents(&g->vae, (Plane){n, size, size});
    int64_t rows = plane_rows(&latents);
    ChunkInput c = {.input = tape_host(t, (size_t)(rows * columns) * sizeof(float)),
                    .epsilon = tape_host(t, (size_t)(rows * channels) * sizeof(float)),
                    .weight = tape_host(t, (size_t)n * sizeof(float)),
                    .timestep = tape_host(t, (size_t)n * sizeof(int32_t))};
    if (!tape_status(t))
        fill_input(t, l, at, n, latents, &c);
    Tensor *found = unet_forward(t, &g->unet, nn_input(t, c.input, rows, columns), latents, c.timestep, context); /* [rows,channels] */
    DifferenceLoss loss = {.kind = DIFFERENCE_MSE, .items = n, .weight = c.weight, .scale = l->pass->scale, .total = l->pass->total};
    Tensor *scaled = nn_difference_loss(t, found, c.epsilon, &loss);
    *l->sum += loss.weighted_sum;
    return scaled;
}

/* ---------------------------------------------------------------- the loss */

/* The contexts [n·queries,C], with that of nothing in place of those that are dropped. */
static Tensor *drop_conditions(Tape *t, const GenLlava *g, Tensor *context, const TargetDraw *draw, int64_t n)
{
    if (!(g->diffusion.dropout > 0))
        return context;
    int64_t rows = tensor_rows(context), queries = rows / n;
    int32_t *index = tape_host(t, (size_t)rows * sizeof *index);
    for (int64_t i = 0; index && i < rows; i++)
        index[i] = (int32_t)(draw[i / queries].dropout < 2 * g->diffusion.dropout ? rows + i % queries : i);
    return nn_gather_rows(t, nn_stack(t, context, image_null_context(t, g)), tape_ints(t, index, rows), rows);
}

Tensor *diffusion_noise_loss(Tape *t, const GenLlava *g, const LossPass *pass, Tensor *context, const int32_t *target, int64_t n)
{
    TargetDraw *draw = tape_host(t, (size_t)n * sizeof *draw);
    if (params_measuring(&g->params) || !pass->batch->target_row)
        target = NULL;
    if (!draw || !context || tape_fail(t, draw_targets(t, g, pass->batch, target, n, draw)))
        return NULL;
    *pass->sum = 0;
    NoiseLoss loss = {.g = g, .pass = pass, .target = target, .draw = draw, .sum = pass->sum};
    return nn_chunks(t, drop_conditions(t, g, context, draw, n), n, g->diffusion.micro_images, noise_of_chunk, &loss);
}
