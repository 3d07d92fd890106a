/* siglip.c: the vision tower, SigLIP's or CLIP's: settings, weights, forward pass (siglip.h). */
#include "train/models/siglip.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/json_fields.h"
#include "kernels/base/utf8.h"
#include "train/models/config_keys.h"
#include "train/models/declare.h"
#include "train/models/generation.h"
#include "train/models/model.h"

enum { SIZE_MAX_DIM = 1 << 24, LAYERS_MAX = 4096, CHANNELS = 3 };

/* ---------------------------------------------------------------- config.json */

/* A number, or newer releases' [height, width]. */
static void read_size(JsonFields *f, const Json *o, const char *key, int64_t absent, int64_t *height, int64_t *width)
{
    const Json *v = fields_get(o, key);
    if (!v || v->kind != JSON_ARRAY) {
        *height = *width = fields_int(f, o, key, absent, 1, SIZE_MAX_DIM);
        return;
    }
    const Json *h = v->child, *w = h ? h->next : NULL;
    bool good = w && !w->next && h->kind == JSON_INT && w->kind == JSON_INT && h->integer > 0 && w->integer > 0 &&
                h->integer < SIZE_MAX_DIM && w->integer < SIZE_MAX_DIM;
    if (!good)
        fields_refuse(f, v, key, "is not a size: expected an integer or [height, width]");
    *height = good ? h->integer : absent;
    *width = good ? w->integer : absent;
}

static const FieldRule RULES[] = {
    {"attention_dropout", ""},
    {"hidden_act", NULL},
    {"hidden_size", NULL},
    {"image_size", NULL},
    {"initializer_factor", NULL},
    {"initializer_range", NULL},
    {"intermediate_size", NULL},
    {"layer_norm_eps", NULL},
    {"model_type", NULL},
    {"num_attention_heads", NULL},
    {"num_channels", NULL},
    {"num_hidden_layers", NULL},
    {"patch_size", NULL},
    {"tie_word_embeddings", NULL}, /* a tower has none */
    {"vision_use_head", NULL},     /* behind the feature layer */
    {0},
};
const FieldClass SIGLIP_FIELDS = {{RULES, CONFIG_RULES}, GENERATION_RULES};
static const FieldRule CLIP_RULES[] = {
    {"dropout", ""},
    {"projection_dim", NULL}, /* behind the feature layer */
    {"vocab_size", NULL},     /* LLaVA's files have it; a tower has no words */
    {0},
};
const FieldClass CLIP_VISION_FIELDS = {{RULES, CLIP_RULES, CONFIG_RULES}, GENERATION_RULES};

static TowerSettings read_family(JsonFields *f)
{
    const TowerSettings tower = preprocessor_tower(f);
    bool known = tower.clip || !strcmp(tower.type, "siglip_vision_model");
    if (!known && tower.nested)
        fields_refuse(f, json_get(tower.object, "model_type"), "vision_config.model_type",
                      "is \"%s\", expected \"siglip_vision_model\" or \"clip_vision_model\"", tower.type);
    else if (!known)
        fields_refuse(f, json_get(f->top, "model_type"), "model_type",
                      "is \"%s\", expected \"siglip_vision_model\" or \"clip_vision_model\", or a vision_config of these", tower.type);
    if (tower.nested && fields_get(f->top, "quantization_config"))
        fields_refuse(f, fields_get(f->top, "quantization_config"), "quantization_config", "is an object, which is not supported");
    fields_known(f, tower.object, tower.clip ? &CLIP_VISION_FIELDS : &SIGLIP_FIELDS);
    return tower;
}

