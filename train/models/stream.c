/* stream.c: a forward pass of the language model and its vision tower, a layer at a time (stream.h). Called by convert. */
#include "train/models/stream.h"

#include <inttypes.h>
#include <stdio.h>

#include "train/models/model.h"

struct Stream {
    RunConfig cfg; /* shallow: borrows what it points to */
    Backend *backend, null;
    GenLlava net; /* configured; nothing is declared in it */
};

Status stream_open(Stream **out, const RunConfig *cfg, Backend *backend)
{
    Stream *s = *out = mem_alloc(sizeof *s);
    if (!s)
        return fail(ERR_NOMEM, "no memory for a model");
    s->cfg = *cfg;
    s->backend = backend;
    Status status = null_open(&s->null);
    if (!status)
        status = parts_configure(&s->net, cfg);
    if (!status)
        status = genllava_set_sizes(&s->net, cfg);
    if (status)
        stream_close(out);
    return status;
}

void stream_close(Stream **s)
{
    if (!*s)
        return;
    parts_free(&(*s)->net);
    if ((*s)->null.close)
        (*s)->null.close(&(*s)->null);
    mem_free(*s);
    *s = NULL;
}

const MistralConfig *stream_llm(const Stream *s) { return &s->net.llm.config; }
const SiglipConfig *stream_vision(const Stream *s) { return s->net.sizes.patches ? &s->net.vision.config : NULL; }
const Preprocessor *stream_preprocessor(const Stream *s) { return &s->net.preprocessor; }
const ModelSizes *stream_sizes(const Stream *s) { return &s->net.sizes; }

/* ---------------------------------------------------------------- a few parts of the model, with values */

/* Parts that are computed together: weights in memory, and tapes that measure and that compute. */
typedef struct Piece {
    GenLlava g;
    Tape *measuring, *computing;
    Arena arenas[4]; /* keep and scratch of each */
} Piece;

static void close_piece(Piece *p)
{
    tape_free(&p->measuring);
    tape_free(&p->computing);
    arena_free(&p->arenas[2]);
    arena_free(&p->arenas[3]);
    params_destroy(&p->g.params);
    mem_free(p->g.llm.layers);
    siglip_free(&p->g);
    projector_free(&p->g);
}

static Status declare(Stream *s, Piece *p, Status (*of_part)(GenLlava *g, const RunConfig *cfg), const char *part)
{
    p->g.params.group = (ParamGroup){.part = part};
    return of_part(&p->g, &s->cfg);
}

static Status open_piece(Stream *s, Piece *p)
{
    *p = (Piece){.g = s->net};
    params_init(&p->g.params, s->backend, F32);
    p->g.params.answers = true;
    arena_measure(&p->arenas[0]);
    arena_measure(&p->arenas[1]);
    TRY(tape_create(&p->measuring, &(TapeOptions){.backend = &s->null, .keep = &p->arenas[0], .scratch = &p->arenas[1], .compute = F32}));
    return tape_create(&p->computing,
                       &(TapeOptions){.backend = s->backend, .keep = &p->arenas[2], .scratch = &p->arenas[3], .compute = F32});
}

static int64_t rows_of(const Param *q) { return q->t.n_dims ? q->shape[0] : 1; }

/* Sets the weights from those that `w` has; layer: which one stands for layer 0. */
static Status load_piece(Piece *p, const StreamWeights *w, int64_t layer)
{
    static const char FIRST[] = "model.layers.0.";
    for (int i = 0; i < p->g.params.n; i++) {
        Param *q = p->g.params.list[i];
        char name[2 * WEIGHT_NAME_MAX];
        const char *at = strstr(q->name, FIRST);
        if (at)
            snprintf(name, sizeof name, "%.*smodel.layers.%" PRId64 ".%s", (int)(at - q->name), q->name, layer, at + strlen(FIRST));
        else
            snprintf(name, sizeof name, "%s", q->name);
        float *values = mem_alloc((size_t)q->t.n_elems * sizeof *values);
        Status s = values ? w->rows(w->arg, name, 0, rows_of(q), values) : fail(ERR_NOMEM, "%s: out of memory", name);
        if (!s)
            s = params_set(&p->g.params, q, values, F32);
        mem_free(values);
        TRY(s);
    }
    return OK;
}

/* ---------------------------------------------------------------- passes */

