/* losses.h: the losses of a run, a line each. The model computes them; the loop divides, weighs and sums them; train.jsonl, TensorBoard and
 * dumps show those that a step has. All of these walk LOSSES. */
#ifndef GENLLAVA_TRAIN_MODELS_LOSSES_H
#define GENLLAVA_TRAIN_MODELS_LOSSES_H

#include "data/loader/batch.h"
#include "train/config/config.h"
#include "train/nn/tape.h"

/* X(enum, name, part, weight, terms, function): the part of the model (parts.c) without which a run does not have it; its weight in a
 * RunConfig *cfg; what it is divided by, of a LossTerms *terms (data/loader/batch.h); who computes it (a LossFn). */
#define LOSS_LIST(X)                                                                                                       \
    X(LOSS_TEXT, "text", "llm", cfg->loss.text_weight, terms->labels, genllava_text_loss)                                  \
    X(LOSS_GENERATE, "generate", "gen_head", cfg->loss.generate_weight, terms->generate, image_generate_loss)              \
    X(LOSS_EDIT, "edit", "gen_head", cfg->loss.edit_weight, terms->edit, image_edit_loss)

typedef enum Loss {
#define LOSS_ENUM(id, name, part, weight, terms, function) id,
    LOSS_LIST(LOSS_ENUM)
#undef LOSS_ENUM
    N_LOSSES
} Loss;

typedef struct LossRow {
    const char *part;
    const char *name;
    const char *key, *dump, *tag; /* in train.jsonl "loss_NAME", in a dump "loss.NAME", in TensorBoard "loss/NAME" */
} LossRow;
extern const LossRow LOSSES[N_LOSSES];

typedef struct GenLlava GenLlava;
/* What a loss is computed from, and where its sum goes. */
typedef struct LossPass {
    const Batch *batch;
    Tensor *states;  /* [T,D] after the last layer of the language model, before the final norm */
    Tensor *context; /* [n_targets·queries,C] of the generation head; NULL where no loss of the pass reads it */
    double scale;    /* what Σ w·loss is multiplied by */
    float *logits;   /* of LossRequest */
    double *total;   /* F64, backend memory: Σ w·loss is added to it; NULL: … */
    double *sum;     /* … it is waited for and stands here */
} LossPass;
/* The scaled loss, [1]. Called for passes that have terms of it. */
typedef Tensor *LossFn(Tape *t, const GenLlava *g, const LossPass *pass);

/* What a step tells, in backend memory while its passes run. */
typedef struct StepNumbers {
    double sums[N_LOSSES];  /* Σ w·loss over the terms of all passes, not divided */
    double squares;         /* Σ g² */
    double seconds, waited; /* of all ranks, and how many of them they waited for one another */
    double flops, peak;     /* needed arithmetic; what the processors of all ranks could do a second, infinite: not known */
} StepNumbers;

/* Of a whole step, as they are reported in every regime of loss.normalise. */
typedef struct StepLosses {
    double total;            /* Σ weight · loss */
    double values[N_LOSSES]; /* each unweighted: Σ w·loss / Σ w, 0/0 = 0 */
    bool present[N_LOSSES];  /* the step has terms of it */
} StepLosses;
Terms loss_terms(const LossTerms *terms, Loss l);
StepLosses losses_of_step(const RunConfig *cfg, const double sums[N_LOSSES], const LossTerms *step);

/* What the Σ w·loss of a pass is multiplied by before it is differentiated. share: by how many such passes' gradients the step is the
 * mean of. */
double loss_scale(const RunConfig *cfg, Loss l, const LossTerms *divisor, double share);
#endif