/* Absent fields are those of the class: files written as differences leave out what equals the base model. */
void siglip_read(JsonFields *f, SiglipConfig *c)
{
    const TowerSettings tower = read_family(f);
    const Json *o = tower.object;
    c->clip = tower.clip;
    c->init_range = fields_real(f, o, "initializer_range", 0.02);
    c->init_factor = fields_real(f, o, "initializer_factor", 1);
    c->hidden = fields_int(f, o, "hidden_size", 768, 1, SIZE_MAX_DIM);
    c->ff = fields_int(f, o, "intermediate_size", 3072, 1, SIZE_MAX_DIM);
    c->layers = fields_int(f, o, "num_hidden_layers", 12, 1, LAYERS_MAX);
    c->heads = fields_int(f, o, "num_attention_heads", 12, 1, SIZE_MAX_DIM);
    c->eps = fields_real(f, o, "layer_norm_eps", c->clip ? 1e-5 : 1e-6);
    c->act = encoder_read_act(f, o, c->clip ? "quick_gelu" : "gelu_pytorch_tanh");
    int64_t patch_width, channels = fields_int(f, o, "num_channels", CHANNELS, 1, SIZE_MAX_DIM);
    read_size(f, o, "image_size", 224, &c->height, &c->width);
    read_size(f, o, "patch_size", c->clip ? 32 : 16, &c->patch, &patch_width);
    if (channels != CHANNELS)
        fields_refuse(f, json_get(o, "num_channels"), "num_channels", "is %" PRId64 ", expected %d", channels, CHANNELS);
    if (patch_width != c->patch || c->patch > c->height || c->patch > c->width)
        fields_refuse(f, json_get(o, "patch_size"), "patch_size",
                      "is %" PRId64 "x%" PRId64 ", expected a square inside the picture of %" PRId64 "x%" PRId64, c->patch, patch_width,
                      c->height, c->width);
    encoder_check_heads(f, o, c->hidden, c->heads);
    c->blocks = c->layers;
}

static Status read_folder(SiglipConfig *c, const char *folder, int64_t layer)
{
    JsonFields f;
    TRY(fields_open(&f, folder, "config.json"));
    siglip_read(&f, c);
    Status s = f.status;
    fields_close(&f);
    int64_t elements = c->layers + 1;
    c->blocks = layer < 0 ? elements + layer : layer;
    if (!s && (c->blocks < 0 || c->blocks >= elements))
        s = fail(ERR_USAGE, "model.vision.layer is %" PRId64 ", but the tower of %s has elements %" PRId64 " … %" PRId64, layer, folder,
                 -elements, elements - 1);
    return s;
}

/* position_ids of old exports are left out: the positions are 0, 1, 2, … */
static Status check_positions(const char *folder)
{
    SafeTensors *st;
    Status s = safetensors_open_folder(&st, folder, "model");
    if (s) /* but for want of memory it is said by whoever reads the weights */
        return s == ERR_NOMEM ? s : OK;
    for (int i = 0; i < safetensors_count(st) && !s; i++) {
        const StTensor *t = safetensors_at(st, i);
        if (!utf8_ends(t->name, "embeddings.position_ids") || strstr(t->name, "text_model."))
            continue;
        bool same = t->type == I64;
        for (int64_t k = 0; same && k < (int64_t)(t->n_bytes / sizeof k); k++) {
            int64_t id;
            memcpy(&id, (const char *)t->data + (size_t)k * sizeof id, sizeof id);
            same = id == k;
        }
        if (!same)
            s = fail(ERR_DATA, "%s: %s holds other positions than 0, 1, 2, …", t->file, t->name);
    }
    safetensors_close(&st);
    return s;
}

Status siglip_configure(GenLlava *g, const RunConfig *cfg)
{
    TRY(read_folder(&g->vision.config, cfg->model.vision.path, cfg->model.vision.layer));
    if (cfg->model.vision.init != INIT_AT_RANDOM)
        TRY(check_positions(cfg->model.vision.path));
    return preprocessor_load(&g->preprocessor, cfg->model.vision.path, cfg->model.vision.aspect == ASPECT_PAD);
}

/* ---------------------------------------------------------------- weights */

static EncoderShape shape_of(const SiglipConfig *c)
{
    return (EncoderShape){.hidden = c->hidden, .ff = c->ff, .heads = c->heads, .act = c->act, .eps = c->eps};
}

static void draw_normal(Param *q, double deviation)
{
    if (!q)
        return;
    q->init = INIT_NORMAL;
    q->init_scale = deviation;
}

static ParamSpec table(int64_t rows, int64_t cols, double deviation)
{
    return (ParamSpec){.decay = true, .init = INIT_NORMAL, .init_scale = deviation, .n_dims = 2, .shape = {rows, cols}};
}

