/* mistral.c: the language model: settings, weights, forward pass (mistral.h). */
#include "train/models/mistral.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/json_fields.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"
#include "train/models/bnb.h"
#include "train/models/config_keys.h"
#include "train/models/generation.h"
#include "train/models/model.h"
#include "train/nn/fp8.h"

enum { SIZE_MAX_DIM = 1 << 24, LAYERS_MAX = 4096 };

const char *const MISTRAL_LINEAR_NAME[N_LINEARS] = {
    [LIN_K] = "self_attn.k_proj", [LIN_Q] = "self_attn.q_proj", [LIN_V] = "self_attn.v_proj", [LIN_O] = "self_attn.o_proj",
    [LIN_GATE] = "mlp.gate_proj", [LIN_UP] = "mlp.up_proj",     [LIN_DOWN] = "mlp.down_proj",
};

const MistralGroup MISTRAL_GROUP[MISTRAL_GROUPS] = {{LIN_K, 3}, {LIN_O, 1}, {LIN_GATE, 2}, {LIN_DOWN, 1}};

/* ---------------------------------------------------------------- config.json */

/* What absent keys mean in transformers' classes of the two families, which are one network: a Llama has no window. */
typedef struct Family {
    const char *type, *class_;
    int64_t vocab, hidden, ff, layers, heads, kv_heads; /* kv_heads 0: as many as heads */
    int64_t window;
} Family;
static const Family FAMILIES[] = {
    {"mistral", "MistralForCausalLM", FIELD_REQUIRED, FIELD_REQUIRED, FIELD_REQUIRED, FIELD_REQUIRED, FIELD_REQUIRED, 8, 4096},
    {"llama", "LlamaForCausalLM", 32000, 4096, 11008, 32, 32, 0, 0},
};
enum { N_FAMILIES = sizeof FAMILIES / sizeof *FAMILIES };

static const FieldRule RULES[] = {
    {"attention_bias", ""},
    {"attention_dropout", ""},
    {"head_dim", NULL},
    {"hidden_act", "\"silu\"|\"swish\""},
    {"hidden_size", NULL},
    {"initializer_range", NULL},
    {"intermediate_size", NULL},
    {"layer_types", NULL},
    {"max_position_embeddings", NULL}, /* numbers depend on it in other kinds of rope alone */
    {"mlp_bias", ""},
    {"model_type", NULL},
    {"num_attention_heads", NULL},
    {"num_hidden_layers", NULL},
    {"num_key_value_heads", NULL},
    {"partial_rotary_factor", "1"},
    {"pretraining_tp", NULL}, /* products in slices: the same numbers, summed in another order */
    {"quantization_config", NULL},
    {"rms_norm_eps", NULL},
    {"rope_parameters", NULL},
    {"rope_scaling", NULL},
    {"rope_theta", NULL},
    {"sliding_window", NULL},
    {"tie_word_embeddings", NULL},
    {"vocab_size", NULL},
    {0},
};
const FieldClass MISTRAL_FIELDS = {{RULES, CONFIG_RULES}, GENERATION_RULES};

/* What LLaVA's own code writes among them: of the tower and the projector, which are no matter of the language model. */
static const FieldRule LLAVA_RULES[] = {
    {"freeze_mm_mlp_adapter", NULL},
    {"freeze_mm_vision_resampler", NULL},
    {"image_aspect_ratio", NULL},
    {"image_grid_pinpoints", NULL}, /* of an image_aspect_ratio that is not supported */
    {"mm_hidden_size", NULL},
    {"mm_patch_merge_type", "\"flat\""},
    {"mm_projector_lr", NULL},
    {"mm_projector_type", NULL},
    {"mm_resampler_type", ""},
    {"mm_use_im_patch_token", ""},
    {"mm_use_im_start_end", ""},
    {"mm_vision_select_feature", NULL},
    {"mm_vision_select_layer", NULL},
    {"mm_vision_tower", NULL},
    {"mm_vision_tower_lr", NULL},
    {"tokenizer_model_max_length", NULL},
    {"tokenizer_padding_side", NULL},
    {"tune_mm_mlp_adapter", NULL},
    {"tune_mm_vision_resampler", NULL},
    {"unfreeze_mm_vision_tower", NULL},
    {"use_mm_proj", NULL},
    {0},
};
const FieldClass LLAVA_FIELDS = {.tables = {LLAVA_RULES}};
static const FieldClass OWN_LLAVA_FIELDS = {{RULES, CONFIG_RULES, LLAVA_RULES}, GENERATION_RULES};

