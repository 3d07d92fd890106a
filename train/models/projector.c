/* projector.c: the projector: weights, forward pass (projector.h). */
#include "train/models/projector.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "train/models/model.h"

Status projector_declare(GenLlava *g, const RunConfig *cfg)
{
    Projector *m = &g->projector;
    Params *p = &g->params;
    int64_t depth = cfg->model.projector.depth, in = g->vision.config.hidden, out = g->llm.config.hidden;
    *m = (Projector){.depth = depth, .layers = mem_alloc((size_t)depth * sizeof(Linear))};
    if (!m->layers)
        return fail(ERR_NOMEM, "no memory for a projector of %" PRId64 " layers", depth);
    for (int64_t i = 0; i < depth; i++) {
        int64_t width = i ? out : in;
        double bound = 1 / sqrt((double)width); /* torch.nn.Linear's default, weight and bias */
        char name[WEIGHT_NAME_MAX];
        snprintf(name, sizeof name, "multi_modal_projector.linear_%" PRId64 ".weight", i + 1);
        ParamSpec spec = {.name = name, .decay = true, .init = INIT_UNIFORM, .init_scale = bound, .n_dims = 2, .shape = {out, width}};
        m->layers[i].w = params_declare(p, &spec);
        snprintf(name, sizeof name, "multi_modal_projector.linear_%" PRId64 ".bias", i + 1);
        spec.decay = false;
        spec.n_dims = 1;
        m->layers[i].b = params_declare(p, &spec);
    }
    return OK;
}

void projector_free(GenLlava *g) { mem_free(g->projector.layers); }

/* Hugging Face; LLaVA, whose numbers count the GELUs too; Prismatic; LLaVA's projector of one layer. With "model.", or PEFT's
 * "base_model.model.model.", before them. */
static const Spelling SPELLINGS[] = {
    {.rules = {{"multi_modal_projector.", "multi_modal_projector."}}},
    {.rules = {{"multi_modal_projector.linear_#.", "mm_projector.@."}}},
    {.rules = {{"multi_modal_projector.linear_#.", "projector.@."}}},
    {.rules = {{"multi_modal_projector.linear_1.", "mm_projector."}}},
};
const NameTable PROJECTOR_NAMES = {.spellings = SPELLINGS, .n = sizeof SPELLINGS / sizeof *SPELLINGS, .wrapped = true};

static Status no_more_layers(const Projector *m, const Weights *w)
{
    char ours[WEIGHT_NAME_MAX], theirs[WEIGHT_NAME_MAX];
    FileNames names = names_find(&PROJECTOR_NAMES, w->st, m->layers[0].w->name);
    snprintf(ours, sizeof ours, "multi_modal_projector.linear_%" PRId64 ".weight", m->depth + 1);
    if (!safetensors_find(w->st, names_in_file(theirs, &names, ours)))
        return OK;
    return fail(ERR_DATA, "%s: holds %s, but the projector has %" PRId64 " layer%s (model.projector.type)", w->path, theirs, m->depth,
                status_plural(m->depth));
}

Status projector_load(GenLlava *g, const RunConfig *cfg, const char *file)
{
    (void)cfg;
    Weights w;
    TRY(weights_open(&w, file));
    w.among_others = true;
    Status s = no_more_layers(&g->projector, &w);
    if (!s)
        s = weights_load_part(&w, &g->params, "projector", &PROJECTOR_NAMES);
    weights_close(&w);
    return s;
}

Tensor *projector_forward(Tape *t, const Projector *m, Tensor *x)
{
    for (int64_t i = 0; i < m->depth; i++) {
        x = nn_linear(t, x, &m->layers[i], 1, NULL);
        if (i + 1 < m->depth)
            x = nn_act(t, x, ACT_GELU_ERF);
    }
    return x;
}
