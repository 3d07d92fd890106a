/* clip_text.c: CLIP's text encoder: settings, weights, forward pass (clip_text.h). */
#include "train/models/clip_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "train/models/config_keys.h"
#include "train/models/declare.h"
#include "train/models/generation.h"
#include "train/models/model.h"
#include "train/models/parts.h"

enum { SIZE_MAX_DIM = 1 << 24, LAYERS_MAX = 4096, LENGTH_MAX = 1 << 16 };

/* ---------------------------------------------------------------- config.json */

static ActKind read_act(JsonFields *f)
{
    const char *act = fields_string(f, f->top, "hidden_act", "quick_gelu");
    if (!strcmp(act, "gelu"))
        return ACT_GELU_ERF;
    if (!strcmp(act, "gelu_pytorch_tanh") || !strcmp(act, "gelu_new"))
        return ACT_GELU_TANH;
    if (strcmp(act, "quick_gelu"))
        fields_refuse(f, json_get(f->top, "hidden_act"), "hidden_act",
                      "is \"%s\", expected \"quick_gelu\", \"gelu\" or \"gelu_pytorch_tanh\"", act);
    return ACT_GELU_QUICK;
}

static const FieldRule RULES[] = {
    {"attention_dropout", ""},
    {"dropout", ""},
    {"hidden_act", NULL},
    {"hidden_size", NULL},
    {"initializer_factor", NULL},
    {"initializer_range", NULL},
    {"intermediate_size", NULL},
    {"layer_norm_eps", NULL},
    {"max_position_embeddings", NULL},
    {"model_type", "\"clip_text_model\""},
    {"num_attention_heads", NULL},
    {"num_hidden_layers", NULL},
    {"projection_dim", NULL},      /* behind the states */
    {"tie_word_embeddings", NULL}, /* there are none */
    {"vocab_size", NULL},
    {0},
};
const FieldClass CLIP_TEXT_FIELDS = {{RULES, CONFIG_RULES}, GENERATION_RULES};

static void read_config(JsonFields *f, ClipTextConfig *c)
{
    const Json *o = f->top;
    fields_known(f, o, &CLIP_TEXT_FIELDS);
    c->vocab = fields_int(f, o, "vocab_size", 49408, 1, SIZE_MAX_DIM);
    c->hidden = fields_int(f, o, "hidden_size", CLIP_TEXT_HIDDEN_DEFAULT, 1, SIZE_MAX_DIM);
    c->ff = fields_int(f, o, "intermediate_size", 2048, 1, SIZE_MAX_DIM);
    c->layers = fields_int(f, o, "num_hidden_layers", 12, 1, LAYERS_MAX);
    c->heads = fields_int(f, o, "num_attention_heads", 8, 1, SIZE_MAX_DIM);
    c->length = fields_int(f, o, "max_position_embeddings", CLIP_TEXT_LENGTH_DEFAULT, 2, LENGTH_MAX);
    c->eps = fields_real(f, o, "layer_norm_eps", 1e-5);
    c->act = read_act(f);
    if (c->hidden % c->heads || c->hidden / c->heads > ATTENTION_MAX_HEAD_DIM)
        fields_refuse(f, json_get(o, "num_attention_heads"), "num_attention_heads",
                      "is %" PRId64 ", expected a divisor of hidden_size %" PRId64 " with heads of at most %d", c->heads, c->hidden,
                      ATTENTION_MAX_HEAD_DIM);
}

Status clip_text_configure(GenLlava *g, const RunConfig *cfg)
{
    char folder[PATH_MAX];
    JsonFields f;
    TRY(fields_open(&f, part_folder(part_find("text_encoder"), cfg, folder), "config.json"));
    read_config(&f, &g->text_encoder.config);
    Status s = f.status;
    fields_close(&f);
    return s;
}

/* ---------------------------------------------------------------- weights */

