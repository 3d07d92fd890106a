/* gen_head.c: the generation head: weights, names, forward pass (gen_head.h). */
#include "train/models/gen_head.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/formats/json_fields.h"
#include "data/formats/json_write.h"
#include "train/config/options.h"
#include "train/models/declare.h"
#include "train/models/model.h"

static const double EPS = 1e-5; /* torch.nn.LayerNorm's */

/* ---------------------------------------------------------------- settings */

/* A size that the config.json of a subfolder of the diffusion folder gives; 0: there is no such file. */
static Status read_size(int64_t *out, const RunConfig *cfg, const char *subfolder, const char *key, int64_t absent)
{
    char folder[PATH_MAX], path[PATH_MAX];
    JsonFields f;
    *out = 0;
    if (!file_exists(file_join(path, file_join(folder, cfg->model.diffusion.path, subfolder), "config.json")))
        return OK;
    TRY(fields_open(&f, folder, "config.json"));
    *out = fields_int(&f, f.top, key, absent, 1, INT32_MAX);
    Status s = f.status;
    fields_close(&f);
    return s;
}

/* How long the tokenizer says that prompts are; 0: it does not say. */
static Status read_prompt_length(int64_t *out, const RunConfig *cfg)
{
    char folder[PATH_MAX], path[PATH_MAX];
    JsonDoc *doc;
    *out = 0;
    if (!file_exists(file_join(path, file_join(folder, cfg->model.diffusion.path, "tokenizer"), "tokenizer_config.json")))
        return OK;
    TRY(json_read_file(&doc, path));
    const Json *length = json_get(json_root(doc), "model_max_length");
    if (length && length->kind == JSON_INT && length->integer > 0 && length->integer <= INT32_MAX)
        *out = length->integer;
    json_free(&doc);
    return OK;
}

/* Whether the context has as many rows as the prompts that Stable Diffusion was trained on, as far as the folder tells. */
static Status check_queries(const RunConfig *cfg)
{
    int64_t length, queries = cfg->model.gen_head.queries;
    TRY(read_size(&length, cfg, "text_encoder", "max_position_embeddings", CLIP_TEXT_LENGTH_DEFAULT));
    bool encoder = length != 0;
    if (!encoder)
        TRY(read_prompt_length(&length, cfg));
    if (!length || length == queries)
        return OK;
    return fail(ERR_USAGE, "model.gen_head.queries is %" PRId64 ", but the %s of %s has %" PRId64 " positions (%s); they must be equal",
                queries, encoder ? "text encoder" : "tokenizer", cfg->model.diffusion.path, length,
                encoder ? "max_position_embeddings" : "model_max_length");
}

/* Whether the way that pictures to edit shall take is one that the UNet has, whose latents are as wide as its output. */
static Status check_channels(const RunConfig *cfg)
{
    EditMode edit = cfg->model.diffusion.edit;
    int64_t in, latent;
    TRY(read_size(&in, cfg, "unet", "in_channels", UNET_CHANNELS_DEFAULT));
    TRY(read_size(&latent, cfg, "unet", "out_channels", UNET_CHANNELS_DEFAULT));
    int64_t wanted = edit == EDIT_IP2P ? 2 * latent : latent;
    if (in == wanted)
        return OK;
    return fail(ERR_USAGE,
                "model.diffusion.edit is \"%s\", which needs a UNet of %" PRId64 " input channels; that of %s has %" PRId64 "%s",
                option_find("model.diffusion.edit")->names[edit], wanted, cfg->model.diffusion.path, in,
                edit == EDIT_IP2P   ? ": \"train_conv_in\", with model.diffusion.unet \"conv_in\" or \"full\", adds those that are missing"
                : in == 2 * latent ? ": for that there is \"ip2p\""
                                    : "");
}

