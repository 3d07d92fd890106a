/* genllava.c: the composition of vision tower, projector and language model (genllava.h). Called by the loop, generate and the memory
 * plan. */
#include "train/models/genllava.h"

#include <inttypes.h>

#include "train/config/plan.h"
#include "train/models/image_losses.h"
#include "train/models/model.h"

/* ---------------------------------------------------------------- sizes */

/* Of one picture's latents: means and logarithms of variances. */
static int64_t count_moments(const Vae *vae, int64_t size)
{
    if (!vae->config.levels)
        return 0;
    Plane latents = vae_latents(vae, (Plane){1, size, size});
    return plane_rows(&latents) * 2 * vae->config.latent;
}

/* From the folders' settings; parts_configure has read them. */
Status genllava_set_sizes(GenLlava *g, const RunConfig *cfg)
{
    const MistralConfig *llm = &g->llm.config;
    const SiglipConfig *vision = &g->vision.config;
    int64_t rows = token_rows_count(cfg);
    if (llm->vocab + rows > INT32_MAX)
        return fail(ERR_USAGE, "model.tokens: %" PRId64 " added rows beside a vocabulary of %" PRId64 " are too many", rows, llm->vocab);
    g->sizes = (ModelSizes){.vocab_size = (int32_t)llm->vocab, .added_rows = (int32_t)rows, .hidden = (int32_t)llm->hidden,
                            .layers = (int32_t)llm->layers, .positions = llm->positions,
                            .queries = (int32_t)g->gen_head.config.queries, .context = (int32_t)g->gen_head.config.context,
                            .moments = count_moments(&g->vae, cfg->model.diffusion.size),
                            .image_height = (int32_t)vision->height, .image_width = (int32_t)vision->width, .patch = (int32_t)vision->patch,
                            .patches = vision->patch ? (int32_t)siglip_patches(vision) : 0};
    return OK;
}

Status genllava_sizes(ModelSizes *out, const RunConfig *cfg)
{
    GenLlava g = {0};
    TRY(parts_configure(&g, cfg));
    TRY(genllava_set_sizes(&g, cfg));
    *out = g.sizes;
    return OK;
}

/* ---------------------------------------------------------------- opening */

static Status open_parts(GenLlava *g, const RunConfig *cfg, const char *checkpoint)
{
    TRY(parts_configure(g, cfg));
    TRY(genllava_set_sizes(g, cfg));
    TRY(parts_declare(g, cfg));
    TRY(params_create(&g->params));
    TRY(parts_load(g, cfg, checkpoint));
    if (g->params.backend->joins && cfg->model.llm.multiply != MULTIPLY_FP8)
        TRY_IN(joint_create(&g->params), "joining weights and adapters");
    return OK;
}

/* answers: nothing is learned. only: a part, or NULL. */
typedef struct Opening {
    const char *checkpoint_dir, *only;
    const ParamFill *fill;
    bool answers;
} Opening;

static Status open_model(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const Opening *how)
{
    GenLlava *g = *out = mem_alloc(sizeof *g);
    if (!g)
        return fail(ERR_NOMEM, "no memory for the model");
    params_init(&g->params, backend, compute);
    if (cfg->optim.moments == MOMENTS_BF16 && compute != F64)
        g->params.moments = BF16;
    for (int i = 0; i < N_LOSSES; i++)
        g->has_loss[i] = part_wanted(part_find(LOSSES[i].part), cfg);
    for (CacheKind k = 0; k < N_CACHES; k++)
        g->cached[k] = plan_caches(cfg, k);
    g->params.answers = how->answers;
    g->only = how->only;
    g->fill = how->fill;
    Status s = open_parts(g, cfg, how->checkpoint_dir);
    if (s)
        genllava_close(out);
    return s;
}

Status genllava_open(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const char *checkpoint_dir)
{
    return open_model(out, backend, compute, cfg, &(Opening){.checkpoint_dir = checkpoint_dir});
}

Status genllava_open_filled(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const ParamFill *fill)
{
    return open_model(out, backend, compute, cfg, &(Opening){.fill = fill});
}

Status genllava_open_to_answer(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const char *checkpoint_dir)
{
    return open_model(out, backend, compute, cfg, &(Opening){.checkpoint_dir = checkpoint_dir, .answers = true});
}

Status genllava_open_part(GenLlava **out, Backend *backend, DType compute, const RunConfig *cfg, const char *part)
{
    return open_model(out, backend, compute, cfg, &(Opening){.answers = true, .only = part});
}

void genllava_close(GenLlava **g)
{
    if (!*g)
        return;
    params_destroy(&(*g)->params);
    parts_free(*g);
    mem_free(*g);
    *g = NULL;
}

Params *genllava_params(GenLlava *g) { return &g->params; }
const ModelSizes *genllava_model_sizes(const GenLlava *g) { return &g->sizes; }

const Param *genllava_table(const GenLlava *g) { return g->llm.embed == g->llm.head ? NULL : g->llm.embed; }

