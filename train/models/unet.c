/* unet.c: the UNet of Stable Diffusion: weights and forward pass (unet.h). */
#include "train/models/unet.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/models/declare.h"

/* ---------------------------------------------------------------- weights */

#define PREFIX "unet."

/* Where declaring stands: the chain so far, the channels of its result and of the skips on the stack. */
typedef struct Builder {
    Unet *m;
    int64_t channels, skip[UNET_SKIPS_MAX];
    int n_skips;
    Declare unit; /* where its names begin */
} Builder;

static UnetNorm norm(const Declare *d, const char *name, int64_t n)
{
    UnetNorm norm;
    declare_norm(d, name, n, &norm.w, &norm.b);
    return norm;
}

static UnetUnit *add_unit(Builder *b, UnetKind kind, const char *block, int level, const char *list, int64_t i)
{
    char at[16] = "";
    if (level >= 0)
        snprintf(at, sizeof at, ".%d", level);
    b->unit.stem[0] = 0;
    b->unit = declare_under(&b->unit, "%s%s.%s.%" PRId64 ".", block, at, list, i);
    UnetUnit *u = &b->m->units[b->m->n_units++];
    *u = (UnetUnit){.kind = kind};
    return u;
}

static void push(Builder *b, UnetUnit *u)
{
    if (u)
        u->pushes = true;
    b->skip[b->n_skips++] = b->channels;
}

static UnetUnit *add_resnet(Builder *b, const char *block, int level, int64_t i, int64_t out, bool pops)
{
    UnetUnit *u = add_unit(b, UNET_RESNET, block, level, "resnets", i);
    UnetResnet *r = &u->resnet;
    const Declare *d = &b->unit;
    int64_t in = b->channels + (pops ? b->skip[--b->n_skips] : 0), embedding = 4 * b->m->config.level[0].channels;
    u->pops = pops;
    r->norm1 = norm(d, "norm1", in);
    r->conv1 = declare_conv(d, "conv1", out, in, 1, 1);
    r->time = declare_linear(d, "time_emb_proj", out, embedding);
    r->norm2 = norm(d, "norm2", out);
    r->conv2 = declare_conv(d, "conv2", out, out, 1, 1);
    if (in != out)
        r->shortcut = declare_pointwise(d, "conv_shortcut", out, in);
    b->channels = out;
    return u;
}

static UnetUnit *add_transformer(Builder *b, const char *block, int level, int64_t i, int64_t heads)
{
    UnetUnit *u = add_unit(b, UNET_TRANSFORMER, block, level, "attentions", i);
    UnetTransformer *a = &u->transformer;
    const Declare *d = &b->unit;
    int64_t c = b->channels, context = b->m->config.context;
    Linear (*project)(const Declare *, const char *, int64_t, int64_t) =
        b->m->config.linear_projection ? declare_linear : declare_pointwise;
    a->heads = heads;
    a->norm = norm(d, "norm", c);
    a->proj_in = project(d, "proj_in", c, c);
    a->norm1 = norm(d, "transformer_blocks.0.norm1", c);
    a->kqv[0] = declare_linear_unbiased(d, "transformer_blocks.0.attn1.to_k", c, c);
    a->kqv[1] = declare_linear_unbiased(d, "transformer_blocks.0.attn1.to_q", c, c);
    a->kqv[2] = declare_linear_unbiased(d, "transformer_blocks.0.attn1.to_v", c, c);
    a->self_out = declare_linear(d, "transformer_blocks.0.attn1.to_out.0", c, c);
    a->norm2 = norm(d, "transformer_blocks.0.norm2", c);
    a->query = declare_linear_unbiased(d, "transformer_blocks.0.attn2.to_q", c, c);
    a->kv[0] = declare_linear_unbiased(d, "transformer_blocks.0.attn2.to_k", c, context);
    a->kv[1] = declare_linear_unbiased(d, "transformer_blocks.0.attn2.to_v", c, context);
    a->cross_out = declare_linear(d, "transformer_blocks.0.attn2.to_out.0", c, c);
    a->norm3 = norm(d, "transformer_blocks.0.norm3", c);
    a->ff_in = declare_linear(d, "transformer_blocks.0.ff.net.0.proj", 8 * c, c);
    a->ff_out = declare_linear(d, "transformer_blocks.0.ff.net.2", c, 4 * c);
    a->proj_out = project(d, "proj_out", c, c);
    return u;
}

