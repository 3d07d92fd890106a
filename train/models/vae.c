/* vae.c: the autoencoder: settings, weights, encoder and decoder (vae.h). */
#include "train/models/vae.h"

#include <inttypes.h>
#include <string.h>

#include "train/models/declare.h"
#include "train/models/model.h"
#include "train/models/parts.h"

enum { SIZE_MAX_DIM = 1 << 16, RESNETS_MAX = 1024, MID = 2 };
static const double NORM_EPS = 1e-6; /* of every norm, whatever config.json says of others */

/* ---------------------------------------------------------------- config.json */

static const FieldRule RULES[] = {
    {"_class_name", "\"AutoencoderKL\""},
    {"_diffusers_version", NULL},
    {"_name_or_path", NULL},
    {"act_fn", "\"silu\"|\"swish\""},
    {"block_out_channels", NULL},
    {"down_block_types", NULL},
    {"force_upcast", NULL}, /* of 16-bit floats, which are not computed with */
    {"in_channels", "3"},
    {"latent_channels", NULL},
    {"latents_mean", ""},
    {"latents_std", ""},
    {"layers_per_block", NULL},
    {"mid_block_add_attention", NULL},
    {"norm_num_groups", NULL},
    {"out_channels", "3"},
    {"sample_size", NULL},
    {"scaling_factor", NULL},
    {"shift_factor", ""},
    {"up_block_types", NULL},
    {"use_post_quant_conv", NULL},
    {"use_quant_conv", NULL},
    {0},
};
const FieldClass VAE_FIELDS = {{RULES}, NULL};

/* Encoders and decoders without attention or without the 1x1 convolutions in between are of other models. */
static void check_switches(JsonFields *f)
{
    static const char *const KEYS[] = {"mid_block_add_attention", "use_quant_conv", "use_post_quant_conv"};
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        if (!fields_bool(f, f->top, KEYS[i], true))
            fields_refuse(f, json_get(f->top, KEYS[i]), KEYS[i], "is false, which is not supported");
}

static void read_channels(JsonFields *f, VaeConfig *c)
{
    const Json *list = fields_get(f->top, "block_out_channels");
    bool good = list && list->kind == JSON_ARRAY && list->length >= 1 && list->length <= VAE_LEVELS_MAX;
    for (const Json *e = good ? list->child : NULL; e; e = e->next) {
        good = good && e->kind == JSON_INT && e->integer >= 1 && e->integer <= SIZE_MAX_DIM && e->integer % c->groups == 0;
        c->channels[c->levels++] = good ? e->integer : c->groups;
    }
    if (!good)
        fields_refuse(f, list, "block_out_channels", "is no list of 1 to %d multiples of norm_num_groups %" PRId64, VAE_LEVELS_MAX,
                      c->groups);
    else if (c->channels[c->levels - 1] > ATTENTION_MAX_HEAD_DIM)
        fields_refuse(f, list, "block_out_channels", "ends with %" PRId64 ", of the attention at most %d are supported",
                      c->channels[c->levels - 1], ATTENTION_MAX_HEAD_DIM);
}

static void check_types(JsonFields *f, const VaeConfig *c, const char *key, const char *type)
{
    const Json *list = fields_get(f->top, key);
    bool good = list && list->kind == JSON_ARRAY && (int64_t)list->length == c->levels;
    for (const Json *e = good ? list->child : NULL; e; e = e->next)
        good = good && e->kind == JSON_STRING && !strcmp(e->string, type);
    if (!good)
        fields_refuse(f, list, key, "is not %" PRId64 " times \"%s\", which alone is supported", c->levels, type);
}

