#include "train/models/genllava.h"

#include <inttypes.h>

#include "data/formats/file.h"
#include "train/models/hf_config.h"
#include "train/models/parts.h"

/* ---------------------------------------------------------------- sizes */

typedef struct Configs {
    MistralConfig llm;
    bool sees;
    SiglipConfig vision;
    Preprocessor preprocessor;
} Configs;

/* Weights belong to the size, mean, deviation and filter that they were trained with. */
static Status expect_preparation(const char *folder)
{
    char *path = path_join(folder, "preprocessor_config.json");
    Status s = path ? OK : fail(ERR_NOMEM, "%s: no memory to read it", folder);
    if (!s && !file_exists(path))
        s = fail(ERR_MISSING, "model.vision.path: %s: there is no such file; how pictures are prepared is read from there", path);
    mem_free(path);
    return s;
}

static Status read_vision(Configs *c, const RunConfig *cfg)
{
    const char *folder = cfg->model.vision.path;
    TRY(siglip_config(&c->vision, folder, cfg->model.vision.layer));
    if (cfg->model.vision.init == INIT_FROM_WEIGHTS) /* else only config.json is read, and SigLIP's usual preparation holds */
        TRY(expect_preparation(folder));
    return preprocessor_load(&c->preprocessor, folder, cfg->model.vision.aspect == ASPECT_PAD);
}

static Status read_configs(Configs *c, const RunConfig *cfg)
{
    *c = (Configs){.sees = cfg->model.vision.path != NULL};
    TRY(mistral_config(&c->llm, cfg->model.llm.path));
    return c->sees ? read_vision(c, cfg) : OK;
}

static Status sizes_of(ModelSizes *out, const Configs *c, const RunConfig *cfg)
{
    int64_t rows = token_rows_count(cfg);
    if (c->llm.vocab + rows > INT32_MAX)
        return fail(ERR_USAGE, "model.tokens: %" PRId64 " added rows beside a vocabulary of %" PRId64 " are too many", rows, c->llm.vocab);
    *out = (ModelSizes){.vocab_size = (int32_t)c->llm.vocab, .added_rows = (int32_t)rows, .hidden = (int32_t)c->llm.hidden,
                        .layers = (int32_t)c->llm.layers};
    if (c->sees) {
        out->image_height = (int32_t)c->vision.height;
        out->image_width = (int32_t)c->vision.width;
        out->patch = (int32_t)c->vision.patch;
        out->patches = (int32_t)siglip_patches(&c->vision);
    }
    return OK;
}

Status genllava_sizes(ModelSizes *out, const RunConfig *cfg)
{
    Configs c;
    TRY(read_configs(&c, cfg));
    return sizes_of(out, &c, cfg);
}

/* ---------------------------------------------------------------- opening */

static Status declare(GenLlava *g, const Configs *c, const RunConfig *cfg)
{
    Params *p = &g->params;
    if (cfg->model.lora.init && cfg->model.llm.train != TRAIN_LORA)
        return fail(ERR_USAGE, "model.lora.init is set, but model.llm.train is not \"lora\"");
    if (g->sees) {
        TRY(siglip_declare(&g->vision, p, &c->vision, cfg->model.vision.train == TRAIN_FULL));
        TRY(projector_declare(&g->projector, p, cfg->model.projector.depth, c->vision.hidden, c->llm.hidden, cfg->model.projector.train == TRAIN_FULL));
    }
    TRY(mistral_declare(&g->llm, p, &c->llm, cfg->model.llm.train == TRAIN_FULL));
    if (cfg->model.llm.train == TRAIN_LORA)
        TRY(lora_declare(&g->llm, p, cfg));
    TRY(token_rows_declare(&g->rows, p, &g->llm, cfg));
    return params_create(p);
}

/* A folder or file of the checkpoint when the part was trained there, or was drawn and lies there frozen: rows drawn like a language model that has
 * been trained since could not be drawn again. Else of the starting point. *owned is what to free. */
static Status choose(const char **out, char **owned, const char *checkpoint, bool trained, const char *inside, const char *start)
{
    *owned = checkpoint ? path_join(checkpoint, inside) : NULL;
    if (checkpoint && !*owned)
        return fail(ERR_NOMEM, "%s: no memory to read it", checkpoint);
    if (*owned && !trained && (start || !file_exists(*owned))) {
        mem_free(*owned);
        *owned = NULL;
    }
    *out = *owned ? *owned : start;
    return OK;
}

static Status load_vision(GenLlava *g, const RunConfig *cfg, const char *checkpoint)
{
    const char *folder = NULL;
    char *owned = NULL;
    bool full = cfg->model.vision.train == TRAIN_FULL;
    TRY(choose(&folder, &owned, checkpoint, full, "vision", cfg->model.vision.path));
    Status s;
    if (!owned && cfg->model.vision.init == INIT_AT_RANDOM)
        s = siglip_draw(&g->vision, &g->params, (uint64_t)cfg->seed);
    else {
        s = weights_open_folder(&g->vision_files, folder);
        if (!s)
            s = siglip_load(&g->vision, &g->params, &g->vision_files);
    }
    mem_free(owned);
    return s;
}

