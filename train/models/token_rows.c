/* token_rows.c: the added rows of embed_tokens and lm_head (token_rows.h). */
#include "train/models/token_rows.h"

#include <math.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "train/config/plan.h"
#include "train/models/model.h"

enum { READ_ROWS = 1024 }; /* rows of the base matrix read at a time */

int64_t token_rows_count(const RunConfig *cfg)
{
    return cfg->model.tokens.image + !!cfg->model.tokens.task_understand + !!cfg->model.tokens.task_generate +
           !!cfg->model.tokens.task_edit;
}

Status token_rows_declare(GenLlava *g, const RunConfig *cfg)
{
    TokenRows *m = &g->rows;
    *m = (TokenRows){.n = token_rows_count(cfg), .visual = cfg->model.tokens.image, .renorm = cfg->model.tokens.renorm};
    ParamSpec spec = {.name = "token_rows.embed_tokens", .decay = true, .init = INIT_NORMAL, .init_scale = 1, .n_dims = 2,
                      .shape = {m->n, g->llm.config.hidden}};
    m->embed = params_declare(&g->params, &spec);
    spec.name = "token_rows.lm_head";
    m->head = params_declare(&g->params, &spec);
    return OK;
}

/* Calls visit for every row of a base matrix, in order. */
typedef void (*RowVisit)(void *arg, const float *row, int64_t d);
static Status each_row(Params *p, const Param *base, RowVisit visit, void *arg)
{
    int64_t rows = base->t.shape[0], d = base->t.shape[1];
    float *buffer = mem_alloc((size_t)READ_ROWS * (size_t)d * sizeof *buffer);
    Status s = buffer ? OK : fail(ERR_NOMEM, "%s: no memory to read it", base->name);
    for (int64_t at = 0; at < rows && !s; at += READ_ROWS) {
        int64_t n = rows - at < READ_ROWS ? rows - at : READ_ROWS;
        s = params_get_range(p, base, at * d, n * d, buffer);
        for (int64_t i = 0; i < n && !s; i++)
            visit(arg, buffer + i * d, d);
    }
    mem_free(buffer);
    return s;
}

/* ---------------------------------------------------------------- starting values */

typedef struct Moments {
    double *sum, squares; /* sum: [D] */
} Moments;

static void add_moments(void *arg, const float *row, int64_t d)
{
    Moments *m = arg;
    for (int64_t j = 0; j < d; j++) {
        m->sum[j] += (double)row[j];
        m->squares += (double)row[j] * (double)row[j];
    }
}

static Status draw_like(Params *p, Param *rows, const Param *base, uint64_t seed)
{
    const double noise = 0.02;
    int64_t r = rows->t.shape[0], d = rows->t.shape[1], v = base->t.shape[0];
    Moments m = {.sum = mem_alloc((size_t)d * sizeof *m.sum)};
    float *values = mem_alloc((size_t)(r * d) * sizeof *values);
    Status s = m.sum && values ? each_row(p, base, add_moments, &m) : fail(ERR_NOMEM, "%s: no memory to draw it", rows->name);
    rows->init_scale = noise * sqrt(m.squares / (double)(v * d));
    if (!s)
        s = params_draw(p, rows, seed);
    if (!s)
        s = params_get(p, rows, values);
    for (int64_t i = 0; i < r * d && !s; i++)
        values[i] = (float)((double)values[i] + m.sum[i % d] / (double)v);
    if (!s)
        s = params_set(p, rows, values, F32);
    mem_free(m.sum);
    mem_free(values);
    return s;
}

Status token_rows_draw(GenLlava *g, uint64_t seed)
{
    if (params_measuring(&g->params))
        return params_draw_part(&g->params, "tokens", seed);
    TRY(draw_like(&g->params, g->rows.embed, g->llm.embed, seed));
    return draw_like(&g->params, g->rows.head, g->llm.head, seed);
}

Status token_rows_describe(const GenLlava *g, const RunConfig *cfg, const char *folder)
{
    char path[PATH_MAX], buf[32];
    EncoderOptions encoder = plan_encoder(cfg, &g->sizes);
    cJSON *o = cJSON_CreateObject();
    for (int k = 0; k < encoder_added_count(&encoder); k++)
        json_add_int(o, encoder_added_text(&encoder, k, buf, sizeof buf), g->sizes.vocab_size + k);
    return json_save(file_join(path, folder, "token_rows.json"), &o);
}

/* ---------------------------------------------------------------- renormalisation */

static double norm_of(const float *row, int64_t d)
{
    double squares = 0;
    for (int64_t j = 0; j < d; j++)
        squares += (double)row[j] * (double)row[j];
    return sqrt(squares);
}

static void add_norm(void *arg, const float *row, int64_t d) { *(double *)arg += norm_of(row, d); }

static Status renormalise(const TokenRows *m, Params *p, Param *rows, const Param *base, double *norms)
{
    int64_t d = rows->t.shape[1], tasks = m->n - m->visual;
    float *values = mem_alloc((size_t)rows->t.n_elems * sizeof *values);
    if (!values)
        return fail(ERR_NOMEM, "%s: no memory to renormalise it", rows->name);
    Status s = OK;
    if (base->trainable || *norms <= 0) {
        *norms = 0;
        s = each_row(p, base, add_norm, norms);
    }
    double sum = *norms;
    if (!s)
        s = params_get(p, rows, values);
    for (int64_t i = 0; i < tasks && !s; i++)
        sum += norm_of(values + i * d, d);
    double mean = sum / (double)(base->t.shape[0] + tasks);
    for (int64_t i = tasks; i < m->n && !s; i++) {
        double norm = norm_of(values + i * d, d);
        for (int64_t j = 0; j < d && norm > 0; j++)
            values[i * d + j] = (float)((double)values[i * d + j] * (mean / norm));
    }
    if (!s)
        s = params_set(p, rows, values, F32);
    mem_free(values);
    return s;
}

Status token_rows_updated(GenLlava *g)
{
    TokenRows *m = &g->rows;
    Params *p = &g->params;
    if (!m->renorm || !m->visual || !m->embed->trainable || params_measuring(p))
        return OK;
    TRY(renormalise(m, p, m->embed, g->llm.embed, &m->norms[0]));
    return renormalise(m, p, m->head, g->llm.head, &m->norms[1]);
}