/* Absent fields are those of diffusers' class. */
static void read_config(JsonFields *f, VaeConfig *c)
{
    *c = (VaeConfig){0};
    fields_known(f, f->top, &VAE_FIELDS);
    check_switches(f);
    c->groups = fields_int(f, f->top, "norm_num_groups", 32, 1, SIZE_MAX_DIM);
    c->latent = fields_int(f, f->top, "latent_channels", 4, 1, SIZE_MAX_DIM);
    c->resnets = fields_int(f, f->top, "layers_per_block", 1, 1, RESNETS_MAX);
    c->scaling = fields_real(f, f->top, "scaling_factor", 0.18215);
    if (!(c->scaling > 0))
        fields_refuse(f, json_get(f->top, "scaling_factor"), "scaling_factor", "is %g, expected a number above 0", c->scaling);
    read_channels(f, c);
    check_types(f, c, "down_block_types", "DownEncoderBlock2D");
    check_types(f, c, "up_block_types", "UpDecoderBlock2D");
}

Status vae_configure(GenLlava *g, const RunConfig *cfg)
{
    char folder[PATH_MAX];
    JsonFields f;
    TRY(fields_open(&f, part_folder(part_find("vae"), cfg, folder), "config.json"));
    read_config(&f, &g->vae.config);
    Status s = f.status;
    fields_close(&f);
    return s;
}

/* ---------------------------------------------------------------- weights */

/* Whose result is as large as its input. */
static Conv conv(const Declare *d, const char *name, int64_t out, int64_t in) { return declare_conv(d, name, out, in, 1, 1); }

static void declare_resnet(const Declare *d, VaeResnet *r, int64_t out, int64_t in)
{
    declare_norm(d, "norm1", in, &r->norm1_w, &r->norm1_b);
    r->conv1 = conv(d, "conv1", out, in);
    declare_norm(d, "norm2", out, &r->norm2_w, &r->norm2_b);
    r->conv2 = conv(d, "conv2", out, out);
    if (out != in)
        r->shortcut = declare_pointwise(d, "conv_shortcut", out, in);
}

/* Its names differ between old files and new ones, so that of a file is recognised by them: they are declared first. */
static void declare_attention(const Declare *half, VaeAttention *a, int64_t channels)
{
    Declare d = declare_under(half, "mid_block.attentions.0.");
    a->channels = channels;
    a->kqv[0] = declare_linear(&d, "to_k", channels, channels);
    a->kqv[1] = declare_linear(&d, "to_q", channels, channels);
    a->kqv[2] = declare_linear(&d, "to_v", channels, channels);
    a->out = declare_linear(&d, "to_out.0", channels, channels);
    declare_norm(&d, "group_norm", channels, &a->norm_w, &a->norm_b);
}

/* A level's resnets, the first of which changes the channels from `in`. */
static Status declare_level(const Declare *d, VaeLevel *level, int64_t n, int64_t out, int64_t in)
{
    *level = (VaeLevel){.resnets = mem_alloc((size_t)n * sizeof *level->resnets), .n = n};
    if (!level->resnets)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " blocks", n);
    for (int64_t i = 0; i < n; i++) {
        Declare resnet = declare_under(d, "resnets.%" PRId64 ".", i);
        declare_resnet(&resnet, &level->resnets[i], out, i ? out : in);
    }
    return OK;
}

static void declare_mid(const Declare *half, VaeHalf *h, int64_t channels)
{
    for (int i = 0; i < MID; i++) {
        Declare resnet = declare_under(half, "mid_block.resnets.%d.", i);
        declare_resnet(&resnet, &h->mid[i], channels, channels);
    }
}

static Status declare_encoder(const Declare *all, const VaeConfig *c, VaeHalf *h)
{
    Declare d = declare_under(all, "encoder.");
    int64_t first = c->channels[0], last = c->channels[c->levels - 1], moments = 2 * c->latent;
    declare_attention(&d, &h->attention, last);
    h->conv_in = conv(&d, "conv_in", first, VAE_PIXEL_CHANNELS);
    for (int64_t i = 0; i < c->levels; i++) {
        Declare level = declare_under(&d, "down_blocks.%" PRId64 ".", i);
        TRY(declare_level(&level, &h->levels[i], c->resnets, c->channels[i], c->channels[i ? i - 1 : 0]));
        if (i + 1 < c->levels)
            h->levels[i].sampler = declare_conv(&level, "downsamplers.0.conv", c->channels[i], c->channels[i], 2, 0);
    }
    declare_mid(&d, h, last);
    declare_norm(&d, "conv_norm_out", last, &h->norm_w, &h->norm_b);
    h->conv_out = conv(&d, "conv_out", moments, last);
    h->quant = declare_pointwise(all, "quant_conv", moments, moments);
    return OK;
}

