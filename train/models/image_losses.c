/* image_losses.c: the generation head's context of a pass, and the losses that compare it (image_losses.h). Called by genllava.c. */
#include "train/models/image_losses.h"

#include <inttypes.h>

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

static Status choose(Chosen *c, Tape *t, const Batch *b, Task task, int64_t n)
{
    *c = (Chosen){.n = b->target_segment && b->task ? 0 : n, .target = tape_host(t, (size_t)n * sizeof *c->target)};
    for (int32_t i = 0; c->target && b->target_segment && b->task && i < b->n_targets; i++) {
        bool of_task = b->task[b->target_segment[i]] == task;
        if (of_task && c->n < n)
            c->target[c->n] = i;
        c->n += of_task;
    }
    if (c->target && c->n != n)
        return fail(ERR_INTERNAL, "%" PRId64 " target images of a task in a pass, %" PRId64 " counted", c->n, n);
    return tape_status(t);
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

static Tensor *image_loss(Tape *t, const GenLlava *g, const LossPass *pass, Task task, Terms terms)
{
    Chosen c;
    if (tape_fail(t, choose(&c, t, pass->batch, task, terms.n)))
        return NULL;
    (void)context_of(t, g, pass, &c);
    tape_fail(t, fail(ERR_INTERNAL, "no loss compares a context yet (kind %d)", (int)g->image_loss[task]));
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
