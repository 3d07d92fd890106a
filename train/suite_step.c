/* suite_step.c: see suite_step.h. */
#include "train/suite_step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"
#include "train/dist/signals.h"

static const char FOLDER[] = "suite", STEP[] = "step-";

static Status ask(Setup *s, RunLog *log, int64_t step, const char *folder)
{
    char model[PATH_MAX];
    const SuiteScore *scores;
    int n = 0;
    Answerer *a = NULL;
    snprintf(model, sizeof model, "%s/checkpoint-%06lld", s->cfg->name, (long long)step); /* as evaluate calls it */
    Status status = answerer_borrow(&a, s->cfg, s->model, &s->backend, &s->preprocessor);
    if (!status)
        status = s->suite.kind->ask(s->suite.of, a, folder, model, &scores, &n);
    answerer_close(&a);
    return status ? status : runlog_suite(log, step, scores, n);
}

/* Something is wrong with files of benchmarks or answers, none of which the training needs. */
static bool is_of_files(Status s) { return s == ERR_DATA || s == ERR_MISSING || s == ERR_CREATE || s == ERR_IO; }

Status suite_step(Setup *s, RunLog *log, int64_t step, int32_t *signal)
{
    char path[PATH_MAX], folder[PATH_MAX], name[32];
    snprintf(name, sizeof name, "%s%06lld", STEP, (long long)step);
    *signal = 0;
    Status status = file_make_own_folder(file_join(path, s->folder, FOLDER));
    if (!status)
        status = file_make_own_folder(file_join(folder, path, name));
    if (!status)
        status = ask(s, log, step, folder);
    if (is_of_files(status)) {
        log_warn("eval.suite: %s; the run goes on without scores of step %lld, which evaluate --suite takes from a checkpoint",
                 status_message(), (long long)step);
        return OK;
    }
    if (status != ERR_PREEMPTED)
        return fail_context(status, "eval.suite");
    *signal = signals_received();
    log_info("%s: what the benchmarks of step %lld have not been asked is left to --resume", signals_name(*signal), (long long)step);
    return OK;
}

typedef struct Forgetting {
    char folder[PATH_MAX];
    int64_t step;
} Forgetting;

static Status forget(void *arg, const char *name)
{
    const Forgetting *f = arg;
    char path[PATH_MAX];
    if (strncmp(name, STEP, sizeof STEP - 1) || strtoll(name + sizeof STEP - 1, NULL, 10) <= f->step)
        return OK;
    return file_remove(file_join(path, f->folder, name));
}

Status suite_step_forget(const char *run_folder, int64_t step)
{
    Forgetting f = {.step = step};
    file_join(f.folder, run_folder, FOLDER);
    return file_exists(f.folder) ? file_list(f.folder, forget, &f) : OK;
}