static Status declare_decoder(const Declare *all, const VaeConfig *c, VaeHalf *h)
{
    Declare d = declare_under(all, "decoder.");
    int64_t first = c->channels[c->levels - 1], last = c->channels[0];
    declare_attention(&d, &h->attention, first);
    h->quant = declare_pointwise(all, "post_quant_conv", c->latent, c->latent);
    h->conv_in = conv(&d, "conv_in", first, c->latent);
    declare_mid(&d, h, first);
    for (int64_t i = 0; i < c->levels; i++) {
        Declare level = declare_under(&d, "up_blocks.%" PRId64 ".", i);
        int64_t out = c->channels[c->levels - 1 - i], in = i ? c->channels[c->levels - i] : out;
        TRY(declare_level(&level, &h->levels[i], c->resnets + 1, out, in));
        if (i + 1 < c->levels)
            h->levels[i].sampler = conv(&level, "upsamplers.0.conv", out, out);
    }
    declare_norm(&d, "conv_norm_out", last, &h->norm_w, &h->norm_b);
    h->conv_out = conv(&d, "conv_out", VAE_PIXEL_CHANNELS, last);
    return OK;
}

Status vae_declare(GenLlava *g, const RunConfig *cfg)
{
    (void)cfg;
    const Declare d = {.p = &g->params, .ours = "vae."};
    return declare_encoder(&d, &g->vae.config, &g->vae.encoder);
}

Status vae_declare_decoder(GenLlava *g, const RunConfig *cfg)
{
    (void)cfg;
    const Declare d = {.p = &g->params, .ours = "vae."};
    return declare_decoder(&d, &g->vae.config, &g->vae.decoder);
}

static void free_half(VaeHalf *h)
{
    for (int i = 0; i < VAE_LEVELS_MAX; i++)
        mem_free(h->levels[i].resnets);
}

void vae_free(GenLlava *g)
{
    free_half(&g->vae.encoder);
    free_half(&g->vae.decoder);
}

/* Counted among weights of its own, which are never made. */
Status vae_count_decoder(const GenLlava *g, int64_t *n)
{
    Params apart;
    VaeHalf decoder = {0};
    params_init(&apart, g->params.backend, g->params.compute);
    const Declare d = {.p = &apart, .ours = "vae."};
    Status s = declare_decoder(&d, &g->vae.config, &decoder);
    *n = 0;
    for (int i = 0; i < apart.n; i++)
        *n += apart.list[i]->t.n_elems;
    if (s == OK && apart.failed)
        s = fail(ERR_NOMEM, "no memory to count the weights of the autoencoder");
    free_half(&decoder);
    params_destroy(&apart);
    return s;
}

/* As diffusers calls them now, and as it did when Stable Diffusion appeared. */
static const Spelling SPELLINGS[] = {
    {.rules = {{"vae.", ""}}},
    {.rules = {{"vae.", ""},
               {"vae.encoder.mid_block.attentions.0.to_q.", "encoder.mid_block.attentions.0.query."},
               {"vae.encoder.mid_block.attentions.0.to_k.", "encoder.mid_block.attentions.0.key."},
               {"vae.encoder.mid_block.attentions.0.to_v.", "encoder.mid_block.attentions.0.value."},
               {"vae.encoder.mid_block.attentions.0.to_out.0.", "encoder.mid_block.attentions.0.proj_attn."},
               {"vae.decoder.mid_block.attentions.0.to_q.", "decoder.mid_block.attentions.0.query."},
               {"vae.decoder.mid_block.attentions.0.to_k.", "decoder.mid_block.attentions.0.key."},
               {"vae.decoder.mid_block.attentions.0.to_v.", "decoder.mid_block.attentions.0.value."},
               {"vae.decoder.mid_block.attentions.0.to_out.0.", "decoder.mid_block.attentions.0.proj_attn."}}},
};
static const char *const DECODER[] = {"decoder.", "post_quant_conv.", NULL}, *const ENCODER[] = {"encoder.", "quant_conv.", NULL};
const NameTable VAE_NAMES = {.spellings = SPELLINGS, .n = sizeof SPELLINGS / sizeof *SPELLINGS, .quiet = DECODER};
const NameTable VAE_DECODER_NAMES = {.spellings = SPELLINGS, .n = sizeof SPELLINGS / sizeof *SPELLINGS, .quiet = ENCODER};

