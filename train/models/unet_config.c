/* unet_config.c: reads a UNet's config.json (unet.h). What it says and the program does not do is refused by its key. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "train/models/unet.h"

enum { SIZE_MAX_DIM = 1 << 20 };

/* All arguments of diffusers' UNet2DConditionModel. */
static const FieldRule RULES[] = {
    {"_class_name", "\"UNet2DConditionModel\""},
    {"_diffusers_version", NULL},
    {"_name_or_path", NULL},
    {"act_fn", "\"silu\"|\"swish\""},
    {"addition_embed_type", ""},
    {"addition_embed_type_num_heads", NULL}, /* of addition_embed_type */
    {"addition_time_embed_dim", ""},
    {"attention_head_dim", NULL},
    {"attention_type", "\"default\""},
    {"block_out_channels", NULL},
    {"center_input_sample", ""},
    {"class_embed_type", ""},
    {"class_embeddings_concat", ""},
    {"conv_in_kernel", "3"},
    {"conv_out_kernel", "3"},
    {"cross_attention_dim", NULL},
    {"cross_attention_norm", ""},
    {"down_block_types", NULL},
    {"downsample_padding", NULL},
    {"dropout", ""},
    {"dual_cross_attention", ""},
    {"encoder_hid_dim", ""},
    {"encoder_hid_dim_type", ""},
    {"flip_sin_to_cos", NULL},
    {"freq_shift", NULL},
    {"in_channels", NULL},
    {"layers_per_block", NULL},
    {"mid_block_only_cross_attention", ""},
    {"mid_block_scale_factor", "1"},
    {"mid_block_type", "\"UNetMidBlock2DCrossAttn\""},
    {"norm_eps", NULL},
    {"norm_num_groups", NULL},
    {"num_attention_heads", ""},
    {"num_class_embeds", ""},
    {"only_cross_attention", ""},
    {"out_channels", NULL},
    {"projection_class_embeddings_input_dim", ""},
    {"resnet_out_scale_factor", "1"},
    {"resnet_skip_time_act", ""},
    {"resnet_time_scale_shift", "\"default\""},
    {"reverse_transformer_layers_per_block", ""},
    {"sample_size", NULL},
    {"time_cond_proj_dim", ""},
    {"time_embedding_act_fn", ""},
    {"time_embedding_dim", ""},
    {"time_embedding_type", "\"positional\""},
    {"timestep_post_act", ""},
    {"transformer_layers_per_block", "1"},
    {"up_block_types", NULL},
    {"upcast_attention", NULL}, /* a matter of precision; scores are f32 always */
    {"use_linear_projection", NULL},
    {0},
};
/* Of weights that were a moving average: left there by diffusers' EMAModel. */
static const FieldRule AVERAGE_RULES[] = {
    {"decay", NULL},
    {"inv_gamma", NULL},
    {"min_decay", NULL},
    {"optimization_step", NULL},
    {"power", NULL},
    {"update_after_step", NULL},
    {"use_ema_warmup", NULL},
    {0},
};
const FieldClass UNET_FIELDS = {.tables = {RULES, AVERAGE_RULES}};

/* The elements of a list, which must be as many as there are levels; one value stands for all. false: refused. */
static bool read_list(JsonFields *f, const char *key, int levels, const Json *element[UNET_LEVELS_MAX])
{
    const Json *v = fields_get(f->top, key);
    bool list = v && v->kind == JSON_ARRAY;
    if (list && v->length != (size_t)levels) {
        fields_refuse(f, v, key, "has %zu elements, expected %d, as many as block_out_channels", v->length, levels);
        return false;
    }
    const Json *e = list ? v->child : v;
    for (int i = 0; i < levels; i++, e = list ? e->next : e)
        element[i] = e;
    return true;
}

/* An integer, or a list of one for each level. at: where the first level's value goes. */
static void read_sizes(JsonFields *f, const char *key, int64_t absent, int64_t high, UnetConfig *c, size_t at)
{
    const Json *element[UNET_LEVELS_MAX];
    if (!read_list(f, key, c->levels, element))
        return;
    for (int i = 0; i < c->levels; i++) {
        const Json *e = element[i];
        if (e && (e->kind != JSON_INT || e->integer < 1 || e->integer > high)) {
            char shown[64];
            fields_refuse(f, e, key, "is %s, expected an integer from 1 to %" PRId64 " or a list of them",
                          json_show(e, shown, sizeof shown), high);
            return;
        }
        *(int64_t *)((char *)&c->level[i] + at) = e ? e->integer : absent;
    }
}