int64_t genllava_count(const GenLlava *g, const char *part)
{
    int64_t n = 0;
    for (int i = 0; i < g->params.n; i++)
        if (params_of(g->params.list[i], part))
            n += g->params.list[i]->t.n_elems;
    return n;
}

Status genllava_updated(GenLlava *g)
{
    TRY(joint_refresh(&g->params));
    return parts_updated(g);
}

/* ---------------------------------------------------------------- what a frozen part makes of something */

Status genllava_moments(Tape *t, const GenLlava *g, const uint8_t *pixels, int64_t size, float *moments)
{
    vae_encode(t, &g->vae, pixels, size, moments);
    return tape_status(t);
}

Status genllava_prompt_states(Tape *t, const GenLlava *g, const char *prompt, float *states)
{
    clip_text_evaluate(t, &g->text_encoder, prompt, states);
    return tape_status(t);
}

/* ---------------------------------------------------------------- forward */

Tensor *genllava_features(Tape *t, const GenLlava *g, const Batch *b)
{
    const Preprocessor *prep = &g->preprocessor;
    if (!g->sizes.patches || b->image_height != g->sizes.image_height || b->image_width != g->sizes.image_width) {
        tape_fail(t, fail(ERR_DATA, "pictures of %dx%d pixels, the model takes %dx%d (were the shards made for another vision tower?)",
                          b->image_height, b->image_width, g->sizes.image_height, g->sizes.image_width));
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
            return fail(ERR_DATA, "token id %d at row %d, the model has ids 0 … %d (were the shards made for another tokenizer?)", id, i,
                        all - 1);
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

static Tensor *embed(Tape *t, const GenLlava *g, const Batch *b, Tensor *seen)
{
    size_t n_bytes = (size_t)b->n_tokens * sizeof(int32_t);
    Tensor *features = seen || !b->n_images ? seen : genllava_features(t, g, b);
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

Tensor *genllava_states(Tape *t, const GenLlava *g, const Batch *b, Tensor *seen, const KvCache *cache)
{
    PackedRows *rows = tape_host(t, sizeof *rows);
    if (!rows)
        return NULL;
    *rows = (PackedRows){.n_rows = b->n_tokens, .n_segments = b->n_segments, .max_segment = b->max_segment, .cu_host = b->cu};
    rows->cu = tape_ints(t, b->cu, b->n_segments + 1);
    rows->pos = tape_ints(t, b->pos, b->n_tokens);
    rows->item = tape_ints(t, b->item, b->n_tokens);
    return mistral_layers(t, &g->llm, embed(t, g, b, seen), rows, cache);
}

/* The final norm and the head see supervised rows only. */
Tensor *genllava_text_loss(Tape *t, const GenLlava *g, const LossPass *pass)
{
    const Batch *b = pass->batch;
    const int32_t *index = tape_ints(t, b->label_row, b->n_labels);
    Tensor *hs = mistral_norm(t, &g->llm, nn_gather_rows(t, pass->states, index, b->n_labels));
    LmLoss loss = {.n = b->n_labels, .head = g->llm.head, .rows = g->rows.head, .label = b->label, .weight = b->label_weight,
                   .scale = pass->scale, .logits = pass->logits, .total = pass->total};
    Tensor *scaled = nn_lm_loss(t, hs, &loss);
    *pass->sum = loss.weighted_sum;
    return scaled;
}

static bool has_terms(const GenLlava *g, const Batch *b, Loss l) { return g->has_loss[l] && loss_terms(&b->terms, l).n; }

static bool has_any_terms(const GenLlava *g, const Batch *b)
{
    for (int i = 0; i < N_LOSSES; i++)
        if (has_terms(g, b, (Loss)i))
            return true;
    return false;
}

/* Once for all target images of a pass. */
static Tensor *make_context(Tape *t, const GenLlava *g, Tensor *states, const Batch *b, float *host)
{
    if (!has_terms(g, b, LOSS_GENERATE) && !has_terms(g, b, LOSS_EDIT))
        return NULL;
    Tensor *context = image_context(t, g, states, b);
    if (context && host)
        nn_values(t, context, host);
    return context;
}

Status genllava_loss(Tape *t, GenLlava *g, const Batch *b, const LossRequest *req, LossResult *result)
{
#define LOSS_FUNCTION(id, name, part, weight, terms, function) function,
    static LossFn *const LOSS_OF[N_LOSSES] = {LOSS_LIST(LOSS_FUNCTION)};
    *result = (LossResult){0};
    if (tape_status(t) || !has_any_terms(g, b))
        return tape_status(t);
    LossPass pass = {.batch = b, .states = genllava_states(t, g, b, NULL, NULL), .logits = req->logits};
    pass.context = make_context(t, g, pass.states, b, req->context);
    for (int i = 0; i < N_LOSSES; i++) {
        if (!has_terms(g, b, (Loss)i))
            continue;
        pass.scale = req->scale[i];
        pass.total = req->totals ? &req->totals[i] : NULL;
        pass.sum = &result->sums[i];
        result->losses[i] = LOSS_OF[i](t, g, &pass);
    }
    return tape_status(t);
}