/* ---------------------------------------------------------------- blocks */

typedef struct BlockArg {
    const VaeConfig *config;
    const VaeResnet *resnet;
    const VaeAttention *attention;
    const Conv *conv;
    const VaeHalf *half;
    const PackedRows *rows; /* every picture is a segment */
    Plane plane, to;
} BlockArg;

static Tensor *groupnorm(Tape *t, Tensor *x, const BlockArg *a, Param *w, Param *b, bool silu)
{
    return nn_groupnorm(t, x, a->plane.images, w, b, a->config->groups, NORM_EPS, silu);
}

/* x [rows,Cin] -> [rows,Cout] */
static Tensor *resnet_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const BlockArg *a = arg;
    const VaeResnet *r = a->resnet;
    Tensor *h = groupnorm(t, in[0], a, r->norm1_w, r->norm1_b, true);
    h = groupnorm(t, nn_conv2d(t, h, a->plane, &r->conv1, NULL, NULL, NULL), a, r->norm2_w, r->norm2_b, true);
    Tensor *skip = r->shortcut.w ? nn_linear(t, in[0], &r->shortcut, 1, NULL) : in[0];
    return nn_conv2d(t, h, a->plane, &r->conv2, NULL, skip, NULL);
}

/* x [rows,C] -> the same: one head of all channels over the positions of a picture. */
static Tensor *attention_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const BlockArg *a = arg;
    const VaeAttention *m = a->attention;
    const AttentionSpec spec = {.heads = 1, .kv_heads = 1, .head_dim = m->channels, .scale = 1 / sqrt((double)m->channels)};
    Tensor *kqv = nn_linear(t, groupnorm(t, in[0], a, m->norm_w, m->norm_b, false), m->kqv, 3, NULL);
    return nn_linear_add(t, nn_attention(t, kqv, &spec, a->rows), &m->out, NULL, in[0]);
}

/* x [rows,C] -> [rows of `to`,C], twice as high and wide. */
static Tensor *upsample_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const BlockArg *a = arg;
    return nn_conv2d(t, nn_upsample(t, in[0], a->plane, a->to), a->to, a->conv, NULL, NULL, NULL);
}

/* x [rows,C] -> what the half gives. */
static Tensor *end_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const BlockArg *a = arg;
    return nn_conv2d(t, groupnorm(t, in[0], a, a->half->norm_w, a->half->norm_b, true), a->plane, &a->half->conv_out, NULL, NULL, NULL);
}

static Tensor *run(Tape *t, BlockFn fn, BlockArg arg, Tensor *x, bool same_size)
{
    BlockArg *kept = tape_host(t, sizeof *kept);
    if (!kept)
        return NULL;
    *kept = arg;
    return same_size ? nn_block_inplace(t, fn, kept, &x, 1) : nn_block(t, fn, kept, &x, 1);
}

static Tensor *run_resnet(Tape *t, const VaeConfig *c, const VaeResnet *r, Plane plane, Tensor *x)
{
    return run(t, resnet_forward, (BlockArg){.config = c, .resnet = r, .plane = plane}, x, !r->shortcut.w);
}

static Tensor *run_mid(Tape *t, const VaeConfig *c, const VaeHalf *h, Plane plane, Tensor *x)
{
    BlockArg arg = {.config = c, .attention = &h->attention, .rows = tape_segments(t, plane.images, plane.height * plane.width),
                    .plane = plane};
    x = run_resnet(t, c, &h->mid[0], plane, x);
    x = arg.rows ? run(t, attention_forward, arg, x, true) : NULL;
    return run_resnet(t, c, &h->mid[1], plane, x);
}