/* Of rope_parameters (5.x) and rope_scaling (older). */
static const FieldRule ROPE[] = {
    {"original_max_position_embeddings", NULL},
    {"partial_rotary_factor", "1"},
    {"rope_theta", NULL},
    {"rope_type", NULL},
    {"type", NULL},
    {0},
};
static const FieldRule PLAIN[] = {{"factor", "1"}, {0}}, SCALED[] = {{"factor", NULL}, {0}};

/* What positions are divided by: 1 unless the scaling is linear. Every other scaling is refused by name: it changes the rotation, too. */
static double read_scaling(JsonFields *f, const char *key)
{
    const Json *rope = fields_object(f, f->top, key);
    const char *type = fields_string(f, rope, "rope_type", NULL);
    if (!type)
        type = fields_string(f, rope, "type", "default");
    bool linear = !strcmp(type, "linear");
    if (!linear && strcmp(type, "default"))
        fields_refuse(f, rope, key, "has the rope_type \"%s\", only \"default\" and \"linear\" are supported", type);
    fields_known(f, rope, &(FieldClass){.tables = {ROPE, linear ? SCALED : PLAIN}});
    if (linear && !fields_get(rope, "factor"))
        fields_refuse(f, rope, key, "has the rope_type \"linear\", but no factor");
    double factor = linear ? fields_real(f, rope, "factor", 1) : 1;
    if (factor < 1)
        fields_refuse(f, fields_get(rope, "factor"), "factor", "is %g, expected a number from 1", factor);
    return factor;
}

static double rope_factor(JsonFields *f)
{
    double old = read_scaling(f, "rope_scaling"), new = read_scaling(f, "rope_parameters");
    if (fields_get(f->top, "rope_scaling") && fields_get(f->top, "rope_parameters") && old != new)
        fields_refuse(f, fields_get(f->top, "rope_scaling"), "rope_scaling", "divides positions by %g, rope_parameters by %g", old, new);
    return fields_get(f->top, "rope_scaling") ? old : new;
}

static double rope_base(JsonFields *f)
{
    double base = fields_real(f, f->top, "rope_theta", 10000);
    base = fields_real(f, fields_object(f, f->top, "rope_scaling"), "rope_theta", base);
    base = fields_real(f, fields_object(f, f->top, "rope_parameters"), "rope_theta", base);
    if (!(base > 0) || !isfinite(base))
        fields_refuse(f, NULL, "rope_theta", "is %g, expected a number above 0", base);
    return base;
}

/* The language model in LLaVA's own models, which version 1.5 calls as transformers calls its. */
static const char *without_llava(const char *type)
{
    static const char *const OF[][2] = {{"llava", "llama"}, {"llava_llama", "llama"}, {"llava_mistral", "mistral"}};
    for (size_t i = 0; type && i < sizeof OF / sizeof *OF; i++)
        if (!strcmp(type, OF[i][0]))
            return OF[i][1];
    return type;
}

/* By model_type, which every release has written; else by the class that architectures names; else Mistral. */
static const Family *read_family(JsonFields *f, const char *absent)
{
    const Json *classes = fields_get(f->top, "architectures"), *first = classes && classes->kind == JSON_ARRAY ? classes->child : NULL;
    const char *type = fields_string(f, f->top, "model_type", absent);
    const char *class_ = first && first->kind == JSON_STRING ? first->string : FAMILIES[0].class_;
    for (const Family *family = FAMILIES; family < FAMILIES + N_FAMILIES; family++)
        if (type ? !strcmp(without_llava(type), family->type) : !strcmp(class_, family->class_))
            return family;
    if (type)
        fields_refuse(f, json_get(f->top, "model_type"), "model_type", "is \"%s\", expected \"mistral\" or \"llama\"", type);
    else
        fields_refuse(f, classes, "architectures", "names %s, expected MistralForCausalLM or LlamaForCausalLM", class_);
    return FAMILIES;
}