/* Initial values are those of transformers' SiglipPreTrainedModel. */
static void declare_siglip(const Declare *d, Siglip *m)
{
    const SiglipConfig *c = &m->config;
    /* JAX's lecun_normal: a normal cut at two deviations, widened so that its variance is 1/fan_in. */
    const double cut_deviation = 0.87962566103423978;
    double fan_in = (double)(CHANNELS * c->patch * c->patch);
    m->patch_w->init = INIT_TRUNCATED;
    m->patch_w->init_scale = 1 / sqrt(fan_in) / cut_deviation;
    m->patch_b = declare_weight(d, "embeddings.patch_embedding.bias", (ParamSpec){.init = INIT_ZERO, .n_dims = 1, .shape = {c->hidden}});
    m->position =
        declare_weight(d, "embeddings.position_embedding.weight", table(siglip_patches(c), c->hidden, 1 / sqrt((double)c->hidden)));
}

/* Those of CLIPPreTrainedModel. */
static void declare_clip(const Declare *d, Siglip *m)
{
    const SiglipConfig *c = &m->config;
    draw_normal(m->patch_w, c->init_range * c->init_factor);
    m->class_token = declare_weight(d, "embeddings.class_embedding",
                                    (ParamSpec){.decay = true, .init = INIT_NORMAL, .n_dims = 1, .shape = {c->hidden},
                                                .init_scale = c->init_factor / sqrt((double)c->hidden)});
    m->position =
        declare_weight(d, "embeddings.position_embedding.weight", table(siglip_patches(c) + 1, c->hidden, c->init_range * c->init_factor));
    declare_norm(d, "pre_layrnorm", c->hidden, &m->before_norm_w, &m->before_norm_b);
}

static void draw_block(const SiglipConfig *c, EncoderBlock *b)
{
    if (!c->clip) {
        draw_normal(b->fc1.b, 1e-6);
        draw_normal(b->fc2.b, 1e-6);
        return;
    }
    const double out = c->init_factor / sqrt((double)c->hidden), in = out / sqrt(2 * (double)c->layers);
    for (int i = 0; i < 3; i++)
        draw_normal(b->kqv[i].w, in);
    draw_normal(b->out.w, out);
    draw_normal(b->fc1.w, out / sqrt(2));
    draw_normal(b->fc2.w, in);
}

Status siglip_declare_in(Params *p, Siglip *m)
{
    const SiglipConfig *c = &m->config;
    const EncoderShape shape = shape_of(c);
    const Declare d = {.p = p, .stem = "vision_model."};
    m->patch_w = declare_weight(&d, "embeddings.patch_embedding.weight",
                                (ParamSpec){.decay = true, .n_dims = 4, .shape = {c->hidden, CHANNELS, c->patch, c->patch}});
    if (!m->patch_w)
        return fail(ERR_NOMEM, "no memory for the vision tower");
    if (c->clip)
        declare_clip(&d, m);
    else
        declare_siglip(&d, m);
    TRY(encoder_declare(&d, &shape, &m->blocks, c->blocks));
    for (int64_t i = 0; i < c->blocks; i++)
        draw_block(c, &m->blocks[i]);
    return OK;
}

Status siglip_declare(GenLlava *g, const RunConfig *cfg)
{
    (void)cfg;
    return siglip_declare_in(&g->params, &g->vision);
}

void siglip_free(GenLlava *g) { mem_free(g->vision.blocks); }

/* The tower alone, with and without its wrapper; inside LLaVA on disk and in memory, before and after transformers 5.6; original LLaVA. */
static const Spelling SPELLINGS[] = {
    {.rules = {{"vision_model.", "vision_model."}}},
    {.rules = {{"vision_model.", ""}}},
    {.rules = {{"vision_model.", "vision_tower.vision_model."}}},
    {.rules = {{"vision_model.", "model.vision_tower.vision_model."}}},
    {.rules = {{"vision_model.", "vision_tower."}}},
    {.rules = {{"vision_model.", "model.vision_tower."}}},
    {.rules = {{"vision_model.", "model.vision_tower.vision_tower.vision_model."}}},
};
/* The text tower, what else a whole LLaVA holds, and of this tower what lies behind the feature layer. */
static const char *const QUIET[] = {"language_model.", "model.language_model.", "lm_head.", "multi_modal_projector.",
                                    "model.multi_modal_projector.", "text_model.", "text_projection.", "visual_projection.",
                                    "logit_scale", "logit_bias",
                                    "vision_model.encoder.layers.", "vision_model.post_layernorm.",
                                    "vision_model.head.", "vision_model.embeddings.position_ids", NULL};