typedef struct Pass {
    Stream *s;
    const StreamPrompt *prompt;
    int64_t n_rows; /* of x, pictures expanded */
    float *x;       /* host [n_rows, D] */
} Pass;
typedef Tensor *(*Forward)(Tape *t, Piece *p, const Pass *pass);

/* Measures the pass, takes the memory if there is none yet, and computes it; out: what it gives. */
static Status run(Piece *p, Forward forward, const Pass *pass, float *out)
{
    tape_reset(p->measuring, 0);
    tape_record(p->measuring, false);
    forward(p->measuring, p, pass);
    TRY(tape_status(p->measuring));
    for (int i = 0; i < 2; i++)
        if (p->arenas[2 + i].capacity < p->arenas[i].peak) {
            arena_free(&p->arenas[2 + i]);
            TRY(arena_create(&p->arenas[2 + i], p->arenas[i].peak));
        }
    tape_reset(p->computing, 0);
    tape_record(p->computing, false);
    Tensor *y = forward(p->computing, p, pass);
    TRY(tape_status(p->computing));
    nn_values(p->computing, y, out);
    return tape_status(p->computing);
}

static Tensor *see(Tape *t, Piece *p, const Pass *pass)
{
    const GenLlava *g = &p->g;
    const int64_t n = pass->prompt->n_images;
    PatchSpec pixels = {.images = n,
                        .height = g->sizes.image_height,
                        .width = g->sizes.image_width,
                        .patch = g->sizes.patch,
                        .rescale = g->preprocessor.rescale};
    memcpy(pixels.mean, g->preprocessor.mean, sizeof pixels.mean);
    memcpy(pixels.std, g->preprocessor.std, sizeof pixels.std);
    pixels.pixels = tape_bytes(t, pass->prompt->pixels, n * pixels.height * pixels.width * 3);
    return projector_forward(t, &g->projector, siglip_forward(t, &g->vision, &pixels));
}

static Tensor *layer(Tape *t, Piece *p, const Pass *pass)
{
    const int64_t n = pass->n_rows;
    PackedRows *rows = tape_host(t, sizeof *rows);
    int32_t *pos = tape_host(t, (size_t)n * sizeof *pos), *zero = tape_host(t, (size_t)n * sizeof *zero);
    if (!rows || !pos || !zero)
        return NULL;
    for (int32_t i = 0; i < n; i++)
        pos[i] = i;
    const int32_t cu[2] = {0, (int32_t)n};
    *rows = (PackedRows){.n_rows = n, .n_segments = 1, .max_segment = n};
    rows->cu = tape_ints(t, cu, 2);
    rows->pos = tape_ints(t, pos, n);
    rows->item = tape_ints(t, zero, n);
    return mistral_layers(t, &p->g.llm, nn_input(t, pass->x, n, p->g.llm.config.hidden), rows, NULL);
}

static Tensor *norm(Tape *t, Piece *p, const Pass *pass)
{
    return mistral_norm(t, &p->g.llm, nn_input(t, pass->x, pass->n_rows, p->g.llm.config.hidden));
}

/* features [pictures·patches, D] */
static Status look(Pass *pass, const StreamWeights *w, float *features)
{
    Piece p;
    Status s = open_piece(pass->s, &p);
    if (!s)
        s = declare(pass->s, &p, siglip_declare, "vision");
    if (!s)
        s = declare(pass->s, &p, projector_declare, "projector");
    if (!s)
        s = params_create(&p.g.params);
    if (!s)
        s = load_piece(&p, w, 0);
    if (!s)
        s = run(&p, see, pass, features);
    close_piece(&p);
    return s;
}

/* The embeddings of the prompt, those of its pictures in their places. */
static Status embed(Pass *pass, const StreamWeights *w)
{
    const ModelSizes *sizes = &pass->s->net.sizes;
    const StreamPrompt *prompt = pass->prompt;
    const int64_t d = sizes->hidden, patches = sizes->patches;
    float *features = mem_alloc((size_t)(prompt->n_images * patches * d + 1) * sizeof *features);
    if (!features)
        return fail(ERR_NOMEM, "out of memory for features of pictures");
    Status s = prompt->n_images ? look(pass, w, features) : OK;
    int64_t at = 0, seen = 0;
    for (int64_t i = 0; i < prompt->n && !s; i++) {
        if (prompt->ids[i] != ID_IMAGE) {
            s = w->rows(w->arg, "model.embed_tokens.weight", prompt->ids[i], 1, pass->x + at++ * d);
            continue;
        }
        memcpy(pass->x + at * d, features + seen++ * patches * d, (size_t)(patches * d) * sizeof *features);
        at += patches;
    }
    mem_free(features);
    return s;
}

