/* facts.c: the numbers of a run to see first, the commands that go on from it, and numbers as people read them (report.h). Called by page.c
 * and terminal.c. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tools/report/report.h"

/* ---------------------------------------------------------------- numbers */

static const double COUNT_MOST = 1e18; /* beyond, a damaged log speaks */

char *report_count(char buf[48], int64_t n)
{
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%" PRId64, n);
    int at = 0;
    for (int i = 0; i < length; i++) {
        buf[at++] = digits[i];
        if ((length - i) % 3 == 1 && i + 1 < length && digits[i] != '-')
            buf[at++] = ',';
    }
    buf[at] = 0;
    return buf;
}

char *report_number(char buf[48], double v)
{
    const double size = fabs(v);
    if (size >= 10000 && size < 1e9)
        return report_count(buf, (int64_t)llround(v));
    snprintf(buf, 48, "%.4g", v);
    return buf;
}

char *report_duration(char buf[48], double seconds)
{
    if (!(seconds < COUNT_MOST))
        return snprintf(buf, 48, "%.2g s", seconds), buf;
    const int64_t s = (int64_t)(seconds + 0.5), minutes = s / 60, hours = s / 3600, days = s / 86400;
    if (seconds < 10)
        snprintf(buf, 48, "%.2g s", seconds);
    else if (minutes < 1)
        snprintf(buf, 48, "%" PRId64 " s", s);
    else if (hours < 1)
        snprintf(buf, 48, "%" PRId64 " min %02" PRId64 " s", minutes, s % 60);
    else if (days < 2)
        snprintf(buf, 48, "%" PRId64 " h %02" PRId64 " min", hours, minutes % 60);
    else
        snprintf(buf, 48, "%" PRId64 " d %02" PRId64 " h", days, hours % 24);
    return buf;
}

/* ---------------------------------------------------------------- facts */

static int64_t newest_checkpoint(const ReportRun *run) { return run->n_checkpoints ? run->checkpoints[run->n_checkpoints - 1] : -1; }

const char *report_state(const ReportRun *run)
{
    const Curves *c = run->curves;
    if (run->going_on)
        return "going on";
    if (!c->steps)
        return "not begun";
    if (run->total && c->last_step >= run->total)
        return "finished";
    return newest_checkpoint(run) == c->last_step ? "ended, saved" : "stopped";
}

typedef struct Facts {
    Fact *list;
    int n;
} Facts;

static Fact *add_fact(Facts *f, const char *label, const char *value)
{
    Fact *fact = &f->list[f->n++];
    *fact = (Fact){.label = label};
    snprintf(fact->value, sizeof fact->value, "%s", value);
    return fact;
}

static void add_steps(Facts *f, const ReportRun *run)
{
    char n[48], of[48];
    Fact *fact = add_fact(f, "steps", report_count(n, run->curves->steps ? run->curves->last_step : 0));
    if (run->total)
        snprintf(fact->note, sizeof fact->note, "of %s", report_count(of, run->total));
}

static void add_losses(Facts *f, const ReportRun *run)
{
    char a[48], b[48];
    const Curve *loss = curves_find(run->curves, "loss"), *held = curves_find(run->curves, "loss_validation");
    if (loss) {
        Fact *fact = add_fact(f, "loss", report_number(a, curve_end(run->curves, loss)));
        snprintf(fact->note, sizeof fact->note, "lately; at first %s", report_number(b, loss->first));
    }
    if (held) {
        Fact *fact = add_fact(f, "held-out loss", report_number(a, held->last));
        if (held->low_step == held->last_step)
            snprintf(fact->note, sizeof fact->note, "the lowest so far");
        else
            snprintf(fact->note, sizeof fact->note, "lowest %s at step %" PRId64, report_number(b, held->low), held->low_step);
    }
}

static void add_time(Facts *f, const ReportRun *run)
{
    char a[48], b[48];
    const Curves *c = run->curves;
    if (!c->steps || c->seconds <= 0)
        return;
    const double pace = c->seconds / (double)c->steps;
    Fact *fact = add_fact(f, "time of the steps", report_duration(a, c->seconds));
    snprintf(fact->note, sizeof fact->note, "%s a step", report_duration(b, pace));
    if (run->going_on && run->total > c->last_step)
        snprintf(add_fact(f, "left", report_duration(a, pace * (double)(run->total - c->last_step)))->note, sizeof fact->note,
                 "at this pace");
    fact = add_fact(f, "tokens", report_count(a, c->tokens));
    snprintf(fact->note, sizeof fact->note, "%s a second", report_count(b, (int64_t)fmin((double)c->tokens / c->seconds, COUNT_MOST)));
    fact = add_fact(f, "samples", report_count(a, c->samples));
    if (c->images)
        snprintf(fact->note, sizeof fact->note, "%s pictures", report_count(b, c->images));
}

static void add_share(Facts *f, const ReportRun *run, const char *key, const char *label)
{
    char value[48];
    const Curve *share = curves_find(run->curves, key);
    if (!share)
        return;
    snprintf(value, sizeof value, "%.3g %%", 100 * share->sum / (double)share->n);
    snprintf(add_fact(f, label, value)->note, sizeof f->list->note, "on average");
}