/* All layers are of one kind, which sliding_window says. */
static void check_layer_types(JsonFields *f, const MistralConfig *c)
{
    const Json *types = fields_get(f->top, "layer_types");
    const char *kind = c->window ? "sliding_attention" : "full_attention";
    if (types && types->kind != JSON_ARRAY)
        fields_refuse(f, types, "layer_types", "is %s, expected a list", json_kind_name(types->kind));
    for (const Json *v = types ? types->child : NULL; v; v = v->next)
        if (v->kind != JSON_STRING || strcmp(v->string, kind))
            fields_refuse(f, v, "layer_types", "holds %s; with sliding_window as it is only \"%s\" is supported",
                          v->kind == JSON_STRING ? v->string : json_kind_name(v->kind), kind);
}

static void read_heads(JsonFields *f, const Family *family, MistralConfig *c)
{
    const Json *o = f->top;
    c->heads = fields_int(f, o, "num_attention_heads", family->heads, 1, SIZE_MAX_DIM);
    bool named = json_get(o, "num_key_value_heads") != NULL; /* null: as many as heads; absent: the class's */
    c->kv_heads = fields_int(f, o, "num_key_value_heads", named || !family->kv_heads ? c->heads : family->kv_heads, 1, SIZE_MAX_DIM);
    c->head_dim = fields_int(f, o, "head_dim", c->hidden / c->heads, 1, SIZE_MAX_DIM);
    if (c->heads % c->kv_heads)
        fields_refuse(f, json_get(o, "num_attention_heads"), "num_attention_heads",
                      "is %" PRId64 ", not a multiple of the %" PRId64 " key/value heads", c->heads, c->kv_heads);
    if (c->head_dim % 2 || c->head_dim < 2 || c->head_dim > ATTENTION_MAX_HEAD_DIM)
        fields_refuse(f, json_get(o, "head_dim"), "head_dim", "is %" PRId64 ", expected an even number from 2 to %d", c->head_dim,
                      ATTENTION_MAX_HEAD_DIM);
}

static void read_window(JsonFields *f, const Family *family, MistralConfig *c)
{
    bool named = json_get(f->top, "sliding_window") != NULL; /* null: none; absent: the class's */
    c->window = fields_int(f, f->top, "sliding_window", named ? 0 : family->window, 1, INT32_MAX);
    if (c->window && !family->window)
        fields_refuse(f, json_get(f->top, "sliding_window"), "sliding_window", "is %" PRId64 ", but a %s has none", c->window,
                      family->type);
    check_layer_types(f, c);
}

/* absent: the model_type of settings that name none; NULL: as architectures says. */
static void read_config(JsonFields *f, const char *absent, MistralConfig *c)
{
    const Json *o = f->top;
    const Family *family = read_family(f, absent);
    fields_known(f, o, fields_get(o, "mm_vision_tower") ? &OWN_LLAVA_FIELDS : &MISTRAL_FIELDS);
    c->type = family->type;
    c->vocab = fields_int(f, o, "vocab_size", family->vocab, 1, SIZE_MAX_DIM);
    c->hidden = fields_int(f, o, "hidden_size", family->hidden, 1, SIZE_MAX_DIM);
    c->ff = fields_int(f, o, "intermediate_size", family->ff, 1, SIZE_MAX_DIM);
    c->layers = fields_int(f, o, "num_hidden_layers", family->layers, 1, LAYERS_MAX);
    read_heads(f, family, c);
    read_window(f, family, c);
    c->eps = fields_real(f, o, "rms_norm_eps", 1e-6);
    c->initializer_range = fields_real(f, o, "initializer_range", 0.02);
    c->tied = fields_bool(f, o, "tie_word_embeddings", false);
    c->codes = bnb_format(f, o);
    c->rope_factor = rope_factor(f);
    c->rope_base = rope_base(f);
    c->positions = (int64_t)((double)fields_int(f, o, "max_position_embeddings", 0, 1, INT32_MAX) * c->rope_factor);
    if (!(c->eps >= 0) || !isfinite(c->eps))
        fields_refuse(f, json_get(o, "rms_norm_eps"), "rms_norm_eps", "is %g, expected 0 or more", c->eps);
}