static Tensor *run_end(Tape *t, const VaeConfig *c, const VaeHalf *h, Plane plane, Tensor *x)
{
    return run(t, end_forward, (BlockArg){.config = c, .half = h, .plane = plane}, x, false);
}

/* ---------------------------------------------------------------- encoder and decoder */

/* [0,255] to [-1,1] */
static Tensor *pixel_rows(Tape *t, const uint8_t *pixels, Plane pictures)
{
    int64_t rows = plane_rows(&pictures), n = rows * VAE_PIXEL_CHANNELS;
    float *values = pixels ? tape_host(t, (size_t)n * sizeof *values) : NULL;
    for (int64_t i = 0; values && i < n; i++)
        values[i] = vae_pixel(pixels[i]);
    return nn_input(t, values, rows, VAE_PIXEL_CHANNELS);
}

/* As the encoder's samplers leave them. */
Plane vae_latents(const Vae *m, Plane pictures)
{
    ConvShape s = {.from = pictures, .kernel_height = 3, .kernel_width = 3, .stride = 2, .bottom = 1, .right = 1};
    for (int64_t i = 1; i < m->config.levels; i++)
        s.from = conv_to(&s);
    return s.from;
}

Tensor *vae_moments(Tape *t, const Vae *m, const uint8_t *pixels, Plane pictures)
{
    const VaeConfig *c = &m->config;
    const VaeHalf *h = &m->encoder;
    Plane plane = pictures;
    Tensor *x = nn_conv2d(t, pixel_rows(t, pixels, pictures), plane, &h->conv_in, NULL, NULL, NULL); /* [rows,C] */
    for (int64_t i = 0; i < c->levels; i++) {
        const VaeLevel *level = &h->levels[i];
        for (int64_t k = 0; k < level->n; k++)
            x = run_resnet(t, c, &level->resnets[k], plane, x);
        if (level->sampler.w)
            x = nn_conv2d(t, x, plane, &level->sampler, NULL, NULL, &plane); /* [rows/4,C] */
    }
    x = run_end(t, c, h, plane, run_mid(t, c, h, plane, x)); /* [rows of latents, 2·latent] */
    return nn_linear(t, x, &h->quant, 1, NULL);
}

typedef struct Encoding {
    const Vae *vae;
    const uint8_t *pixels;
    int64_t size;
} Encoding;

static Tensor *encode(Tape *t, const void *arg)
{
    const Encoding *e = arg;
    return vae_moments(t, e->vae, e->pixels, (Plane){1, e->size, e->size});
}

void vae_encode(Tape *t, const Vae *m, const uint8_t *pixels, int64_t size, float *moments)
{
    nn_evaluate(t, encode, &(Encoding){m, pixels, size}, moments);
}

Tensor *vae_decode(Tape *t, const Vae *m, Tensor *latents, Plane plane, Plane *pictures)
{
    const VaeConfig *c = &m->config;
    const VaeHalf *h = &m->decoder;
    Tensor *x = nn_conv2d(t, nn_linear(t, latents, &h->quant, 1, NULL), plane, &h->conv_in, NULL, NULL, NULL); /* [rows,C] */
    x = run_mid(t, c, h, plane, x);
    for (int64_t i = 0; i < c->levels; i++) {
        const VaeLevel *level = &h->levels[i];
        for (int64_t k = 0; k < level->n; k++)
            x = run_resnet(t, c, &level->resnets[k], plane, x);
        if (!level->sampler.w)
            continue;
        Plane to = {plane.images, 2 * plane.height, 2 * plane.width};
        x = run(t, upsample_forward, (BlockArg){.conv = &level->sampler, .plane = plane, .to = to}, x, false); /* [4·rows,C] */
        plane = to;
    }
    *pictures = plane;
    return run_end(t, c, h, plane, x); /* [rows,3] */
}