static Status walk_layers(Pass *pass, const StreamWeights *w)
{
    Stream *s = pass->s;
    const int64_t n_layers = s->net.llm.config.layers;
    Piece p;
    Status status = open_piece(s, &p);
    p.g.llm.config.layers = 1;
    if (!status)
        status = declare(s, &p, mistral_declare_layers, "llm");
    if (!status && w->adapters)
        status = declare(s, &p, lora_declare, "lora");
    if (!status)
        status = params_create(&p.g.params);
    for (int64_t i = 0; i < n_layers && !status; i++) {
        status = load_piece(&p, w, i);
        if (!status)
            status = run(&p, layer, pass, pass->x);
    }
    if (!status)
        status = run(&p, norm, pass, pass->x);
    close_piece(&p);
    return status;
}

/* Leaves the rows that are no pictures. Returns how many. */
static int64_t keep_text(const Pass *pass)
{
    const ModelSizes *sizes = &pass->s->net.sizes;
    const int64_t d = sizes->hidden;
    int64_t to = 0, from = 0;
    for (int64_t i = 0; i < pass->prompt->n; i++) {
        bool picture = pass->prompt->ids[i] == ID_IMAGE;
        if (!picture)
            memmove(pass->x + to++ * d, pass->x + from * d, (size_t)d * sizeof *pass->x);
        from += picture ? sizes->patches : 1;
    }
    return to;
}

enum { HEAD_ROWS = 4096 }; /* of the head in memory at a time */

static Status multiply_head(Pass *pass, const StreamWeights *w, int64_t n_text, float *logits)
{
    const int64_t d = pass->s->net.llm.config.hidden;
    const char *head = w->tied ? "model.embed_tokens.weight" : "lm_head.weight";
    Backend *b = pass->s->backend;
    float *rows = mem_alloc((size_t)(HEAD_ROWS * d) * sizeof *rows);
    Arena scratch = {0};
    Status s = rows ? arena_create(&scratch, 256 << 20) : fail(ERR_NOMEM, "out of memory for rows of the head");
    b->ctx.scratch = &scratch;
    for (int64_t at = 0; at < w->n_rows && !s; at += HEAD_ROWS) {
        const int64_t n = w->n_rows - at < HEAD_ROWS ? w->n_rows - at : HEAD_ROWS;
        s = w->rows(w->arg, head, at, n, rows);
        if (!s)
            s = b->ops.matmul(&b->ctx, &(Matmul){.m = n_text,
                                                 .n = n,
                                                 .k = d,
                                                 .a_type = F32,
                                                 .b_type = F32,
                                                 .c_type = F32,
                                                 .b_trans = true,
                                                 .lda = d,
                                                 .ldb = d,
                                                 .ldc = w->n_rows,
                                                 .a = pass->x,
                                                 .b = rows,
                                                 .c = logits + at,
                                                 .alpha = 1});
    }
    arena_free(&scratch);
    mem_free(rows);
    return s;
}

Status stream_logits(Stream *s, const StreamWeights *w, const StreamPrompt *prompt, float *logits)
{
    Pass pass = {.s = s, .prompt = prompt, .n_rows = prompt->n + prompt->n_images * (s->net.sizes.patches - 1)};
    for (int64_t i = 0; i < prompt->n; i++)
        if (prompt->ids[i] != ID_IMAGE && (prompt->ids[i] < 0 || prompt->ids[i] >= w->n_rows))
            return fail(ERR_DATA, "token id %d of a prompt, the model has ids 0 … %" PRId64, prompt->ids[i], w->n_rows - 1);
    pass.x = mem_alloc((size_t)(pass.n_rows * s->net.llm.config.hidden) * sizeof *pass.x);
    if (!pass.x)
        return fail(ERR_NOMEM, "out of memory for a prompt of %" PRId64 " positions", pass.n_rows);
    Status status = embed(&pass, w);
    if (!status)
        status = walk_layers(&pass, w);
    if (!status)
        status = multiply_head(&pass, w, keep_text(&pass), logits);
    mem_free(pass.x);
    return status;
}
