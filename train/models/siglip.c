/* siglip.c: the vision tower: settings, weights, forward pass (siglip.h). */
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

static void check_family(JsonFields *f)
{
    const char *type = fields_string(f, f->top, "model_type", "siglip_vision_model");
    bool nested = fields_object(f, f->top, "vision_config") != NULL;
    if (!nested && strcmp(type, "siglip_vision_model"))
        fields_refuse(f, json_get(f->top, "model_type"), "model_type",
                      "is \"%s\", expected \"siglip_vision_model\", or \"siglip\" with a vision_config", type);
    const Json *inner = fields_object(f, f->top, "vision_config");
    bool siglip = !strcmp(type, "siglip") || !strcmp(type, "siglip_vision_model"); /* elsewhere the tower has to say what it is */
    const char *inner_type = fields_string(f, inner, "model_type", siglip ? "siglip_vision_model" : "missing");
    if (nested && strcmp(inner_type, "siglip_vision_model"))
        fields_refuse(f, json_get(inner, "model_type"), "vision_config.model_type", "is \"%s\", expected \"siglip_vision_model\"",
                      inner_type);
    if (nested && fields_get(f->top, "quantization_config"))
        fields_refuse(f, fields_get(f->top, "quantization_config"), "quantization_config", "is an object, which is not supported");
    fields_known(f, nested ? inner : f->top, &SIGLIP_FIELDS);
}

/* Absent fields are those of the class: files written as differences leave out what equals the base model. */
static void read_config(JsonFields *f, SiglipConfig *c)
{
    check_family(f);
    const Json *o = fields_object(f, f->top, "vision_config");
    o = o ? o : f->top;
    c->hidden = fields_int(f, o, "hidden_size", 768, 1, SIZE_MAX_DIM);
    c->ff = fields_int(f, o, "intermediate_size", 3072, 1, SIZE_MAX_DIM);
    c->layers = fields_int(f, o, "num_hidden_layers", 12, 1, LAYERS_MAX);
    c->heads = fields_int(f, o, "num_attention_heads", 12, 1, SIZE_MAX_DIM);
    c->eps = fields_real(f, o, "layer_norm_eps", 1e-6);
    c->act = encoder_read_act(f, o, "gelu_pytorch_tanh");
    int64_t patch_width, channels = fields_int(f, o, "num_channels", CHANNELS, 1, SIZE_MAX_DIM);
    read_size(f, o, "image_size", 224, &c->height, &c->width);
    read_size(f, o, "patch_size", 16, &c->patch, &patch_width);
    if (channels != CHANNELS)
        fields_refuse(f, json_get(o, "num_channels"), "num_channels", "is %" PRId64 ", expected %d", channels, CHANNELS);
    if (patch_width != c->patch || c->patch > c->height || c->patch > c->width)
        fields_refuse(f, json_get(o, "patch_size"), "patch_size",
                      "is %" PRId64 "x%" PRId64 ", expected a square inside the picture of %" PRId64 "x%" PRId64, c->patch, patch_width,
                      c->height, c->width);
    encoder_check_heads(f, o, c->hidden, c->heads);
}

static Status read_folder(SiglipConfig *c, const char *folder, int64_t layer)
{
    JsonFields f;
    TRY(fields_open(&f, folder, "config.json"));
    read_config(&f, c);
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

/* Initial values are those of transformers' SiglipPreTrainedModel. */
Status siglip_declare(GenLlava *g, const RunConfig *cfg)
{
    (void)cfg;
    Siglip *m = &g->vision;
    const SiglipConfig *c = &m->config;
    const EncoderShape shape = shape_of(c);
    /* JAX's lecun_normal: a normal cut at two deviations, widened so that its variance is 1/fan_in. */
    const double cut_deviation = 0.87962566103423978;
    double fan_in = (double)(CHANNELS * c->patch * c->patch);
    const Declare d = {.p = &g->params, .stem = "vision_model."};
    m->patch_w = declare_weight(&d, "embeddings.patch_embedding.weight",
                                (ParamSpec){.decay = true,
                                            .init = INIT_TRUNCATED,
                                            .init_scale = 1 / sqrt(fan_in) / cut_deviation,
                                            .n_dims = 4,
                                            .shape = {c->hidden, CHANNELS, c->patch, c->patch}});
    m->patch_b = declare_weight(&d, "embeddings.patch_embedding.bias", (ParamSpec){.init = INIT_ZERO, .n_dims = 1, .shape = {c->hidden}});
    m->position = declare_weight(&d, "embeddings.position_embedding.weight",
                                 (ParamSpec){.decay = true,
                                             .init = INIT_NORMAL,
                                             .init_scale = 1 / sqrt((double)c->hidden),
                                             .n_dims = 2,
                                             .shape = {siglip_patches(c), c->hidden}});
    TRY(encoder_declare(&d, &shape, &m->blocks, c->blocks));
    for (int64_t i = 0; i < c->blocks; i++) {
        draw_normal(m->blocks[i].fc1.b, 1e-6);
        draw_normal(m->blocks[i].fc2.b, 1e-6);
    }
    return OK;
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
                                    "model.multi_modal_projector.", "text_model.", "logit_scale", "logit_bias",
                                    "vision_model.encoder.layers.", "vision_model.post_layernorm.",
                                    "vision_model.head.", "vision_model.embeddings.position_ids", NULL};
const NameTable SIGLIP_NAMES = {.spellings = SPELLINGS, .n = sizeof SPELLINGS / sizeof *SPELLINGS, .quiet = QUIET};

/* ---------------------------------------------------------------- forward */

Tensor *siglip_forward(Tape *t, const Siglip *m, const PatchSpec *pixels)
{
    const EncoderShape shape = shape_of(&m->config);
    const PackedRows *rows = tape_segments(t, pixels->images, siglip_patches(&m->config));
    if (!rows)
        return NULL;
    Tensor *x = nn_patch_embed(t, pixels, m->patch_w, m->patch_b, m->position);
    return encoder_forward(t, &shape, m->blocks, m->config.blocks, x, NULL, rows);
}
