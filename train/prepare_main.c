/* prepare: a run's mixture to shards. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/prepare/prepare.h"
#include "data/shards/shard_set.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"
#include "train/cache/run_cache.h"
#include "train/dist/device.h"
#include "train/dist/signals.h"
#include "train/inputs.h"
#include "train/run_data.h"
#include "train/config/plan.h"
#include "train/models/genllava.h"

typedef struct Flags {
    const char *config, *out, *report, *export, *exclude;
    CliList sets;
    int64_t jobs;
    int format; /* of the statistics: text, JSON */
    bool strict, quiet, stats;
} Flags;

static bool is_output(const char *path) { return path && !strcmp(path, "-"); }

static Status check_together(const Flags *f)
{
    if (f->export && f->out)
        return fail(ERR_USAGE, "--export and --out: rows are exported in place of shards; leave one of them out");
    if (f->stats && (f->out || f->export))
        return fail(ERR_USAGE, "--stats and --%s: the mixture is only told of, nothing is made; leave one of them out",
                    f->out ? "out" : "export");
    if (f->format && !f->stats)
        return fail(ERR_USAGE, "--format json is for --stats; --log-format json is for all else");
    if ((is_output(f->export) || f->stats) && is_output(f->report))
        return fail(ERR_USAGE, "--%s and --report -: both cannot go to standard output; name a file for one of them",
                    f->stats ? "stats" : "export -");
    return OK;
}

static Status parse(Flags *f, int argc, char **argv, bool *done)
{
    static const char *const FORMATS[] = {"text", "json", NULL};
    const CliOption options[] = {
        {"--config", CLI_STRING, &f->config, "FILE", "The run: its mixture, template, sizes and tokens say what is prepared (\"-\": "
                                                     "standard input).",
         0, 0, NULL, false},
        {"--out", CLI_STRING, &f->out, "DIR", "Folder of the shards. Default: data.shards of the run, where train looks for them.", 0, 0,
         NULL,
         false},
        {"--export", CLI_STRING, &f->export, "FILE", "Writes the rows that the shards would hold as unified JSONL, in place of shards "
                                                     "(\"-\": standard output). data.validation is not read.",
         0, 0, NULL, false},
        {"--exclude-image-ids", CLI_STRING, &f->exclude, "FILE", "Leaves out the rows of data.mixture with a picture on this list, an id "
                                                                 "or a file name a line, in place of its own exclude_image_ids.",
         0, 0, NULL, false},
        {"--stats", CLI_FLAG, &f->stats, NULL, "Tells what the mixture holds, in place of making shards: rows, shares, lengths, pictures, "
                                               "answers, duplicates.",
         0, 0, NULL, false},
        {"--format", CLI_CHOICE, &f->format, "text|json", "Of --stats: text for people, or one JSON object.", 0, 0, FORMATS, false},
        {"--jobs", CLI_INT, &f->jobs, "N", "Worker processes; 0: as many as there are cores. The shards are the same for any number.", 0,
         64,
         NULL, false},
        {"--strict", CLI_FLAG, &f->strict, NULL, "Any row that cannot be used is an error.", 0, 0, NULL, false},
        {"--report", CLI_STRING, &f->report, "FILE", "Writes which rows were left out and why, as JSON (\"-\": standard output).", 0, 0,
         NULL,
         false},
        {"--set", CLI_STRINGS, &f->sets, "KEY=VALUE", "Overrides a key of the config; may be given several times.", 0, 0, NULL, false},
        {"--quiet", CLI_FLAG, &f->quiet, NULL, "Only errors on standard error.", 0, 0, NULL, false},
        {0},
    };
    const CliProgram program = {
        .name = "prepare",
        .summary = "Turns the mixture of a run into shards that train reads: tokens and label masks, and each picture once, checked.",
        .usage = "prepare --config RUN.json [--out DIR] [--jobs N] [--report FILE]\n"
                 "       prepare --config RUN.json --export FILE.jsonl\n"
                 "       prepare --config RUN.json --stats [--format json]",
        .options = options,
        .notes = "Rows that cannot be used are listed and left out. Killed at any moment, the same command goes on and ends with the same "
                 "bytes. Exit code 65: no row can be used, more than data.max_bad of a source, or --strict and some cannot.",
    };
    TRY(cli_parse(&program, argc, argv, done));
    if (!*done && !f->config)
        return fail(ERR_USAGE, "--config FILE is needed: the run whose mixture is prepared; prepare --help lists all options");
    return *done ? OK : check_together(f);
}

