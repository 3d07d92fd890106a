/* runlog.h: what a run writes about itself besides checkpoints: train.jsonl, TensorBoard events, lines for people, environment.json. */
#ifndef GENLLAVA_TRAIN_LOG_RUNLOG_H
#define GENLLAVA_TRAIN_LOG_RUNLOG_H

#include <stdbool.h>

#include "kernels/ops/table.h"
#include "train/config/config.h"
#include "train/infer/suite.h"
#include "train/models/losses.h"
#include "train/models/parts.h"

/* One optimiser step, all ranks. */
typedef struct StepRecord {
    int64_t step; /* finished updates, this one counted: the first is 1 */
    StepLosses losses;
    double lr, grad_norm;            /* lr: factor × optim.lr */
    PartRate rates[PARTS_MAX];       /* of the parts that train, with the factor */
    int n_rates, shown;              /* shown: to people, that of the part with the most parameters */
    int64_t samples, tokens, images; /* of this step */
    double seconds;
    int n_ranks;
    double waited;     /* by the ranks for one another, as a share of the seconds, on average; of several ranks */
    double peak_share; /* needed arithmetic as a share of what the processors could do in the seconds; 0: not known */
    bool validated;    /* held-out rows were judged: their losses, and where the lowest was so far */
    StepLosses validation;
    double best_loss;
    int64_t best_step;
    bool skipped;                           /* loss or gradient were not finite: no weight changed */
    int64_t skipped_steps, skipped_samples; /* so far, this one counted */
} StepRecord;

typedef struct RunLog RunLog;
/* Opens FOLDER/train.jsonl, cut back to the lines of steps 1 to `step`, and an event file under tb/ when the config wants one.
 * total: steps of the run, for the time that is left. */
MUST_USE Status runlog_open(RunLog **out, const char *folder, const RunConfig *cfg, int64_t step, int64_t total);
MUST_USE Status runlog_step(RunLog *l, const StepRecord *record);
/* Adds scores of benchmarks, suite_NAME, to the line of this step, which is the last, tells them to people and puts them into TensorBoard.
 * None: nothing. */
MUST_USE Status runlog_suite(RunLog *l, int64_t step, const SuiteScore *scores, int n);
/* Whether the last line has some. */
MUST_USE Status runlog_has_suite(const RunLog *l, bool *has);
/* Adds a PNG file to TensorBoard's pictures, if the config wants event files. */
MUST_USE Status runlog_picture(RunLog *l, int64_t step, const char *tag, const char *png);
/* Makes what was written so far durable: a checkpoint never knows steps that train.jsonl lost. */
MUST_USE Status runlog_sync(RunLog *l);
void runlog_close(RunLog **l); /* NULL is fine */
/* Adds a line to FOLDER/history.jsonl: from this step on settings or data are others than those of the checkpoint it went on from. */
MUST_USE Status runlog_change(const char *folder, int64_t step, const char *from, const char *difference);
/* What was known of a run before its first step. */
typedef struct RunPlanned {
    int64_t steps, memory; /* memory: bytes that a process needs */
} RunPlanned;
/* FOLDER/environment.json: version, processor, threads, backend, libraries in use, and what was planned. */
MUST_USE Status runlog_environment(const char *folder, const Backend *backend, DType compute, int n_ranks, RunPlanned planned);
#endif
