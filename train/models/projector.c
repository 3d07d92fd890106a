#include "train/models/projector.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

Status projector_declare(Projector *m, Params *p, int64_t depth, int64_t in, int64_t out, bool trainable)
{
    *m = (Projector){.depth = depth, .layers = mem_alloc((size_t)depth * sizeof(Linear))};
    if (!m->layers)
        return fail(ERR_NOMEM, "no memory for a projector of %" PRId64 " layers", depth);
    for (int64_t i = 0; i < depth; i++) {
        int64_t width = i ? out : in;
        double bound = 1 / sqrt((double)width); /* torch.nn.Linear's default, weight and bias */
        char name[WEIGHT_NAME_MAX];
        snprintf(name, sizeof name, "multi_modal_projector.linear_%" PRId64 ".weight", i + 1);
        ParamSpec spec = {.name = name, .module = MODULE_PROJECTOR, .trainable = trainable, .decay = true, .init = INIT_UNIFORM,
                          .init_scale = bound, .n_dims = 2, .shape = {out, width}};
        m->layers[i].w = params_declare(p, &spec);
        snprintf(name, sizeof name, "multi_modal_projector.linear_%" PRId64 ".bias", i + 1);
        spec.decay = false;
        spec.n_dims = 1;
        m->layers[i].b = params_declare(p, &spec);
    }
    return OK;
}

void projector_free(Projector *m)
{
    mem_free(m->layers);
    *m = (Projector){0};
}

/* Tensors are matched by the end of their name: base_model.model.model.mm_projector.0.weight is mm_projector.0.weight. */
static const char *spelled(const Weights *w, const char *ending)
{
    for (int i = 0; i < safetensors_count(w->st); i++) {
        const char *name = safetensors_at(w->st, i)->name;
        size_t extra = strlen(name) - strlen(ending);
        if (name_ends(name, ending) && (!extra || name[extra - 1] == '.'))
            return name;
    }
    return NULL;
}

static Status load_part(Projector *m, Params *p, Weights *w, Param *q, int64_t layer, const char *part)
{
    char ending[4][WEIGHT_NAME_MAX];
    snprintf(ending[0], WEIGHT_NAME_MAX, "multi_modal_projector.linear_%" PRId64 ".%s", layer + 1, part);
    snprintf(ending[1], WEIGHT_NAME_MAX, "mm_projector.%" PRId64 ".%s", 2 * layer, part);
    snprintf(ending[2], WEIGHT_NAME_MAX, "projector.%" PRId64 ".%s", 2 * layer, part);
    snprintf(ending[3], WEIGHT_NAME_MAX, "mm_projector.%s", part); /* LLaVA's "linear" */
    const char *name = NULL;
    for (int i = 0; i < (m->depth == 1 ? 4 : 3) && !name; i++)
        name = spelled(w, ending[i]);
    name = name ? name : ending[0];
    return weights_load(w, p, q, &name, 1);
}

static Status no_more_layers(const Projector *m, const Weights *w)
{
    char hf[WEIGHT_NAME_MAX], llava[WEIGHT_NAME_MAX];
    snprintf(hf, sizeof hf, "multi_modal_projector.linear_%" PRId64 ".weight", m->depth + 1);
    snprintf(llava, sizeof llava, "mm_projector.%" PRId64 ".weight", 2 * m->depth);
    const char *more = spelled(w, hf);
    more = more ? more : spelled(w, llava);
    return more ? fail(ERR_DATA, "%s: holds %s, but the projector has %" PRId64 " layer%s (model.projector.type)", w->path, more, m->depth,
                       m->depth == 1 ? "" : "s")
                : OK;
}

Status projector_load(Projector *m, Params *p, const char *file)
{
    Weights w;
    TRY(weights_open(&w, file));
    Status s = OK;
    for (int64_t i = 0; i < m->depth && !s; i++) {
        s = load_part(m, p, &w, m->layers[i].w, i, "weight");
        if (!s)
            s = load_part(m, p, &w, m->layers[i].b, i, "bias");
    }
    if (!s)
        s = no_more_layers(m, &w);
    if (!s && !params_measuring(p))
        weights_report_unused(&w, NULL, NULL);
    weights_close(&w);
    return s;
}

Status projector_draw(Projector *m, Params *p, uint64_t seed)
{
    for (int64_t i = 0; i < m->depth; i++) {
        TRY(params_draw(p, m->layers[i].w, seed));
        TRY(params_draw(p, m->layers[i].b, seed));
    }
    return OK;
}

Tensor *projector_forward(Tape *t, const Projector *m, Tensor *x)
{
    for (int64_t i = 0; i < m->depth; i++) {
        x = nn_linear(t, x, &m->layers[i], 1, NULL);
        if (i + 1 < m->depth)
            x = nn_gelu(t, x, GELU_ERF);
    }
    return x;
}