static void add_skips(Facts *f, const ReportRun *run)
{
    char a[48], b[48];
    const Curves *c = run->curves;
    if (!c->steps)
        return;
    Fact *fact = add_fact(f, "skipped steps", report_count(a, c->skipped_steps));
    if (c->skipped_samples)
        snprintf(fact->note, sizeof fact->note, "and %s samples", report_count(b, c->skipped_samples));
    else if (c->n_skips)
        snprintf(fact->note, sizeof fact->note, "the first is step %" PRId64, c->skips[0]);
}

static void add_data(Facts *f, const ReportRun *run)
{
    char a[48], b[48];
    const Json *head = run->prepared ? json_root(run->prepared) : NULL;
    const int64_t good = report_int(head, "good", -1), bad = report_int(head, "bad", -1);
    if (good < 0 || bad < 0)
        return;
    Fact *fact = add_fact(f, "rows of data", report_count(a, good));
    snprintf(fact->note, sizeof fact->note, "%s left out", bad ? report_count(b, bad) : "none");
}

static void add_memory(Facts *f, const ReportRun *run)
{
    char text[48];
    const int64_t bytes = report_int(json_get(run->environment ? json_root(run->environment) : NULL, "planned"), "memory", 0);
    if (bytes > 0)
        snprintf(add_fact(f, "memory", file_size_text(text, sizeof text, (size_t)bytes))->note, sizeof f->list->note, "as it was planned");
}

int report_facts(Fact facts[FACTS_MAX], const ReportRun *run)
{
    Facts f = {facts, 0};
    add_steps(&f, run);
    add_losses(&f, run);
    add_time(&f, run);
    add_share(&f, run, "peak_share", "of peak");
    add_share(&f, run, "waited", "waiting");
    add_memory(&f, run);
    add_skips(&f, run);
    add_data(&f, run);
    return f.n;
}

/* ---------------------------------------------------------------- commands */

/* A word of a shell's command line. */
static void put_word(FILE *out, const char *word)
{
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
    if (*word && *word != '-' && strspn(word, PLAIN) == strlen(word)) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    fputc('\'', out);
}

typedef struct Commands {
    const ReportRun *run;
    const char *prefix;
    CommandVisit visit;
    void *arg;
} Commands;

/* PROGRAM below the prefix, or as it is found without, what comes before the run's path, below it, and behind it. */
static Status give(const Commands *c, const char *what, const char *prefix, const char *program, const char *before, const char *below,
                   const char *behind)
{
    char *line = NULL, path[PATH_MAX];
    size_t n = 0;
    FILE *out = open_memstream(&line, &n);
    if (!out)
        return fail(ERR_NOMEM, "%s: no memory", c->run->folder);
    if (prefix)
        put_word(out, file_join(path, prefix, program));
    else
        fputs(program, out);
    fprintf(out, " %s", before);
    put_word(out, *below ? file_join(path, c->run->folder, below) : c->run->folder);
    fputs(behind, out);
    Status s = fclose(out) ? fail(ERR_NOMEM, "%s: no memory", c->run->folder) : OK;
    s = s ? s : c->visit(c->arg, what, line);
    mem_free(line);
    return s;
}

/* A program of ours: beside this one, or behind the name genllava where this one was found by it. */
static Status give_ours(const Commands *c, const char *what, const char *name, const char *before, const char *below, const char *behind)
{
    char program[64];
    snprintf(program, sizeof program, "genllava %s", name);
    return give(c, what, *c->prefix ? c->prefix : NULL, *c->prefix ? name : program, before, below, behind);
}

static bool has_path(const ReportRun *run, const char *part)
{
    const Json *model = json_get(run->config ? json_root(run->config) : NULL, "model");
    const Json *path = json_get(json_get(model, part), "path");
    return path && path->kind == JSON_STRING;
}

Status report_commands(const ReportRun *run, const char *prefix, CommandVisit visit, void *arg)
{
    const Commands c = {run, prefix, visit, arg};
    const bool finished = !strcmp(report_state(run), "finished");
    static const char CONFIG[] = "config.resolved.json";
    if (!run->going_on && !finished)
        TRY(give_ours(&c, "go on", "train", "--config ", CONFIG, " --resume"));
    if (finished)
        TRY(give_ours(&c, "train longer", "train", "--config ", CONFIG, " --resume --change --set train.steps=null --set train.epochs=N"));
    TRY(give_ours(&c, "train anew with other settings", "train", "--config ", CONFIG, " --set name=NAME --set KEY=VALUE"));
    if (run->n_checkpoints) {
        TRY(give_ours(&c, "ask", "generate", "--config ", CONFIG, has_path(run, "vision") ? " --image FILE --ask TEXT" : " --ask TEXT"));
        if (has_path(run, "diffusion"))
            TRY(give_ours(&c, "draw", "generate", "--config ", CONFIG, " --draw TEXT --out FILE.png"));
        TRY(give_ours(&c, "take it elsewhere", "convert", "--from ", "", " --to hf-llava --out DIR"));
    }
    TRY(give_ours(&c, "look closer", "inspect", "", "", ""));
    TRY(give_ours(&c, "this page again", "report", "", "", " --out FILE.html"));
    return run->has_board ? give(&c, "TensorBoard", NULL, "tensorboard", "--logdir ", "tb", "") : OK;
}