static Status load_llm(GenLlava *g, const RunConfig *cfg, const char *checkpoint)
{
    const char *folder = NULL;
    char *owned = NULL;
    TRY(choose(&folder, &owned, checkpoint, cfg->model.llm.train == TRAIN_FULL, "llm", cfg->model.llm.path));
    Status s;
    if (!owned && cfg->model.llm.init == INIT_AT_RANDOM)
        s = mistral_draw(&g->llm, &g->params, (uint64_t)cfg->seed);
    else {
        s = weights_open_folder(&g->llm_files, folder);
        if (!s)
            s = mistral_load(&g->llm, &g->params, &g->llm_files);
    }
    mem_free(owned);
    return s;
}

static Status load_projector(GenLlava *g, const RunConfig *cfg, const char *checkpoint)
{
    const char *file = NULL;
    char *owned = NULL;
    bool trained = cfg->model.projector.train == TRAIN_FULL;
    TRY(choose(&file, &owned, checkpoint, trained, "projector.safetensors", cfg->model.projector.init));
    Status s = file ? projector_load(&g->projector, &g->params, file) : projector_draw(&g->projector, &g->params, (uint64_t)cfg->seed);
    mem_free(owned);
    return s;
}

static Status load_lora(GenLlava *g, const RunConfig *cfg, const char *checkpoint)
{
    const char *folder = checkpoint ? checkpoint : cfg->model.lora.init;
    return folder ? lora_load(&g->llm, &g->params, cfg, folder) : lora_draw(&g->llm, &g->params, (uint64_t)cfg->seed);
}

static Status load_rows(GenLlava *g, const RunConfig *cfg, const char *checkpoint)
{
    const char *file = NULL;
    char *owned = NULL;
    TRY(choose(&file, &owned, checkpoint, cfg->model.tokens.train == TRAIN_ROWS, "token_rows.safetensors", cfg->model.tokens.init));
    Status s = file ? token_rows_load(&g->rows, &g->params, file) : token_rows_draw(&g->rows, &g->params, &g->llm, (uint64_t)cfg->seed);
    mem_free(owned);
    return s;
}

static Status load(GenLlava *g, const RunConfig *cfg, const char *checkpoint)
{
    TRY_IN(load_llm(g, cfg, checkpoint), "reading the language model");
    if (g->sees) {
        TRY_IN(load_vision(g, cfg, checkpoint), "reading the vision tower");
        TRY_IN(load_projector(g, cfg, checkpoint), "reading the projector");
    }
    if (cfg->model.llm.train == TRAIN_LORA)
        TRY_IN(load_lora(g, cfg, checkpoint), "reading the adapters");
    TRY_IN(load_rows(g, cfg, checkpoint), "reading the token rows");
    if (g->params.backend->joins)
        TRY_IN(joint_create(&g->params), "joining weights and adapters");
    return OK;
}

Status genllava_open(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const char *checkpoint_dir)
{
    *out = NULL;
    Configs c;
    TRY(read_configs(&c, cfg));
    GenLlava *g = mem_alloc(sizeof *g);
    if (!g)
        return fail(ERR_NOMEM, "no memory for the model");
    params_init(&g->params, backend, compute);
    g->sees = c.sees;
    g->preprocessor = c.preprocessor;
    g->renorm = cfg->model.tokens.renorm;
    Status s = sizes_of(&g->sizes, &c, cfg);
    if (!s)
        s = declare(g, &c, cfg);
    if (!s)
        s = load(g, cfg, checkpoint_dir);
    if (s)
        genllava_close(&g);
    *out = g;
    return s;
}

void genllava_close(GenLlava **g)
{
    if (!*g)
        return;
    params_destroy(&(*g)->params);
    mistral_free(&(*g)->llm);
    siglip_free(&(*g)->vision);
    projector_free(&(*g)->projector);
    weights_close(&(*g)->llm_files);
    weights_close(&(*g)->vision_files);
    mem_free(*g);
    *g = NULL;
}

Params *genllava_params(GenLlava *g) { return &g->params; }
const ModelSizes *genllava_model_sizes(const GenLlava *g) { return &g->sizes; }

int64_t genllava_count(const GenLlava *g, ParamModule m)
{
    int64_t n = 0;
    for (int i = 0; i < g->params.n; i++)
        if (g->params.list[i]->module == m)
            n += g->params.list[i]->t.n_elems;
    return n;
}

Status genllava_updated(GenLlava *g)
{
    TRY(joint_refresh(&g->params));
    return g->renorm ? token_rows_renormalise(&g->rows, &g->params, &g->llm) : OK;
}

/* ---------------------------------------------------------------- forward */

