/* image_losses.c: the generation head's context of a pass, and the losses that compare it (image_losses.h). Called by genllava.c. */
#include "train/models/image_losses.h"

#include <inttypes.h>
#include <string.h>

#include "train/models/model.h"

/* ---------------------------------------------------------------- the context */

/* Row of the added token rows that [IMG0] has. */
static int64_t first_visual_row(const GenLlava *g) { return g->rows.n - g->rows.visual; }

/* The embeddings of the visual output tokens, once for each of `items` images: [items·N,D]. */
static Tensor *visual_rows(Tape *t, const GenLlava *g, int64_t items)
{
    int64_t n = items * g->rows.visual;
    int32_t *index = tape_host(t, (size_t)n * sizeof *index);
    for (int64_t i = 0; index && i < n; i++)
        index[i] = (int32_t)(first_visual_row(g) + i % g->rows.visual);
    const EmbedSpec spec = {.n = n, .base = g->rows.embed, .base_index = tape_ints(t, index, n), .base_occur = true};
    return index ? nn_embed(t, &spec) : NULL;
}

Tensor *image_context(Tape *t, const GenLlava *g, Tensor *states, const Batch *b)
{
    int64_t visual = g->rows.visual, n = b->n_targets * visual;
    int32_t *row = tape_host(t, (size_t)n * sizeof *row);
    for (int64_t i = 0; row && b->target_row && i < n; i++)
        row[i] = (int32_t)(b->target_row[i / visual] + i % visual - g->gen_head.config.before);
    if (!row)
        return NULL;
    Tensor *hs = mistral_norm(t, &g->llm, nn_gather_rows(t, states, tape_ints(t, row, n), n)); /* [n_targets·N,D] */
    return gen_head_forward(t, &g->gen_head, hs, visual_rows(t, g, b->n_targets), b->n_targets);
}

Tensor *image_null_context(Tape *t, const GenLlava *g) { return gen_head_forward(t, &g->gen_head, NULL, visual_rows(t, g, 1), 1); }

/* ---------------------------------------------------------------- the losses */

/* The target images of one task: which of the pass they are. */
typedef struct Chosen {
    int64_t n;
    int32_t *target; /* [n], host */
} Chosen;

/* n of them, as the pass's terms say: a pass made for measuring has counts, and no tasks. */
static Chosen choose(Tape *t, const Batch *b, Task task, int64_t n)
{
    Chosen c = {.n = n, .target = tape_host(t, (size_t)n * sizeof *c.target)};
    int64_t found = 0;
    for (int32_t i = 0; c.target && b->task && b->target_segment && i < b->n_targets && found < n; i++)
        if (b->task[b->target_segment[i]] == task)
            c.target[found++] = i;
    return c;
}

/* Their rows of the context; all of it where the pass has no others. */
static Tensor *context_of(Tape *t, const GenLlava *g, const LossPass *pass, const Chosen *c)
{
    int64_t q = g->gen_head.config.queries, n = c->n * q;
    if (c->n == pass->batch->n_targets)
        return pass->context;
    int32_t *row = tape_host(t, (size_t)n * sizeof *row);
    for (int64_t i = 0; row && i < n; i++)
        row[i] = (int32_t)(c->target[i / q] * q + i % q);
    return row ? nn_gather_rows(t, pass->context, tape_ints(t, row, n), n) : NULL;
}

/* The text encoder's states of their prompts, [n·queries,C], computed or as they were cached. A pass made for measuring has neither
 * prompts nor anything cached. */
static float *prompt_states(Tape *t, const GenLlava *g, const Batch *b, const Chosen *c)
{
    const size_t each = (size_t)(g->gen_head.config.queries * g->gen_head.config.context);
    float *states = tape_host(t, (size_t)c->n * each * sizeof *states);
    for (int64_t i = 0; states && i < c->n; i++) {
        const int32_t k = c->target[i];
        float *to = states + (size_t)i * each;
        if (!g->cached[CACHE_CLIP_TEXT])
            clip_text_evaluate(t, &g->text_encoder, b->target_prompt ? b->target_prompt[k] : NULL, to);
        else if (b->target_state)
            memcpy(to, b->states + (size_t)b->target_state[k] * each, each * sizeof *to);
    }
    return states;
}

static Tensor *compare_with_prompts(Tape *t, const GenLlava *g, const LossPass *pass, const Chosen *c, DifferenceKind kind)
{
    const Batch *b = pass->batch;
    float *weight = tape_host(t, (size_t)c->n * sizeof *weight);
    for (int64_t i = 0; weight && b->target_weight && i < c->n; i++)
        weight[i] = b->target_weight[c->target[i]];
    DifferenceLoss loss = {.kind = kind, .items = c->n, .weight = weight, .scale = pass->scale, .total = pass->total};
    Tensor *scaled = nn_difference_loss(t, context_of(t, g, pass, c), prompt_states(t, g, b, c), &loss);
    *pass->sum = loss.weighted_sum;
    return scaled;
}

static Tensor *image_loss(Tape *t, const GenLlava *g, const LossPass *pass, Task task, Terms terms)
{
    const Chosen c = choose(t, pass->batch, task, terms.n);
    if (!c.target)
        return NULL;
    switch (g->image_loss[task]) {
    case IMAGE_LOSS_L2NORM: return compare_with_prompts(t, g, pass, &c, DIFFERENCE_L2NORM);
    case IMAGE_LOSS_MSE: return compare_with_prompts(t, g, pass, &c, DIFFERENCE_MSE);
    case IMAGE_LOSS_NOISE: return diffusion_noise_loss(t, g, pass, context_of(t, g, pass, &c), c.target, c.n);
    }
    return NULL;
}

Tensor *image_generate_loss(Tape *t, const GenLlava *g, const LossPass *pass)
{
    return image_loss(t, g, pass, TASK_GENERATE, pass->batch->terms.generate);
}

Tensor *image_edit_loss(Tape *t, const GenLlava *g, const LossPass *pass)
{
    return image_loss(t, g, pass, TASK_EDIT, pass->batch->terms.edit);
}