const NameTable SIGLIP_NAMES = {.spellings = SPELLINGS, .n = sizeof SPELLINGS / sizeof *SPELLINGS, .quiet = QUIET};

/* ---------------------------------------------------------------- forward */

/* For each row of the sequences of class token and patches, [images·(N+1)]: which patch it is (-1: none), whether it is the class token
 * (0, else -1), its position. */
typedef struct Places {
    const Siglip *m;
    int64_t n;
    const int32_t *patch, *class_, *position;
} Places;

static const Places *make_places(Tape *t, const Siglip *m, int64_t images)
{
    const int64_t patches = siglip_patches(&m->config), n = images * (patches + 1);
    Places *p = tape_host(t, sizeof *p);
    int32_t *host = tape_host(t, (size_t)(3 * n) * sizeof *host);
    if (!p || !host)
        return NULL;
    int32_t *patch = host, *class_ = host + n, *position = host + 2 * n;
    for (int64_t i = 0, k = 0; i < n; i++) {
        position[i] = (int32_t)(i % (patches + 1));
        class_[i] = position[i] ? -1 : 0;
        patch[i] = position[i] ? (int32_t)k++ : -1;
    }
    *p = (Places){.m = m, .n = n, .patch = tape_ints(t, patch, n), .class_ = tape_ints(t, class_, n),
                  .position = tape_ints(t, position, n)};
    return p;
}

/* Patches [images·N,D] -> sequences [images·(N+1),D]: class token before them; where there is a norm, positions added, normed. */
static Tensor *begin_sequences(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const Places *p = arg;
    const Siglip *m = p->m;
    Tensor *x = nn_embed(t, &(EmbedSpec){.n = p->n, .base = m->class_token, .base_index = p->class_, .base_occur = true,
                                         .features = in[0], .image_index = p->patch});
    if (!m->before_norm_w)
        return x;
    Tensor *positions = encoder_rows(t, m->position, p->position, p->n);
    return nn_layernorm(t, x, positions, m->before_norm_w, m->before_norm_b, m->config.eps, NULL);
}

Tensor *siglip_sequences(Tape *t, const Siglip *m, const PatchSpec *pixels)
{
    const SiglipConfig *c = &m->config;
    const EncoderShape shape = shape_of(c);
    const PackedRows *rows = tape_segments(t, pixels->images, siglip_patches(c) + c->clip);
    const Places *places = c->clip ? make_places(t, m, pixels->images) : NULL;
    if (!rows || (c->clip && !places))
        return NULL;
    Tensor *x = nn_patch_embed(t, pixels, m->patch_w, m->patch_b, c->clip ? NULL : m->position), *positions = NULL;
    if (c->clip)
        x = nn_block(t, begin_sequences, places, &x, 1);
    if (c->clip && !m->before_norm_w)
        positions = encoder_rows(t, m->position, places->position, places->n);
    return encoder_forward(t, &shape, m->blocks, c->blocks, x, positions, rows);
}

Tensor *siglip_forward(Tape *t, const Siglip *m, const PatchSpec *pixels)
{
    Tensor *x = siglip_sequences(t, m, pixels);
    if (!m->config.clip)
        return x;
    const int64_t patches = siglip_patches(&m->config), n = pixels->images * patches;
    int32_t *row = tape_host(t, (size_t)n * sizeof *row);
    for (int64_t i = 0; row && i < n; i++)
        row[i] = (int32_t)(i + i / patches + 1);
    return row ? nn_gather_rows(t, x, tape_ints(t, row, n), n) : NULL;
}