static Param *table(const Declare *d, const char *name, int64_t rows, int64_t cols)
{
    return declare_weight(d, name, (ParamSpec){.decay = true, .n_dims = 2, .shape = {rows, cols}});
}

static void declare_block(const Declare *d, const ClipTextConfig *c, ClipTextBlock *b)
{
    declare_norm(d, "layer_norm1", c->hidden, &b->norm1_w, &b->norm1_b);
    b->kqv[0] = declare_linear(d, "self_attn.k_proj", c->hidden, c->hidden);
    b->kqv[1] = declare_linear(d, "self_attn.q_proj", c->hidden, c->hidden);
    b->kqv[2] = declare_linear(d, "self_attn.v_proj", c->hidden, c->hidden);
    b->out = declare_linear(d, "self_attn.out_proj", c->hidden, c->hidden);
    declare_norm(d, "layer_norm2", c->hidden, &b->norm2_w, &b->norm2_b);
    b->fc1 = declare_linear(d, "mlp.fc1", c->ff, c->hidden);
    b->fc2 = declare_linear(d, "mlp.fc2", c->hidden, c->ff);
}

Status clip_text_declare(GenLlava *g, const RunConfig *cfg)
{
    (void)cfg;
    ClipText *m = &g->text_encoder;
    const ClipTextConfig *c = &m->config;
    m->blocks = mem_alloc((size_t)c->layers * sizeof *m->blocks);
    if (!m->blocks)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " blocks", c->layers);
    Declare d = {.p = &g->params, .stem = "text_model."};
    m->token = table(&d, "embeddings.token_embedding.weight", c->vocab, c->hidden);
    m->position = table(&d, "embeddings.position_embedding.weight", c->length, c->hidden);
    for (int64_t i = 0; i < c->layers; i++) {
        Declare block = declare_under(&d, "encoder.layers.%" PRId64 ".", i);
        declare_block(&block, c, &m->blocks[i]);
    }
    declare_norm(&d, "final_layer_norm", c->hidden, &m->norm_w, &m->norm_b);
    return OK;
}

/* With the wrapper that transformers before 5 writes, and without. */
static const Spelling SPELLINGS[] = {
    {.rules = {{"text_model.", "text_model."}}},
    {.rules = {{"text_model.", ""}}},
};
static const char *const QUIET[] = {"text_model.embeddings.position_ids", "text_projection.", NULL}; /* 0, 1, 2, …; behind the states */
const NameTable CLIP_TEXT_NAMES = {.spellings = SPELLINGS, .n = sizeof SPELLINGS / sizeof *SPELLINGS, .quiet = QUIET};

const char *clip_tokenizer_file(const char *folder)
{
    static const char WHOLE[] = "../tokenizer/tokenizer.json";
    char path[PATH_MAX];
    return file_exists(file_join_beside(path, folder, WHOLE)) ? WHOLE : NULL;
}

/* The tokenizer has to be of this encoder. */
static Status open_tokenizer(ClipText *m, const char *folder)
{
    char path[PATH_MAX];
    TRY(clip_tokenizer_open(&m->tokenizer, file_join_beside(path, folder, "../tokenizer")));
    const ClipTokenizerInfo *info = clip_tokenizer_info(m->tokenizer);
    if (info->n_ids > m->config.vocab)
        return fail(ERR_DATA, "%s: has ids up to %d, but the text encoder of %s has a vocabulary of %" PRId64 " (vocab_size)", path,
                    info->n_ids - 1, folder, m->config.vocab);
    if (info->length && info->length != m->config.length)
        return fail(ERR_DATA,
                    "%s: makes prompts of %d tokens (model_max_length), the text encoder of %s takes %" PRId64 " (max_position_embeddings)",
                    path, info->length, folder, m->config.length);
    return OK;
}

