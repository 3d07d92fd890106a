/* inputs.c: looks for everything that a run reads, before anything is begun (inputs.h). Called by train and prepare. */
#include "train/config/inputs.h"

#include <limits.h>
#include <stdio.h>

#include "data/formats/file.h"

typedef struct Missing {
    char text[8192];
    size_t n;
} Missing;

/* Takes a failure that says what is missing into the list; others are passed on. */
static Status gather(Missing *m, Status s)
{
    if (s != ERR_MISSING)
        return s;
    if (m->n < sizeof m->text)
        m->n += (size_t)snprintf(m->text + m->n, sizeof m->text - m->n, "%s%s", m->n ? "\n" : "", status_message());
    return OK;
}

/* A folder that is missing itself was named before. */
static Status look_inside(const char *key, const char *folder, const char *file, const char *what)
{
    char path[PATH_MAX];
    if (!folder || !file_exists(folder) || file_exists(file_join(path, folder, file)))
        return OK;
    return fail(ERR_MISSING, "%s: %s: there is no such file; %s there", key, path, what);
}

static Status look_for_models(Missing *m, const RunConfig *cfg)
{
    const char *llm = cfg->model.llm.path, *vision = cfg->model.vision.path;
    TRY(gather(m, look_inside("model.llm.path", llm, "config.json", "the sizes of the model are read from")));
    TRY(gather(m, look_inside("model.llm.path", llm, "tokenizer.model", "the tokenizer is read from")));
    TRY(gather(m, look_inside("model.vision.path", vision, "config.json", "the sizes of the model are read from")));
    if (cfg->model.vision.init == INIT_FROM_WEIGHTS) /* else SigLIP's usual preparation holds */
        TRY(gather(m, look_inside("model.vision.path", vision, "preprocessor_config.json", "how pictures are prepared is read from")));
    return OK;
}

Status inputs_check(Mixture *mixture, const RunConfig *cfg, bool data_only)
{
    static const char *const DATA_KEYS[] = {"model.llm.path", "model.vision.path", "data.mixture", NULL};
    Missing m = {0};
    *mixture = (Mixture){0};
    TRY(gather(&m, config_check_paths(cfg, data_only ? DATA_KEYS : NULL)));
    TRY(look_for_models(&m, cfg));
    if (!cfg->data.mixture || file_exists(cfg->data.mixture)) {
        TRY(mixture_load(mixture, cfg->data.mixture, cfg->data.mixture_json, cfg->data.base_dir));
        TRY(gather(&m, mixture_check_files(mixture, m.n > 0)));
    }
    return m.n ? fail(ERR_MISSING, "%s", m.text) : OK;
}
