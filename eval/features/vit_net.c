/* vit_net.c: the class token of a plain vision transformer behind its last norm, which is DINO's feature (network.h). As transformers'
 * ViTModel has last_hidden_state[:, 0]. Pictures are prepared as DINO's authors and MagicBrush's do, whatever the folder says. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/features/network.h"
#include "train/models/config_keys.h"
#include "train/models/generation.h"

enum { SIZE_MOST = 1 << 14, LAYERS_MOST = 4096, CHANNELS = 3 };

static const FieldRule RULES[] = {
    {"attention_probs_dropout_prob", NULL},
    {"encoder_stride", NULL},
    {"hidden_act", NULL},
    {"hidden_dropout_prob", NULL},
    {"hidden_size", NULL},
    {"image_size", NULL},
    {"initializer_range", NULL},
    {"intermediate_size", NULL},
    {"layer_norm_eps", NULL},
    {"model_type", "\"vit\""},
    {"num_attention_heads", NULL},
    {"num_channels", "3"},
    {"num_hidden_layers", NULL},
    {"patch_size", NULL},
    {"pooler_act", NULL}, /* behind the feature */
    {"pooler_output_size", NULL},
    {"qkv_bias", "true"},
    {0},
};
static const FieldClass FIELDS = {{RULES, CONFIG_RULES}, GENERATION_RULES};

static void read_config(JsonFields *f, SiglipConfig *c)
{
    const Json *o = f->top;
    fields_known(f, o, &FIELDS);
    if (!fields_bool(f, o, "qkv_bias", true))
        fields_refuse(f, fields_get(o, "qkv_bias"), "qkv_bias", "is false, expected true");
    *c = (SiglipConfig){.clip = true};
    c->hidden = fields_int(f, o, "hidden_size", 768, 1, SIZE_MOST);
    c->ff = fields_int(f, o, "intermediate_size", 3072, 1, 1 << 24);
    c->layers = c->blocks = fields_int(f, o, "num_hidden_layers", 12, 1, LAYERS_MOST);
    c->heads = fields_int(f, o, "num_attention_heads", 12, 1, SIZE_MOST);
    c->height = c->width = fields_int(f, o, "image_size", 224, 1, SIZE_MOST);
    c->patch = fields_int(f, o, "patch_size", 16, 1, SIZE_MOST);
    c->eps = fields_real(f, o, "layer_norm_eps", 1e-12);
    c->act = encoder_read_act(f, o, "gelu");
    if (c->patch > c->height)
        fields_refuse(f, json_get(o, "patch_size"), "patch_size", "is %" PRId64 ", more than image_size %" PRId64, c->patch, c->height);
    encoder_check_heads(f, o, c->hidden, c->heads);
}

/* 256 for a network of 224 pixels, others alike. */
static void set_preparation(PictureNet *n)
{
    static const double MEAN[CHANNELS] = {0.485, 0.456, 0.406}, STD[CHANNELS] = {0.229, 0.224, 0.225};
    const int32_t side = (int32_t)n->tower.config.height;
    n->preprocessor = (Preprocessor){.prep = {.width = side, .height = side, .shorter = (int32_t)lround(side * 256.0 / 224), .rounds = true,
                                              .filter = FILTER_BICUBIC, .max_pixels = IMAGE_MAX_PIXELS},
                                     .rescale = 1.0 / 255};
    memcpy(n->preprocessor.mean, MEAN, sizeof MEAN);
    memcpy(n->preprocessor.std, STD, sizeof STD);
}

static Status configure(PictureNet *n, JsonFields *f)
{
    read_config(f, &n->tower.config);
    TRY(f->status);
    n->info.width = n->tower.config.hidden;
    set_preparation(n);
    return OK;
}

static Status declare(PictureNet *n)
{
    const SiglipConfig *c = &n->tower.config;
    const EncoderShape shape = {.hidden = c->hidden, .ff = c->ff, .heads = c->heads, .act = c->act, .eps = c->eps};
    const Declare d = {.p = &n->params};
    Siglip *m = &n->tower;
    m->patch_w = declare_weight(&d, "embeddings.patch_embeddings.projection.weight",
                                (ParamSpec){.n_dims = 4, .shape = {c->hidden, CHANNELS, c->patch, c->patch}});
    m->patch_b = declare_weight(&d, "embeddings.patch_embeddings.projection.bias", (ParamSpec){.n_dims = 1, .shape = {c->hidden}});
    m->class_token = declare_weight(&d, "embeddings.cls_token", (ParamSpec){.n_dims = 3, .shape = {1, 1, c->hidden}});
    m->position =
        declare_weight(&d, "embeddings.position_embeddings", (ParamSpec){.n_dims = 3, .shape = {1, siglip_patches(c) + 1, c->hidden}});
    declare_norm(&d, "layernorm", c->hidden, &n->norm_w, &n->norm_b);
    return encoder_declare(&d, &shape, &m->blocks, c->blocks);
}

static const Spelling SPELLINGS[] = {{.rules = {{"", ""},
                                                {"encoder.layers.#.layer_norm1.", "encoder.layer.#.layernorm_before."},
                                                {"encoder.layers.#.self_attn.k_proj.", "encoder.layer.#.attention.attention.key."},
                                                {"encoder.layers.#.self_attn.q_proj.", "encoder.layer.#.attention.attention.query."},
                                                {"encoder.layers.#.self_attn.v_proj.", "encoder.layer.#.attention.attention.value."},
                                                {"encoder.layers.#.self_attn.out_proj.", "encoder.layer.#.attention.output.dense."},
                                                {"encoder.layers.#.layer_norm2.", "encoder.layer.#.layernorm_after."},
                                                {"encoder.layers.#.mlp.fc1.", "encoder.layer.#.intermediate.dense."},
                                                {"encoder.layers.#.mlp.fc2.", "encoder.layer.#.output.dense."}}}};
static const char *const QUIET[] = {"pooler.", NULL};
static const NameTable NAMES = {.spellings = SPELLINGS, .n = 1, .quiet = QUIET};

static Status load(PictureNet *n)
{
    TRY(weights_open_folder(&n->weights, n->path, "model"));
    return weights_load_part(&n->weights, &n->params, n->kind->type, &NAMES);
}

static Tensor *pictures(Tape *t, const PictureNet *n, const void *pixels, int64_t items)
{
    const PatchSpec spec = tower_pixels(t, n, pixels, items);
    Tensor *x = siglip_sequences(t, &n->tower, &spec); /* [items·(N+1),D] */
    return nn_layernorm(t, tower_class_rows(t, n, x, items), NULL, n->norm_w, n->norm_b, n->tower.config.eps, NULL);
}

const NetworkKind VIT_NET = {.type = "vit", .configure = configure, .declare = declare, .load = load, .prepare = tower_prepare,
                             .pictures = pictures};
