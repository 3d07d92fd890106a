/* clip_text.c: CLIP's text encoder: settings, weights, forward pass (clip_text.h). */
#include "train/models/clip_text.h"

#include <inttypes.h>
#include <string.h>

#include "data/formats/file.h"
#include "train/models/config_keys.h"
#include "train/models/declare.h"
#include "train/models/generation.h"
#include "train/models/model.h"
#include "train/models/parts.h"

enum { SIZE_MAX_DIM = 1 << 24, LAYERS_MAX = 4096, LENGTH_MAX = 1 << 16 };

/* ---------------------------------------------------------------- config.json */

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

void clip_text_read(JsonFields *f, const Json *o, ClipTextConfig *c)
{
    fields_known(f, o, &CLIP_TEXT_FIELDS);
    c->vocab = fields_int(f, o, "vocab_size", 49408, 1, SIZE_MAX_DIM);
    c->hidden = fields_int(f, o, "hidden_size", CLIP_TEXT_HIDDEN_DEFAULT, 1, SIZE_MAX_DIM);
    c->ff = fields_int(f, o, "intermediate_size", 2048, 1, SIZE_MAX_DIM);
    c->layers = fields_int(f, o, "num_hidden_layers", 12, 1, LAYERS_MAX);
    c->heads = fields_int(f, o, "num_attention_heads", 8, 1, SIZE_MAX_DIM);
    c->length = fields_int(f, o, "max_position_embeddings", CLIP_TEXT_LENGTH_DEFAULT, 2, LENGTH_MAX);
    c->eps = fields_real(f, o, "layer_norm_eps", 1e-5);
    c->act = encoder_read_act(f, o, "quick_gelu");
    encoder_check_heads(f, o, c->hidden, c->heads);
}

Status clip_text_configure(GenLlava *g, const RunConfig *cfg)
{
    char folder[PATH_MAX];
    JsonFields f;
    TRY(fields_open(&f, part_folder(part_find("text_encoder"), cfg, folder), "config.json"));
    clip_text_read(&f, f.top, &g->text_encoder.config);
    Status s = f.status;
    fields_close(&f);
    return s;
}

/* ---------------------------------------------------------------- weights */

static Param *table(const Declare *d, const char *name, int64_t rows, int64_t cols)
{
    return declare_weight(d, name, (ParamSpec){.decay = true, .n_dims = 2, .shape = {rows, cols}});
}

static EncoderShape shape_of(const ClipTextConfig *c)
{
    return (EncoderShape){.hidden = c->hidden, .ff = c->ff, .heads = c->heads, .act = c->act, .eps = c->eps, .causal = true};
}

Status clip_text_declare_in(Params *p, ClipText *m)
{
    const ClipTextConfig *c = &m->config;
    const EncoderShape shape = shape_of(c);
    Declare d = {.p = p, .stem = "text_model."};
    m->token = table(&d, "embeddings.token_embedding.weight", c->vocab, c->hidden);
    m->position = table(&d, "embeddings.position_embedding.weight", c->length, c->hidden);
    TRY(encoder_declare(&d, &shape, &m->blocks, c->layers));
    declare_norm(&d, "final_layer_norm", c->hidden, &m->norm_w, &m->norm_b);
    return OK;
}

Status clip_text_declare(GenLlava *g, const RunConfig *cfg)
{
    (void)cfg;
    return clip_text_declare_in(&g->params, &g->text_encoder);
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

Status clip_text_open_tokenizer(ClipText *m, const char *folder, const char *path)
{
    TRY(clip_tokenizer_open(&m->tokenizer, path));
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
    char tokenizer[PATH_MAX];
    return params_measuring(&g->params)
               ? OK
               : clip_text_open_tokenizer(&g->text_encoder, folder, file_join_beside(tokenizer, folder, "../tokenizer"));
}

void clip_text_free(GenLlava *g)
{
    mem_free(g->text_encoder.blocks);
    clip_tokenizer_close(&g->text_encoder.tokenizer);
}

/* ---------------------------------------------------------------- forward */

Tensor *clip_text_forward(Tape *t, const ClipText *m, const int32_t *id, int64_t items)
{
    const ClipTextConfig *c = &m->config;
    const EncoderShape shape = shape_of(c);
    int64_t n = items * c->length;
    const PackedRows *rows = tape_segments(t, items, c->length);
    int32_t *position = tape_host(t, (size_t)n * sizeof *position);
    if (!rows || !position)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        position[i] = (int32_t)(i % c->length);
    Tensor *tokens = encoder_rows(t, m->token, tape_ints(t, id, n), n);
    Tensor *positions = encoder_rows(t, m->position, tape_ints(t, position, n), n);
    Tensor *x = encoder_forward(t, &shape, m->blocks, c->layers, tokens, positions, rows);
    return nn_layernorm(t, x, NULL, m->norm_w, m->norm_b, c->eps, NULL);
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
