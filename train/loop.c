/* loop.c: the page to read first. A step is load -> loss -> backward -> sum -> update; train_step below says so line by line. */
#include "train/loop.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"
#include "train/store/checkpoint.h"
#include "train/log/dump.h"
#include "train/log/ranklog.h"
#include "train/measure/peak.h"
#include "train/models/parts.h"
#include "train/optim/optim.h"
#include "train/log/runlog.h"
#include "train/optim/schedule.h"
#include "train/run_folder.h"
#include "train/save.h"
#include "train/suite_step.h"
#include "train/timing.h"
#include "train/dist/signals.h"
#include "train/validate.h"

typedef struct Run {
    Setup setup;
    const RunConfig *cfg;
    Params *params;
    TrainState state;    /* saved with every checkpoint */
    int64_t total, last; /* steps of the whole run; where this process stops */
    int64_t warmup;
    int64_t skipped_in_a_row;
    bool searched;  /* all weights for one that is not finite */
    bool has_timed; /* algorithms, in the first step of this process */
    RunLog *log;    /* of rank 0 */
    double step_began;
    double peak;       /* of this rank's processor, FLOP a second; infinite: not known (yet) */
    StepRecord record; /* the last step's */
    Dump *dump;
    RunFolder folder;
    StepNumbers *numbers; /* backend memory: what a step has to tell */
    EarlySum early;
    char samples[256];    /* of the pass under way, for the sentence of an error */
    int32_t suite_signal; /* that came while benchmarks were asked; 0: none */
} Run;

/* What one rank does for all. */
static Status only_first(Run *r, Status (*work)(void *run)) { return dist_first(&r->setup.dist, work, r, NULL, 0); }

/* ---------------------------------------------------------------- one step */

/* What the terms of a pass are multiplied by before they are differentiated: regimes (c), (a) and (b) of loss.normalise. */
static void scale_losses(const Run *r, const StepPlan *plan, const Batch *b, double scale[N_LOSSES])
{
    const LossTerms *const divisor[] = {[NORMALISE_STEP] = &plan->of_step, [NORMALISE_MICRO] = &b->terms,
                                        [NORMALISE_RANK] = &plan->of_rank};
    Normalise regime = r->cfg->loss.normalise;
    double share = regime == NORMALISE_STEP ? 1 : r->setup.dist.n_ranks;
    if (regime == NORMALISE_MICRO)
        share *= plan->n_passes;
    for (int i = 0; i < N_LOSSES; i++)
        scale[i] = loss_scale(r->cfg, (Loss)i, divisor[regime], share);
}

/* "records 3, 8 and 12 more": by their number in the mixture. */
static void name_samples(Run *r, const Batch *b)
{
    enum { NAMED = 8 };
    size_t n = 0;
    for (int32_t i = 0; i < b->n_segments && i < (int32_t)NAMED; i++)
        n += (size_t)snprintf(r->samples + n, sizeof r->samples - n, "%s%d", i ? ", " : "", b->record[i]);
    if (b->n_segments > (int32_t)NAMED)
        snprintf(r->samples + n, sizeof r->samples - n, " and %d more", b->n_segments - (int)NAMED);
}