/* Frequencies that old exports hold beside the weights; they may be rounded to 16 bits, and are those before scaling. */
static Status check_frequencies(const StTensor *t, const MistralConfig *c)
{
    bool same = t->n_dims == 1 && t->shape[0] == c->head_dim / 2 && (t->type == F32 || t->type == F16 || t->type == BF16);
    for (int64_t i = 0; i < c->head_dim / 2 && same; i++) {
        float theirs;
        double ours = pow(c->rope_base, -2.0 * (double)i / (double)c->head_dim);
        dtype_convert(&theirs, F32, (const char *)t->data + (size_t)i * dtype_size(t->type), t->type, 1);
        same = fabs((double)theirs - ours) <= 0x1p-7 * ours + (t->type == F16 ? 0x1p-23 : 0); /* of bf16; f16 has no smaller numbers */
    }
    return same ? OK
                : fail(ERR_DATA, "%s: %s holds other frequencies than those of rope_theta %g in config.json", t->file, t->name,
                       c->rope_base);
}

/* A head of its own beside tie_word_embeddings counts when it differs, as in transformers 5. */
static void untie(MistralConfig *c, const SafeTensors *st)
{
    char name[WEIGHT_NAME_MAX];
    FileNames names = names_find(&MISTRAL_NAMES, st, "model.embed_tokens.weight");
    const StTensor *embed = safetensors_find(st, names_in_file(name, &names, "model.embed_tokens.weight"));
    const StTensor *head = safetensors_find(st, names_in_file(name, &names, "lm_head.weight"));
    if (!c->tied || !embed || !head)
        return;
    c->tied = embed->type == head->type && embed->n_bytes == head->n_bytes && !memcmp(embed->data, head->data, head->n_bytes);
    if (!c->tied)
        log_info("%s: %s differs from the embeddings, so it is used although config.json says tie_word_embeddings", head->file, head->name);
}

/* What of the file is not read has to be what the settings say. */
static Status check_weights(MistralConfig *c, const char *folder)
{
    SafeTensors *st;
    Status s = safetensors_open_folder(&st, folder, "model");
    if (s) /* but for want of memory it is said by whoever reads the weights */
        return s == ERR_NOMEM ? s : OK;
    untie(c, st);
    for (int i = 0; i < safetensors_count(st) && !s; i++)
        if (utf8_ends(safetensors_at(st, i)->name, "rotary_emb.inv_freq"))
            s = check_frequencies(safetensors_at(st, i), c);
    safetensors_close(&st);
    return s;
}

static CodeFormat format_of(StoreChoice store) { return store == STORE_INT8 ? CODES_INT8 : store == STORE_NF4 ? CODES_NF4 : CODES_NONE; }

/* What a folder holds in codes can be neither trained nor held otherwise. */
static Status check_store(const MistralConfig *c, const RunConfig *cfg)
{
    const char *held = c->codes == CODES_NF4 ? "nf4" : "int8";
    if (c->codes && cfg->model.llm.train == TRAIN_FULL)
        return fail(ERR_USAGE,
                    "model.llm.train is \"full\", but the weights of %s are in %s (quantization_config of its config.json): train "
                    "\"lora\", or take a folder that is not quantised",
                    cfg->model.llm.path, held);
    if (c->codes && cfg->model.llm.multiply == MULTIPLY_FP8)
        return fail(ERR_USAGE,
                    "model.llm.multiply is \"fp8\", but the weights of %s are in %s (quantization_config of its config.json): take "
                    "model.llm.multiply out, or take a folder that is not quantised",
                    cfg->model.llm.path, held);
    if (c->codes && cfg->model.llm.store != STORE_AS_IS && format_of(cfg->model.llm.store) != c->codes)
        return fail(ERR_USAGE,
                    "model.llm.store asks for another format than %s, which the weights of %s are in (quantization_config of its "
                    "config.json): take model.llm.store out, or take a folder that is not quantised",
                    held, cfg->model.llm.path);
    return OK;
}