static UnetUnit *add_sampler(Builder *b, UnetKind kind, int level)
{
    bool down = kind == UNET_DOWN;
    UnetUnit *u = add_unit(b, kind, down ? "down_blocks" : "up_blocks", level, down ? "downsamplers" : "upsamplers", 0);
    u->conv = declare_conv(&b->unit, "conv", b->channels, b->channels, down ? 2 : 1, down ? b->m->config.downsample_padding : 1);
    return u;
}

/* The chain: every result of the way down is a skip, which the way up takes in reverse. */
static void declare_units(Builder *b)
{
    const UnetConfig *c = &b->m->config;
    const UnetLevel *last = &c->level[c->levels - 1];
    push(b, NULL); /* of conv_in */
    for (int k = 0; k < c->levels; k++) {
        const UnetLevel *l = &c->level[k];
        for (int64_t i = 0; i < l->layers; i++) {
            UnetUnit *u = add_resnet(b, "down_blocks", k, i, l->channels, false);
            push(b, l->down_attends ? add_transformer(b, "down_blocks", k, i, l->heads) : u);
        }
        if (k < c->levels - 1)
            push(b, add_sampler(b, UNET_DOWN, k));
    }
    add_resnet(b, "mid_block", -1, 0, last->channels, false);
    add_transformer(b, "mid_block", -1, 0, last->heads);
    add_resnet(b, "mid_block", -1, 1, last->channels, false);
    for (int k = c->levels - 1, block = 0; k >= 0; k--, block++) {
        const UnetLevel *l = &c->level[k];
        for (int64_t i = 0; i <= l->layers; i++) {
            add_resnet(b, "up_blocks", block, i, l->channels, true);
            if (l->up_attends)
                add_transformer(b, "up_blocks", block, i, l->heads);
        }
        if (k)
            add_sampler(b, UNET_UP, block);
    }
}

Status unet_declare_weights(Unet *m, Params *p, UnetPiece piece)
{
    const UnetConfig *c = &m->config;
    int64_t first = c->level[0].channels, embedding = 4 * first, most = 3;
    for (int i = 0; i < c->levels; i++)
        most += 2 * (2 * c->level[i].layers + 1) + 2;
    Builder *b = mem_alloc(sizeof *b);
    m->units = m->units ? m->units : mem_alloc((size_t)most * sizeof *m->units);
    if (!b || !m->units) {
        mem_free(b);
        return fail(ERR_NOMEM, "no memory for a UNet of %" PRId64 " blocks", most);
    }
    const Declare d = {.p = p, .ours = PREFIX};
    *b = (Builder){.m = m, .channels = first, .unit = d};
    if (piece != UNET_REST)
        m->conv_in = declare_conv(&d, "conv_in", first, c->in_channels, 1, 1);
    if (piece != UNET_CONV_IN) {
        m->time1 = declare_linear(&d, "time_embedding.linear_1", embedding, first);
        m->time2 = declare_linear(&d, "time_embedding.linear_2", embedding, embedding);
        declare_units(b);
        m->norm_out = norm(&d, "conv_norm_out", first);
        m->conv_out = declare_conv(&d, "conv_out", c->out_channels, first, 1, 1);
    }
    mem_free(b);
    return OK;
}

void unet_release(Unet *m)
{
    mem_free(m->units);
    m->units = NULL;
}

/* conv_in is quiet here for the part that is all but it; for whom it is a part of, it is missed when it is not there. */
static const Spelling SPELLINGS[] = {{.rules = {{PREFIX, ""}}}};
static const char *const QUIET[] = {PREFIX "conv_in.", NULL};
const NameTable UNET_NAMES = {.spellings = SPELLINGS, .n = 1, .quiet = QUIET};
static const char *const QUIET_REST[] = {PREFIX, NULL};
const NameTable UNET_CONV_IN_NAMES = {.spellings = SPELLINGS, .n = 1, .quiet = QUIET_REST};

/* ---------------------------------------------------------------- forward */

