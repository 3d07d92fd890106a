/* inputs.c: looks for everything that a run reads, before anything is begun (inputs.h). Called by train and prepare. */
#include "train/inputs.h"

#include <string.h>

#include "data/formats/file.h"
#include "data/formats/mistakes.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "train/models/parts.h"

typedef struct Missing {
    Mistakes models, data;
} Missing;

static Status gather_models(Missing *missing, Status s) { return mistakes_gather(&missing->models, ERR_MISSING, s); }
static Status gather_data(Missing *missing, Status s) { return mistakes_gather(&missing->data, ERR_MISSING, s); }
static Status gather_file(void *missing, const PartFile *file, Status s)
{
    return file->for_data ? gather_data(missing, s) : gather_models(missing, s);
}

/* What preparing the data reads of the models: the sizes and settings of every part's folder. Ends with NULL. */
static void list_model_keys(const char *keys[PARTS_MAX + 1])
{
    int n = 0;
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++)
        if (part->path.name)
            keys[n++] = part->path.name;
    keys[n] = NULL;
}

static Status read_mixture(Mixture *mixture, const MixtureSetting *m, const char *key, Missing *missing)
{
    if (!mixture_is_set(m) || (m->file && !file_exists(m->file)))
        return OK;
    TRY(mixture_load(mixture, key, m->file, m->json, m->base_dir));
    TRY(mixture_exclude(mixture, m->exclude));
    return gather_data(missing, mixture_check_files(mixture, missing->models.n + missing->data.n > 0));
}

static bool mixture_reads(const Mixture *m, const char *file)
{
    for (int i = 0; i < m->n_sources; i++)
        for (int k = 0; k < m->sources[i].n_files; k++)
            if (!strcmp(m->sources[i].files[k], file))
                return true;
    return false;
}

/* Rows that are trained on hold nothing out. */
static void warn_of_shared(const Mixture *mixture, const Mixture *held)
{
    for (int i = 0; i < held->n_sources; i++)
        for (int k = 0; k < held->sources[i].n_files && !(held->sources[i].split); k++)
            if (mixture_reads(mixture, held->sources[i].files[k]))
                log_warn("%s: a file of data.mixture and of data.validation: rows that are trained on are not held out",
                         held->sources[i].files[k]);
}

static Status check_suite(const RunSuite *suite, Missing *missing)
{
    bool end = false;
    for (int i = 0; !end; i++)
        TRY(gather_models(missing, suite->kind->check(suite->of, i, &end)));
    return OK;
}

static Status look_for_all(Mixture *mixture, Mixture *held, const RunConfig *cfg, const RunSuite *suite, Missing *missing)
{
    const char *model_keys[PARTS_MAX + 1], *const mixture_keys[] = {"data.mixture", "data.validation", NULL};
    list_model_keys(model_keys);
    TRY(gather_models(missing, config_check_paths(cfg, suite ? NULL : model_keys, mixture_keys)));
    TRY(gather_data(missing, config_check_paths(cfg, mixture_keys, NULL)));
    TRY(parts_check_files(cfg, suite != NULL, gather_file, missing));
    TRY(read_mixture(mixture, &cfg->data.mixture, "data.mixture", missing));
    TRY(read_mixture(held, &cfg->data.validation, "data.validation", missing));
    warn_of_shared(mixture, held);
    return suite && suite->of ? check_suite(suite, missing) : OK;
}

static Status end(Missing *missing, const RunConfig *cfg, bool *absent)
{
    if (missing->data.n && absent && !missing->models.n) {
        *absent = true;
        log_warn("samples are not counted, for their data are not there:\n%s", missing->data.lines);
    } else if (missing->data.n)
        mistakes_add_line(&missing->models, missing->data.lines);
    return mistakes_end(&missing->models, ERR_MISSING, cfg->file);
}

Status inputs_check(Mixture *mixture, Mixture *held, const RunConfig *cfg, const RunSuite *suite, bool *absent)
{
    Missing missing = {0};
    *mixture = *held = (Mixture){0};
    Status s = look_for_all(mixture, held, cfg, suite, &missing);
    if (s == OK)
        s = end(&missing, cfg, absent);
    else
        mem_free(missing.models.lines);
    mem_free(missing.data.lines);
    return s;
}