static Tensor *image_features(Tape *t, const GenLlava *g, const Batch *b)
{
    const Preprocessor *prep = &g->preprocessor;
    if (!g->sees || b->image_height != g->sizes.image_height || b->image_width != g->sizes.image_width) {
        tape_fail(t, fail(ERR_DATA, "pictures of %dx%d pixels, the model takes %dx%d (were the shards made for another vision tower?)", b->image_height,
                          b->image_width, g->sizes.image_height, g->sizes.image_width));
        return NULL;
    }
    PatchSpec pixels = {.images = b->n_images, .height = b->image_height, .width = b->image_width, .patch = g->sizes.patch,
                        .rescale = prep->rescale};
    memcpy(pixels.mean, prep->mean, sizeof pixels.mean);
    memcpy(pixels.std, prep->std, sizeof pixels.std);
    pixels.pixels = tape_bytes(t, b->pixels, (int64_t)b->n_images * b->image_height * b->image_width * 3);
    return projector_forward(t, &g->projector, siglip_forward(t, &g->vision, &pixels));
}

/* Which table every row of the run is read from; -1: not from this one. */
typedef struct RowSources {
    int32_t *base, *added, *image;
    int64_t n_base, n_added, n_image;
} RowSources;

static Status sort_rows(RowSources *s, const GenLlava *g, const Batch *b)
{
    int32_t v = g->sizes.vocab_size, all = v + g->sizes.added_rows;
    for (int32_t i = 0; i < b->n_tokens; i++) {
        int32_t id = b->id ? b->id[i] : 0;
        bool image = id == ID_IMAGE;
        if (!image && (id < 0 || id >= all))
            return fail(ERR_DATA, "token id %d at row %d, the model has ids 0 … %d (were the shards made for another tokenizer?)", id, i, all - 1);
        s->base[i] = !image && id < v ? id : -1;
        s->added[i] = !image && id >= v ? id - v : -1;
        s->image[i] = image ? (int32_t)s->n_image : -1;
        s->n_base += s->base[i] >= 0;
        s->n_added += s->added[i] >= 0;
        s->n_image += image;
    }
    int64_t expected = (int64_t)b->n_images * g->sizes.patches;
    if (b->id && s->n_image != expected)
        return fail(ERR_DATA, "%" PRId64 " image rows for %d pictures of %d patches", s->n_image, b->n_images, g->sizes.patches);
    return OK;
}

static Tensor *embed(Tape *t, const GenLlava *g, const Batch *b)
{
    size_t n_bytes = (size_t)b->n_tokens * sizeof(int32_t);
    Tensor *features = b->n_images ? image_features(t, g, b) : NULL;
    RowSources s = {.base = tape_host(t, n_bytes), .added = tape_host(t, n_bytes), .image = tape_host(t, n_bytes)};
    if (tape_status(t) || tape_fail(t, sort_rows(&s, g, b)))
        return NULL;
    EmbedSpec spec = {.n = b->n_tokens, .base = g->llm.embed, .rows = g->rows.embed, .features = features, .base_occur = s.n_base > 0,
                      .rows_occur = s.n_added > 0};
    spec.base_index = tape_ints(t, s.base, b->n_tokens);
    spec.rows_index = spec.rows ? tape_ints(t, s.added, b->n_tokens) : NULL;
    spec.image_index = features ? tape_ints(t, s.image, b->n_tokens) : NULL;
    return nn_embed(t, &spec);
}

Tensor *genllava_states(Tape *t, const GenLlava *g, const Batch *b, const KvCache *cache)
{
    PackedRows *rows = tape_host(t, sizeof *rows);
    if (!rows)
        return NULL;
    *rows = (PackedRows){.n_rows = b->n_tokens, .n_segments = b->n_segments, .max_segment = b->max_segment};
    rows->cu = tape_ints(t, b->cu, b->n_segments + 1);
    rows->pos = tape_ints(t, b->pos, b->n_tokens);
    rows->item = tape_ints(t, b->item, b->n_tokens);
    return mistral_layers(t, &g->llm, embed(t, g, b), rows, cache);
}

/* The final norm and the head see supervised rows only. */
Status genllava_loss(Tape *t, GenLlava *g, const Batch *b, const LossRequest *req, LossResult *result)
{
    *result = (LossResult){0};
    if (tape_status(t) || !b->n_labels)
        return tape_status(t);
    Tensor *x = genllava_states(t, g, b, NULL);
    const int32_t *index = tape_ints(t, b->label_row, b->n_labels);
    Tensor *hs = mistral_norm(t, &g->llm, nn_gather_rows(t, x, index, b->n_labels));
    LmLoss loss = {.n = b->n_labels, .head = g->llm.head, .rows = g->rows.head, .label = b->label, .weight = b->label_weight,
                   .scale = req->scale[LOSS_TEXT], .logits = req->logits, .total = req->totals ? &req->totals[LOSS_TEXT] : NULL};
    result->losses[LOSS_TEXT] = nn_lm_loss(t, hs, &loss);
    result->sums[LOSS_TEXT] = loss.weighted_sum;
    return tape_status(t);
}