Status clip_text_load(GenLlava *g, const RunConfig *cfg, const char *folder)
{
    (void)cfg;
    Weights *w = &g->files[part_find("text_encoder") - PARTS];
    TRY(weights_open_folder(w, folder, part_stem(part_find("text_encoder"))));
    TRY(weights_load_part(w, &g->params, "text_encoder", &CLIP_TEXT_NAMES));
    return params_measuring(&g->params) ? OK : open_tokenizer(&g->text_encoder, folder);
}

void clip_text_free(GenLlava *g)
{
    mem_free(g->text_encoder.blocks);
    clip_tokenizer_close(&g->text_encoder.tokenizer);
}

/* ---------------------------------------------------------------- forward */

typedef struct BlockArg {
    const ClipTextConfig *config;
    const ClipTextBlock *block;
    const PackedRows *rows;
} BlockArg;

/* x [items·length,D], and what is added to it first, if anything -> the same; pre-norm causal attention and MLP. */
static Tensor *block_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    const BlockArg *a = arg;
    const ClipTextConfig *c = a->config;
    const ClipTextBlock *b = a->block;
    const AttentionSpec spec = {.heads = c->heads, .kv_heads = c->heads, .head_dim = c->hidden / c->heads, .causal = true,
                                .scale = 1 / sqrt((double)(c->hidden / c->heads))};
    Tensor *x = in[0], *mid = NULL;
    Tensor *h = nn_layernorm(t, x, n > 1 ? in[1] : NULL, b->norm1_w, b->norm1_b, c->eps, n > 1 ? &x : NULL);
    Tensor *o = nn_attention(t, nn_linear(t, h, b->kqv, 3, NULL), &spec, a->rows);
    h = nn_layernorm(t, x, nn_linear(t, o, &b->out, 1, NULL), b->norm2_w, b->norm2_b, c->eps, &mid);
    h = nn_act(t, nn_linear(t, h, &b->fc1, 1, NULL), c->act);
    return nn_linear_add(t, h, &b->fc2, NULL, mid);
}

/* Rows of a table [*,D] -> [n,D]. */
static Tensor *rows_of(Tape *t, Param *from, const int32_t *index, int64_t n)
{
    return nn_embed(t, &(EmbedSpec){.n = n, .base = from, .base_index = tape_ints(t, index, n), .base_occur = true});
}

Tensor *clip_text_forward(Tape *t, const ClipText *m, const int32_t *id, int64_t items)
{
    const ClipTextConfig *c = &m->config;
    int64_t n = items * c->length;
    const PackedRows *rows = tape_segments(t, items, c->length);
    BlockArg *args = tape_host(t, (size_t)c->layers * sizeof *args);
    int32_t *position = tape_host(t, (size_t)n * sizeof *position);
    if (!rows || !args || !position)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        position[i] = (int32_t)(i % c->length);
    Tensor *in[2] = {rows_of(t, m->token, id, n), rows_of(t, m->position, position, n)};
    for (int64_t i = 0; i < c->layers; i++) {
        args[i] = (BlockArg){.config = c, .block = &m->blocks[i], .rows = rows};
        in[0] = nn_block_inplace(t, block_forward, &args[i], in, i ? 1 : 2);
    }
    return nn_layernorm(t, in[0], NULL, m->norm_w, m->norm_b, c->eps, NULL);
}

typedef struct Encoding {
    const ClipText *encoder;
    const int32_t *id;
} Encoding;

static Tensor *encode(Tape *t, const void *arg)
{
    const Encoding *e = arg;
    return clip_text_forward(t, e->encoder, e->id, 1);
}

void clip_text_evaluate(Tape *t, const ClipText *m, const char *prompt, float *states)
{
    const int32_t length = (int32_t)m->config.length;
    int32_t *id = tape_host(t, (size_t)length * sizeof *id);
    if (id && m->tokenizer)
        tape_fail(t, clip_tokenize(m->tokenizer, prompt, length, id));
    if (!tape_status(t))
        nn_evaluate(t, encode, &(Encoding){m, id}, states);
}