/* Rows with target images, by task, and what becomes of them in this run. */
static void tell_drawing(const ShardTargets *t, const RunConfig *cfg)
{
    const int64_t targets = t->pictures[TASK_GENERATE] + t->pictures[TASK_EDIT];
    if (t->rows[TASK_UNDERSTAND])
        log_warn("%" PRId64 " row%s of task \"understand\" with target images: only their text is learned; to draw them, give the rows the "
                 "task \"generate\" or \"edit\"", t->rows[TASK_UNDERSTAND], status_plural(t->rows[TASK_UNDERSTAND]));
    if (targets)
        log_info("%" PRId64 " target image%s of %" PRId64 " row%s of task \"generate\" and %" PRId64 " of task \"edit\": %s", targets,
                 status_plural(targets), t->rows[TASK_GENERATE], status_plural(t->rows[TASK_GENERATE]), t->rows[TASK_EDIT],
                 cfg->model.diffusion.path ? "loss.generate and loss.edit say how this run learns to draw them"
                                           : "this run learns their text and not to draw them (model.diffusion.path is null)");
}

/* As train will open them: the journal knows the bytes of a shard, not whether they make sense. */
static Status check_shards(const PrepareOptions *o, const RunConfig *cfg)
{
    ShardTargets targets;
    TRY(shards_check(o->out, (int64_t)o->encoder.vocab_size + encoder_added_count(&o->encoder), &targets));
    tell_drawing(&targets, cfg);
    return OK;
}

/* Called from a signal handler. */
static void stop_saying(const char *line)
{
    ssize_t n = write(STDERR_FILENO, line, strlen(line));
    (void)n;
    _exit(status_exit_code(ERR_PREEMPTED));
}

static void stop_making(void)
{
    stop_saying("\nstopped; the shards and cached results that are finished stay: the same command goes on from there\n");
}

static void stop_reading(void)
{
    prepare_abandon();
    stop_saying("\nstopped; nothing was made\n");
}

/* Who computes what is cached. */
typedef struct Caching {
    bool open;
    Backend backend;
} Caching;

/* Before the shards are made: it is there. */
static Status begin_caching(Caching *c, RunData *rows, RunData *held)
{
    const RunConfig *cfg = rows->cfg;
    DType compute;
    *c = (Caching){0};
    if (!cfg->data.cache.n)
        return OK;
    TRY(device_open(&c->backend, cfg, 0, &compute));
    c->open = true;
    run_cache_say_idle(cfg);
    TRY(run_cache_identify(&rows->cache, cfg, rows->sizes, &c->backend, compute, rows->shards));
    return run_data_any(held) ? run_cache_identify(&held->cache, cfg, held->sizes, &c->backend, compute, held->shards) : OK;
}

static void add_left_out(cJSON *to, const PrepareResult *r)
{
    json_add_int(to, "left_out", r->bad);
    json_add_int(to, "filtered", r->filtered);
    json_add_int(to, "duplicates", r->duplicates);
    json_add_int(to, "excluded", r->excluded);
    json_add_int(to, "cut_rows", r->cut_rows);
    json_add_int(to, "cut_trained_tokens", r->cut_tokens);
}

static Status print_result(FILE *to, const char *folder, const PrepareResult *r)
{
    if (log_is_json()) {
        cJSON *o = cJSON_CreateObject();
        json_add_text(o, "shards_in", folder);
        json_add_int(o, "samples", r->good);
        json_add_int(o, "images", r->images);
        json_add_int(o, "tokens", r->tokens);
        json_add_int(o, "shards", r->shards);
        add_left_out(o, r);
        return json_print(to, &o, JSON_LINE, "prepare");
    }
    utf8_cell(to, folder, 0);
    fprintf(to, ": %lld sample%s, %lld image%s, %lld token%s in %lld shard%s; %lld of %lld row%s left out, %lld cut\n", (long long)r->good,
            status_plural(r->good), (long long)r->images, status_plural(r->images), (long long)r->tokens, status_plural(r->tokens),
            (long long)r->shards, status_plural(r->shards), (long long)r->bad, (long long)(r->good + r->bad),
            status_plural(r->good + r->bad), (long long)r->cut_rows);
    return OK;
}

static Status prepare_rows(const Flags *f, RunData *d, Caching *caching)
{
    PrepareOptions *o = &d->prepare;
    PrepareResult r;
    LoaderOptions options;
    o->jobs = (int)f->jobs;
    o->strict = f->strict;
    o->report = d->held ? NULL : f->report;
    o->report_stream = o->report && !strcmp(o->report, "-") ? stdout : NULL;
    TRY(prepare_run(o, &r));
    TRY(check_shards(o, d->cfg));
    if (caching->open) {
        TRY(run_data_options(d, &options));
        options.preprocessor = NULL;
        TRY(run_cache_make(&d->cache, &caching->backend, &options, true));
    }
    return print_result(is_output(f->report) ? stderr : stdout, o->out, &r);
}

/* ---------------------------------------------------------------- outputs that are inputs */

static Status spare_setting(const char *option, const char *path, const MixtureSetting *m, const Mixture *mixture, const char *key)
{
    TRY(file_spare(option, path, m->file, key));
    return prepare_spare(mixture, option, path);
}