typedef struct UnitArg {
    const Unet *unet;
    const UnetUnit *unit;
    Plane from, to; /* to: of the result */
    const PackedRows *pixels, *context;
} UnitArg;

/* What a unit may read: in[] of its block. */
enum { IN_X, IN_TIME, IN_CONTEXT, IN_SKIP, IN_MOST };

static Tensor *group_norm(Tape *t, const UnitArg *a, Tensor *x, const UnetNorm *norm)
{
    const UnetConfig *c = &a->unet->config;
    return nn_groupnorm(t, x, a->from.images, norm->w, norm->b, c->groups, c->eps, true);
}

/* x [B·Y·X,Cin] (with a skip behind it), time [B,E] -> [B·Y·X,Cout]; spec 5.2.2. */
static Tensor *resnet_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    const UnitArg *a = arg;
    const UnetResnet *r = &a->unit->resnet;
    Tensor *x = n > IN_SKIP ? nn_concat(t, in[IN_X], in[IN_SKIP]) : in[IN_X];
    Tensor *shift = nn_linear(t, in[IN_TIME], &r->time, 1, NULL); /* [B,Cout] */
    Tensor *h = nn_conv2d(t, group_norm(t, a, x, &r->norm1), a->from, &r->conv1, shift, NULL, NULL);
    Tensor *residual = r->shortcut.w ? nn_linear(t, x, &r->shortcut, 1, NULL) : x;
    return nn_conv2d(t, group_norm(t, a, h, &r->norm2), a->from, &r->conv2, NULL, residual, NULL);
}

/* x [B·Y·X,C] -> the same, context [B·queries,Cc]; spec 5.2.3. */
static Tensor *transformer_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const double norm_eps = 1e-6, layernorm_eps = 1e-5; /* constants of diffusers, whatever norm_eps says */
    const UnitArg *a = arg;
    const UnetTransformer *m = &a->unit->transformer;
    int64_t width = tensor_cols(in[IN_X]) / m->heads;
    const AttentionSpec spec = {.heads = m->heads, .kv_heads = m->heads, .head_dim = width, .scale = 1 / sqrt((double)width)};
    Tensor *x = in[IN_X], *mid = NULL, *last = NULL;
    Tensor *h = nn_groupnorm(t, x, a->from.images, m->norm.w, m->norm.b, a->unet->config.groups, norm_eps, false);
    Tensor *y = nn_linear(t, h, &m->proj_in, 1, NULL);
    h = nn_layernorm(t, y, NULL, m->norm1.w, m->norm1.b, layernorm_eps, NULL);
    h = nn_attention(t, nn_linear(t, h, m->kqv, 3, NULL), &spec, a->pixels);
    h = nn_layernorm(t, y, nn_linear(t, h, &m->self_out, 1, NULL), m->norm2.w, m->norm2.b, layernorm_eps, &mid);
    Tensor *q = nn_linear(t, h, &m->query, 1, NULL), *kv = nn_linear(t, in[IN_CONTEXT], m->kv, 2, NULL); /* [B·queries,2C] */
    h = nn_cross_attention(t, q, kv, &spec, a->pixels, a->context);
    h = nn_layernorm(t, mid, nn_linear(t, h, &m->cross_out, 1, NULL), m->norm3.w, m->norm3.b, layernorm_eps, &last);
    h = nn_geglu(t, nn_linear(t, h, &m->ff_in, 1, NULL)); /* [B·Y·X,4C] */
    return nn_linear_add(t, nn_linear_add(t, h, &m->ff_out, NULL, last), &m->proj_out, NULL, x);
}

/* x [B·Y·X,C] -> [B·Y'·X',C]; spec 5.2.4. */
static Tensor *down_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const UnitArg *a = arg;
    return nn_conv2d(t, in[IN_X], a->from, &a->unit->conv, NULL, NULL, NULL);
}

static Tensor *up_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const UnitArg *a = arg;
    return nn_conv2d(t, nn_upsample(t, in[IN_X], a->from, a->to), a->to, &a->unit->conv, NULL, NULL, NULL);
}

static const BlockFn FORWARD[] = {[UNET_RESNET] = resnet_forward, [UNET_TRANSFORMER] = transformer_forward, [UNET_DOWN] = down_forward,
                                  [UNET_UP] = up_forward};