static Status train_pass(Run *r, const StepPlan *plan, int32_t pass)
{
    const Batch *b;
    LossRequest request = {.totals = r->numbers->sums};
    LossResult result;
    *r->samples = 0; /* not yet known */
    TRY(loader_pass(r->setup.rows.loader, pass, &b));
    name_samples(r, b);
    scale_losses(r, plan, b, request.scale);
    if (r->dump)
        TRY(dump_pass(r->dump, b, &request));
    tape_reset(r->setup.tape, (uint64_t)plan->step);
    if (pass == plan->n_passes - 1)
        optim_reduce_early(&r->early, r->params, &r->setup.dist, r->setup.tape);
    TRY(genllava_loss(r->setup.tape, r->setup.model, b, &request, &result));
    return tape_backward_all(r->setup.tape, result.losses, N_LOSSES, 1);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits for the device: what failed on it since is told with the passes that it may have been in. */
static Status fetch_numbers(Run *r, const StepPlan *plan, StepNumbers *numbers)
{
    Backend *b = &r->setup.backend;
    TRY_IN(b->download(b, numbers, r->numbers, sizeof *numbers), "step %lld, in one of its %d passes, the last of them with records %s",
           (long long)plan->step + 1, plan->n_passes, r->samples);
    return OK;
}

/* All passes. On a device nothing is waited for, but that the numbers are needed: for the log, and to know whether to update at all. */
static Status accumulate_gradients(Run *r, const StepPlan *plan, StepNumbers *numbers)
{
    Backend *b = &r->setup.backend;
    double waited = 0; /* by the device */
    *numbers = (StepNumbers){0};
    TRY(b->upload(b, r->numbers, numbers, sizeof *numbers));
    TRY(params_step_begin(r->params));
    tape_take_flops(r->setup.tape); /* of what was asked between the steps */
    if (r->dump)
        dump_begin(r->dump);
    for (int32_t pass = 0; pass < plan->n_passes; pass++)
        TRY_IN(train_pass(r, plan, pass), "step %lld, pass %d of %d%s%s", (long long)plan->step + 1, pass + 1, plan->n_passes,
               *r->samples ? ", records " : "", r->samples);
    if (r->setup.dist.n_ranks > 1 && !b->host_memory && !r->setup.dist.transport.on_device) /* sums through the host wait anyway */
        TRY(fetch_numbers(r, plan, numbers));
    TRY(optim_reduce(r->params, &r->setup.dist));
    TRY(optim_squares(r->params, &r->numbers->squares));
    TRY(fetch_numbers(r, plan, numbers));
    if (b->waited)
        TRY(b->waited(b, &waited));
    numbers->seconds = seconds_now() - r->step_began;
    numbers->waited = r->setup.dist.waited + waited;
    numbers->flops = tape_take_flops(r->setup.tape);
    numbers->peak = r->peak;
    if (r->setup.dist.rank > 0) /* the gradient is everywhere the same; one norm decides for all whether to update */
        numbers->squares = 0;
    return dist_sum_host(&r->setup.dist, (double *)numbers, sizeof *numbers / sizeof(double));
}

static void count_step(Run *r, const StepPlan *plan, bool skipped)
{
    r->state.step++;
    r->state.samples += plan->items;
    r->state.tokens += plan->tokens;
    r->state.images += plan->images;
    r->state.skipped_steps += skipped;
    r->state.skipped_samples += skipped ? plan->items : 0;
    r->skipped_in_a_row = skipped ? r->skipped_in_a_row + 1 : 0;
}

/* The rates of the step's record; the part with the most parameters is shown. */
static void note_rates(Run *r, double factor)
{
    StepRecord *record = &r->record;
    int64_t most = 0;
    record->n_rates = parts_rates(r->cfg, record->rates);
    for (int i = 0; i < record->n_rates; i++) {
        int64_t n = genllava_count(r->setup.model, record->rates[i].part);
        record->shown = n > most ? i : record->shown;
        most = n > most ? n : most;
        record->rates[i].lr *= factor;
    }
}

/* ---------------------------------------------------------------- held-out rows, benchmarks */

static bool is_judged(const Run *r)
{
    int64_t step = r->state.step, every = r->cfg->eval.every;
    return step && (step == r->total || (every && step % every == 0));
}

static bool validation_due(const Run *r) { return r->setup.held.loader && is_judged(r); }
static bool suite_due(const Run *r) { return r->setup.suite.of && is_judged(r); }

static bool is_best(const Run *r) { return r->state.best_step && r->state.best_step == r->state.step; }

/* As many validations in a row as eval.patience allows have found nothing better. */
static bool out_of_patience(const Run *r)
{
    return r->setup.held.loader && r->cfg->eval.patience && r->state.validations >= r->cfg->eval.patience;
}

static Status validate_step(Run *r)
{
    StepLosses *losses = &r->record.validation;
    TRY(validate(&r->setup, losses));
    r->record.validated = true;
    if (isfinite(losses->total) && (!r->state.best_step || losses->total < r->state.best_loss)) {
        r->state.best_loss = losses->total;
        r->state.best_step = r->state.step;
        r->state.validations = 0;
    } else
        r->state.validations++;
    r->record.best_step = r->state.best_step;
    r->record.best_loss = r->state.best_loss;
    return OK;
}

static Status log_step(void *arg)
{
    const Run *r = arg;
    return runlog_step(r->log, &r->record);
}

static void warn_of_skipped(int64_t step, const StepLosses *losses, double grad_norm)
{
    char which[256] = "";
    size_t n = 0;
    for (int i = 0; i < N_LOSSES && n < sizeof which; i++)
        if (losses->present[i] && !isfinite(losses->values[i]))
            n += (size_t)snprintf(which + n, sizeof which - n, "%s%s", n ? ", " : " (", LOSSES[i].key);
    log_warn("step %lld: loss %g%s%s, norm of the gradient %g; the step is left out and no weight changes", (long long)step, losses->total,
             which, n ? ")" : "", grad_norm);
}

/* At the first step that is left out: a weight that is not finite would spoil every step that reaches it. */
static Status search_weights(Run *r)
{
    const Param *bad = NULL;
    if (!r->searched)
        TRY(params_find_not_finite(r->params, &bad));
    r->searched = true;
    if (bad)
        log_warn("%s holds numbers that are not finite, in the weight %s%s: every step that reaches it will be left out",
                 part_find(bad->group.part)->title, bad->name, bad->trainable ? "" : ", which is frozen");
    return OK;
}

static Status train_step(Run *r)
{
    StepPlan plan;
    StepNumbers numbers;
    r->step_began = seconds_now();
    r->setup.dist.step = r->state.step + 1;
    r->setup.dist.waited = 0;
    TRY(loader_step(r->setup.rows.loader, r->state.step, &plan));
    TRY(accumulate_gradients(r, &plan, &numbers));
    OptimResult done = {.grad_norm = sqrt(numbers.squares)};
    StepLosses losses = losses_of_step(r->cfg, numbers.sums, &plan.of_step);
    double factor = schedule_factor(r->cfg->optim.schedule, plan.step, r->total, r->warmup), lr = factor * r->cfg->optim.lr;
    TRY(optim_update(r->params, r->cfg, plan.step, factor, losses.total, &done));
    if (done.skipped) {
        warn_of_skipped(plan.step + 1, &losses, done.grad_norm);
        TRY(search_weights(r));
    } else
        TRY(genllava_updated(r->setup.model));
    if (r->dump)
        TRY(dump_write(r->dump, plan.step, r->params, &(DumpScalars){.losses = losses, .lr = lr, .grad_norm = done.grad_norm}));
    count_step(r, &plan, done.skipped);
    r->record = (StepRecord){.step = r->state.step,
                             .losses = losses,
                             .lr = lr,
                             .grad_norm = done.grad_norm,
                             .samples = plan.items,
                             .tokens = plan.tokens,
                             .images = plan.images,
                             .seconds = seconds_now() - r->step_began,
                             .skipped_steps = r->state.skipped_steps,
                             .skipped_samples = r->state.skipped_samples};
    if (r->setup.dist.n_ranks > 1)
        r->record.waited = numbers.waited / numbers.seconds;
    r->record.peak_share = numbers.flops / (numbers.peak * r->record.seconds);
    r->record.n_ranks = r->setup.dist.n_ranks;
    note_rates(r, factor);
    if (validation_due(r))
        TRY(validate_step(r));
    return only_first(r, log_step);
}

/* ---------------------------------------------------------------- all steps */

static Saver saver_of(Run *r)
{
    return (Saver){.dist = &r->setup.dist,
                   .cfg = r->cfg,
                   .model = r->setup.model,
                   .state = &r->state,
                   .path = r->setup.folder,
                   .folder = &r->folder,
                   .log = r->log};
}

static Status save_run(Run *r)
{
    const Saver saver = saver_of(r);
    return save_checkpoint(&saver);
}

/* Answers the prompts as the model is now. Before the step is saved: a run that ends in between makes them again. */
static Status take_samples(void *arg)
{
    Run *r = arg;
    Setup *s = &r->setup;
    Answerer *a = NULL;
    TRY(run_folder_same(&r->folder));
    long long step = (long long)r->state.step;
    Status status = answerer_borrow(&a, r->cfg, s->model, &s->backend, &s->preprocessor);
    if (status == OK)
        status = samples_write(&s->samples, a, r->cfg, s->folder, r->state.step);
    answerer_close(&a);
    if (status == OK)
        status = samples_log(&s->samples, r->log, s->folder, r->state.step);
    if (status == ERR_PREEMPTED)
        log_info("%s: the samples after step %lld are left to --resume", status_message(), step);
    else if (status == OK)
        log_info("sampled %s/samples/step-%06lld", s->folder, step);
    return status == ERR_PREEMPTED ? OK : status;
}

static bool samples_due(const Run *r)
{
    int64_t step = r->state.step, every = r->cfg->sample.every;
    return every && step && (step == r->total || step % every == 0);
}

static Status stop_early(Run *r, const char *signal, bool saved)
{
    if (!saved)
        TRY(save_run(r));
    log_info("%s: stopped after step %lld of %lld; go on with --resume", signal, (long long)r->state.step, (long long)r->total);
    return fail(ERR_PREEMPTED, "%s", signal);
}

/* After the step is saved, where it is: answers take long, and a run that ends meanwhile goes on with them. */
static Status ask_suite(void *arg)
{
    Run *r = arg;
    TRY(run_folder_same(&r->folder));
    return suite_step(&r->setup, r->log, r->state.step, &r->suite_signal);
}

/* Those of the step where the run begins, if they have no scores yet. */
static Status ask_missing_suite(void *arg)
{
    Run *r = arg;
    bool scored = false;
    TRY(runlog_has_suite(r->log, &scored));
    return scored ? OK : ask_suite(arg);
}

/* saved: the step is. */
static Status judge_by_suite(Run *r, Status (*ask)(void *run), bool saved)
{
    if (!suite_due(r))
        return OK;
    TRY(dist_first(&r->setup.dist, ask, r, &r->suite_signal, sizeof r->suite_signal));
    return r->suite_signal ? stop_early(r, signals_name(r->suite_signal), saved) : OK;
}

/* A run whose every step fails has learned nothing and must not look as if it had. */
static Status check_progress(const Run *r)
{
    enum { PATIENCE = 100 };
    bool stuck = r->skipped_in_a_row >= PATIENCE, all = r->state.step >= r->last && r->state.skipped_steps == r->state.step;
    const Param *bad;
    if (!r->state.step || (!stuck && !all))
        return OK;
    long long n = (long long)(all ? r->state.step : r->skipped_in_a_row);
    TRY(params_find_not_finite(r->params, &bad));
    if (bad)
        return fail(ERR_DATA, "the last %lld steps all gave a loss or gradient that is not finite: %s holds such values, in the weight %s",
                    n, part_find(bad->group.part)->title, bad->name);
    return fail(ERR_DATA, "the last %lld steps all gave a loss or gradient that is not finite, though every weight is finite: lower the "
                          "learning rate, or look at the data", n);
}

static void say_out_of_patience(const Run *r)
{
    log_info("ended after step %lld of %lld by eval.patience: %lld validation%s in a row found no loss below %.6g, that of step %lld",
             (long long)r->state.step, (long long)r->total, (long long)r->state.validations, status_plural(r->state.validations),
             r->state.best_loss, (long long)r->state.best_step);
}

/* After a step of this process and its checkpoint: not before, for nobody should wait longer for the first, and a process that is killed
 * again and again has to come further each time. What the tape holds is of no use any more. */
static void find_peak(Run *r)
{
    Setup *s = &r->setup;
    tape_reset(s->tape, 0);
    r->peak = peak_flops(&s->backend, s->compute, &s->keep);
}

static Status train_loop(Run *r)
{
    const RunConfig *cfg = r->cfg;
    bool saved = true; /* as it was when this process began */
    while (r->state.step < r->last) {
        int32_t signal = signals_received();
        TRY(dist_agree(&r->setup.dist, &signal, 1));
        if (signal)
            return stop_early(r, signals_name(signal), saved);
        TRY(train_step(r));
        if (!r->has_timed)
            TRY(timing_end(&r->setup.dist, &r->setup.backend));
        r->has_timed = true;
        if (samples_due(r))
            TRY(only_first(r, take_samples));
        const bool ends = out_of_patience(r), best = cfg->save.best && is_best(r);
        saved = r->state.step == r->last || (cfg->save.every && r->state.step % cfg->save.every == 0) || best || ends;
        if (saved)
            TRY(save_run(r));
        TRY(judge_by_suite(r, ask_suite, saved));
        TRY(check_progress(r));
        if (ends) {
            say_out_of_patience(r);
            break;
        }
        if (isinf(r->peak) && r->state.step < r->last)
            find_peak(r);
    }
    return OK;
}

/* ---------------------------------------------------------------- a run */

static Status take_folder(void *arg)
{
    Run *r = arg;
    return run_folder_take(&r->folder, r->setup.folder);
}

static Status write_settings(const Run *r)
{
    char path[PATH_MAX];
    TRY(config_save(r->cfg, file_join(path, r->setup.folder, "config.resolved.json")));
    const Setup *s = &r->setup;
    return runlog_environment(s->folder, &s->backend, s->compute, s->dist.n_ranks, (RunPlanned){r->total, s->memory.needed});
}

static Status open_log(void *arg)
{
    Run *r = arg;
    if (*r->setup.start) /* the last save may have ended before that */
        TRY(checkpoint_rotate(r->setup.folder, r->cfg, &r->state));
    const bool trains = !*r->setup.start || r->state.step < r->last; /* else what it was trained with stays on record */
    if (trains && r->setup.difference)
        TRY(runlog_change(r->setup.folder, r->state.step, r->setup.start, r->setup.difference));
    if (trains)
        TRY(write_settings(r));
    TRY(suite_step_forget(r->setup.folder, r->state.step));
    return runlog_open(&r->log, r->setup.folder, r->cfg, r->state.step, r->total);
}

/* The samples of the step where the run begins, if a signal came before they were there. */
static Status take_missing_samples(void *arg)
{
    const Run *r = arg;
    return samples_due(r) && !samples_written(r->setup.folder, r->state.step) ? take_samples(arg) : OK;
}

static bool same_text(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

/* A loss is the lowest of the same rows only: by others than the checkpoint's the next one is the lowest. */
static Status compare_held(Run *r)
{
    const RunConfig *cfg = r->cfg;
    RunConfig there;
    if (!r->state.best_step)
        return OK;
    TRY(checkpoint_config(r->setup.start, NULL, 0, &there));
    const MixtureSetting *a = &there.data.validation, *b = &cfg->data.validation;
    if (!same_text(a->file, b->file) || !same_text(a->json, b->json) || there.eval.samples != cfg->eval.samples) {
        r->state.best_loss = DBL_MAX;
        r->state.validations = 0;
        if (r->setup.held.loader)
            log_info("the held-out rows are not those of before: the next validation counts as the lowest");
    }
    config_free(&there);
    return OK;
}

static Status prepare_run_folder(Run *r, const TrainFlags *flags)
{
    Setup *s = &r->setup;
    r->state.data = s->data;
    timing_begin(&s->backend);
    if (*s->start) {
        TRY(checkpoint_resume(s->start, s->model, r->cfg, s->change, &r->state));
        TRY(compare_held(r));
    }
    if (r->state.step > r->total && !s->change)
        return fail(ERR_DATA, "%s/state.json: step is %lld, but the run has %lld steps", s->start, (long long)r->state.step,
                    (long long)r->total);
    const Saver saver = saver_of(r);
    TRY(save_try(&saver));
    TRY(only_first(r, open_log));
    if (flags->dump)
        TRY(dump_open(&r->dump, flags->dump, r->state.step, &s->dist, &s->sizes));
    return OK;
}

static void count_steps(Run *r, const TrainFlags *flags)
{
    const LoaderTotals *totals = loader_totals(r->setup.rows.loader);
    r->total = totals->steps;
    r->last = flags->steps && flags->steps < r->total ? flags->steps : r->total;
    r->warmup = schedule_warmup(r->cfg->optim.warmup, r->total);
    const PrepareResult *prepared = &r->setup.rows.prepared;
    char cut[128] = "";
    if (prepared->cut_rows)
        snprintf(cut, sizeof cut, "; %lld of the samples are cut to data.max_tokens, which costs %lld trained tokens",
                 (long long)prepared->cut_rows, (long long)prepared->cut_tokens);
    log_info("%lld samples, %lld steps of %lld, %lld of them warm-up%s", (long long)totals->samples, (long long)r->total,
             (long long)r->cfg->train.batch, (long long)r->warmup, cut);
    if (r->total && r->warmup >= r->total)
        log_warn("all of them are warm-up, which begins with a learning rate of 0: lower optim.warmup (it is %g), or train more steps",
                 r->cfg->optim.warmup);
}

/* Once the folder is taken. */
static Status run_in_folder(Run *r, const TrainFlags *flags)
{
    TRY(setup_model(&r->setup));
    r->params = genllava_params(r->setup.model);
    r->numbers = r->setup.numbers;
    TRY(prepare_run_folder(r, flags));
    TRY(only_first(r, take_missing_samples));
    TRY(judge_by_suite(r, ask_missing_suite, true));
    if (r->state.step >= r->last) {
        log_info("%lld of %lld steps are finished: there is nothing left to do%s", (long long)r->state.step, (long long)r->total,
                 r->last < r->total ? "; --steps ends the run there"
                                    : "; to train longer, raise train.steps or train.epochs and give --resume --change");
        return check_progress(r);
    }
    if (out_of_patience(r)) {
        say_out_of_patience(r);
        log_info("it goes on with --resume and a larger eval.patience, or 0");
        return OK;
    }
    signals_hold();
    return train_loop(r);
}

static Status run_all(Run *r, RunConfig *cfg, const TrainFlags *flags)
{
    TRY(setup_check(&r->setup, cfg));
    TRY(setup_device(&r->setup));
    TRY(setup_weights(&r->setup));
    TRY(setup_room(&r->setup));
    TRY(setup_start(&r->setup, &flags->start));
    TRY(setup_data(&r->setup));
    count_steps(r, flags);
    TRY(only_first(r, take_folder));
    TRY(ranklog_open(&r->setup.dist, r->setup.folder));
    Status s = run_in_folder(r, flags);
    if (s != OK && r->folder.lock.held) /* of rank 0; what went wrong follows from it */
        TRY(run_folder_same(&r->folder));
    return s;
}

Status train_run(RunConfig *cfg, const TrainFlags *flags)
{
    Run r = {.cfg = cfg, .peak = INFINITY, .setup.suite.kind = flags->suite};
    Status s = dist_close(&r.setup.dist, run_all(&r, cfg, flags));
    runlog_close(&r.log);
    dump_close(&r.dump);
    setup_close(&r.setup);
    run_folder_release(&r.folder);
    return s;
}