Status mistral_configure(GenLlava *g, const RunConfig *cfg)
{
    JsonFields f;
    TRY(fields_open(&f, cfg->model.llm.path, "config.json"));
    const Json *inner = fields_object(&f, f.top, "text_config"); /* of LLaVA, which has the language model in it */
    f.top = inner ? inner : f.top;
    read_config(&f, inner ? "llama" : NULL, &g->llm.config);
    Status s = f.status;
    fields_close(&f);
    TRY(s);
    TRY(check_store(&g->llm.config, cfg));
    return cfg->model.llm.init == INIT_AT_RANDOM ? OK : check_weights(&g->llm.config, cfg->model.llm.path);
}

/* ---------------------------------------------------------------- weights */

/* storable: of a linear of a layer. */
static Param *matrix(Params *p, const MistralConfig *c, const char *name, int64_t rows, int64_t cols, bool storable)
{
    return params_declare(p, &(ParamSpec){.name = name, .decay = true, .init = INIT_NORMAL, .init_scale = c->initializer_range,
                                          .n_dims = 2, .shape = {rows, cols}, .storable = storable});
}

static Param *norm_weight(Params *p, const char *name, int64_t n)
{
    return params_declare(p, &(ParamSpec){.name = name, .init = INIT_ONE, .n_dims = 1, .shape = {n}});
}

static void declare_layer(Params *p, const MistralConfig *c, int64_t i, MistralLayer *l)
{
    const int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const int64_t shape[N_LINEARS][2] = {
        [LIN_K] = {kv, c->hidden},       [LIN_Q] = {q, c->hidden},      [LIN_V] = {kv, c->hidden},       [LIN_O] = {c->hidden, q},
        [LIN_GATE] = {c->ff, c->hidden}, [LIN_UP] = {c->ff, c->hidden}, [LIN_DOWN] = {c->hidden, c->ff},
    };
    char name[WEIGHT_NAME_MAX];
    snprintf(name, sizeof name, "model.layers.%" PRId64 ".input_layernorm.weight", i);
    l->input_norm = norm_weight(p, name, c->hidden);
    for (int j = 0; j < N_LINEARS; j++) {
        snprintf(name, sizeof name, "model.layers.%" PRId64 ".%s.weight", i, MISTRAL_LINEAR_NAME[j]);
        l->lin[j].w = matrix(p, c, name, shape[j][0], shape[j][1], true);
        l->lin[j].site = (uint64_t)(i * N_LINEARS + j);
    }
    snprintf(name, sizeof name, "model.layers.%" PRId64 ".post_attention_layernorm.weight", i);
    l->post_norm = norm_weight(p, name, c->hidden);
}

Status mistral_declare_layers(GenLlava *g, const RunConfig *cfg)
{
    (void)cfg;
    Mistral *m = &g->llm;
    const MistralConfig *c = &m->config;
    m->layers = mem_alloc((size_t)c->layers * sizeof(MistralLayer));
    if (!m->layers)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " layers", c->layers);
    for (int64_t i = 0; i < c->layers; i++)
        declare_layer(&g->params, c, i, &m->layers[i]);
    m->norm = norm_weight(&g->params, "model.norm.weight", c->hidden);
    return OK;
}

/* How the frozen weights declared from here on are held. */
static void choose_store(ParamGroup *group, const MistralConfig *c, const RunConfig *cfg)
{
    group->rounded = cfg->model.llm.store == STORE_BF16;
    group->coded_in_file = c->codes != CODES_NONE;
    group->format = c->codes ? c->codes : format_of(cfg->model.llm.store);
}

/* Linears that read the same become one matrix of 8 bits. */
static Status declare_fp8(Params *p, Mistral *m)
{
    for (int64_t i = 0; i < m->config.layers && !p->failed; i++)
        for (int j = 0; j < MISTRAL_GROUPS; j++)
            TRY(fp8_declare(p, &m->layers[i].lin[MISTRAL_GROUP[j].first], MISTRAL_GROUP[j].n));
    return OK;
}

Status mistral_declare(GenLlava *g, const RunConfig *cfg)
{
    Mistral *m = &g->llm;
    const MistralConfig *c = &m->config;
    choose_store(&g->params.group, c, cfg);
    m->embed = matrix(&g->params, c, "model.embed_tokens.weight", c->vocab, c->hidden, false);
    TRY(mistral_declare_layers(g, cfg));
    if (cfg->model.llm.multiply == MULTIPLY_FP8)
        TRY(declare_fp8(&g->params, m));
    m->head = c->tied ? m->embed : matrix(&g->params, c, "lm_head.weight", c->vocab, c->hidden, false);
    return OK;
}