/* x [B·Y·X,C] -> [B·Y·X,out_channels] */
static Tensor *out_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const UnitArg *a = arg;
    return nn_conv2d(t, group_norm(t, a, in[IN_X], &a->unet->norm_out), a->from, &a->unet->conv_out, NULL, NULL, NULL);
}

/* Sines and cosines of the timesteps, in f32 as diffusers' get_timestep_embedding has them: [images, channels of the first level]. */
static Tensor *timestep_waves(Tape *t, const UnetConfig *c, const int32_t *timestep, int64_t images)
{
    int64_t n = c->level[0].channels, half = n / 2;
    float *waves = tape_host(t, (size_t)(images * n) * sizeof *waves);
    for (int64_t i = 0; waves && timestep && i < images; i++)
        for (int64_t k = 0; k < half; k++) {
            float exponent = (float)-log(10000) * (float)k / (float)((double)half - c->freq_shift);
            float angle = (float)timestep[i] * expf(exponent);
            waves[i * n + k + (c->cosine_first ? half : 0)] = sinf(angle);
            waves[i * n + k + (c->cosine_first ? 0 : half)] = cosf(angle);
        }
    return nn_input(t, timestep ? waves : NULL, images, n);
}

/* SiLU of the time embedding, as every residual block reads it: [images, E]. */
static Tensor *time_embedding(Tape *t, const Unet *m, const int32_t *timestep, int64_t images)
{
    Tensor *h = nn_act(t, nn_linear(t, timestep_waves(t, &m->config, timestep, images), &m->time1, 1, NULL), ACT_SILU);
    return nn_act(t, nn_linear(t, h, &m->time2, 1, NULL), ACT_SILU);
}

/* A result that waits on the stack, and how large its images are. */
typedef struct Skip {
    Tensor *x;
    Plane plane;
} Skip;

Plane unet_smallest(const Unet *m, Plane latents)
{
    for (int i = 0; i < m->n_units; i++)
        if (m->units[i].kind == UNET_DOWN)
            latents = nn_conv2d_to(&m->units[i].conv, latents);
    return latents;
}

Tensor *unet_forward(Tape *t, const Unet *m, Tensor *latents, Plane plane, const int32_t *timestep, Tensor *context)
{
    Skip *skips = tape_host(t, UNET_SKIPS_MAX * sizeof *skips);
    UnitArg *args = tape_host(t, (size_t)(m->n_units + 1) * sizeof *args);
    if (!skips || !args || !context)
        return NULL;
    const PackedRows *rows = tape_segments(t, plane.images, tensor_rows(context) / plane.images), *pixels = NULL;
    Tensor *time = time_embedding(t, m, timestep, plane.images);
    Tensor *x = nn_conv2d(t, latents, plane, &m->conv_in, NULL, NULL, NULL);
    int waiting = 0;
    skips[waiting++] = (Skip){x, plane};
    for (int i = 0; i < m->n_units; i++) {
        const UnetUnit *u = &m->units[i];
        Tensor *in[IN_MOST] = {x, time, context, u->pops ? skips[--waiting].x : NULL};
        if (u->kind == UNET_TRANSFORMER && !pixels)
            pixels = tape_segments(t, plane.images, plane.height * plane.width);
        args[i] = (UnitArg){.unet = m, .unit = u, .from = plane, .pixels = pixels, .context = rows, .to = plane};
        if (u->kind == UNET_DOWN)
            args[i].to = nn_conv2d_to(&u->conv, plane);
        if (u->kind == UNET_UP) /* twice as large, or as its skip where that had been rounded */
            args[i].to = skips[waiting - 1].plane;
        x = nn_block(t, FORWARD[u->kind], &args[i], in, u->pops ? IN_MOST : IN_SKIP);
        if (u->kind == UNET_DOWN || u->kind == UNET_UP)
            pixels = NULL;
        plane = args[i].to;
        if (u->pushes)
            skips[waiting++] = (Skip){x, plane};
    }
    args[m->n_units] = (UnitArg){.unet = m, .from = plane};
    return nn_block(t, out_forward, &args[m->n_units], &x, 1);
}