static Status spare_inputs(const char *option, const char *path, const RunConfig *cfg, const RunData *rows, const RunData *held)
{
    TRY(file_spare(option, path, cfg->file, "config"));
    TRY(spare_setting(option, path, &cfg->data.mixture, &rows->mixture, "data.mixture"));
    return spare_setting(option, path, &cfg->data.validation, &held->mixture, "data.validation");
}

/* Everything that is read, and what would be written twice. */
static Status check_outputs(const Flags *f, const RunConfig *cfg, const RunData *rows, const RunData *held)
{
    if (f->export && f->report && !is_output(f->export) && file_same(f->export, f->report))
        return fail(ERR_USAGE, "--export %s: is the file of --report too; choose another name for one of them", f->export);
    TRY(spare_inputs("--export", f->export, cfg, rows, held));
    return spare_inputs("--report", f->report, cfg, rows, held);
}

/* ---------------------------------------------------------------- what the shards would hold */

static Status print_export(FILE *to, const char *path, const PrepareResult *r)
{
    if (log_is_json()) {
        cJSON *o = cJSON_CreateObject();
        json_add_text(o, "exported_to", path);
        json_add_int(o, "samples", r->good);
        add_left_out(o, r);
        return json_print(to, &o, JSON_LINE, "prepare");
    }
    utf8_cell(to, path, 0);
    fprintf(to, ": %lld sample%s; %lld of %lld row%s left out\n", (long long)r->good, status_plural(r->good), (long long)r->bad,
            (long long)(r->good + r->bad), status_plural(r->good + r->bad));
    return OK;
}

static Status survey_rows(const Flags *f, RunConfig *cfg, RunData *rows, RunData *held)
{
    ModelSizes sizes;
    PrepareResult r;
    TRY(inputs_check(&rows->mixture, &held->mixture, cfg, NULL, NULL));
    TRY(check_outputs(f, cfg, rows, held));
    TRY(genllava_sizes(&sizes, cfg));
    rows->cfg = held->cfg = cfg;
    rows->sizes = held->sizes = &sizes;
    TRY(run_data_place(rows, held, cfg, true));
    PrepareOptions *o = &rows->prepare;
    o->jobs = (int)f->jobs;
    o->strict = f->strict;
    o->report = f->report;
    o->report_stream = is_output(f->report) ? stdout : NULL;
    if (f->stats)
        return prepare_stats(o, stdout, f->format == 1 || log_is_json());
    TRY(prepare_export(o, f->export, &r));
    if (!is_output(f->export))
        return print_export(is_output(f->report) ? stderr : stdout, f->export, &r);
    log_info("%" PRId64 " row%s written to standard output, %" PRId64 " of %" PRId64 " left out", r.good, status_plural(r.good), r.bad,
             r.good + r.bad);
    return OK;
}

/* ---------------------------------------------------------------- the shards */

static Status prepare_both(const Flags *f, RunConfig *cfg, RunData *rows, RunData *held)
{
    ModelSizes sizes;
    Caching caching;
    TRY(inputs_check(&rows->mixture, &held->mixture, cfg, NULL, NULL));
    TRY(check_outputs(f, cfg, rows, held));
    TRY(genllava_sizes(&sizes, cfg));
    rows->cfg = held->cfg = cfg;
    rows->sizes = held->sizes = &sizes;
    TRY(run_data_place(rows, held, cfg, false));
    Status s = begin_caching(&caching, rows, held);
    if (!s)
        s = prepare_rows(f, rows, &caching);
    if (!s && run_data_any(held))
        s = fail_context(prepare_rows(f, held, &caching), "data.validation");
    if (caching.open)
        caching.backend.close(&caching.backend);
    return s;
}

static Status prepare_config(const Flags *f, RunConfig *cfg)
{
    RunData rows = {0}, held = {0};
    if (f->out) {
        mem_free(cfg->data.shards);
        cfg->data.shards = mem_strdup(f->out);
        if (!cfg->data.shards)
            return fail(ERR_NOMEM, "--out: out of memory");
    }
    if (f->exclude && !(cfg->data.mixture.exclude = mem_strdup(f->exclude)))
        return fail(ERR_NOMEM, "--exclude-image-ids: out of memory");
    const bool survey = f->export || f->stats;
    signals_install(survey ? stop_reading : stop_making);
    Status s = survey ? survey_rows(f, cfg, &rows, &held) : prepare_both(f, cfg, &rows, &held);
    run_data_close(&rows);
    run_data_close(&held);
    return s;
}

int main(int argc, char **argv)
{
    Flags f = {0};
    bool done = false;
    cli_start();
    Status s = parse(&f, argc, argv, &done);
    if (s || done)
        return cli_finish(s);
    if (f.quiet)
        log_level(LOG_ERROR);
    RunConfig cfg;
    s = config_load(&cfg, f.config, f.sets.items, f.sets.n);
    if (!s) {
        s = prepare_config(&f, &cfg);
        config_free(&cfg);
    }
    return cli_finish(s);
}