void mistral_free(GenLlava *g) { mem_free(g->llm.layers); }

static const Spelling SPELLINGS[] = {
    {.rules = {{"model.", "model."}, {"lm_head.", "lm_head."}}},                               /* the model alone; original LLaVA */
    {.rules = {{"model.", "language_model.model."}, {"lm_head.", "language_model.lm_head."}}}, /* LLaVA of transformers on disk */
    {.rules = {{"model.", "model.language_model."}, {"lm_head.", "lm_head."}}},                /* … and in memory, from 4.52 */
    {.rules = {{"model.", ""}, {"lm_head.", "lm_head."}}},                                     /* without the head */
};
/* And what else a whole LLaVA holds. */
static const char *const QUIET[] = {"*rotary_emb.inv_freq",   "lm_head.weight" /* of a tied model, equal */,
                                    "vision_tower.",          "model.vision_tower.",
                                    "multi_modal_projector.", "model.multi_modal_projector.",
                                    "model.mm_projector.",    NULL};
const NameTable MISTRAL_NAMES = {.spellings = SPELLINGS, .n = sizeof SPELLINGS / sizeof *SPELLINGS, .quiet = QUIET};

/* ---------------------------------------------------------------- forward */

typedef struct LayerArg {
    const Mistral *m;
    const MistralLayer *layer;
    int64_t index;
    const PackedRows *rows;
    const KvCache *cache;
} LayerArg;

static Tensor *attend(Tape *t, const LayerArg *a, Tensor *kqv, const AttentionSpec *spec)
{
    const KvCache *c = a->cache;
    if (!c)
        return nn_attention(t, kqv, spec, a->rows);
    KvLayer layer = {.sequences = c->sequences, .capacity = c->capacity, .k = c->k[a->index], .v = c->v[a->index], .begins = c->begins,
                     .to = c->to, .length = c->length, .first = c->first};
    return nn_attention_cached(t, kqv, spec, a->rows, &layer);
}

/* x [T,D] -> [T,D]; spec 1.2, steps 1 to 8. */
static Tensor *layer_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const LayerArg *a = arg;
    const MistralConfig *c = &a->m->config;
    const Linear *lin = a->layer->lin;
    const AttentionSpec spec = {.heads = c->heads,
                                .kv_heads = c->kv_heads,
                                .head_dim = c->head_dim,
                                .window = c->window,
                                .causal = true,
                                .scale = 1 / sqrt((double)c->head_dim)};
    Tensor *x = in[0], *mid = NULL; /* mid: the residual between attention and MLP */
    Tensor *h = nn_rmsnorm(t, x, NULL, a->layer->input_norm, c->eps, NULL);
    Tensor *kqv = nn_linear(t, h, &lin[LIN_K], 3, a->rows);
    kqv = nn_rope(t, kqv, &(RopeSpec){.n = c->kv_heads + c->heads, .head_dim = c->head_dim, .base = c->rope_base, .factor = c->rope_factor},
                  a->rows);
    Tensor *attended = nn_linear(t, attend(t, a, kqv, &spec), &lin[LIN_O], 1, a->rows);
    h = nn_rmsnorm(t, x, attended, a->layer->post_norm, c->eps, &mid);
    Tensor *s = nn_swiglu(t, nn_linear(t, h, &lin[LIN_GATE], 2, a->rows));
    return nn_linear_add(t, s, &lin[LIN_DOWN], a->rows, mid);
}

Tensor *mistral_layers(Tape *t, const Mistral *m, Tensor *x, const PackedRows *rows, const KvCache *cache)
{
    LayerArg *args = tape_host(t, (size_t)m->config.layers * sizeof *args);
    for (int64_t i = 0; args && i < m->config.layers; i++) {
        args[i] = (LayerArg){.m = m, .layer = &m->layers[i], .index = i, .rows = rows, .cache = cache};
        x = nn_block_inplace(t, layer_forward, &args[i], &x, 1);
    }
    return args ? x : NULL;
}

Tensor *mistral_norm(Tape *t, const Mistral *m, Tensor *x) { return nn_rmsnorm(t, x, NULL, m->norm, m->config.eps, NULL); }