static void read_channels(JsonFields *f, UnetConfig *c)
{
    static const int64_t ABSENT[] = {320, 640, 1280, 1280};
    const Json *v = fields_get(f->top, "block_out_channels");
    c->levels = v ? (int)v->length : 4;
    if (v && (v->kind != JSON_ARRAY || !v->length || v->length > UNET_LEVELS_MAX)) {
        fields_refuse(f, v, "block_out_channels", "is not a list of 1 to %d sizes", UNET_LEVELS_MAX);
        c->levels = 1;
        return;
    }
    for (int i = 0; !v && i < c->levels; i++)
        c->level[i].channels = ABSENT[i];
    if (v)
        read_sizes(f, "block_out_channels", 0, SIZE_MAX_DIM, c, offsetof(UnetLevel, channels));
}

/* Which of the levels attend: names of blocks, those of the way up from the last level to the first. */
static void read_blocks(JsonFields *f, const char *key, const char *plain, const char *attends, UnetConfig *c, bool up)
{
    const Json *element[UNET_LEVELS_MAX];
    if (!read_list(f, key, c->levels, element))
        return;
    for (int i = 0; i < c->levels; i++) {
        const Json *e = element[i];
        int at = up ? c->levels - 1 - i : i;
        const char *name = e && e->kind == JSON_STRING ? e->string : "", *absent = at == c->levels - 1 ? plain : attends;
        name = e ? name : absent;
        if (strcmp(name, plain) && strcmp(name, attends)) {
            char shown[64];
            fields_refuse(f, e, key, "names %s, expected \"%s\" or \"%s\"", json_show(e, shown, sizeof shown), attends, plain);
            return;
        }
        *(up ? &c->level[at].up_attends : &c->level[at].down_attends) = !strcmp(name, attends);
    }
}

static void check_level(JsonFields *f, const UnetConfig *c, const UnetLevel *l)
{
    if (l->channels % c->groups)
        fields_refuse(f, fields_get(f->top, "norm_num_groups"), "norm_num_groups",
                      "is %" PRId64 ", expected a divisor of all block_out_channels, of which one is %" PRId64, c->groups, l->channels);
    if (l->channels % l->heads || l->channels / l->heads > ATTENTION_MAX_HEAD_DIM)
        fields_refuse(f, fields_get(f->top, "attention_head_dim"), "attention_head_dim",
                      "(the number of heads) is %" PRId64 " at %" PRId64 " channels, expected a divisor with heads of at most %d", l->heads,
                      l->channels, ATTENTION_MAX_HEAD_DIM);
}

static void read_config(JsonFields *f, UnetConfig *c)
{
    const Json *mid = json_get(f->top, "mid_block_type");
    fields_known(f, f->top, &UNET_FIELDS);
    if (mid && mid->kind == JSON_NULL)
        fields_refuse(f, mid, "mid_block_type", "is null, expected \"UNetMidBlock2DCrossAttn\"");
    read_channels(f, c);
    read_sizes(f, "layers_per_block", 2, UNET_LAYERS_MAX, c, offsetof(UnetLevel, layers));
    read_sizes(f, "attention_head_dim", 8, SIZE_MAX_DIM, c, offsetof(UnetLevel, heads));
    read_blocks(f, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D", c, false);
    read_blocks(f, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D", c, true);
    c->in_channels = fields_int(f, f->top, "in_channels", UNET_CHANNELS_DEFAULT, 1, SIZE_MAX_DIM);
    c->out_channels = fields_int(f, f->top, "out_channels", UNET_CHANNELS_DEFAULT, 1, SIZE_MAX_DIM);
    c->context = fields_int(f, f->top, "cross_attention_dim", UNET_CONTEXT_DEFAULT, 1, SIZE_MAX_DIM);
    c->groups = fields_int(f, f->top, "norm_num_groups", 32, 1, SIZE_MAX_DIM);
    c->downsample_padding = fields_int(f, f->top, "downsample_padding", 1, 0, 1);
    c->eps = fields_real(f, f->top, "norm_eps", 1e-5);
    c->freq_shift = fields_real(f, f->top, "freq_shift", 0);
    c->cosine_first = fields_bool(f, f->top, "flip_sin_to_cos", true);
    c->linear_projection = fields_bool(f, f->top, "use_linear_projection", false);
    if (!(c->eps >= 0))
        fields_refuse(f, json_get(f->top, "norm_eps"), "norm_eps", "is %g, expected a number of at least 0", c->eps);
    if (c->freq_shift == (double)(c->level[0].channels / 2))
        fields_refuse(f, json_get(f->top, "freq_shift"), "freq_shift",
                      "is %g, half of the first of block_out_channels: frequencies of the timestep are divided by the difference",
                      c->freq_shift);
    for (int i = 0; i < c->levels && !f->status; i++)
        check_level(f, c, &c->level[i]);
}

Status unet_read_config(UnetConfig *c, const char *folder)
{
    JsonFields f;
    *c = (UnetConfig){0};
    TRY(fields_open(&f, folder, "config.json"));
    read_config(&f, c);
    Status s = f.status;
    fields_close(&f);
    return s;
}