Status gen_head_configure(GenLlava *g, const RunConfig *cfg)
{
    const char *folder = cfg->model.diffusion.path;
    int64_t states, context;
    TRY(read_size(&states, cfg, "text_encoder", "hidden_size", CLIP_TEXT_HIDDEN_DEFAULT));
    TRY(read_size(&context, cfg, "unet", "cross_attention_dim", UNET_CONTEXT_DEFAULT));
    if (!states && !context)
        return fail(ERR_MISSING, "model.diffusion.path: %s: it has neither text_encoder/config.json nor unet/config.json; the width of the "
                                 "context that the generation head writes is read from there",
                    folder);
    if (states && context && states != context)
        return fail(ERR_DATA, "model.diffusion.path: %s: the states of text_encoder are %" PRId64 " wide (hidden_size), but unet takes a "
                              "context of %" PRId64 " (cross_attention_dim)",
                    folder, states, context);
    TRY(check_queries(cfg));
    TRY(check_channels(cfg));
    g->image_loss[TASK_GENERATE] = cfg->loss.generate;
    g->image_loss[TASK_EDIT] = cfg->loss.edit;
    g->gen_head.config = (GenHeadConfig){.in = g->llm.config.hidden,
                                         .visual = cfg->model.tokens.image,
                                         .width = cfg->model.gen_head.width,
                                         .heads = cfg->model.gen_head.heads,
                                         .ff = cfg->model.gen_head.ff,
                                         .encoder_layers = cfg->model.gen_head.encoder_layers,
                                         .decoder_layers = cfg->model.gen_head.decoder_layers,
                                         .queries = cfg->model.gen_head.queries,
                                         .context = states ? states : context,
                                         .before = cfg->loss.image_align == ALIGN_BEFORE};
    return OK;
}

/* ---------------------------------------------------------------- weights */

#define PREFIX "gen_head."

/* Initial values are torch's: the matrices of nn.Transformer Xavier uniform, biases and other linears ±1/√fan_in. */
static Linear linear(const Declare *d, const char *name, int64_t out, int64_t in)
{
    return declare_linear_drawn(d, name, out, in, declare_from_inputs(in), declare_from_inputs(in));
}

static Linear feed_forward_linear(const Declare *d, const char *name, int64_t out, int64_t in)
{
    return declare_linear_drawn(d, name, out, in, declare_xavier(out, in), declare_from_inputs(in));
}

/* torch.nn.MultiheadAttention: *in is the packed projection, queries first. */
static void attention(const Declare *d, const char *name, int64_t width, Linear *in, Linear *out)
{
    const Declare of = declare_under(d, "%s.", name);
    in->w = declare_weight(
        &of, "in_proj_weight",
        (ParamSpec){
            .decay = true, .init = INIT_UNIFORM, .init_scale = declare_xavier(3 * width, width), .n_dims = 2, .shape = {3 * width, width}});
    in->b = declare_weight(&of, "in_proj_bias", (ParamSpec){.n_dims = 1, .shape = {3 * width}});
    *out = declare_linear_drawn(&of, "out_proj", width, width, declare_xavier(width, width), 0);
}

typedef enum Projection { QUERIES, KEYS, VALUES } Projection;
static Linear projection(const Linear *in, int64_t width, Projection which)
{
    return (Linear){.w = in->w, .b = in->b, .first = which * width, .out = width, .b_stays = which == KEYS};
}

static void declare_layer(const Declare *d, const GenHeadConfig *c, bool decoder, GenHeadLayer *l)
{
    static const char *const NORMS[] = {"norm1", "norm2", "norm3"};
    Linear in = {0};
    int64_t w = c->width;
    attention(d, "self_attn", w, &in, &l->out);
    l->kqv[0] = projection(&in, w, KEYS);
    l->kqv[1] = projection(&in, w, QUERIES);
    l->kqv[2] = projection(&in, w, VALUES);
    if (decoder) {
        attention(d, "multihead_attn", w, &in, &l->cross_out);
        l->cross_q = projection(&in, w, QUERIES);
        l->cross_kv[0] = projection(&in, w, KEYS);
        l->cross_kv[1] = projection(&in, w, VALUES);
    }
    l->ff1 = feed_forward_linear(d, "linear1", c->ff, w);
    l->ff2 = feed_forward_linear(d, "linear2", w, c->ff);
    for (int i = 0; i < (decoder ? 3 : 2); i++)
        declare_norm(d, NORMS[i], w, &l->norm_w[i], &l->norm_b[i]);
}

static void declare_layers(GenHead *m, const Declare *all, bool decoder)
{
    const GenHeadConfig *c = &m->config;
    const char *half = decoder ? "decoder" : "encoder";
    int64_t first = decoder ? c->encoder_layers : 0, n = decoder ? c->decoder_layers : c->encoder_layers;
    const Declare d = declare_under(all, "tfm.%s.", half);
    for (int64_t i = 0; i < n; i++) {
        const Declare layer = declare_under(&d, "layers.%" PRId64 ".", i);
        declare_layer(&layer, c, decoder, &m->layers[first + i]);
    }
    declare_norm(&d, "norm", c->width, &m->norm_w[decoder], &m->norm_b[decoder]);
}

