/* doctor: what this machine has for training, what a run would take of it, and whether that works. */
#include <stdio.h>
#include <string.h>

#include "data/formats/json_write.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "tools/doctor/facts.h"
#include "tools/doctor/pairs.h"
#include "tools/doctor/self_test.h"

/* Linked in where the CUDA toolkit was found; NULL elsewhere. */
__attribute__((weak)) Status cuda_open(Backend *b, int device);

typedef struct Diagnosis {
    Facts facts;
    Finding finding[PAIRS_MOST];
    int n_findings;
    SelfTest test[SELF_TESTS_MOST];
    int n_tests;
    bool tested;
} Diagnosis;

/* As messages of runs spell it. */
static const char *type_name(DType compute) { return compute == BF16 ? "bf16" : "f32"; }

/* ---------------------------------------------------------------- for people */

static void print_facts(FILE *out, const Facts *f)
{
    const char *section = "";
    for (const FactRow *r = f->row; r < f->row + f->n_rows; r++) {
        char key[sizeof r->key];
        if (strcmp(section, r->section))
            fprintf(out, "%s%s\n", *section ? "\n" : "", r->section);
        section = r->section;
        snprintf(key, sizeof key, "%s", r->key);
        if (strcmp(section, "libraries")) /* these are names as they are */
            for (char *at = key; (at = strchr(at, '_'));)
                *at = ' ';
        fprintf(out, "  %-*s %s\n", CLI_VERSION_COLUMNS, key, r->text);
    }
}

static void print_tests(FILE *out, const Diagnosis *d)
{
    fprintf(out, "\none step against the reference\n");
    for (const SelfTest *t = d->test; t < d->test + d->n_tests; t++) {
        fprintf(out, "  %-5s %-5s ", t->backend, type_name(t->compute));
        if (*t->failure)
            fprintf(out, "fails: %s\n", t->failure);
        else
            fprintf(out, "%s: loss off by %.1e (allowed %.0e), gradients by %.1e (allowed %.0e), %.2f s\n", t->right ? "right" : "WRONG",
                    t->loss_off, t->loss_allowed, t->gradient_off, t->gradient_allowed, t->seconds);
    }
}

static void print_text(FILE *out, const Diagnosis *d)
{
    print_facts(out, &d->facts);
    if (d->tested)
        print_tests(out, d);
    for (int i = 0; i < d->n_findings; i++)
        fprintf(out, "\n%s: %s\n", d->finding[i].fatal ? "does not work" : "could be better", d->finding[i].text);
}

/* ---------------------------------------------------------------- JSON */

static Status print_json(FILE *out, const Diagnosis *d)
{
    cJSON *o = cJSON_CreateObject(), *section = NULL;
    const char *last = "";
    json_add_text(o, "version", GENLLAVA_VERSION);
    for (const FactRow *r = d->facts.row; r < d->facts.row + d->facts.n_rows; r++) {
        if (strcmp(last, r->section))
            section = json_add(o, last = r->section, cJSON_CreateObject());
        if (r->value >= 0)
            json_add_int(section, r->key, r->value);
        else
            json_add_text(section, r->key, r->text);
    }
    cJSON *findings = json_add(o, "findings", cJSON_CreateArray());
    for (int i = 0; i < d->n_findings; i++) {
        cJSON *f = json_add(findings, NULL, cJSON_CreateObject());
        json_add(f, "fatal", cJSON_CreateBool(d->finding[i].fatal));
        json_add_text(f, "text", d->finding[i].text);
    }
    cJSON *tests = d->tested ? json_add(o, "tests", cJSON_CreateArray()) : NULL;
    for (int i = 0; i < d->n_tests; i++) {
        const SelfTest *t = &d->test[i];
        cJSON *j = json_add(tests, NULL, cJSON_CreateObject());
        json_add_text(j, "backend", t->backend);
        json_add_text(j, "compute", type_name(t->compute));
        json_add(j, "right", cJSON_CreateBool(t->right));
        json_add_text(j, "failure", *t->failure ? t->failure : NULL);
        json_add_real(j, "loss_off", t->loss_off);
        json_add_real(j, "loss_allowed", t->loss_allowed);
        json_add_real(j, "gradient_off", t->gradient_off);
        json_add_real(j, "gradient_allowed", t->gradient_allowed);
        json_add_real(j, "seconds", t->seconds);
    }
    return json_print(out, &o, JSON_PRETTY, "doctor");
}

/* ---------------------------------------------------------------- the program */

static Status verdict(const Diagnosis *d)
{
    for (int i = 0; i < d->n_tests; i++)
        if (!d->test[i].right)
            return fail(ERR_INTERNAL, "the backend %s computes wrongly in %s, or not at all: do not train with it", d->test[i].backend,
                        type_name(d->test[i].compute));
    for (int i = 0; i < d->n_findings; i++)
        if (d->finding[i].fatal)
            return fail(ERR_DEVICE, "something that is here does not work, as said above");
    return OK;
}

int main(int argc, char **argv)
{
    static const char *const FORMATS[] = {"text", "json", NULL};
    static Diagnosis d;
    int format = 0;
    bool done;
    const CliOption options[] = {
        {"--test", CLI_FLAG, &d.tested, NULL, "also take a training step on every backend and compare it with the reference", 0, 0,
         NULL, false},
        {"--format", CLI_CHOICE, &format, "text|json", "text for people, or one JSON object", 0, 0, FORMATS, false},
        {0},
    };
    const CliProgram program = {
        .name = "doctor",
        .summary = "Says what this machine has for training, what a run would take of it, and what does not go together.",
        .usage = "doctor [--test] [--format json]",
        .options = options,
        .notes = "Exit codes: 0: what was found works; 69: something that is here does not; 70: a backend computes wrongly.",
    };
    cli_start();
    Status s = cli_parse(&program, argc, argv, &done);
    if (s || done)
        return cli_finish(s);
    if (d.tested)
        cli_settle_threads(argv);
    s = facts_find(&d.facts, "");
    if (s == OK)
        d.n_findings = pairs_judge(d.finding, &d.facts);
    if (s == OK && d.tested)
        s = self_test_run(d.test, &d.n_tests, *d.facts.no_gpu ? NULL : cuda_open);
    if (s == OK && format == 1)
        s = print_json(stdout, &d);
    else if (s == OK)
        print_text(stdout, &d);
    return cli_finish(s ? s : verdict(&d));
}