Status gen_head_declare(GenLlava *g, const RunConfig *cfg)
{
    (void)cfg;
    GenHead *m = &g->gen_head;
    const GenHeadConfig *c = &m->config;
    const Declare d = {.p = &g->params, .ours = PREFIX};
    int64_t n = c->encoder_layers + c->decoder_layers;
    m->layers = mem_alloc((size_t)n * sizeof *m->layers);
    if (!m->layers)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " layers", n);
    m->fc = linear(&d, "fc", c->width, c->in);
    declare_layers(m, &d, false);
    m->query =
        declare_weight(&d, "query_embs",
                       (ParamSpec){.decay = true, .init = INIT_NORMAL, .init_scale = 1, .n_dims = 3, .shape = {1, c->queries, c->width}});
    declare_layers(m, &d, true);
    m->model = linear(&d, "model", c->context, c->width);
    return OK;
}

void gen_head_free(GenLlava *g) { mem_free(g->gen_head.layers); }

/* GILL's, ours without the prefix; MGIE's. Before them stand "model.gen_text_hidden_fcs.0.", "edit_head.", or nothing. */
static const Spelling SPELLINGS[] = {
    {.rules = {{PREFIX, ""}}},
    {.rules = {{PREFIX "fc.", "llm2hid."},
               {PREFIX "query_embs", "query"},
               {PREFIX "tfm.", "mapper."},
               {PREFIX "model.", "hid2feat."}}},
};
const NameTable GEN_HEAD_NAMES = {.spellings = SPELLINGS, .n = sizeof SPELLINGS / sizeof *SPELLINGS, .wrapped = true};

static Status no_more_layers(const GenHead *m, const Weights *w)
{
    static const char *const HALVES[] = {"encoder", "decoder"};
    const int64_t n[] = {m->config.encoder_layers, m->config.decoder_layers};
    FileNames names = names_find(&GEN_HEAD_NAMES, w->st, m->fc.w->name);
    for (int i = 0; i < 2; i++) {
        char ours[WEIGHT_NAME_MAX], theirs[WEIGHT_NAME_MAX];
        snprintf(ours, sizeof ours, PREFIX "tfm.%s.layers.%" PRId64 ".norm1.weight", HALVES[i], n[i]);
        if (safetensors_find(w->st, names_in_file(theirs, &names, ours)))
            return fail(ERR_DATA, "%s: holds %s, but the generation head has %" PRId64 " %s layer%s (model.gen_head.%s_layers)", w->path,
                        theirs, n[i], HALVES[i], status_plural(n[i]), HALVES[i]);
    }
    return OK;
}

Status gen_head_load(GenLlava *g, const RunConfig *cfg, const char *file)
{
    (void)cfg;
    Weights w;
    TRY(weights_open(&w, file));
    w.among_others = true;
    Status s = no_more_layers(&g->gen_head, &w);
    if (!s)
        s = weights_load_part(&w, &g->params, "gen_head", &GEN_HEAD_NAMES);
    weights_close(&w);
    return s;
}

Status gen_head_describe(const GenLlava *g, const RunConfig *cfg, const char *folder)
{
    const GenHeadConfig *c = &g->gen_head.config;
    const struct {
        const char *key;
        int64_t value;
    } SIZES[] = {{"input", c->in},
                 {"width", c->width},
                 {"heads", c->heads},
                 {"ff", c->ff},
                 {"encoder_layers", c->encoder_layers},
                 {"decoder_layers", c->decoder_layers},
                 {"queries", c->queries},
                 {"context", c->context},
                 {"image_tokens", c->visual}};
    char path[PATH_MAX];
    cJSON *o = cJSON_CreateObject(), *variant = cJSON_AddObjectToObject(o, "variant");
    json_add_text(variant, "generate", option_find("loss.generate")->names[cfg->loss.generate]);
    json_add_text(variant, "edit", option_find("loss.edit")->names[cfg->loss.edit]);
    json_add_text(o, "image_align", option_find("loss.image_align")->names[cfg->loss.image_align]);
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        json_add_int(o, SIZES[i].key, SIZES[i].value);
    cJSON *ids = cJSON_AddArrayToObject(o, "image_token_ids");
    for (int64_t i = 0; i < c->visual; i++)
        json_add_int(ids, NULL, g->sizes.vocab_size + g->sizes.added_rows - c->visual + i);
    return json_save(file_join(path, folder, "gen_head_config.json"), &o);
}

/* ---------------------------------------------------------------- forward */

typedef struct LayerArg {
    const GenHeadConfig *config;
    const GenHeadLayer *layer;
    const PackedRows *rows, *memory; /* memory: of decoder layers */
} LayerArg;

static AttentionSpec attention_spec(const GenHeadConfig *c)
{
    int64_t head_dim = c->width / c->heads;
    return (AttentionSpec){.heads = c->heads, .kv_heads = c->heads, .head_dim = head_dim, .scale = 1 / sqrt((double)head_dim)};
}

static Tensor *norm(Tape *t, const GenHeadLayer *l, int i, Tensor *x, Tensor *add, Tensor **sum)
{
    return nn_layernorm(t, x, add, l->norm_w[i], l->norm_b[i], EPS, sum);
}

/* x [rows,width] -> what self-attention adds to it */
static Tensor *self_attention(Tape *t, const LayerArg *a, Tensor *x)
{
    const AttentionSpec spec = attention_spec(a->config);
    Tensor *kqv = nn_linear(t, norm(t, a->layer, 0, x, NULL, NULL), a->layer->kqv, 3, NULL); /* [rows,3·width] */
    return nn_linear(t, nn_attention(t, kqv, &spec, a->rows), &a->layer->out, 1, NULL);
}

/* x + W2 ReLU(W1 h + b1) + b2 */
static Tensor *feed_forward(Tape *t, const GenHeadLayer *l, Tensor *h, Tensor *x)
{
    return nn_linear_add(t, nn_act(t, nn_linear(t, h, &l->ff1, 1, NULL), ACT_RELU), &l->ff2, NULL, x);
}

/* s [items·N,width] -> the same */
static Tensor *encoder_layer(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const LayerArg *a = arg;
    Tensor *mid = NULL;
    Tensor *h = norm(t, a->layer, 1, in[0], self_attention(t, a, in[0]), &mid);
    return feed_forward(t, a->layer, h, mid);
}

/* y [items·queries,width], memory [items·N,width] -> as y */
static Tensor *decoder_layer(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const LayerArg *a = arg;
    const AttentionSpec spec = attention_spec(a->config);
    Tensor *mid = NULL, *last = NULL;
    Tensor *h = norm(t, a->layer, 1, in[0], self_attention(t, a, in[0]), &mid);
    Tensor *q = nn_linear(t, h, &a->layer->cross_q, 1, NULL);      /* [items·queries,width] */
    Tensor *kv = nn_linear(t, in[1], a->layer->cross_kv, 2, NULL); /* [items·N,2·width] */
    Tensor *o = nn_cross_attention(t, q, kv, &spec, a->rows, a->memory);
    h = norm(t, a->layer, 2, mid, nn_linear(t, o, &a->layer->cross_out, 1, NULL), &last);
    return feed_forward(t, a->layer, h, last);
}

/* The learned queries, the same for every item: [items·queries,width]. */
static Tensor *repeat_queries(Tape *t, const GenHead *m, int64_t items)
{
    int64_t n = items * m->config.queries;
    int32_t *index = tape_host(t, (size_t)n * sizeof *index);
    for (int64_t i = 0; index && i < n; i++)
        index[i] = (int32_t)(i % m->config.queries);
    return index ? nn_embed(t, &(EmbedSpec){.n = n, .base = m->query, .base_index = tape_ints(t, index, n), .base_occur = true}) : NULL;
}

Tensor *gen_head_forward(Tape *t, const GenHead *m, Tensor *states, Tensor *rows, int64_t items)
{
    const GenHeadConfig *c = &m->config;
    int64_t n = c->encoder_layers + c->decoder_layers;
    LayerArg *args = tape_host(t, (size_t)n * sizeof *args);
    const PackedRows *tokens = tape_segments(t, items, c->visual), *queries = tape_segments(t, items, c->queries);
    if (!args || !tokens || !queries)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        args[i] = (LayerArg){.config = c, .layer = &m->layers[i], .rows = i < c->encoder_layers ? tokens : queries, .memory = tokens};
    const Linear without_bias = {.w = m->fc.w};
    Tensor *x = nn_linear(t, rows, &m->fc, 1, NULL); /* W(h+e) + b = W h + (W e + b) */
    x = states ? nn_linear_add(t, states, &without_bias, NULL, x) : x;
    for (int64_t i = 0; i < c->encoder_layers; i++)
        x = nn_block_inplace(t, encoder_layer, &args[i], &x, 1);
    Tensor *in[] = {repeat_queries(t, m, items), nn_layernorm(t, x, NULL, m->norm_w[0], m->norm_b[0], EPS, NULL)};
    for (int64_t i = c->encoder_layers; i < n; i++)
        in[0] = nn_block_inplace(t, decoder_layer, &args[i], in, 2);
    x = nn_layernorm(t, in[0], NULL, m->norm_w[1], m->norm_b[1], EPS, NULL);
    return nn_linear(t, x, &m->model, 1, NULL);
}
